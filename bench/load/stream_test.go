package load

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
)

// rigStream is a viewer's stream of a publisher whose packets are made here, without sockets.
type rigStream struct {
	t      testing.TB
	shard  *shard
	peer   *peer
	one    *stream
	origin *origin
	base   uint16 // sequence number at the viewer of the packet with index 0
}

func newRigStream(t testing.TB, base uint16) *rigStream {
	e := &engine{capacity: 1, scenario: Scenario{Role: RecvOnly}, hurt: make(map[*client]bool)}
	s := &shard{engine: e, scenario: &e.scenario, now: 1}
	c := &client{engine: e, room: newRoom("a"), shard: s}
	g := &rigStream{t: t, shard: s, origin: newOrigin(param.Video, 64), base: base}
	g.one = &stream{ssrc: 1, rtxSSRC: 2, kind: param.Video, codec: param.VP8, clock: 90000, nack: true, pli: true}
	g.peer = &peer{client: c, room: c.room, streams: []*stream{g.one}, settled: true, joinedAt: 1, id: 1}
	g.peer.table.build(g.peer.streams)
	c.room.add(g.origin)
	return g
}

func payloadOf(index uint64) []byte {
	b := make([]byte, 40)
	b[0] = 0x10
	binary.LittleEndian.PutUint64(b[32:], index*0x9e3779b97f4a7c15)
	return b
}

// publish makes the publisher send the next n packets.
func (g *rigStream) publish(n int) {
	for range n {
		g.origin.mark(g.shard.phase())
		g.origin.put(payloadOf(g.origin.next.Load()), frameFirst|frameLast)
	}
}

// phase begins a phase of the run.
func (g *rigStream) phase(p phase) { g.shard.engine.at.Store(int32(p)) }

// arrive gives the viewer packets by their index.
func (g *rigStream) arrive(indices ...uint64) {
	for _, i := range indices {
		g.packet(arrival{seq: g.base + uint16(i), payload: payloadOf(i)})
	}
}

func (g *rigStream) packet(a arrival) {
	a.now, a.size = g.shard.now, len(a.payload)+28
	g.peer.arrived(g.shard, g.one, &a)
}

// measured runs f in the measured part, in which the publisher sends n packets after warm of
// which all came, and ends the run.
func (g *rigStream) measured(warm, n int, f func(first uint64)) *total {
	g.publish(warm)
	for i := range uint64(warm) {
		g.arrive(i)
	}
	g.phase(measuring)
	g.publish(n)
	f(uint64(warm))
	g.phase(draining)
	g.publish(1)
	g.shard.total.finish(g.peer)
	return &g.shard.total
}

func (g *rigStream) want(what string, got, want uint64) {
	g.t.Helper()
	if got != want {
		g.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

func TestPacketsThatComeAreForwarded(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 10, func(first uint64) {
		for i := range uint64(10) {
			g.arrive(first + i)
		}
	})
	g.want("forwarded", total.forwarded, 10)
	g.want("expected", total.expected, 10)
	g.want("bytes", total.bytes, 10*68)
	g.want("duplicated", total.duplicated, 0)
}

func TestGapIsLost(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 10, func(first uint64) {
		g.arrive(first, first+1, first+4, first+5, first+6, first+7, first+8, first+9)
	})
	g.want("lost", total.expected-total.forwarded, 2)
	g.want("gaps", total.gaps, 2)
}

func TestPacketsMissingAtTheEndAreLost(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 10, func(first uint64) { g.arrive(first, first+1) })
	g.want("lost", total.expected-total.forwarded, 8)
}

func TestStreamThatNeverComesIsLost(t *testing.T) {
	g := newRigStream(t, 100)
	g.phase(measuring)
	g.publish(7)
	g.phase(draining)
	g.publish(1)
	g.shard.total.finish(g.peer)
	g.want("expected", g.shard.total.expected, 7)
	g.want("silent streams", g.shard.total.silentStreams, 1)
}

