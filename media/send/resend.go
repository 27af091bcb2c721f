package send

import (
	"time"

	"tsubame/netio/mono"
)

// What a viewer may have sent again.
const (
	// resendShare is the part of the bytes sent, as a divisor, that may be sent again:
	// with all retransmissions a viewer gets at most one and a half times the stream,
	// whatever it asks for.
	resendShare = 2

	// resendBurst bounds the bytes saved up for a burst of losses: a large key frame.
	resendBurst = 128 << 10

	// crowdedCost is how many times its bytes a retransmission takes of them on a congested
	// way: a sixteenth of what is sent, then. There, what is sent again pushes out something
	// else, which is asked for in its turn.
	crowdedCost = 8

	// resendOverhead is the most that a retransmission has on top of its source packet:
	// our header extensions, the original sequence number and an authentication tag.
	resendOverhead = MaxHeader + 2 + 16

	resendsPerRTT = 2 // of one packet
	maxResends    = 10
	minRTT        = 20 * time.Millisecond
	maxRTT        = 2 * time.Second
	resendMemory  = 10 * time.Second // after this a number counts as another packet's

	// resendSlots is how many packets' retransmissions are remembered at once. Two
	// numbers of one slot push each other out, which only loosens the limit on each;
	// the share of the rate holds regardless.
	resendSlots = 256
)

// resend remembers the retransmissions of one packet.
type resend struct {
	seq   uint16
	tries uint8 // 0: the slot is unused
	last  resendFlags
	at    uint32 // the last one, in milliseconds modulo 1<<32
}

// resendFlags say of a packet's last retransmission what AllowTwice needs.
type resendFlags uint8

const (
	resendOverdue resendFlags = 1 << iota // the one before was a round trip ago
	resendTwice                           // there were two at once
)

// resendTable is the memory of resends: 2 KiB.
type resendTable [resendSlots]resend

// resends remembers what was sent again.
type resends struct {
	slots *resendTable // nil: nothing, for as long as a table remembers
	last  mono.Time    // when something was, as long as there is a table
}

// tooSoon reports whether seq has been sent again too recently or too often.
func (r *resends) tooSoon(now mono.Time, seq uint16, rtt time.Duration) bool {
	if r.slots == nil {
		return false
	}
	e := &r.slots[seq%resendSlots]
	if e.tries == 0 || e.seq != seq {
		return false
	}
	since := time.Duration(millis(now)-e.at) * time.Millisecond
	if since >= resendMemory {
		return false
	}
	spacing := min(max(rtt, minRTT), maxRTT) / resendsPerRTT
	if e.last&resendTwice != 0 {
		spacing *= resendsPerRTT
	}
	return since < spacing || e.tries >= maxResends
}

// take notes that seq is sent again.
func (r *resends) take(now mono.Time, seq uint16, rtt time.Duration, tables *Tables) {
	if r.slots == nil {
		r.slots = tables.takeResends()
	}
	r.last = now
	e := &r.slots[seq%resendSlots]
	at := millis(now)
	since := time.Duration(at-e.at) * time.Millisecond
	if e.seq != seq || since >= resendMemory {
		e.tries = 0
	}
	e.last = 0
	if e.tries > 0 && since >= max(rtt, minRTT) {
		e.last = resendOverdue
	}
	e.seq, e.at = seq, at
	e.tries++
}

// trim gives the table back when all that it remembers is forgotten anyway.
func (r *resends) trim(now mono.Time, tables *Tables) {
	if r.slots != nil && now.Sub(r.last) > resendMemory {
		r.end(tables)
	}
}

func (r *resends) end(tables *Tables) { tables.putResends(&r.slots) }

func millis(t mono.Time) uint32 { return uint32(t / mono.Time(time.Millisecond)) }

// AllowResend reports whether the packet that the viewer knows by seq may be sent again at
// now as a packet of about size bytes, its source's size, and takes it as sent if so. It
// refuses numbers that were never sent, those asked for again too soon or too often for the
// round-trip time rtt (0: the measured one), and everything beyond half of what the stream
// itself has sent, or a sixteenth of it while the way to the viewer is crowded.
func (s *Stream) AllowResend(now mono.Time, seq uint16, size int, rtt time.Duration, crowded bool) bool {
	if !s.rtx {
		return false
	}
	if _, ok := s.Original(seq); !ok {
		s.stats.NACKForeign++
		return false
	}
	if rtt <= 0 {
		rtt = s.RTT()
	}
	if s.resends.tooSoon(now, seq, rtt) {
		s.stats.NACKThrottled++
		return false
	}
	cost := size + resendOverhead
	taken := cost
	if crowded {
		taken *= crowdedCost
	}
	if int(s.traffic.budget) < taken {
		s.stats.NACKBudget++
		return false
	}
	s.traffic.budget -= int32(taken)
	s.resends.take(now, seq, rtt, s.tables)
	s.stats.Resent++
	s.stats.ResentBytes += uint64(cost)
	return true
}

// AllowTwice reports whether the packet that AllowResend has just allowed may be sent two times at
// once, and takes the second as sent if so: what was sent again a round trip ago, in vain. Where a tenth
// is lost each way, a viewer that asks once a round trip has nothing after 19 rounds of 100, and
// after 11 if each but the first is answered twice; a picture that waits for 500 ms is a third as
// frequent then. The caller does so where much is lost and nothing waits to be sent: the bounds of
// AllowResend hold for both together.
func (s *Stream) AllowTwice(seq uint16, size int) bool {
	if s.resends.slots == nil {
		return false
	}
	e, cost := &s.resends.slots[seq%resendSlots], size+resendOverhead
	if e.seq != seq || e.last != resendOverdue || e.tries == 0 || e.tries >= maxResends || int(s.traffic.budget) < cost {
		return false
	}
	s.traffic.budget -= int32(cost)
	e.tries++
	e.last |= resendTwice
	s.stats.Resent++
	s.stats.ResentBytes += uint64(cost)
	return true
}
