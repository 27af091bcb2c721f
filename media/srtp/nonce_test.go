package srtp

import (
	"crypto/cipher"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// recorder is an AEAD that remembers its nonces and refuses to see one again.
type recorder struct {
	cipher.AEAD
	seen map[string]bool
	fail func(nonce []byte)
}

func (r *recorder) Seal(dst, nonce, plain, aad []byte) []byte {
	if r.seen[string(nonce)] {
		r.fail(nonce)
	}
	r.seen[string(nonce)] = true
	return r.AEAD.Seal(dst, nonce, plain, aad)
}

// packetID is what decides a nonce under one key.
type packetID struct {
	ssrc  uint32
	index uint64
}

// schedule drives a session through anything that munger, NACK service, probes and
// subscriptions may ask of it, and knows the slow way what must be sealed and what refused.
type schedule struct {
	s       *Session
	streams map[uint32]*Stream
	stale   []*Stream
	sealed  map[packetID]bool
	next    map[uint32]uint64 // the highest index sealed, plus one
	floor   map[uint32]uint64 // next when the stream was removed last
	rtcp    uint64
}

// The SSRCs of the schedule; the first two are a stream and its RTX stream.
var scheduleSSRCs = []uint32{0x11111111, 0x22222222, 0xffffffff, 0}

func newSchedule(t *rapid.T, p Profile) *schedule {
	s, err := NewSession(testKeys(p))
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := s.seal.(*gcm); ok {
		g.rtp = &recorder{g.rtp, map[string]bool{}, func(n []byte) { t.Fatalf("RTP nonce %x used twice", n) }}
		g.rtcp = &recorder{g.rtcp, map[string]bool{}, func(n []byte) { t.Fatalf("RTCP nonce %x used twice", n) }}
	}
	return &schedule{s: s, streams: map[uint32]*Stream{}, sealed: map[packetID]bool{},
		next: map[uint32]uint64{}, floor: map[uint32]uint64{}}
}

// Whatever the schedule of seals, no (key, nonce) is used twice, and nothing that may be sealed
// is refused.
func TestNoNonceIsEverUsedTwice(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c := newSchedule(t, p)
				t.Repeat(map[string]func(*rapid.T){
					"in order": func(t *rapid.T) { ssrc := c.draw(t); c.seal(t, ssrc, c.next[ssrc]) },
					"gap": func(t *rapid.T) {
						ssrc := c.draw(t)
						c.seal(t, ssrc, c.next[ssrc]+rapid.Uint64Range(0, 3*SealWindow).Draw(t, "gap"))
					},
					"wrap": func(t *rapid.T) { ssrc := c.draw(t); c.seal(t, ssrc, (c.next[ssrc]|0xffff)+1) },
					"reordered": func(t *rapid.T) {
						ssrc := c.draw(t)
						c.seal(t, ssrc, c.next[ssrc]-min(c.next[ssrc], rapid.Uint64Range(1, 2*SealWindow).Draw(t, "behind")))
					},
					"repeated": func(t *rapid.T) { ssrc := c.draw(t); c.seal(t, ssrc, c.next[ssrc]-min(c.next[ssrc], 1)) },
					"from the start": func(t *rapid.T) {
						c.seal(t, c.draw(t), rapid.Uint64Range(0, 1<<15).Draw(t, "initial"))
					},
					"far away": func(t *rapid.T) { c.seal(t, c.draw(t), rapid.Uint64Range(0, maxIndex).Draw(t, "index")) },
					"RTCP":     c.sealRTCP,
					"remove":   c.remove,
					"stale":    c.sealStale,
				})
			})
		})
	}
}

func (c *schedule) draw(t *rapid.T) uint32 { return rapid.SampledFrom(scheduleSSRCs).Draw(t, "ssrc") }

// seal seals or is refused, as the model says.
func (c *schedule) seal(t *rapid.T, ssrc uint32, index uint64) {
	st := c.streams[ssrc]
	if st == nil {
		if st = c.s.AddStream(ssrc); st == nil {
			t.Fatal("stream refused")
		}
		c.streams[ssrc] = st
	}
	id := packetID{ssrc, index}
	want := error(nil)
	switch {
	case index > maxIndex:
		want = ErrExhausted
	case c.sealed[id], index < c.floor[ssrc], index+SealWindow < c.next[ssrc]:
		want = ErrSealedTwice
	}
	if _, err := sealed(c.s, st, index, []byte("payload")); err != want {
		t.Fatalf("ssrc %x, index %d: %v, want %v", ssrc, index, err, want)
	}
	if want == nil {
		c.sealed[id] = true
		c.next[ssrc] = max(c.next[ssrc], index+1)
	}
	if st.Next() != c.next[ssrc] {
		t.Fatalf("ssrc %x goes on from %d, want %d", ssrc, st.Next(), c.next[ssrc])
	}
}

func (c *schedule) sealRTCP(t *rapid.T) {
	slot := make([]byte, 64)
	slot[0], slot[1] = 0x80, 201
	binary.BigEndian.PutUint32(slot[4:], c.draw(t))
	if _, err := c.s.SealRTCP(slot, rtcpHeaderLen); err != nil {
		t.Fatal(err)
	}
	if c.rtcp++; uint64(c.s.index) != c.rtcp {
		t.Fatalf("SRTCP index %d after %d packets", c.s.index, c.rtcp)
	}
}

func (c *schedule) remove(t *rapid.T) {
	ssrc := c.draw(t)
	if st := c.streams[ssrc]; st != nil {
		c.s.RemoveStream(st)
		c.stale = append(c.stale, st)
		delete(c.streams, ssrc)
		c.floor[ssrc] = c.next[ssrc]
	}
}

func (c *schedule) sealStale(t *rapid.T) {
	for _, st := range c.stale {
		if _, err := sealed(c.s, st, c.next[st.ssrc], nil); err != ErrNoStream {
			t.Fatalf("a removed stream sealed: %v", err)
		}
	}
}

// The two directions, and RTP and RTCP, never share a session key.
func TestSessionKeysDiffer(t *testing.T) {
	k := testKeys(AEAD_AES_128_GCM)
	keys := map[string]bool{}
	for _, master := range [][2][]byte{{k.LocalKey, k.LocalSalt}, {k.RemoteKey, k.RemoteSalt}} {
		for _, label := range []byte{labelRTPKey, labelRTCPKey} {
			keys[string(derive(master[0], master[1], label, 16))] = true
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys", len(keys))
	}
}
