package conn

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

const (
	soundSSRC = 2000
	opusType  = 111
	redType   = 63
	tick      = 960 // 20 ms at 48 kHz
)

var sound = param.Publish{
	Kind: param.Audio, Codec: param.Opus, MID: "audio_1", SSRC: soundSSRC,
	PayloadType: opusType, REDType: redType, ClockRate: 48000,
}

func listen(id param.TrackID, ssrc uint32, opus, red uint8) *param.Subscribe {
	return &param.Subscribe{
		Track: id, Kind: param.Audio, Codec: param.Opus, MID: "a", SSRC: ssrc, PayloadType: opus, REDType: red,
		ClockRate: 48000, CNAME: "c",
	}
}

// spoken is one packet of a publisher, as it would be without redundancy.
type spoken struct {
	seq       uint16
	timestamp uint32
	payload   string
}

// speech returns n packets at even steps of time.
func speech(n int) (all []spoken) {
	for i := range n {
		all = append(all, spoken{uint16(65500 + i), uint32(1<<32 - 3*tick + i*tick), fmt.Sprintf("payload %d", i)})
	}
	return all
}

// red returns the payload of all[i] with up to levels of the packets before it, as libwebrtc
// makes it: none that is longer ago than can be said, and none behind such a one.
func red(all []spoken, i, levels int) []byte {
	first := i
	for first > max(i-levels, 0) && all[i].timestamp-all[first-1].timestamp <= codec.MaxREDOffset {
		first--
	}
	var b []byte
	for _, s := range all[first:i] {
		b = codec.AppendREDBlock(b, opusType, all[i].timestamp-s.timestamp, len(s.payload))
	}
	b = codec.AppendREDPrimary(b, opusType)
	for _, s := range all[first : i+1] {
		b = append(b, s.payload...)
	}
	return b
}

// redCall is a publisher of redundant audio and three viewers: one of it, one who knows Opus by
// another payload type, and one of plain Opus.
type redCall struct {
	*rig
	pub     *peer
	id      param.TrackID
	viewers []*peer
	plain   *peer
	last    []byte // the datagram that arrived last
}

func newRedCall(t testing.TB, spec param.Publish) *redCall {
	t.Helper()
	r := newRig(t)
	c := &redCall{rig: r, pub: r.connect(1, srtp.AEAD_AES_128_GCM)}
	c.id = c.pub.publish(spec)
	for i, types := range [][2]uint8{{opusType, redType}, {109, 62}, {opusType, 0}} {
		v := r.connect(uint32(2+i), srtp.AEAD_AES_128_GCM)
		v.conn.Subscribe(&r.env, r.now, listen(c.id, uint32(5000+i), types[0], types[1]))
		c.viewers = append(c.viewers, v)
	}
	c.plain = c.viewers[2]
	return c
}

// arrive brings a packet to the server, with an audio level that is its number.
func (c *redCall) arrive(payloadType uint8, s spoken, payload []byte) {
	c.now = c.now.Add(20 * time.Millisecond)
	c.last = c.pub.packet(header(payloadType, s), payload)
	c.pub.conn.HandleRTP(&c.env, c.now, c.last)
}

func header(payloadType uint8, s spoken) rtp.HeaderFields {
	return rtp.HeaderFields{PayloadType: payloadType, Seq: s.seq, Timestamp: s.timestamp, SSRC: soundSSRC}
}

// heard is one packet as a viewer got it.
type heard struct {
	payloadType uint8
	spoken
	redundancy []spoken // without sequence numbers, oldest first
}

// fanOut sends what was routed to all viewers, and returns what each got.
func (c *redCall) fanOut() (got [3][]heard) {
	c.t.Helper()
	c.route(func(run []Packet) {
		c.env.AddRedundancy(c.env.Fanout.Find(c.id).Redundancy, run)
		for i, v := range c.viewers {
			v.conn.Send(&c.env, c.now, 0, run)
			for _, b := range v.received() {
				got[i] = append(got[i], hear(c.t, b))
			}
		}
	})
	return got
}

