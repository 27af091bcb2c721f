// Package impair makes a network worse on purpose: loss (random or in bursts), delay, jitter,
// a rate limit with a queue, duplicates, reordering and corruption, all by a seed, so that a run
// can be repeated; both directions of a network have one seed and independent draws (Reverse).
// What a network is like may change over time by a plan (Plan): a blackout, a step of the rate. A
// Link is a pure queue that is fed with datagrams and the time; it has no clock, socket or
// goroutine, and belongs to one goroutine.
package impair

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Config says what a link does to each datagram.
type Config struct {
	Loss      float64       // share lost, 0 to 1
	Burst     float64       // mean number lost in a row; 0 or 1: independently
	Delay     time.Duration // one way
	Jitter    time.Duration // added to Delay, 0 to this, evenly
	Reorder   bool          // jitter may reorder; otherwise order is kept
	Duplicate float64       // share sent twice
	Overtake  float64       // share that waits neither Delay nor Jitter, so that it overtakes others
	Corrupt   float64       // share in which one byte is another
	Intact    int           // first bytes of a datagram that are never corrupted
	Rate      int           // bit/s; 0: without limit
	Queue     int           // bytes that wait for the rate, 16 MiB at most; what comes beyond is lost. 0: 64 KiB
	Seed      uint64
}

const (
	defaultQueue = 64 << 10
	// maxFlight bounds the datagrams that a link holds and maxBytes their bytes; at either
	// what is pushed is lost, as in a full queue. It is a second of 100 Mbit/s.
	maxFlight = 16 << 10
	maxBytes  = 16 << 20
	// slotSize is the memory a datagram takes at least. That of gone ones is used again, so
	// that nothing is allocated once as many have been under way as ever are; only that of
	// more than maxSpare bytes is given up.
	slotSize = 1500
	maxSpare = 2048
	maxDelay = time.Minute
	// reverseStream is the second half of the seed of a link's other direction.
	reverseStream = 0xda3e39cb94b95bdb
	// furtherStream is that of the draws behind those for loss, copies and jitter, which would
	// otherwise be others than before these were there.
	furtherStream = 0x8cb92ba72f3d8dd7
)

// Stats counts datagrams.
type Stats struct {
	Pushed     uint64
	Lost       uint64 // by Loss
	Overflowed uint64 // by a full queue, or at the bound on what is under way
	Duplicated uint64
	Corrupted  uint64 // copies too
	Popped     uint64 // copies too
}

// Link is one direction of a client's network.
type Link struct {
	cfg     Config
	plan    []timed  // what the link will be like, in the order of time
	random  rand.PCG // of loss, copies and jitter
	further rand.PCG // of overtaking and corruption
	bad     bool     // within a burst of losses

	free   time.Time // when the rate lets the next datagram begin
	last   time.Time // the latest exit so far
	serial uint64
	heap   []held // by exit, then by serial
	spare  [][]byte
	out    []byte // what Pop returned last
	bytes  int
	stats  Stats
}

// held is a datagram under way.
type held struct {
	leaves time.Time // the queue of the rate
	exit   time.Time
	serial uint64
	data   []byte
}

// NewLink makes a link. A share outside 0 to 1, a negative number, a delay of more than a minute
// and a burst that its loss cannot have are refused.
func NewLink(cfg Config) (*Link, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &Link{cfg: cfg}
	l.random.Seed(cfg.Seed, cfg.Seed^0x9e3779b97f4a7c15)
	l.further.Seed(cfg.Seed, furtherStream)
	return l, nil
}

// check fills in the queue and says what makes no sense.
func (cfg *Config) check() error {
	share := func(x float64) bool { return x >= 0 && x <= 1 }
	switch {
	case !share(cfg.Loss) || !share(cfg.Duplicate) || !share(cfg.Overtake) || !share(cfg.Corrupt):
		return errors.New("impair: a share is not from 0 to 1")
	case cfg.Burst < 0 || cfg.Burst > 1 && cfg.Loss < 1 && cfg.Burst < cfg.Loss/(1-cfg.Loss) || cfg.Burst != cfg.Burst:
		// What follows from one good datagram between bursts at least.
		return errors.New("impair: bursts are too short for so much loss")
	case cfg.Delay < 0 || cfg.Jitter < 0 || cfg.Delay > maxDelay || cfg.Jitter > maxDelay:
		return errors.New("impair: delay or jitter is out of range")
	case cfg.Rate < 0 || cfg.Queue < 0 || cfg.Queue > maxBytes || cfg.Intact < 0:
		return errors.New("impair: rate, queue or intact bytes are out of range")
	}
	if cfg.Queue == 0 {
		cfg.Queue = defaultQueue
	}
	return nil
}

// Reverse makes l the other direction of a network whose first one has a link of the same seed:
// what it draws is independent of that, and the same in each run. It is called before the first
// Push.
func (l *Link) Reverse() {
	l.random.Seed(^l.cfg.Seed, reverseStream)
	l.further.Seed(^l.cfg.Seed, reverseStream^furtherStream)
}

// Stats returns what happened so far.
func (l *Link) Stats() Stats { return l.stats }

// Len is how many datagrams are under way.
func (l *Link) Len() int { return len(l.heap) }

