package conn

import (
	"math/rand/v2"

	"tsubame/netio/mono"
)

// random returns a number for a stream to begin with.
func (e *Env) random() uint16 {
	if e.Random != nil {
		return uint16(e.Random())
	}
	return uint16(rand.Uint32())
}

// Asking returns how many packets the peer is being asked for again, and of how many of its
// tracks it is to be asked for a key frame.
func (c *Conn) Asking() (packets, keyFrames int) {
	for _, p := range c.pubs {
		if p == nil {
			continue
		}
		packets += p.stream.Outstanding()
		if p.keys.Deadline() != mono.Never {
			keyFrames++
		}
	}
	return packets, keyFrames
}
