package conn

import (
	"net/netip"
	"testing"
	"time"

	"tsubame/media/ice"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// streamed is a publisher and a viewer behind a stream, which takes what the test lets it.
type streamed struct {
	*rig
	pub, viewer *peer
	sub         *subscriber
	full        bool
	first       uint16 // the output's number of the publisher's packet 0, while no source packet is skipped
	taken       []uint16
}

func newStreamed(t *testing.T) *streamed {
	s := &streamed{rig: newRig(t)}
	s.env.Out.SetStreams(func(_ flow.Key, _ mmsg.Class, b []byte) bool {
		if !s.full {
			s.taken = append(s.taken, seqOf(b))
		}
		return !s.full
	})
	s.pub, s.viewer = s.connect(1, srtp.AEAD_AES_128_GCM), s.connect(2, srtp.AEAD_AES_128_GCM)
	k := flow.KeyOf(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort("10.0.0.1:9"))
	k.Via = flow.OverStream(flow.FramedStream, 0)
	s.now = s.now.Add(ice.MaxHold + time.Second)
	s.viewer.conn.ICE.HandleCheck(s.now, k, &ice.Request{UseCandidate: true})
	s.viewer.conn.PathChanged()
	if to := mustPath(t, s.viewer.conn); !to.Via.IsStream() {
		t.Fatalf("the viewer is sent to by %v", to)
	}
	if ok, _ := s.viewer.conn.Subscribe(&s.env, s.now, watch(s.pub.publish(video), 5000)); !ok {
		t.Fatal("not subscribed")
	}
	s.sub = s.viewer.conn.subs[0]
	return s
}

// send has the publisher's packet seq come, a frame of its own.
func (s *streamed) send(seq uint16, keyFrame bool) {
	s.now = s.now.Add(10 * time.Millisecond)
	h := rtp.HeaderFields{PayloadType: 96, Seq: seq, Timestamp: uint32(seq) * 3000, SSRC: 1000}
	s.pub.conn.HandleRTP(&s.env, s.now, s.pub.packet(h, frame(keyFrame, 100)))
	s.route(func(run []Packet) { s.viewer.conn.Send(&s.env, s.now, 0, run) })
	if seq == 1 && len(s.taken) == 1 {
		s.first = s.taken[0] - 1
	}
}

// over reports whether the jam is, after a report of what the source's packet is sent as.
func (s *streamed) over(highest uint16) bool {
	report := rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: 5000, HighestSeq: uint32(s.first + highest)}})
	s.viewer.conn.HandleRTCP(&s.env, s.now, s.viewer.control(report))
	return s.sub.mayAsk(s.now)
}

// What the source has lost is not among what the stream took.
func TestJamEndsBehindAGapOfTheSource(t *testing.T) {
	s := newStreamed(t)
	s.send(1, true)
	s.send(2, false)
	s.full = true
	s.send(5, false)
	if s.over(1) {
		t.Error("over while a packet is under way")
	}
	if !s.over(2) {
		t.Error("not over although nothing is under way")
	}
}

// What is refused late, after what was refused before it, leaves what was taken as it is.
func TestJamEndsWhateverWasRefusedLate(t *testing.T) {
	s := newStreamed(t)
	s.send(1, true)
	s.send(2, false)
	s.send(5, false)
	s.full = true
	s.send(6, false)
	s.now = s.now.Add(jamHold) // from here on it is waiting only for the key frame
	s.send(4, false)
	s.send(7, true)
	if n := s.env.Count.Interrupted.Load(); n != 3 {
		t.Fatalf("%d packets refused, want 3", n)
	}
	if s.over(4) {
		t.Error("over while a packet is under way")
	}
	if !s.over(5) {
		t.Error("not over although nothing is under way")
	}
}

// A viewer may have got more than what was refused: that was late.
func TestJamThatBeginsWithALatePacketEnds(t *testing.T) {
	s := newStreamed(t)
	s.send(1, true)
	s.send(4, false)
	s.full = true
	s.send(2, false)
	if s.over(3) {
		t.Error("over while a packet is under way")
	}
	if !s.over(4) {
		t.Error("not over although nothing is under way")
	}
}

// Late packets that are taken do not make the highest one any lower.
func TestJamLastsWhileAnythingIsUnderWay(t *testing.T) {
	s := newStreamed(t)
	s.send(1, true)
	s.send(4, false)
	s.send(2, false)
	s.full = true
	s.send(5, false)
	if s.over(2) {
		t.Error("over while a packet is under way")
	}
	if !s.over(4) {
		t.Error("not over although nothing is under way")
	}
}

// Of a stream that has taken nothing, nothing is waited for: what the viewer had by another path
// may have been lost there.
func TestJamOfAStreamThatHasTakenNothingEndsWithAnyReport(t *testing.T) {
	s := newStreamed(t)
	s.send(1, true)
	s.send(2, false)
	s.viewer.conn.PathChanged()
	s.full = true
	s.send(3, false)
	if s.sub.mayAsk(s.now) {
		t.Fatal("no jam")
	}
	if !s.over(1 << 15) { // whatever the number is
		t.Error("not over although nothing is under way")
	}
}

// What was taken may have been refused after all, at the home of the stream. A sender report that
// has come after it says as much.
func TestJamEndsWhenSomethingSentSinceHasCome(t *testing.T) {
	s := newStreamed(t)
	report := func(sr uint32) bool {
		b := rtcp.ReportBlock{SSRC: 5000, HighestSeq: uint32(s.first + 1), LastSR: sr}
		s.viewer.conn.HandleRTCP(&s.env, s.now, s.viewer.control(rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{b})))
		return s.sub.mayAsk(s.now)
	}
	for seq := range uint16(9) { // long enough for sender reports without any of the publisher's
		s.send(1+seq, seq == 0)
		s.turn(s.viewer.conn, time.Second)
	}
	before := uint32(s.env.NTP >> 16)
	s.full = true
	for seq := range uint16(5) {
		s.send(10+seq, true)
	}
	if report(before) {
		t.Error("over by a report from before")
	}
	s.turn(s.viewer.conn, 1500*time.Millisecond)
	if s.sub.mayAsk(s.now) {
		t.Fatal("over by itself")
	}
	if !report(uint32(s.env.NTP >> 16)) {
		t.Error("not over although all that was sent is no longer under way")
	}
}
