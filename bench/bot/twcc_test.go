package bot

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestTransportFeedbackTellsWhenEachPacketCame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	f := &transportFeedback{}
	r := &receiver{transport: 3}
	now := time.Unix(1000, 0)
	came := make(map[uint16]time.Time)
	seq := uint16(65530)
	for range 40 {
		seq++
		now = now.Add(time.Duration(rnd.IntN(100_000)) * time.Microsecond)
		if rnd.IntN(4) == 0 {
			continue // lost
		}
		h := rtp.Header{Version: 2, SSRC: 9}
		if err := h.SetExtension(3, binary.BigEndian.AppendUint16(nil, seq)); err != nil {
			t.Fatal(err)
		}
		f.record(now, r, &rtp.Packet{Header: h})
		came[seq] = now
	}
	start := f.start
	packet := f.due(now, 1)
	if packet == nil {
		t.Fatal("no feedback")
	}
	raw, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var p rtcp.TransportLayerCC
	if err := p.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	at := start.Add(time.Duration(p.ReferenceTime) * reference)
	next, deltas, seen := p.BaseSequenceNumber, p.RecvDeltas, 0
	for _, chunk := range p.PacketChunks {
		for _, symbol := range chunk.(*rtcp.StatusVectorChunk).SymbolList {
			if symbol != rtcp.TypeTCCPacketNotReceived {
				at = at.Add(time.Duration(deltas[0].Delta) * time.Microsecond)
				deltas = deltas[1:]
				if d := came[next].Sub(at); d < -tick || d > tick {
					t.Errorf("packet %d is told to have come %v off", next, d)
				}
				seen++
			} else if _, ok := came[next]; ok {
				t.Errorf("packet %d is told to be lost", next)
			}
			next++
		}
	}
	if seen != len(came) {
		t.Errorf("%d of %d packets reported", seen, len(came))
	}
	if f.due(now, 1) != nil {
		t.Error("feedback twice in an interval")
	}
}
