// Package pace spreads what one receiver is sent at once over the time that the way to it takes:
// key frames, retransmissions, the replay of a cache. What comes evenly, an ordinary frame above
// all, passes without waiting and costs a comparison.
//
// A Pacer is the arithmetic of it and two queues of names, one for each Lane; it never touches a
// packet, sends or reads a clock. It is asked whether something may leave now (Free), told what
// has left (Spend), and keeps what may not (Push) until Next gives it out again. Whoever pushes a
// packet holds a reference for it, and lets go of it when Next, Take or Drop has given it back. A
// Pacer belongs to the goroutine of its connection's shard, and so do the Tables that lend it
// memory; nothing allocates but Tables that have to lend more than ever before.
//
// Nothing that was pushed is lost: it comes out once, in the order of its lane, and no later than
// MaxWait after it came, for as long as Next is called when Deadline says. At its bounds a Pacer
// refuses to take more, and the caller has to Take, and send, what waits ahead of its time.
package pace

import (
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// The bounds of one Pacer.
const (
	// MaxWait is how long anything waits: the rate is raised to what empties the queue in time.
	MaxWait = 100 * time.Millisecond

	// MaxItems is how many packets wait at once, in both lanes together: 5 Mbit of full ones, for
	// which the rate would have to be 50 Mbit/s.
	MaxItems = 512

	// Step is how much time's worth of packets leaves at once while some wait, so that they are
	// sent in groups and not each by a timer of its own.
	Step = 2 * time.Millisecond

	// minBurst is what leaves at once however slow the way is: the frames of a slow one, and what
	// libwebrtc sends at once too.
	minBurst = 12_000 // bytes
)

// The margins that MaxWait is kept with: what was sent before keeps a queue from beginning to
// empty for no longer than maxDebt, and timers may come later than asked for by as much as margin.
const (
	maxDebt = MaxWait / 4
	margin  = MaxWait / 10
)

// Lane is one of the two queues of a Pacer. What waits in Resend leaves before what waits in Media.
type Lane uint8

// The lanes.
const (
	Resend Lane = iota
	Media
	lanes
)

// Item names a packet that waits.
type Item struct {
	Ref  packet.Ref // not 0
	Slot uint16     // of its stream
	Seq  uint16     // for the caller
	Size uint16     // bytes it will take, about
	Pad  uint8      // for the caller
	at   uint32     // milliseconds, modulo 1<<32
}

// Pacer holds back what one receiver would get too fast. Call Init before anything else.
type Pacer struct {
	burst  int           // bytes that may leave at once
	usual  uint64        // each, unless the queue has to be emptied faster
	ahead  time.Duration // slack, while nothing waits
	next   mono.Time     // when the next one leaves; Never: nothing waits
	n      int           // items
	bytes  int           // of them
	queues [lanes]queue
	tables *Tables

	// What every packet needs stands at the end, so that it may stand beside more of that kind.
	debt  mono.Time // when all that has left will have passed, at the rate
	slack mono.Time // how far ahead of it packets may leave; less than none while some wait
	each  uint64    // time that a byte takes, in nanoseconds / 1<<scale
}

// Hot is how many bytes at the end of a Pacer every packet touches.
const Hot = 24

const scale = 8

// Init begins with an empty queue and a rate without bound. t lends the memory; nil: it comes from
// the heap, without a bound for all together.
func (p *Pacer) Init(t *Tables) { *p = Pacer{tables: t} }

// SetRate says how many bit/s are to leave at most while something waits, and how many bytes may
// leave at once; less than 12,000 are that. A rate of 0 is no bound.
func (p *Pacer) SetRate(bitrate uint64, burst int) {
	p.burst, p.usual = max(burst, minBurst), 0
	if bitrate != 0 {
		p.usual = uint64(8*time.Second<<scale) / bitrate
	}
	p.ahead = p.time(p.burst, p.usual)
	if p.n == 0 {
		p.each, p.slack = p.usual, mono.Time(p.ahead)
		return
	}
	p.each = min(p.each, p.usual)
}

// time is what so many bytes take.
func (p *Pacer) time(bytes int, each uint64) time.Duration {
	return time.Duration(uint64(bytes) * each >> scale)
}

// Free reports whether a packet may leave at now without waiting: nothing else waits, and what
// has left lately is no more than may leave at once.
func (p *Pacer) Free(now mono.Time) bool { return p.debt <= now+p.slack }

// Spend notes that size bytes have left.
func (p *Pacer) Spend(now mono.Time, size int) {
	p.debt = max(p.debt, now) + mono.Time(uint64(size)*p.each>>scale)
}

// busy is the slack that Free finds while something waits, whatever the debt is.
const busy = -1 << 62

// Len returns how many packets wait.
func (p *Pacer) Len() int { return p.n }

// Wait returns how long the last of what waits will have to.
func (p *Pacer) Wait(now mono.Time) time.Duration {
	if p.n == 0 {
		return 0
	}
	return max(p.debt.Sub(now)-p.time(p.burst, p.each)+p.time(p.bytes, p.each), 0)
}

// Deadline is when Next has to be called; mono.Never while nothing waits.
func (p *Pacer) Deadline() mono.Time { return p.next }

// Push makes a packet wait. It returns false at the bound of the pacer or of its tables: then
// nothing is changed.
func (p *Pacer) Push(now mono.Time, lane Lane, it Item) bool {
	if p.n >= MaxItems {
		return false
	}
	it.at = millis(now)
	if !p.queues[lane].push(it, p.tables) {
		return false
	}
	p.n++
	p.bytes += int(it.Size)
	p.slack = busy
	p.hurry(now)
	if p.n == 1 {
		p.plan(now)
	}
	return true
}

// hurry raises the rate to what empties the queue in time, if it is lower, and forgets what would
// keep the queue from beginning to for too long.
func (p *Pacer) hurry(now mono.Time) {
	if limit := uint64(MaxWait-maxDebt-margin) << scale / uint64(max(p.bytes, 1)); limit < p.each {
		if p.debt > now {
			p.debt = now + mono.Time(uint64(p.debt-now)*limit/p.each)
		}
		p.each = limit
	}
	p.debt = min(p.debt, now.Add(maxDebt+p.time(p.burst, p.each)))
}

// plan says when the next one leaves.
func (p *Pacer) plan(now mono.Time) {
	free := p.debt.Add(-p.time(p.burst, p.each))
	p.next = max(free, now).Add(Step)
	for i := range p.queues {
		if q := &p.queues[i]; q.n > 0 {
			p.next = min(p.next, now.Add(max(patience-age(now, q), 0)))
		}
	}
}

// patience is what waits for so long leaves, whatever the rate.
const patience = MaxWait - margin

// age is for how long the oldest item of a queue that is not empty has waited.
func age(now mono.Time, q *queue) time.Duration {
	return time.Duration(millis(now)-q.peek().at) * time.Millisecond
}

// Next returns what leaves at now; false when nothing does any more. The caller calls Spend for
// each before it asks for the next, and asks until there is none.
func (p *Pacer) Next(now mono.Time) (it Item, lane Lane, ok bool) {
	if p.n == 0 {
		return Item{}, 0, false
	}
	switch lane = p.first(); {
	case p.late(now, Media):
		lane = Media // it may have waited behind retransmissions
	case p.debt > now.Add(p.time(p.burst, p.each)) && !p.late(now, lane):
		p.plan(now)
		return Item{}, 0, false
	}
	return p.pop(lane), lane, true
}

// late reports whether what leaves a lane next has waited for long enough.
func (p *Pacer) late(now mono.Time, lane Lane) bool {
	q := &p.queues[lane]
	return q.n > 0 && age(now, q) >= patience
}

// Take returns what would leave next, whether it may or not; false when nothing waits.
func (p *Pacer) Take() (it Item, lane Lane, ok bool) {
	if p.n == 0 {
		return Item{}, 0, false
	}
	lane = p.first()
	return p.pop(lane), lane, true
}

// first returns the lane whose turn it is; something waits.
func (p *Pacer) first() Lane {
	if p.queues[Resend].n > 0 {
		return Resend
	}
	return Media
}

func (p *Pacer) pop(lane Lane) Item {
	it := p.queues[lane].pop(p.tables)
	p.gone(it)
	return it
}

// gone notes that an item waits no more.
func (p *Pacer) gone(it Item) {
	p.n--
	p.bytes -= int(it.Size)
	if p.n == 0 {
		p.each, p.slack, p.next = p.usual, mono.Time(p.ahead), mono.Never
	}
}

// Drop gives back all that waits of one stream, oldest first in each lane.
func (p *Pacer) Drop(slot uint16, f func(Item)) {
	if p.n == 0 {
		return
	}
	for i := range p.queues {
		p.queues[i].drop(slot, p.tables, func(it Item) {
			p.gone(it)
			f(it)
		})
	}
}

func millis(t mono.Time) uint32 { return uint32(t / mono.Time(time.Millisecond)) }
