package conn

import (
	"testing"
	"time"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// Row RTP-09.
func TestPublisherThatSendsNoKeyFrameIsAskedHarderAndCountedOnce(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	spec := video
	spec.Feedback.FIR = true
	id := pub.publish(spec)
	var kinds []rtcp.Kind
	var firs []uint8
	began := r.now
	for seq := uint16(0); r.now.Sub(began) < 3*recv.KeyFrameIgnored; seq++ {
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: seq, Timestamp: uint32(seq) * 9000, SSRC: 1000}, frame(false, 100)))
		r.route(nil)
		pub.conn.KeyFrameWanted(id, 0, r.now)
		r.turn(pub.conn, 100*time.Millisecond)
		for _, q := range pub.sent() {
			switch k := q.Kind(); k {
			case rtcp.KindFIR:
				f, err := q.FIR()
				if err != nil || f.Len() != 1 || f.At(0).SSRC != 1000 {
					t.Fatalf("%+v, %v", f, err)
				}
				firs = append(firs, f.At(0).Seq)
				kinds = append(kinds, k)
			case rtcp.KindPLI:
				kinds = append(kinds, k)
			}
		}
		if ignored := r.now.Sub(began) > recv.KeyFrameIgnored+4*time.Second; ignored && !pub.conn.IgnoresRequests() {
			t.Fatalf("not told of after %v", r.now.Sub(began))
		}
	}
	if len(kinds) < 6 || kinds[0] != rtcp.KindPLI || kinds[1] != rtcp.KindPLI || kinds[2] != rtcp.KindPLI ||
		kinds[3] != rtcp.KindFIR || kinds[4] != rtcp.KindPLI || kinds[5] != rtcp.KindFIR {
		t.Errorf("requests by kind: %v", kinds)
	}
	for i := range firs {
		if i > 0 && firs[i] != firs[i-1]+1 {
			t.Errorf("numbers of the FIRs: %v", firs)
			break
		}
	}
	if n := r.env.Count.KeyFramesIgnored.Load(); n != 1 {
		t.Errorf("counted %d times, want once", n)
	}
	pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: 5000, Timestamp: 1, SSRC: 1000}, frame(true, 100)))
	for i := range uint16(3) { // the number was a jump
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: 5001 + i, Timestamp: 9000 * uint32(i), SSRC: 1000}, frame(true, 100)))
	}
	r.route(nil)
	if pub.conn.IgnoresRequests() {
		t.Error("still told of after a key frame")
	}
}

// With nobody to see it, a loss that could not be repaired needs no key frame.
func TestLossThatNobodySeesEndsInNoKeyFrame(t *testing.T) {
	for _, watched := range []bool{false, true} {
		r := newRig(t)
		pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
		id := pub.publish(video)
		if watched {
			viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
		}
		for _, seq := range []uint16{1, 3, 4, 5, 6} {
			pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: seq, SSRC: 1000}, frame(seq == 1, 100)))
			r.route(nil)
		}
		plis := 0
		for range 500 {
			r.turn(pub.conn, 10*time.Millisecond)
			for _, q := range pub.sent() {
				if q.Kind() == rtcp.KindPLI {
					plis++
				}
			}
		}
		if watched != (plis > 0) {
			t.Errorf("watched %v: %d requests for a key frame", watched, plis)
		}
	}
}
