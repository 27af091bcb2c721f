package conn

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// The answer to a second request was lost, or the first request was: a viewer that loses much gets
// the next answer two times.
func TestSecondAnswerToAViewerThatLosesMuchIsSentTwice(t *testing.T) {
	for _, c := range []struct {
		loss         uint8
		first, later int
	}{{0, 1, 1}, {twiceLoss / 2, 1, 1}, {4 * twiceLoss, 1, 2}} {
		r := newRig(t)
		pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
		id := pub.publish(video)
		viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
		var last uint16
		for i := range uint16(100) {
			pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: i, SSRC: 1000}, frame(i == 0, 1000)))
			r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
			last = seqOf(viewer.received()[0])
		}
		highest := uint32(last) // of the reports, which are about 100 packets each
		report := func() []byte {
			highest += 100
			return rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: 5000, FractionLost: c.loss, HighestSeq: highest}})
		}
		viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(report()))
		ask := func() int {
			r.now = r.now.Add(110 * time.Millisecond)
			b := report()
			viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendNACK(b, 1, 5000, []uint16{last})))
			return len(viewer.received())
		}
		if n := ask(); n != c.first {
			t.Errorf("loss of %d: %d answers to the first request, want %d", c.loss, n, c.first)
		}
		for range 3 {
			if n := ask(); n != c.later {
				t.Errorf("loss of %d: %d answers to another request, want %d", c.loss, n, c.later)
			}
		}
	}
}
