package edge

import (
	"testing"
	"time"

	"tsubame/media/router"
)

// Signaling need not wait for the publisher's shard before it tells a viewer's.
func TestSubscriptionMayComeBeforeItsTrack(t *testing.T) {
	r := newRig(t, 2, nil)
	pub := r.open(0, pathA)
	pub.establish()
	v := r.open(1, pathB)
	v.establish()
	track, err := pub.c.Publish(videoIn) // waits in shard 0's lane
	if err != nil {
		t.Fatal(err)
	}
	v.c.Subscribe(videoOut(track, 5000))
	s := r.p.shards[1]
	s.HandleMessages(r.now, r.outs[1])
	r.settle()
	r.advance(30 * time.Millisecond)
	if n := pub.plis(r.take())[1000]; n != 1 {
		t.Fatalf("%d key frame requests for the new viewer, want 1", n)
	}
	r.deliver(0, pathA, pub.rtp(1000, 1, 3000, vp8(true, 1)))
	r.settle()
	if n := len(v.received(r.take())); n != 1 {
		t.Fatalf("the viewer got %d packets, want 1", n)
	}
	r.finish()
}

func TestSubscriptionToATrackThatNeverComesEndsWithIt(t *testing.T) {
	r := newRig(t, 2, nil)
	pub := r.open(0, pathA)
	track, err := pub.c.Publish(videoIn) // waits for an owner that never comes
	if err != nil {
		t.Fatal(err)
	}
	v := r.open(1, pathB)
	v.c.Subscribe(videoOut(track, 5000))
	v.establish()
	r.advance(50 * time.Millisecond)
	pub.c.Close()
	r.settle()
	r.advance(50 * time.Millisecond)
	l := r.p.shards[1].live[v.c.index]
	if d := l.Deadline(); d.Sub(r.now) < 100*time.Millisecond {
		t.Fatalf("the connection still looks for the track in %v", d.Sub(r.now))
	}
	r.finish()
}

func TestNothingIsToldAfterCloseButClosed(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	p.secure() // is in the lane, and so is what comes next
	p.c.Close()
	r.settle()
	if len(p.events) != 1 || p.events[0] != (Event{Kind: Closed, Reason: ReasonRequested}) {
		t.Fatalf("events %v", p.events)
	}
	r.finish()
}

// The track's index was another shard's before; a tap is opened and closed around the
// change.
func TestTapIsTakenOffWhereItWasPut(t *testing.T) {
	r := newRig(t, 2, func(c *Config) { c.MaxTracks = 1 })
	before := r.open(0, pathA)
	before.establish()
	before.c.Unpublish(before.publish(videoIn))
	r.settle()
	pub := r.open(1, pathB)
	pub.establish()
	track, err := pub.c.Publish(videoIn)
	if err != nil {
		t.Fatal(err)
	}
	tap, err := router.NewTap(4)
	if err != nil {
		t.Fatal(err)
	}
	r.p.OpenTap(track, tap) // shard 0 owned the index last
	r.p.shards[1].HandleMessages(r.now, r.outs[1])
	r.settle()
	r.p.CloseTap(track, tap)
	r.settle()
	if !tap.Left() {
		t.Fatal("the tap has not left")
	}
	if shard := r.p.tracks.Index(track.Index).NextReader(0); shard >= 0 {
		t.Fatalf("shard %d still reads the track for a tap that is gone", shard)
	}
	tap.Free(r.p.arena.Magazine())
	r.finish()
}
