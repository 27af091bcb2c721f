package rtcp

import (
	"math/rand/v2"
	"reflect"
	"testing"

	pion "github.com/pion/rtcp"
)

// comparePionTWCC reads a feedback message with pion/rtcp and compares every delta.
func comparePionTWCC(t checker, b []byte, got []TWCCStatus) {
	t.Helper()
	var p pion.TransportLayerCC
	if err := p.Unmarshal(b); err != nil {
		t.Fatalf("%x: pion: %v", b, err)
	}
	deltas := p.RecvDeltas
	for _, s := range got {
		if !s.Received {
			continue
		}
		if len(deltas) == 0 || deltas[0].Delta != int64(s.Delta)*pion.TypeTCCDeltaScaleFactor {
			t.Fatalf("%x: packet %d: delta %d, pion %v", b, s.Seq, s.Delta, deltas)
		}
		deltas = deltas[1:]
	}
	if len(deltas) != 0 || int(p.PacketStatusCount) != len(got) || p.SenderSSRC != 1 || p.MediaSSRC != 2 {
		t.Fatalf("%x: %d deltas left over, count %d", b, len(deltas), p.PacketStatusCount)
	}
}

// Whatever the builders write, pion reads the same out of it.
func TestBuiltPacketsAreReadByPion(t *testing.T) {
	sr := SR{SSRC: 1, NTP: 0x1122334455667788, RTPTime: 3, Packets: 4, Octets: 5}
	block := ReportBlock{SSRC: 6, FractionLost: 7, CumulativeLost: 8, HighestSeq: 9, Jitter: 10, LastSR: 11, DelaySinceSR: 12}
	report := pion.ReceptionReport{SSRC: 6, FractionLost: 7, TotalLost: 8, LastSequenceNumber: 9, Jitter: 10, LastSenderReport: 11, Delay: 12}
	var b []byte
	b = AppendSR(b, sr, []ReportBlock{block})
	b = AppendRR(b, 1, []ReportBlock{block, block})
	b = AppendSDES(b, 1, "cname")
	b = AppendNACK(b, 1, 2, []uint16{5, 6, 22, 100})
	b = AppendPLI(b, 1, 2)
	b = AppendFIR(b, 1, 2, 3)
	b = AppendREMB(b, 1, 1_000_000, []uint32{2, 3})
	b = AppendBYE(b, 1, 2)
	got, err := pion.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []pion.Packet{
		&pion.SenderReport{SSRC: 1, NTPTime: 0x1122334455667788, RTPTime: 3, PacketCount: 4, OctetCount: 5, Reports: []pion.ReceptionReport{report}},
		&pion.ReceiverReport{SSRC: 1, Reports: []pion.ReceptionReport{report, report}},
		pion.NewCNAMESourceDescription(1, "cname"),
		&pion.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: []pion.NackPair{{PacketID: 5, LostPackets: 1}, {PacketID: 22}, {PacketID: 100}}},
		&pion.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2},
		&pion.FullIntraRequest{SenderSSRC: 1, FIR: []pion.FIREntry{{SSRC: 2, SequenceNumber: 3}}},
		&pion.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 1_000_000, SSRCs: []uint32{2, 3}},
		&pion.Goodbye{Sources: []uint32{1, 2}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		// Compared as bytes: pion keeps empty slices and nil apart.
		g, err := got[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		w, err := want[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("packet %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// Whatever pion writes, we read.
func TestPacketsBuiltByPionAreRead(t *testing.T) {
	const seed = 2
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		report := func() pion.ReceptionReport {
			return pion.ReceptionReport{SSRC: rnd.Uint32(), FractionLost: uint8(rnd.Uint32()), TotalLost: rnd.Uint32() & 0xffffff,
				LastSequenceNumber: rnd.Uint32(), Jitter: rnd.Uint32(), LastSenderReport: rnd.Uint32(), Delay: rnd.Uint32()}
		}
		reports := []pion.ReceptionReport{report(), report()}[:rnd.IntN(3)]
		nacks := pion.NackPairsFromSequenceNumbers([]uint16{uint16(rnd.Uint32()), uint16(rnd.Uint32())})
		packets := []pion.Packet{
			&pion.SenderReport{SSRC: rnd.Uint32(), NTPTime: rnd.Uint64(), RTPTime: rnd.Uint32(), PacketCount: rnd.Uint32(), OctetCount: rnd.Uint32(), Reports: reports},
			pion.NewCNAMESourceDescription(rnd.Uint32(), "some name"[:1+rnd.IntN(8)]),
			&pion.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: nacks},
			&pion.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: float32(rnd.IntN(1 << 17)), SSRCs: []uint32{rnd.Uint32()}},
		}
		b, err := pion.Marshal(packets)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		checkSR(t, next(t, &r), packets[0].(*pion.SenderReport))
		sdes, _ := next(t, &r).SDES()
		wantChunk := packets[1].(*pion.SourceDescription).Chunks[0]
		if ssrc, cname, ok := sdes.Next(); !ok || ssrc != wantChunk.Source || string(cname) != wantChunk.Items[0].Text {
			t.Fatalf("%d %q %v", ssrc, cname, ok)
		}
		n, err := next(t, &r).NACK()
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range nacks {
			for _, want := range pair.PacketList() {
				if seq, ok := n.Next(); !ok || seq != want {
					t.Fatalf("%d, want %d", seq, want)
				}
			}
		}
		remb, err := next(t, &r).REMB()
		if want := packets[3].(*pion.ReceiverEstimatedMaximumBitrate); err != nil || float32(remb.Bitrate) != want.Bitrate || remb.Sources.At(0) != want.SSRCs[0] {
			t.Fatalf("%d, %v", remb.Bitrate, err)
		}
		if _, ok := r.Next(); ok || r.Err() != nil {
			t.Fatal("more than was written")
		}
	}
}

func next(t *testing.T, r *Reader) Packet {
	t.Helper()
	p, ok := r.Next()
	if !ok {
		t.Fatal(r.Err())
	}
	return p
}

func checkSR(t *testing.T, p Packet, want *pion.SenderReport) {
	t.Helper()
	sr, blocks, err := p.SR()
	if err != nil {
		t.Fatal(err)
	}
	if sr != (SR{want.SSRC, want.NTPTime, want.RTPTime, want.PacketCount, want.OctetCount}) || blocks.Len() != len(want.Reports) {
		t.Fatalf("%+v, want %+v", sr, want)
	}
	for i, w := range want.Reports {
		g := blocks.At(i)
		if g.SSRC != w.SSRC || g.FractionLost != w.FractionLost || uint32(g.CumulativeLost)&0xffffff != w.TotalLost ||
			g.HighestSeq != w.LastSequenceNumber || g.Jitter != w.Jitter || g.LastSR != w.LastSenderReport || g.DelaySinceSR != w.Delay {
			t.Fatalf("%+v, want %+v", g, w)
		}
	}
}