func TestReorderedPacketsAreNotLost(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 6, func(first uint64) {
		g.arrive(first+3, first+1, first+2, first, first+5, first+4)
	})
	g.want("forwarded", total.forwarded, 6)
	g.want("expected", total.expected, 6)
	g.want("missing", uint64(len(g.one.missing)), 0)
}

func TestPacketThatComesTwiceIsDuplicated(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 3, func(first uint64) { g.arrive(first, first+1, first+1, first+2, first) })
	g.want("forwarded", total.forwarded, 3)
	g.want("duplicated", total.duplicated, 2)
}

func TestRetransmissionRecoversAPacket(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 3, func(first uint64) {
		g.arrive(first, first+2)
		if asked := g.one.due(1, nil, maxMissing); !slices.Equal(asked, []uint16{100 + uint16(first) + 1}) {
			t.Errorf("asked for %d", asked)
		}
		g.packet(arrival{seq: 100 + uint16(first) + 1, rtx: true, payload: payloadOf(first + 1)})
	})
	g.want("recovered", total.recovered, 1)
	g.want("lost", total.expected-total.forwarded, 0)
	g.want("missing", uint64(len(g.one.missing)), 0)
}

func TestRetransmissionOfWhatCameIsARepetition(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 2, func(first uint64) {
		g.arrive(first, first+1)
		g.packet(arrival{seq: 100 + uint16(first), rtx: true, payload: payloadOf(first)})
	})
	g.want("recovered", total.recovered, 0)
	g.want("repeated", total.repeated, 1)
	g.want("duplicated", total.duplicated, 0)
}

func TestSequenceNumbersWrap(t *testing.T) {
	g := newRigStream(t, 65530)
	total := g.measured(3, 20, func(first uint64) {
		for i := range uint64(20) {
			if i != 7 {
				g.arrive(first + i)
			}
		}
	})
	g.want("forwarded", total.forwarded, 19)
	g.want("expected", total.expected, 20)
	if got := g.one.report(1).HighestSeq; got != 1<<16|16 {
		t.Errorf("highest sequence number %#x", got)
	}
}

func TestPaddingIsCountedAndIsNoPayload(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(5, 3, func(first uint64) {
		g.packet(arrival{seq: 100 + uint16(first), payload: payloadOf(first), padding: 12})
		g.arrive(first+1, first+2)
	})
	g.want("forwarded", total.forwarded, 3)
	g.want("padded", total.padded, 1)
	g.want("bytes of padding", total.padBytes, 12)
}

func TestPacketOfPaddingAloneIsNoMedia(t *testing.T) {
	g := newRigStream(t, 100)
	g.publish(1)
	g.arrive(0)
	g.packet(arrival{seq: 101, padding: 255})
	g.want("media packets", g.shard.total.arrived, 1)
	g.want("missing", uint64(len(g.one.missing)), 0)
}

// The server may leave a number out or put one in, as when a packet of padding alone goes with
// the media.
func TestStreamWhoseNumbersShiftIsRecognisedAnew(t *testing.T) {
	g := newRigStream(t, 100)
	g.shard.latency = true // every packet is looked at
	total := g.measured(5, 6, func(first uint64) {
		g.arrive(first, first+1)
		g.base++
		g.arrive(first+2, first+3, first+4, first+5)
	})
	g.want("forwarded", total.forwarded, 6)
	g.want("expected", total.expected, 6)
}

func TestViewersBeginWithTheirFirstPacket(t *testing.T) {
	g := newRigStream(t, 100)
	total := g.measured(0, 10, func(uint64) { g.arrive(4, 5, 6, 7, 8, 9) })
	g.want("expected", total.expected, 6)
	g.want("forwarded", total.forwarded, 6)
}

func TestViewerThatLeavesMissesNothingAfterwards(t *testing.T) {
	g := newRigStream(t, 100)
	g.publish(1)
	g.arrive(0)
	g.phase(measuring)
	g.publish(10)
	g.arrive(1, 2, 4)
	g.shard.total.end(g.one, false)
	g.want("expected", g.shard.total.expected, 4)
	g.want("forwarded", g.shard.total.forwarded, 3)
}

