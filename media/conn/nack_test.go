package conn

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// watched is a viewer that has been sent packets, of which the ring has the last second.
type watched struct {
	*rig
	pub, viewer *peer
	next        uint16   // of the publisher's numbers
	seqs        []uint16 // the viewer's numbers of all that it was sent
}

func newWatched(t testing.TB) *watched {
	w := &watched{rig: newRig(t)}
	w.pub = w.connect(1, srtp.AEAD_AES_128_GCM)
	w.viewer = w.connect(2, srtp.AEAD_AES_128_GCM)
	id := w.pub.publish(video)
	w.viewer.conn.Subscribe(&w.env, w.now, watch(id, 5000))
	return w
}

// send brings n packets, a frame each, 10 ms apart, the first a key frame if wanted.
func (w *watched) send(n int, keyFrame bool) {
	w.t.Helper()
	for i := range n {
		w.now = w.now.Add(10 * time.Millisecond)
		h := rtp.HeaderFields{PayloadType: 96, Seq: w.next, Timestamp: 900 * uint32(w.next), SSRC: 1000}
		w.next++
		w.pub.conn.HandleRTP(&w.env, w.now, w.pub.packet(h, frame(keyFrame && i == 0, 1000)))
		w.route(func(run []Packet) { w.viewer.conn.Send(&w.env, w.now, 0, run) })
		got := w.viewer.received()
		if len(got) != 1 {
			w.t.Fatalf("%d packets of one", len(got))
		}
		w.seqs = append(w.seqs, seqOf(got[0]))
	}
	w.env.KeyFrames = nil
}

// ask brings a NACK for those numbers; it returns whether a key frame is wanted for it.
func (w *watched) ask(seqs []uint16) bool {
	w.viewer.conn.HandleRTCP(&w.env, w.now, w.viewer.control(rtcp.AppendNACK(nil, 1, 5000, seqs)))
	wanted := len(w.env.KeyFrames) > 0
	w.env.KeyFrames = nil
	return wanted
}

func TestNACKForWhatTheRingHasNoMoreIsAnsweredByOneKeyFrame(t *testing.T) {
	w := newWatched(t)
	w.send(400, true)
	n := w.env.Count
	if !w.ask(w.seqs[10:110]) {
		t.Fatal("no key frame is wanted for what is lost for good")
	}
	if w.env.Out.Len() != 0 || n.NACKIn.Load() != 100 || n.NACKMiss.Load() != 100 || n.NACKOld.Load() != 100 {
		t.Fatalf("%d sent; nack_in %d, nack_miss %d, nack_old %d, want 100 of each", w.env.Out.Len(), n.NACKIn.Load(), n.NACKMiss.Load(), n.NACKOld.Load())
	}
	wanted := 0
	for range 100 { // ten times in each 100 ms, for ten seconds
		w.now = w.now.Add(10 * time.Millisecond)
		if w.ask(w.seqs[10:110]) {
			wanted++
		}
	}
	if wanted > 2 {
		t.Fatalf("%d key frames are wanted within a second", wanted)
	}
}

func TestNACKForWhatAKeyFrameHasMadeUpForNeedsNone(t *testing.T) {
	w := newWatched(t)
	w.send(200, true)
	w.send(200, true)
	if w.ask(w.seqs[10:110]) {
		t.Error("a key frame is wanted by who was sent one since")
	}
	if n := w.env.Count.NACKCovered.Load(); n != 1 {
		t.Errorf("nack_covered %d, want 1", n)
	}
	w.now = w.now.Add(time.Second)
	if !w.ask(w.seqs[150:201]) {
		t.Error("none is wanted by who misses the beginning of the last one")
	}
}

func TestNACKIsServedOnBothSidesOfTheOldestPacket(t *testing.T) {
	w := newWatched(t)
	w.send(300, true)
	w.ask(w.seqs[190:210]) // the ring has the last 150
	n := w.env.Count
	if n.RTXOut.Load() != 20 || n.NACKOld.Load() != 0 {
		t.Fatalf("rtx_out %d, nack_old %d, want 20 and none", n.RTXOut.Load(), n.NACKOld.Load())
	}
	w.ask(w.seqs[140:160])
	if sent, old := n.RTXOut.Load()-20, n.NACKOld.Load(); sent == 0 || old == 0 || sent+old != 20 {
		t.Fatalf("%d sent and %d too old of 20", sent, old)
	}
}

// Row RTP-07.
func TestNumbersLookedForAreBounded(t *testing.T) {
	w := newWatched(t)
	w.send(150, true)
	n := w.env.Count
	wanted := false
	for range 30 {
		wanted = w.ask(w.seqs[50:150]) || wanted
	}
	if over := n.NACKOver.Load(); over != 30*100-askBurst {
		t.Fatalf("nack_over %d of 3,000, want all but %d", over, askBurst)
	}
	if !wanted {
		t.Fatal("who asks for too much gets no key frame")
	}
	before := n.NACKOver.Load()
	w.now = w.now.Add(100 * time.Millisecond) // some 200 more
	for range 3 {
		w.ask(w.seqs[50:150])
	}
	if over := n.NACKOver.Load() - before; over != 100 {
		t.Fatalf("nack_over rose by %d for 300 after 100 ms, want 100", over)
	}
}

// BenchmarkNACKTooOld is a NACK of 256 numbers that the ring has no more, as viewers send that
// are seconds behind.
func BenchmarkNACKTooOld(b *testing.B) {
	const asked = 256
	w := newWatched(b)
	w.send(500, true)
	var compounds [][]byte
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%1024 == 0 {
			b.StopTimer()
			compounds = compounds[:0]
			for range 1024 {
				compounds = append(compounds, w.viewer.control(rtcp.AppendNACK(nil, 1, 5000, w.seqs[:asked])))
			}
			b.StartTimer()
		}
		w.now = w.now.Add(10 * time.Millisecond)
		w.viewer.conn.HandleRTCP(&w.env, w.now, compounds[n%1024])
		w.env.KeyFrames = w.env.KeyFrames[:0]
	}
	if n := w.env.Count.NACKMiss.Load(); n != uint64(b.N*asked) {
		b.Fatalf("%d of %d missed", n, b.N*asked)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*asked), "ns/number")
}