// hear reads a packet of a viewer's, each of whom knows RED by its own payload type.
func hear(t testing.TB, b []byte) heard {
	t.Helper()
	v, err := rtp.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	h := heard{payloadType: v.PayloadType, spoken: spoken{v.Seq, v.Timestamp, string(v.Payload())}}
	inner := map[uint8]uint8{redType: opusType, 62: 109}[v.PayloadType]
	if inner == 0 {
		return h
	}
	payload := v.Payload()
	if len(payload) > maxREDPayload {
		t.Errorf("%d bytes", len(payload))
	}
	r, err := codec.ParseRED(payload)
	if err != nil || r.PayloadType != inner || r.N == 0 {
		t.Fatalf("%x: %+v, %v", payload, r, err)
	}
	for _, x := range r.Blocks() {
		if x.PayloadType != inner || x.Offset == 0 || x.Len == 0 {
			t.Errorf("%+v", x)
		}
		h.redundancy = append(h.redundancy, spoken{timestamp: v.Timestamp - uint32(x.Offset), payload: string(payload[x.At : x.At+x.Len])})
	}
	h.payload = string(payload[r.At:])
	return h
}

// numbers holds what a viewer got of a stream against what was spoken: each payload under the
// number and the timestamp that belong to it.
type numbers struct {
	t       testing.TB
	all     map[string]spoken
	seq     uint16 // what is added to the source's
	ts      uint32
	begun   bool
	times   map[string]int // how often a payload came as a packet of its own
	repeats map[string]int // and as redundancy
}

func newNumbers(t testing.TB, all []spoken) *numbers {
	n := &numbers{t: t, all: make(map[string]spoken), times: make(map[string]int), repeats: make(map[string]int)}
	for _, s := range all {
		n.all[s.payload] = s
	}
	return n
}

func (n *numbers) take(got []heard) {
	n.t.Helper()
	for _, h := range got {
		s, ok := n.all[h.payload]
		if !ok {
			n.t.Fatalf("nobody has said %q", h.payload)
		}
		if !n.begun {
			n.seq, n.ts, n.begun = h.seq-s.seq, h.timestamp-s.timestamp, true
		}
		if h.seq != s.seq+n.seq || h.timestamp != s.timestamp+n.ts {
			n.t.Fatalf("%q came as %d at %d, want %d at %d", h.payload, h.seq, h.timestamp, s.seq+n.seq, s.timestamp+n.ts)
		}
		n.times[h.payload]++
		for _, x := range h.redundancy {
			if s, ok := n.all[x.payload]; !ok || x.timestamp != s.timestamp+n.ts {
				n.t.Fatalf("%q came as redundancy at %d, want %d", x.payload, x.timestamp, s.timestamp+n.ts)
			}
			n.repeats[x.payload]++
		}
	}
}

// takeAny is take for streams whose numbers have been changed by packets that were not sent on.
func (n *numbers) takeAny(got []heard) {
	n.t.Helper()
	for _, h := range got {
		if n.begun = false; h.payload == "" {
			continue // a probe that came too late for its number to be closed
		}
		n.take([]heard{h})
	}
}

// once fails unless each of the payloads has come exactly once.
func (n *numbers) once(want []spoken) {
	n.t.Helper()
	for _, s := range want {
		if n.times[s.payload] != 1 {
			n.t.Errorf("%q came %d times", s.payload, n.times[s.payload])
		}
	}
	if len(n.times) != len(want) {
		n.t.Errorf("%d payloads came, want %d", len(n.times), len(want))
	}
}

// blockHeader is the bytes of a block's header, of types that AppendREDBlock would not be used for.
func blockHeader(payloadType uint8, offset, length int) []byte {
	return binary.BigEndian.AppendUint32(nil, 1<<31|uint32(payloadType)<<24|uint32(offset)<<10|uint32(length))
}