// Push takes a copy of a datagram at a time. Times never decrease.
func (l *Link) Push(now time.Time, datagram []byte) {
	l.advance(now)
	l.stats.Pushed++
	// The same draws for every datagram, whatever becomes of it: runs of one seed that
	// differ in one setting lose the same ones.
	lost, twice, late := l.lose(), l.chance(l.cfg.Duplicate), l.jitter()
	overtakes, corrupt, where := l.draw() < l.cfg.Overtake, l.draw() < l.cfg.Corrupt, l.further.Uint64()
	if lost {
		l.stats.Lost++
		return
	}
	copies := 1
	if twice {
		copies = 2
	}
	for i := range copies {
		leaves, ok := l.queue(now, len(datagram))
		if !ok || len(l.heap) == maxFlight || l.bytes+len(datagram) > maxBytes {
			l.stats.Overflowed++
			return
		}
		if i == 1 {
			l.stats.Duplicated++
		}
		exit := leaves.Add(l.cfg.Delay + late)
		switch {
		case overtakes:
			exit = leaves
		case !l.cfg.Reorder && exit.Before(l.last):
			exit = l.last
		}
		if exit.After(l.last) {
			l.last = exit
		}
		data := l.hold(leaves, exit, datagram)
		if corrupt && len(data) > l.cfg.Intact {
			spoil(data[l.cfg.Intact:], where)
			l.stats.Corrupted++
		}
	}
}

// spoil makes one byte another, by a draw.
func spoil(data []byte, draw uint64) {
	data[draw%uint64(len(data))] ^= byte(1 + draw>>32%255)
}

// Pop returns a datagram whose time has come, or false. It is valid until the next Pop.
func (l *Link) Pop(now time.Time) ([]byte, bool) {
	if len(l.heap) == 0 || l.heap[0].exit.After(now) {
		return nil, false
	}
	if l.out != nil && cap(l.out) <= maxSpare {
		l.spare = append(l.spare, l.out)
	}
	l.out = l.heap[0].data
	l.bytes -= len(l.out)
	l.remove()
	l.stats.Popped++
	return l.out, true
}

// Next is when Pop has something; zero if nothing is under way.
func (l *Link) Next() time.Time {
	if len(l.heap) == 0 {
		return time.Time{}
	}
	return l.heap[0].exit
}

// uniform is from 0 to below 1.
func (l *Link) uniform() float64 { return float64(l.random.Uint64()>>11) / (1 << 53) }

// draw is the same, from the draws for what came later.
func (l *Link) draw() float64 { return float64(l.further.Uint64()>>11) / (1 << 53) }

func (l *Link) chance(share float64) bool { return l.uniform() < share }

func (l *Link) jitter() time.Duration {
	return time.Duration(l.uniform() * float64(l.cfg.Jitter))
}

// lose says whether the next datagram is lost: by chance, or after Gilbert in two states, of
// which the bad one loses everything and is left with probability 1/Burst; entering it is as
// probable as makes the share Loss.
func (l *Link) lose() bool {
	x := l.uniform()
	if l.cfg.Burst <= 1 || l.cfg.Loss == 0 || l.cfg.Loss == 1 {
		return x < l.cfg.Loss
	}
	leave := 1 / l.cfg.Burst
	if l.bad {
		l.bad = x >= leave
	} else {
		l.bad = x < leave*l.cfg.Loss/(1-l.cfg.Loss)
	}
	return l.bad
}

// queue returns when a datagram has passed the rate limit, or false if the queue is full.
func (l *Link) queue(now time.Time, size int) (time.Time, bool) {
	if l.cfg.Rate == 0 {
		return now, true
	}
	begin := now
	if l.free.After(now) {
		begin = l.free
		waiting := l.free.Sub(now).Seconds() * float64(l.cfg.Rate) / 8
		if int(waiting)+size > l.cfg.Queue {
			return now, false
		}
	}
	l.free = begin.Add(time.Duration(float64(size) * 8 / float64(l.cfg.Rate) * float64(time.Second)))
	return l.free, true
}

// hold puts a copy into the heap and returns it.
func (l *Link) hold(leaves, exit time.Time, datagram []byte) []byte {
	var data []byte
	if n := len(l.spare); n > 0 {
		data, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		data = make([]byte, 0, slotSize)
	}
	l.bytes += len(datagram)
	data = append(data[:0], datagram...)
	l.heap = append(l.heap, held{leaves: leaves, exit: exit, serial: l.serial, data: data})
	l.serial++
	l.rise(len(l.heap) - 1)
	return data
}

// rise puts an entry of the heap before those that are later.
func (l *Link) rise(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if !l.heap[i].before(&l.heap[up]) {
			return
		}
		l.heap[i], l.heap[up] = l.heap[up], l.heap[i]
		i = up
	}
}

// remove takes the first of the heap out.
func (l *Link) remove() {
	n := len(l.heap) - 1
	l.heap[0] = l.heap[n]
	l.heap[n] = held{}
	l.heap = l.heap[:n]
	for i := 0; ; {
		down := 2*i + 1
		if down >= n {
			return
		}
		if down+1 < n && l.heap[down+1].before(&l.heap[down]) {
			down++
		}
		if !l.heap[down].before(&l.heap[i]) {
			return
		}
		l.heap[i], l.heap[down] = l.heap[down], l.heap[i]
		i = down
	}
}

func (h *held) before(other *held) bool {
	if h.exit.Equal(other.exit) {
		return h.serial < other.serial
	}
	return h.exit.Before(other.exit)
}
