package conn

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

const transportID = 4

// A slide is shared at a few frames a second, beside a voice. Its last packet is lost: the next
// packet of the voice has skipped a number, and the slide is not waited for.
func TestLostEndOfAFrameIsAskedForAsSoonAsTheVoiceGoesOn(t *testing.T) {
	type step struct {
		video, rtx bool
		seq, wide  uint16
	}
	for name, c := range map[string]struct {
		steps []step
		want  []uint16
	}{
		"end of a frame":                {[]step{{true, false, 1, 1}, {true, false, 2, 2}, {false, false, 1, 4}}, []uint16{3}},
		"two at its end":                {[]step{{true, false, 2, 2}, {false, false, 1, 5}}, []uint16{3, 4}},
		"a frame of one packet":         {[]step{{true, false, 2, 2}, {false, false, 1, 3}, {false, false, 2, 5}}, []uint16{3}},
		"of the voice":                  {[]step{{true, false, 2, 2}, {false, false, 1, 3}, {false, false, 3, 5}}, nil},
		"one of each":                   {[]step{{false, false, 1, 1}, {true, false, 2, 2}, {false, false, 3, 5}}, []uint16{3}},
		"of the video, which shows it":  {[]step{{true, false, 1, 1}, {true, false, 3, 3}}, []uint16{2}},
		"a retransmission":              {[]step{{true, false, 1, 1}, {true, false, 2, 3}}, nil},
		"ahead of a retransmission":     {[]step{{true, false, 4, 1}, {true, false, 6, 2}, {true, true, 5, 4}}, []uint16{7}},
		"late, behind a few of a voice": {[]step{{true, false, 2, 2}, {false, false, 1, 4}, {true, false, 3, 3}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			pub := r.connect(1, srtp.AEAD_AES_128_GCM)
			v, a := video, param.Publish{Kind: param.Audio, Codec: param.Opus, SSRC: 2000, PayloadType: 111, ClockRate: 48000, ReducedSize: true}
			for _, spec := range []*param.Publish{&v, &a} {
				spec.Extensions.TransportCC, spec.Feedback.TransportCC = transportID, true
				pub.publish(*spec)
			}
			for _, s := range c.steps {
				h, payload := rtp.HeaderFields{PayloadType: 111, Seq: s.seq, SSRC: 2000}, make([]byte, 50)
				switch {
				case s.rtx:
					h = rtp.HeaderFields{PayloadType: 97, Seq: s.seq, SSRC: 1001}
					payload = binary.BigEndian.AppendUint16(nil, s.seq)
					payload = append(payload, frame(false, 50)...)
				case s.video:
					h, payload = rtp.HeaderFields{PayloadType: 96, Seq: s.seq, SSRC: 1000}, frame(false, 50)
				}
				wide := string(binary.BigEndian.AppendUint16(nil, s.wide))
				pub.conn.HandleRTP(&r.env, r.now, pub.extended(h, payload, map[uint8]string{transportID: wide}))
				r.route(nil)
				r.now = r.now.Add(time.Millisecond)
			}
			var asked []uint16
			for range 40 {
				if d := pub.conn.Deadline(); !d.Due(r.now) {
					r.now = r.now.Add(time.Millisecond)
					continue
				}
				r.turn(pub.conn, 0)
				for _, q := range pub.sent() {
					if q.Kind() != rtcp.KindNACK {
						continue
					}
					n, err := q.NACK()
					for seq, ok := n.Next(); ok; seq, ok = n.Next() {
						if err == nil && n.Media == 1000 {
							asked = append(asked, seq)
						}
					}
				}
			}
			if !slices.Equal(asked, c.want) {
				t.Errorf("asked for %v, want %v", asked, c.want)
			}
		})
	}
}

// The answer comes before the stream goes on, as with every slide, and is what the viewers wait for.
func TestAnswerToASuspicionIsTakenThoughItIsAheadOfItsStream(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	v, a := video, param.Publish{Kind: param.Audio, Codec: param.Opus, SSRC: 2000, PayloadType: 111, ClockRate: 48000, ReducedSize: true}
	for _, spec := range []*param.Publish{&v, &a} {
		spec.Extensions.TransportCC, spec.Feedback.TransportCC = transportID, true
		pub.publish(*spec)
	}
	wide := uint16(0)
	send := func(h rtp.HeaderFields, payload []byte) (routed int) {
		wide++
		pub.conn.HandleRTP(&r.env, r.now, pub.extended(h, payload, map[uint8]string{transportID: string(binary.BigEndian.AppendUint16(nil, wide))}))
		routed = len(r.env.Routed)
		r.route(nil)
		return routed
	}
	answer := func(rtxSeq, seq uint16) int {
		payload := append(binary.BigEndian.AppendUint16(nil, seq), frame(false, 50)...)
		return send(rtp.HeaderFields{PayloadType: 97, Seq: rtxSeq, SSRC: 1001, Marker: true}, payload)
	}
	send(rtp.HeaderFields{PayloadType: 96, Seq: 7, SSRC: 1000}, frame(true, 50))
	if n := answer(1, 8); n != 0 {
		t.Errorf("%d packets from ahead of the stream were taken, and nobody had asked", n)
	}
	send(rtp.HeaderFields{PayloadType: 111, Seq: 1, SSRC: 2000}, make([]byte, 50)) // tells the two apart
	send(rtp.HeaderFields{PayloadType: 96, Seq: 8, SSRC: 1000}, frame(false, 50))
	wide++ // 9, the end of the slide, is lost
	send(rtp.HeaderFields{PayloadType: 111, Seq: 2, SSRC: 2000}, make([]byte, 50))
	for range 20 {
		r.now = r.now.Add(time.Millisecond)
		r.turn(pub.conn, 0)
	}
	if n := answer(2, 10); n != 0 {
		t.Errorf("%d packets from beyond what was asked for were taken", n)
	}
	if n := answer(3, 9); n != 1 {
		t.Errorf("%d answers taken, want 1", n)
	}
	if n := answer(4, 9); n != 0 {
		t.Errorf("the same answer was taken %d times more", n)
	}
	if n := send(rtp.HeaderFields{PayloadType: 96, Seq: 10, SSRC: 1000}, frame(false, 50)); n != 1 || pub.conn.pubs[0].stream.Outstanding() != 0 {
		t.Errorf("the next frame: %d packets, %d missed", n, pub.conn.pubs[0].stream.Outstanding())
	}
}
