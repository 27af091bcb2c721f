package conn

import (
	"testing"
	"time"

	"tsubame/media/recv"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

func TestWhatBecomesOfLossesIsCountedByReason(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	pub.publish(video)
	n := r.env.Count
	send := func(seq uint16, keyFrame bool) {
		h := rtp.HeaderFields{PayloadType: 96, Seq: seq, Timestamp: uint32(seq) * 3000, SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(keyFrame, 100)))
		r.route(nil)
	}
	again := func(seq, original uint16) {
		h := rtp.HeaderFields{PayloadType: 97, Seq: seq, Timestamp: uint32(original) * 3000, SSRC: 1001}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, append([]byte{byte(original >> 8), byte(original)}, frame(false, 100)...)))
		r.route(nil)
	}
	send(1, true)
	send(3, false)
	again(1, 2)
	again(2, 2)
	send(5, false)
	send(7, true)
	send(9, false)
	for range 300 { // 8 never comes
		r.turn(pub.conn, 10*time.Millisecond)
		pub.sent()
	}
	send(10+recv.MaxOutstanding/2, false) // after a pause
	send(200+2*recv.MaxOutstanding, false)
	for range 100 {
		r.turn(pub.conn, 10*time.Millisecond)
		pub.sent()
	}
	for name, c := range map[string]struct{ got, want uint64 }{
		"unanswered": {n.LostUnanswered.Load(), 1},
		"superseded": {n.LostSuperseded.Load(), 2}, // 4 and 6
		"bursts":     {n.LostBursts.Load(), recv.MaxOutstanding / 2},
		"overflowed": {n.LostOverflowed.Load(), 189 + 3*recv.MaxOutstanding/2},
		"repeated":   {n.RTXRepeated.Load(), 1},
		"suspected":  {n.LostSuspected.Load(), 0},
		"recovered":  {n.Recovered.Load(), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d counted, want %d", name, c.got, c.want)
		}
	}
}
