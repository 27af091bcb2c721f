package conn

import (
	"testing"
	"time"

	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// Transport-wide feedback may be negotiated by who never gives any: nothing is missing then.
func TestViewerThatNeverGivesFeedbackIsNoUnstableOne(t *testing.T) {
	r := newRig(t)
	pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
	spec := watch(pub.publish(video), 5000)
	spec.Extensions.TransportCC, spec.Feedback.TransportCC = transportID, true
	if ok, _ := viewer.conn.Subscribe(&r.env, r.now, spec); !ok {
		t.Fatal("not subscribed")
	}
	for i := range 100 {
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(1 + i), SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(i == 0, 500)))
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		viewer.received()
		r.now = r.now.Add(100 * time.Millisecond)
		viewer.conn.Tick(&r.env, r.now)
	}
	if r.env.Count.RTPOut.Load() < 50 {
		t.Fatalf("%d packets sent", r.env.Count.RTPOut.Load())
	}
	if level := viewer.conn.Unstable(); level != 0 {
		t.Errorf("level %d of instability", level)
	}
}
