package recv

import (
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
)

// What a connection may send when signaling sets no limit. A connection without one could
// take a shard for itself.
const (
	DefaultBitrate    = 50_000_000 // bits per second
	DefaultPacketRate = 10_000     // packets per second
	policerBurst      = 500 * time.Millisecond
)

// Policer bounds what one connection sends to us, in bits and in packets, by two token
// buckets. A quarter of each is out of video's reach: when a publisher floods us, its own
// pictures go first and its voice last.
type Policer struct {
	bits    bucket
	packets bucket
}

// Init sets the limits, each with a burst of half a second; 0 stands for the default.
func (p *Policer) Init(bitrate, packetRate uint64) {
	if bitrate == 0 {
		bitrate = DefaultBitrate
	}
	if packetRate == 0 {
		packetRate = DefaultPacketRate
	}
	p.bits.init(bitrate)
	p.packets.init(packetRate)
}

// Allow reports whether a packet of size bytes, received at now, is within the limits, and
// takes it off them if so. Video may not use the reserve; any other kind may.
func (p *Policer) Allow(now mono.Time, size int, kind param.Kind) bool {
	p.bits.refill(now)
	p.packets.refill(now)
	n := uint64(size) * 8
	if !p.bits.has(n, kind == param.Video) || !p.packets.has(1, kind == param.Video) {
		return false
	}
	p.bits.level -= n
	p.packets.level--
	return true
}

// bucket holds at most policerBurst's worth of tokens.
type bucket struct {
	rate  uint64 // tokens in a second
	size  uint64
	level uint64
	rest  uint64    // nanoseconds times rate that do not make a token yet
	last  mono.Time // Never: not used yet
}

func (b *bucket) init(rate uint64) {
	size := max(rate*uint64(policerBurst)/uint64(time.Second), 1)
	*b = bucket{rate: rate, size: size, level: size}
}

func (b *bucket) refill(now mono.Time) {
	d := now.Sub(b.last)
	if b.last == mono.Never || d <= 0 {
		b.last = max(b.last, now)
		return
	}
	b.last = now
	// A second fills the bucket from empty; the bound keeps the product from overflowing.
	b.rest += uint64(min(d, time.Second)) * b.rate
	b.level = min(b.level+b.rest/uint64(time.Second), b.size)
	b.rest %= uint64(time.Second)
}

func (b *bucket) has(n uint64, reserve bool) bool {
	if reserve {
		n += b.size / 4
	}
	return n <= b.level
}
