package conn

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/packet"
)

// Parameter sets in packets of their own, and what looks like the start of a key frame in
// any order: one key frame for each timestamp, which begins with the packet that came first
// in the sequence.
func TestKeyFrameBeginsOnceForEachTimestamp(t *testing.T) {
	n, p := new(Counters), new(publisher)
	for i, c := range []struct {
		ext    uint64
		ts     uint32
		begins bool
		count  uint64
	}{
		{100, 9000, true, 1},   // VPS
		{101, 9000, false, 1},  // SPS
		{210, 18000, true, 2},  // SPS of the next one, ahead of
		{209, 18000, true, 2},  // its VPS,
		{211, 18000, false, 2}, // and another SPS
		{150, 12000, true, 3},  // recovered: one from between them
		{212, 18000, false, 3}, // which does not make the newest begin again
		{250, 27000, true, 4},
		{300, 9000, true, 5}, // the timestamp has gone round
	} {
		if got := p.keyFrame(n, c.ext, c.ts); got != c.begins || n.KeyFrames.Load() != c.count {
			t.Errorf("packet %d, %d at %d: begins %v, %d counted; want %v, %d", i, c.ext, c.ts, got, n.KeyFrames.Load(), c.begins, c.count)
		}
	}
	p.listen(&Env{}, 7)
	if !p.keyFrame(n, 301, 9000) {
		t.Error("a new source has the timestamp of the old one's key frame, and is not begun with")
	}
}

// Only the first packet says so to those who start with it; the rest pass as they are.
func TestOnlyTheFirstParameterSetIsFlagged(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	spec := video
	spec.Codec = param.H265
	pub.publish(spec)
	var flags []packet.Flags
	for i, payload := range []string{"\x40\x01\x0c", "\x42\x01\x01", "\x44\x01\xc1", "\x26\x01\xaf"} {
		r.now = r.now.Add(time.Millisecond)
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 3000, SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, []byte(payload)))
		r.route(func(run []Packet) { flags = append(flags, run[0].Meta.Flags&packet.FlagKeyFrame) })
	}
	if len(flags) != 4 || flags[0] == 0 || flags[1]|flags[2]|flags[3] != 0 {
		t.Errorf("flags %v", flags)
	}
	if n := r.env.Count.KeyFrames.Load(); n != 1 {
		t.Errorf("%d key frames counted", n)
	}
}
