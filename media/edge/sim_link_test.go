package edge

import (
	"math/rand/v2"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// simNet says what one direction of a simulated network does to each datagram.
type simNet struct {
	Loss      float64       // share lost
	Burst     float64       // mean number lost in a row; up to 1: independently
	Delay     time.Duration // one way
	Jitter    time.Duration // added to it, evenly from 0 to this; such datagrams overtake each other
	Duplicate float64       // share that comes twice
	Corrupt   float64       // share in which a bit is flipped
	Rate      int           // bits a second; 0: without limit
	Queue     int           // bytes that wait for the rate; what comes beyond is lost
}

// simLink is one direction of a peer's network.
type simLink struct {
	simNet
	rnd  *rand.Rand
	bad  bool // within a burst of losses
	dark mono.Time
	free mono.Time // when the rate lets the next datagram begin

	// What a stream carries arrives in order, however late.
	ordered mono.Time
	waiting int // bytes in its socket while nothing comes through
}

// simEvent is something that happens at an instant: a datagram that has been under way arrives,
// unless do says what else.
type simEvent struct {
	at     mono.Time
	serial uint64
	do     func()
	to     *simPeer // nil: the server
	key    flow.Key
	data   []byte
}

func (l *simLink) lose() bool {
	if l.Burst <= 1 {
		return l.Loss > 0 && l.rnd.Float64() < l.Loss
	}
	leave := 1 / l.Burst
	if l.bad {
		l.bad = l.rnd.Float64() >= leave
	} else {
		l.bad = l.rnd.Float64() < leave*l.Loss/(1-l.Loss)
	}
	return l.bad
}

// passed returns when a datagram has passed the rate limit, or false if the queue is full.
func (l *simLink) passed(now mono.Time, size int, bounded bool) (mono.Time, bool) {
	if l.Rate == 0 {
		return now, true
	}
	begin := max(now, l.free)
	if bounded && int(begin.Sub(now).Seconds()*float64(l.Rate)/8)+size > l.Queue {
		return now, false
	}
	l.free = begin.Add(time.Duration(float64(size*8) / float64(l.Rate) * float64(time.Second)))
	return l.free, true
}

func (l *simLink) late() time.Duration {
	if l.Jitter == 0 {
		return l.Delay
	}
	return l.Delay + time.Duration(l.rnd.Int64N(int64(l.Jitter)))
}

// send puts a datagram on the link. A stream loses nothing: what the network loses comes a
// round trip later, and all that is behind it waits.
func (s *sim) send(l *simLink, to *simPeer, k flow.Key, b []byte) {
	now := s.now
	if k.Via.IsStream() {
		if now >= l.dark {
			l.waiting = 0
		}
		// A client's socket takes no more than its buffer does; ours refuses: see press.
		l.waiting += len(b)
		if to == nil && (l.waiting > 64<<10 && now < l.dark || l.free.Sub(max(now, l.dark)) > time.Second) {
			return
		}
		at, _ := l.passed(max(now, l.dark), len(b), false)
		at = at.Add(l.late())
		if l.lose() {
			at = at.Add(2*l.Delay + 200*time.Millisecond)
		}
		l.ordered = max(l.ordered, at)
		s.hold(l.ordered, to, k, b)
		return
	}
	if l.lose() || now < l.dark {
		return
	}
	for copies := 1; copies > 0; copies-- {
		at, ok := l.passed(now, len(b), true)
		if !ok {
			return
		}
		s.hold(at.Add(l.late()), to, k, b)
		if l.Corrupt > 0 && l.rnd.Float64() < l.Corrupt {
			d := s.events.all[s.events.last].data
			d[l.rnd.IntN(len(d))] ^= 1 << l.rnd.IntN(8)
		}
		if l.Duplicate > 0 && copies == 1 && l.rnd.Float64() < l.Duplicate {
			copies++
		}
	}
}

// hold puts a copy of a datagram among those under way.
func (s *sim) hold(at mono.Time, to *simPeer, k flow.Key, b []byte) {
	var data []byte
	if n := len(s.spare); n > 0 {
		data, s.spare = s.spare[n-1][:0], s.spare[:n-1]
	}
	s.serial++
	s.events.push(simEvent{at: at, serial: s.serial, to: to, key: k, data: append(data, b...)})
}

// simHeap is a heap of what is to happen; of one instant in the order of serials.
type simHeap struct {
	all  []simEvent
	last int // where the last one pushed has come to stand
}

func (h *simHeap) before(i, j int) bool {
	a, b := &h.all[i], &h.all[j]
	return a.at < b.at || a.at == b.at && a.serial < b.serial
}

func (h *simHeap) push(e simEvent) {
	h.all = append(h.all, e)
	i := len(h.all) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h.before(i, up) {
			break
		}
		h.all[i], h.all[up] = h.all[up], h.all[i]
		i = up
	}
	h.last = i
}

func (h *simHeap) pop() simEvent {
	e, n := h.all[0], len(h.all)-1
	h.all[0], h.all[n] = h.all[n], simEvent{}
	h.all = h.all[:n]
	for i := 0; ; {
		down := 2*i + 1
		if down >= n {
			return e
		}
		if down+1 < n && h.before(down+1, down) {
			down++
		}
		if !h.before(down, i) {
			return e
		}
		h.all[i], h.all[down] = h.all[down], h.all[i]
		i = down
	}
}
