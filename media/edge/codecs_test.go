package edge

import (
	"bytes"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
)

// shape is what a publisher of a codec sends, as far as a server looks: the payloads of a
// key frame's packets and of another frame's.
type shape struct {
	codec param.Codec
	note  string
	key   [][]byte
	delta [][]byte
}

// payloads makes each string the payload of one packet.
func payloads(all ...string) (out [][]byte) {
	for _, s := range all {
		out = append(out, []byte(s))
	}
	return out
}

// shapes are those of libwebrtc, and the other ways to send parameter sets.
var shapes = []shape{
	{param.VP8, "", payloads("\x90\x80\x80\x05\x00 key", "\x80\x80\x80\x05 rest"), payloads("\x90\x80\x80\x06\x01 delta", "\x80\x80\x80\x06 rest")},
	{param.VP9, "not flexible", payloads("\x8a\x80\x05\x10\x01\x40\x00\xb4 key", "\x84\x80\x05 rest"), payloads("\xc8\x80\x06 delta", "\xc4\x80\x06 rest")},
	{param.VP9, "two spatial layers, flexible",
		payloads("\xbc\x80\x05\x00 key", "\xbc\x80\x05\x03 upper layer of the key"),
		payloads("\xfc\x80\x06\x00\x02 delta", "\xfc\x80\x06\x03\x02 upper layer")},
	{param.AV1, "", payloads("\x68\x0a\x0a key", "\x90 rest"), payloads("\x50\x32 delta", "\x90 rest")},
	{param.H264, "STAP-A and FU-A",
		payloads("\x78\x00\x04\x67\x42\xc0\x1f\x00\x04\x68\xce\x3c\x80", "\x7c\x85\x88 IDR", "\x7c\x45 rest"),
		payloads("\x5c\x81\x9a slice", "\x5c\x41 rest")},
	{param.H264, "single packets", payloads("\x67\x42\xc0\x1f", "\x68\xce\x3c\x80", "\x65\x88 IDR"), payloads("\x41\x9a slice")},
	{param.H264, "one aggregate", payloads("\x78\x00\x02\x67\x42\x00\x02\x68\xce\x00\x02\x65\x88"), payloads("\x41\x9a slice")},
	{param.H265, "AP and FU",
		payloads("\x60\x01\x00\x03\x40\x01\x0c\x00\x03\x42\x01\x01\x00\x03\x44\x01\xc1", "\x62\x01\x93 IDR", "\x62\x01\x53 rest"),
		payloads("\x62\x01\x81 slice", "\x62\x01\x41 rest")},
	{param.H265, "single packets", payloads("\x40\x01\x0c", "\x42\x01\x01", "\x44\x01\xc1", "\x26\x01\xaf"), payloads("\x02\x01\xd0")},
}

// shaped is a call with a publisher of one codec.
type shaped struct {
	*call
	ts uint32
}

func newShaped(t *testing.T, codec param.Codec) *shaped {
	t.Helper()
	c := &call{rig: newRig(t, 2, nil)}
	c.pub = c.open(0, key("127.0.0.1", "127.0.0.1:50000"))
	spec := videoIn
	spec.Codec = codec
	c.track = c.pub.publish(spec)
	c.pub.establish()
	return &shaped{call: c}
}

// join makes a viewer on the other shard.
func (c *shaped) join(codec param.Codec) *peer {
	k := key("127.0.0.1", "127.0.0.1:50001")
	k.Port += uint16(len(c.viewers))
	v := c.open(1, k)
	spec := videoOut(c.track, 5000)
	spec.Codec = codec
	v.c.Subscribe(spec)
	v.establish()
	c.viewers = append(c.viewers, v)
	return v
}

// send sends a frame's packets, 40 ms after the last one's.
func (c *shaped) send(frame [][]byte) {
	c.advance(40 * time.Millisecond)
	c.ts += 3600
	for _, payload := range frame {
		c.one(payload)
	}
}

// one sends the next packet of a frame.
func (c *shaped) one(payload []byte) {
	c.seq++
	c.deliver(0, c.pub.key, c.pub.rtp(1000, c.seq, c.ts, payload))
	c.settle()
}

func (c *shaped) keyFrames() uint64 {
	return c.sum(func(c *Counters) uint64 { return c.Conn.KeyFrames.Load() })
}

func (c *shaped) blind() uint64 {
	return c.sum(func(c *Counters) uint64 { return c.Conn.BlindStarts.Load() })
}

// wantPayloads compares what a viewer has received with the payloads sent.
func wantPayloads(t *testing.T, got [][]byte, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.HasSuffix(got[i], want[i]) {
			t.Errorf("packet %d is %x, want the payload %x", i, got[i], want[i])
		}
	}
}

