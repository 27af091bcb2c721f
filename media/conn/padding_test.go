package conn

import (
	"bytes"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// Under either profile a padded run leaves in one length, with the P bit where padding is,
// and is sent again without.
func TestPaddingIsSealedWithTheRunAndNotSentAgain(t *testing.T) {
	for _, profile := range []srtp.Profile{srtp.AEAD_AES_128_GCM, srtp.AES_CM_128_HMAC_SHA1_80} {
		r := newRig(t)
		pub, viewer := r.connect(1, profile), r.connect(2, profile)
		viewer.conn.Subscribe(&r.env, r.now, watch(pub.publish(video), 5000))
		lengths := []int{1000, 991, 1000, 999}
		var payloads [][]byte
		for i, n := range lengths {
			h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 3000, SSRC: 1000}
			payloads = append(payloads, frame(i == 0, n))
			pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, payloads[i]))
		}
		r.pad = true
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		var seqs []uint16
		for i, b := range viewer.received() {
			seqs = append(seqs, seqOf(b))
			pad := []int{0, 9, 0, 0}[i]
			if padded := b[0]&0x20 != 0; padded != (pad > 0) {
				t.Errorf("%v, packet %d: P bit %v with %d bytes of padding", profile, i, padded, pad)
			}
			want := append(bytes.Clone(payloads[i]), make([]byte, pad)...)
			if pad > 0 {
				want[len(want)-1] = byte(pad)
			}
			if !bytes.HasSuffix(b, want) || len(b) != len(want)+viewer.conn.subs[0].stream.HeaderLen() {
				t.Errorf("%v, packet %d: %d bytes are not header, payload and padding", profile, i, len(b))
			}
		}
		if len(seqs) != len(lengths) {
			t.Fatalf("%v: %d packets, want %d", profile, len(seqs), len(lengths))
		}
		r.now = r.now.Add(time.Second)
		viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendNACK(nil, 1, 5000, seqs[1:2])))
		again := viewer.received()
		if len(again) != 1 || again[0][0]&0x20 != 0 || !bytes.HasSuffix(again[0], payloads[1]) {
			t.Errorf("%v: a padded packet is not sent again as it came", profile)
		}
	}
}

// What a publisher pads itself is not passed on, and leaves room for our own.
func TestPublishersPaddingIsReplaced(t *testing.T) {
	r := newRig(t)
	pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
	viewer.conn.Subscribe(&r.env, r.now, watch(pub.publish(video), 5000))
	for i, n := range []int{500, 490, 500} {
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 3000, SSRC: 1000}
		payload := frame(i == 0, n)
		if i == 1 {
			payload = append(payload, 9, 9, 3)
			pub.padNext = true
		}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, payload))
	}
	r.pad = true
	r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
	got := viewer.received()
	if len(got) != 3 || len(got[1]) != len(got[0]) {
		t.Fatalf("%d packets came, not of one length", len(got))
	}
	if tail := got[1][len(got[1])-11:]; !bytes.Equal(tail, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10}) {
		t.Errorf("the padded packet ends in %v", tail)
	}
}
