package conn

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtcp"
	"tsubame/media/srtp"
)

// Row RTP-07.
func TestPeerThatReturnsHasNoMoreKeyFramesThanOneThatAsks(t *testing.T) {
	r := newRig(t)
	pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
	viewer.conn.Subscribe(&r.env, r.now, watch(pub.publish(video), 5000))
	wishes := func(what func()) int {
		r.env.KeyFrames = r.env.KeyFrames[:0]
		what()
		return len(r.env.KeyFrames)
	}
	returned := func() { viewer.conn.Returned(&r.env, r.now) }
	if n := wishes(returned); n != 1 {
		t.Errorf("%d wishes for a key frame of a peer that is heard again", n)
	}
	r.now = r.now.Add(10 * time.Millisecond)
	ask := func() {
		viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendPLI(nil, 1, 5000)))
	}
	if n := wishes(returned) + wishes(ask) + wishes(returned); n != 0 {
		t.Errorf("%d more within 10 ms", n)
	}
	r.now = r.now.Add(3 * time.Second)
	if n := wishes(returned); n != 1 {
		t.Errorf("%d wishes 3 s later", n)
	}
}

// What a ring has is looked at only when something of it could be sent: with a crowd at the door
// that would be all of it for each, for nothing.
func TestRingIsNotLookedAtWhenThereIsNoRoomForAReplay(t *testing.T) {
	r := newRig(t)
	viewer := r.connect(1, srtp.AEAD_AES_128_GCM)
	r.env.CacheAge = 10 * time.Second
	r.env.feedSince, r.env.feedLeft = r.now, 0
	r.env.RTX = nil // whoever looks at it panics
	s := &subscriber{info: router.Info{Kind: param.Video, HasRTX: true}}
	if viewer.conn.replay(&r.env, r.now, 0, s) {
		t.Error("a replay has begun without room for it")
	}
}