// Publishers answer late: until then one is asked again and again, at longer and longer
// intervals, and the viewer gets nothing; then all of the key frame from its first packet.
func TestLateViewerBeginsWithTheKeyFrameOfEachCodec(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.codec.String()+" "+s.note, func(t *testing.T) {
			c := newShaped(t, s.codec)
			c.send(s.key)
			c.send(s.delta)
			c.take()
			v := c.join(s.codec)
			var sent []datagram
			for range 75 { // 3 s
				c.send(s.delta)
				sent = append(sent, c.take()...)
			}
			if got := v.received(sent); len(got) != 0 {
				t.Fatalf("%d packets before a key frame", len(got))
			}
			if n := c.pub.plis(sent)[1000]; n != 4 { // the join, and 0.5, 1 and 2 s after
				t.Errorf("%d requests in 3 s, want 4", n)
			}
			c.send(s.key)
			c.send(s.delta)
			wantPayloads(t, v.received(c.take()), append(append([][]byte(nil), s.key...), s.delta...))
			if n := c.keyFrames(); n != 2 {
				t.Errorf("%d key frames counted, want 2", n)
			}
			if n := c.blind(); n != 0 {
				t.Errorf("%d starts without a key frame", n)
			}
			c.advance(10 * time.Second)
			if n := c.pub.plis(c.take()); len(n) != 0 {
				t.Errorf("requests although the key frame came: %v", n)
			}
			c.finish()
		})
	}
}

// A viewer who begins with the second parameter set has missed the first.
func TestViewerWhoJoinsBetweenParameterSetsWaitsForTheNextKeyFrame(t *testing.T) {
	for _, s := range shapes {
		if s.note != "single packets" {
			continue
		}
		c := newShaped(t, s.codec)
		c.send(s.delta)
		c.send(s.key[:1])
		v := c.join(s.codec)
		for _, payload := range s.key[1:] {
			c.one(payload)
		}
		c.send(s.delta)
		if got := v.received(c.take()); len(got) != 0 {
			t.Fatalf("%v: began with %x", s.codec, got[0])
		}
		c.send(s.key)
		wantPayloads(t, v.received(c.take()), s.key)
		c.finish()
	}
}

// The first packet of a key frame may be overtaken by its second, which looks like a start.
func TestReorderedParameterSetsAreOneKeyFrame(t *testing.T) {
	c := newShaped(t, param.H265)
	parts := payloads("\x42\x01\x01", "\x40\x01\x0c", "\x44\x01\xc1", "\x26\x01\xaf")
	c.send(payloads("\x02\x01\xd0"))
	for i, payload := range parts {
		seq := c.seq + 1 + []uint16{1, 0, 2, 3}[i]
		c.deliver(0, c.pub.key, c.pub.rtp(1000, seq, 90000, payload))
	}
	c.seq += 4
	if n := c.keyFrames(); n != 1 {
		t.Errorf("%d key frames counted, want 1", n)
	}
	c.finish()
}

// H.264 with its parameter sets in the SDP only, and payloads encrypted as a whole.
// Row RTP-09.
func TestViewerOfAPublisherWithoutRecognisableKeyFramesStartsAndThePublisherIsLeftAlone(t *testing.T) {
	for name, s := range map[string]shape{
		"parameter sets out of band": {codec: param.H264, delta: payloads("\x7c\x85\x88 IDR", "\x7c\x45 rest")},
		"encrypted VP8":              {codec: param.VP8, delta: payloads("\xff\xff", "\x90\xff")},
		"encrypted AV1":              {codec: param.AV1, delta: payloads("\x99 cipher", "\x88 text")},
		"encrypted H.265":            {codec: param.H265, delta: payloads("\x60\x01\xff\xff cipher", "\x60\x01\xff text")},
	} {
		t.Run(name, func(t *testing.T) {
			c := newShaped(t, s.codec)
			v := c.join(s.codec)
			var sent []datagram
			started := 0
			for i := range 150 { // 6 s
				c.send(s.delta)
				all := c.take()
				if got := v.received(all); len(got) > 0 && started == 0 {
					wantPayloads(t, got, s.delta)
					started = i
				}
				sent = append(sent, all...)
			}
			if started < 124 || started > 128 { // 5 s of flowing packets
				t.Errorf("started with frame %d", started)
			}
			if n := c.blind(); n != 1 {
				t.Errorf("%d starts without a key frame counted, want 1", n)
			}
			if n := c.pub.plis(sent)[1000]; n < 4 || n > 6 {
				t.Errorf("%d requests in 6 s, want about 5", n)
			}
			for range 125 { // 5 s
				c.send(s.delta)
			}
			before := c.pub.plis(c.take())[1000]
			for range 250 { // 10 s
				c.send(s.delta)
			}
			if n := c.pub.plis(c.take())[1000]; before > 1 || n != 0 {
				t.Errorf("the publisher is still asked though nobody waits: %d, %d", before, n)
			}

			// A decoder that cannot begin with what it gets asks for itself.
			c.deliver(1, v.key, v.rtcp(rtcp.AppendPLI(nil, 1, 5000)))
			c.advance(10 * time.Millisecond)
			if n := c.pub.plis(c.take())[1000]; n != 1 {
				t.Errorf("%d requests after the viewer's, want 1", n)
			}
			c.finish()
		})
	}
}

// While somebody waits the asking does not end, however long it goes unanswered.
// Row RTP-09.
func TestPublisherIsAskedForAsLongAsSomebodyWaits(t *testing.T) {
	c := newShaped(t, param.VP8)
	for joined := range 6 { // one every 4 s, and each waits for 5 s
		c.join(param.VP8)
		asked := 0
		for range 100 {
			c.send(payloads("\x90\x80\x80\x06\x01 delta"))
			asked += c.pub.plis(c.take())[1000]
		}
		if asked < 1 {
			t.Errorf("nobody was asked for viewer %d", joined)
		}
	}
	c.finish()
}
