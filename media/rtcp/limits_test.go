package rtcp

import (
	"errors"
	"strings"
	"testing"
)

// Row RTP-11.
func TestReaderStopsAtItsCaps(t *testing.T) {
	block := strings.Repeat("00000001 00000000 00000000 00000000 00000000 00000000", 31)
	rr := "9FC900BB 00000001" + block                                     // 31 blocks
	nack := "81CD0012 00000001 00000002" + strings.Repeat("0000FFFF", 16) // 16 pairs, 272 numbers
	twcc := "8FCD0005 00000001 00000002 0001 1FFF 00000000 1FFF 0000"     // 8,191 lost
	for _, c := range []struct {
		name, packet string
		times, want  int
	}{
		{"packets: empty SDES", "80CA0000", MaxPackets + 1, MaxPackets},
		{"packets: unknown types", "80D20000", MaxPackets + 1, MaxPackets},
		{"packets: XR", "80CF0001 00000001", MaxPackets + 1, MaxPackets},
		{"XR entries", "80CF0062 00000001 05000060" + strings.Repeat("00000001 00000002 00000003", 32), 100, MaxBlocks / 32},
		{"XR of empty blocks", "80CF0061 00000001" + strings.Repeat("C8000000", 96), 100, MaxBlocks / 32},
		{"31 report blocks a hundred times", rr, 100, MaxBlocks / 31},
		{"BYE for others", "9FCB001F" + strings.Repeat("00000007", 31), 100, MaxBlocks / 31},
		{"SDES chunks", "9FCA0000", 100, MaxBlocks / 31},
		{"FIR entries", "84CE0042 00000001 00000000" + strings.Repeat("00000002 01000000", 32), 100, MaxBlocks / 32},
		{"REMB sources", "8FCE00FF 00000001 00000000 52454D42 FB0A0ABC" + strings.Repeat("00000007", 251), 3, 1},
		{"NACK of everything", nack, 16, MaxNACKs / 272},
		{"TWCC run lengths", twcc, 16, MaxStatuses / 8191},
		{"TWCC that claims 65,535 statuses", "8FCD0004 00000001 00000002 0001 FFFF 00000000", 1, 0},
	} {
		r := NewReader(unhex(t, strings.Repeat(c.packet, c.times)))
		got := 0
		for {
			if _, ok := r.Next(); !ok {
				break
			}
			got++
		}
		if got != c.want || !errors.Is(r.Err(), ErrLimit) {
			t.Errorf("%s: %d packets, want %d; %v", c.name, got, c.want, r.Err())
		}
		if _, ok := r.Next(); ok {
			t.Errorf("%s: goes on behind the cap", c.name)
		}
	}
}

// Row RTP-11.
func TestLargestCompoundIsReadInBoundedWork(t *testing.T) {
	// As long as SRTCP over a stream transport could carry, and nothing but headers.
	b := unhex(t, strings.Repeat("80CA0000", 65535/4))
	if n, err := consume(b); n != MaxPackets || !errors.Is(err, ErrLimit) {
		t.Errorf("%d packets, %v", n, err)
	}
}

func TestOrdinaryCompoundsStayBelowTheCaps(t *testing.T) {
	// The largest that a browser or we ourselves send: reports on 61 streams fill 1,500
	// bytes; a NACK of libwebrtc's whole list; feedback on 400 packets; a PLI for 40.
	var blocks [61]ReportBlock
	b := AppendRR(nil, 1, blocks[:])
	if n, err := consume(b); n != 2 || err != nil {
		t.Errorf("reports: %d packets, %v", n, err)
	}
	seqs := make([]uint16, 1000)
	for i := range seqs {
		seqs[i] = uint16(i)
	}
	if n, err := consume(AppendNACK(nil, 1, 2, seqs)); n != 1 || err != nil {
		t.Errorf("NACK: %d packets, %v", n, err)
	}
	b = b[:0]
	for i := range 40 {
		b = AppendPLI(b, 1, uint32(i))
	}
	if n, err := consume(b); n != 40 || err != nil {
		t.Errorf("PLI: %d packets, %v", n, err)
	}
}

func TestPacketThatCannotBeFramedPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"odd length":       func() { appendHeader(nil, TypeRR, 0, 5) },
		"length too large": func() { appendHeader(nil, TypeRR, 0, 4<<16) },
		"count too large":  func() { appendHeader(nil, TypeRR, 32, 4) },
		"REMB sources":     func() { AppendREMB(nil, 1, 1, make([]uint32, 256)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
