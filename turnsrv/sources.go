package turnsrv

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// The table of sources: sets of four, 16 bytes a source, 256 KiB in all.
const (
	sourceSets = 1 << 12
	sourceWays = 4
)

// sources limits what addresses that have proven nothing are told: an IPv4 address or an IPv6
// /64 has one allowance, of burst answers that come back at rate a second. Binding has another
// one: browsers ask every 10 seconds as long as a call lasts, and a whole office behind one
// address would use up what its next call needs for a challenge. A stream has its own: it cannot
// be forged, and behind a proxy many clients may have one address.
//
// The table is a fixed set of places chosen by a keyed hash. Where a set is full the source
// that has used least of its allowance makes room, and if it comes again it has a full one. So
// who forges more sources than the table holds gets an answer for each, as he would without the
// table, but cannot turn it against one victim: pushing that one source out takes thousands of
// datagrams for each burst. Nothing is refused because others have asked too much.
type sources struct {
	interval, burst time.Duration // between two answers; of the whole allowance
	keys            [2]uint64
	table           [sourceSets][sourceWays]source
}

// source is one address; spent is when its allowance is whole again (the theoretical arrival
// time of a leaky bucket).
type source struct {
	id    uint64
	spent mono.Time
}

func (t *sources) init(secret [32]byte, rate, burst int) {
	t.interval = time.Second / time.Duration(rate)
	t.burst = t.interval * time.Duration(burst)
	sum := sha256.Sum256(append([]byte("sources"), secret[:]...))
	t.keys[0] = binary.LittleEndian.Uint64(sum[:])
	t.keys[1] = binary.LittleEndian.Uint64(sum[8:])
}

// allow reports whether who is behind k may be answered once more at now, and notes it.
func (t *sources) allow(now mono.Time, k flow.Key, method uint16) bool {
	id := t.identify(k, method == methodBinding)
	set := &t.table[id%sourceSets]
	place := &set[0]
	for i := range set {
		if set[i].id == id {
			place = &set[i]
			break
		}
		if set[i].spent < place.spent {
			place = &set[i]
		}
	}
	if place.id != id {
		*place = source{id: id}
	}
	spent := max(place.spent, now).Add(t.interval)
	if spent.Sub(now) > t.burst {
		return false
	}
	place.spent = spent
	return true
}

// identify hashes the address, or of an IPv6 address the first half: a host has a whole /64.
func (t *sources) identify(k flow.Key, binding bool) uint64 {
	high, low := binary.LittleEndian.Uint64(k.Remote[:8]), uint64(0)
	stream, kind := uint64(0), uint64(0)
	if k.Is4() || k.Via.IsStream() {
		low = binary.LittleEndian.Uint64(k.Remote[8:])
	}
	if k.Via.IsStream() {
		stream = uint64(k.Port) + 1
	}
	if binding {
		kind = 1 << 32
	}
	hi, lo := bits.Mul64(high^t.keys[0], low^t.keys[1])
	hi, lo = bits.Mul64(hi^lo^t.keys[1]^stream^kind, 0x9e3779b97f4a7c15)
	return hi ^ lo
}