func TestPayloadThatComesAgainIsTheNewest(t *testing.T) {
	o := newOrigin(param.Audio, 8)
	for _, b := range [][]byte{{1, 2, 3}, {4, 5, 6}, {1, 2, 3}} {
		o.put(b, 0)
	}
	if index, ok := o.find([]byte{4, 5, 6}); !ok || index != 1 {
		t.Errorf("the second packet is found as %d, %v", index, ok)
	}
	if index, ok := o.find([]byte{1, 2, 3}); !ok || index != 2 {
		t.Errorf("a payload of two packets is found as %d, %v", index, ok)
	}
	if index, ok := o.find([]byte{1, 2}); ok {
		t.Errorf("a payload of no packet is found as %d", index)
	}
}

// Two publishers play the same clip.
func TestPublishersOfTheSamePacketsAreToldByName(t *testing.T) {
	g := newRigStream(t, 100)
	other := newOrigin(param.Video, 64)
	other.put(payloadOf(0), 0)
	g.peer.room.add(other)
	g.publish(2)
	g.arrive(0)
	if g.one.from != nil {
		t.Error("a packet of two publishers is taken for one's")
	}
	g.one.name, g.origin.name, other.name = "a", "a", "b"
	other.put(payloadOf(1), 0)
	g.arrive(1)
	if g.one.from != g.origin {
		t.Error("the publisher is not known by its name")
	}
}

func TestPacketsLeaveTheRing(t *testing.T) {
	o := newOrigin(param.Video, 8)
	for i := range uint64(9) {
		o.put(payloadOf(i), 0)
	}
	if o.at(0, payloadOf(0)) != nil {
		t.Error("the oldest packet is still there")
	}
	if o.at(8, payloadOf(8)) == nil || o.at(1, payloadOf(1)) == nil {
		t.Error("the last eight packets are not there")
	}
}

func TestRequestsForAPacketEnd(t *testing.T) {
	g := newRigStream(t, 100)
	g.publish(3)
	g.arrive(0, 2)
	now, asked := mono.Time(1), 0
	for range 100 {
		asked += len(g.one.due(now, nil, maxMissing))
		now = now.Add(10 * time.Millisecond)
	}
	g.want("requests", uint64(asked), nackTries)
	g.want("missing", uint64(len(g.one.missing)), 0)
}

func TestMissingPacketsAreBounded(t *testing.T) {
	g := newRigStream(t, 100)
	g.publish(1)
	g.arrive(0)
	for i := range uint64(1000) {
		g.one.accept(uint16(100+2*i), 1)
	}
	if n := len(g.one.missing); n != maxMissing {
		t.Errorf("%d packets are waited for, want %d", n, maxMissing)
	}
}

func TestKeyFrameIsCompleteWhenItsLastPacketCame(t *testing.T) {
	g := newRigStream(t, 100)
	key := []byte{0x10, 0x00, 1, 2, 3, 4, 5, 6, 7, 8} // the start of a partition, a key frame
	rest := []byte{0x00, 0x01, 8, 7, 6, 5, 4, 3, 2, 1}
	g.packet(arrival{seq: 1, timestamp: 9, payload: rest, marker: true})
	g.packet(arrival{seq: 2, timestamp: 10, payload: key})
	g.packet(arrival{seq: 4, timestamp: 10, payload: rest, marker: true})
	if g.one.key {
		t.Error("a key frame without its second packet is complete")
	}
	g.packet(arrival{seq: 3, timestamp: 10, payload: rest})
	if !g.one.key || !g.peer.keyFrame {
		t.Error("the whole key frame is not complete")
	}
}

func TestReceiverReportSaysWhatIsMissing(t *testing.T) {
	g := newRigStream(t, 100)
	g.publish(10)
	g.arrive(0, 1, 2, 3, 5, 6, 7, 9)
	r := g.one.report(1)
	if r.CumulativeLost != 2 || r.FractionLost != 2*256/10 {
		t.Errorf("lost %d, fraction %d/256", r.CumulativeLost, r.FractionLost)
	}
}
