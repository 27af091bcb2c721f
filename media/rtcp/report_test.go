package rtcp

import (
	"bytes"
	"testing"
)

func TestSenderReportIsRead(t *testing.T) {
	sr, blocks, err := one(t, validPackets["SR with a block"]).SR()
	if err != nil {
		t.Fatal(err)
	}
	want := SR{SSRC: 1, NTP: 0xDA8BD1FCDDDDA05A, RTPTime: 0xAAF4EDD5, Packets: 1, Octets: 2}
	if sr != want {
		t.Errorf("%+v", sr)
	}
	block := ReportBlock{SSRC: 0xBC5E9A40, FractionLost: 0x55, CumulativeLost: -2, HighestSeq: 0x46E1,
		Jitter: 0x111, LastSR: 0x09F36432, DelaySinceSR: 0x24A79}
	if blocks.Len() != 1 || blocks.At(0) != block {
		t.Errorf("%d blocks, %+v", blocks.Len(), blocks.At(0))
	}
	if got := AppendSR(nil, sr, []ReportBlock{block}); !bytes.Equal(got, unhex(t, validPackets["SR with a block"])) {
		t.Errorf("written as %x", got)
	}
}

func TestReceiverReportIsRead(t *testing.T) {
	sender, blocks, err := one(t, validPackets["RR with two blocks"]).RR()
	if err != nil || sender != 1 || blocks.Len() != 2 {
		t.Fatalf("sender %d, %d blocks, %v", sender, blocks.Len(), err)
	}
	if b := blocks.At(1); b.SSRC != 0xBC5E9A41 || b.FractionLost != 255 || b.CumulativeLost != 1<<23-1 {
		t.Errorf("%+v", b)
	}
	got := AppendRR(nil, sender, []ReportBlock{blocks.At(0), blocks.At(1)})
	if !bytes.Equal(got, unhex(t, validPackets["RR with two blocks"])) {
		t.Errorf("written as %x", got)
	}
	if got := AppendRR(nil, 1, nil); !bytes.Equal(got, unhex(t, validPackets["empty RR"])) {
		t.Errorf("empty: %x", got)
	}
}

func TestCumulativeLossIsClampedTo24Bits(t *testing.T) {
	for lost, want := range map[int32]int32{
		0: 0, -1: -1, 1<<23 - 1: 1<<23 - 1, 1 << 23: 1<<23 - 1, 1<<31 - 1: 1<<23 - 1,
		-1 << 23: -1 << 23, -1<<23 - 1: -1 << 23, -1 << 31: -1 << 23,
	} {
		b := AppendRR(nil, 1, []ReportBlock{{SSRC: 9, FractionLost: 7, CumulativeLost: lost}})
		r := NewReader(b)
		p, _ := r.Next()
		_, blocks, err := p.RR()
		if err != nil {
			t.Fatal(err)
		}
		if got := blocks.At(0); got.CumulativeLost != want || got.FractionLost != 7 {
			t.Errorf("%d is read as %d, fraction %d", lost, got.CumulativeLost, got.FractionLost)
		}
	}
}

func TestMoreBlocksThanAPacketHoldsAreStacked(t *testing.T) {
	blocks := make([]ReportBlock, 70)
	for i := range blocks {
		blocks[i].SSRC = uint32(i)
	}
	r := NewReader(AppendSR(nil, SR{SSRC: 5}, blocks))
	next := 0
	for i, want := range []struct {
		kind Kind
		n    int
	}{{KindSR, 31}, {KindRR, 31}, {KindRR, 8}} {
		p, ok := r.Next()
		if !ok || p.Kind() != want.kind || int(p.Count) != want.n {
			t.Fatalf("packet %d: %v, type %d, count %d", i, ok, p.Type, p.Count)
		}
		_, got, err := p.SR()
		if want.kind == KindRR {
			var sender uint32
			if sender, got, err = p.RR(); sender != 5 {
				t.Errorf("packet %d: sender %d", i, sender)
			}
		}
		if err != nil || got.Len() != want.n {
			t.Fatalf("packet %d: %d blocks, %v", i, got.Len(), err)
		}
		for j := range got.Len() {
			if got.At(j).SSRC != uint32(next) {
				t.Errorf("block %d is of %d", next, got.At(j).SSRC)
			}
			next++
		}
	}
	if _, ok := r.Next(); ok || next != len(blocks) {
		t.Errorf("%d blocks, more %v", next, ok)
	}
}

func TestBuildersAppend(t *testing.T) {
	b := []byte("before")
	b = AppendRR(b, 1, nil)
	b = AppendSDES(b, 1, "a")
	b = AppendPLI(b, 1, 2)
	if !bytes.HasPrefix(b, []byte("before")) || !bytes.Equal(b[6:], unhex(t, validPackets["compound"])) {
		t.Errorf("%x", b)
	}
}
