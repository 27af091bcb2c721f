package netem

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tsubame/bench/impair"
)

// Direction is one of the two of a Box.
type Direction int

// The directions, as the client sees them.
const (
	Up Direction = iota
	Down
)

// Box joins two TUN devices, the client's and the server's, by a Link in each direction, and is
// the client's NAT. A new one changes nothing.
type Box struct {
	tuns [2]*TUN // the client's, the server's
	wake int     // an eventfd
	done chan struct{}

	mu     sync.Mutex
	links  [2]*impair.Link
	spoil  [2]bool // checksums are forgone
	nat    nat
	rebind time.Time
	closed bool
	err    error

	records [2][]Record
	writing bool
	late    lateness
}

// NewBox takes two devices, which it closes, and joins them until Close.
func NewBox(client, server *TUN) (*Box, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netem: eventfd: %w", err)
	}
	b := &Box{tuns: [2]*TUN{client, server}, wake: wake, done: make(chan struct{})}
	for d := range b.links {
		if b.links[d], err = impair.NewLink(impair.Config{}); err != nil {
			return nil, err
		}
	}
	go b.run()
	return b, nil
}

// Close ends the box and removes its devices. It returns what the box failed of, if it did.
func (b *Box) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return nil
	}
	b.poke()
	<-b.done
	err := errors.Join(b.err, b.tuns[0].Close(), b.tuns[1].Close(), unix.Close(b.wake))
	return err
}

// Set makes a direction anew, with what was under way lost. The client's NAT is again one that
// changes nothing.
func (b *Box) Set(d Direction, cfg impair.Config) error {
	link, err := impair.NewLink(cfg)
	if err != nil {
		return err
	}
	if d == Down {
		link.Reverse()
	}
	b.mu.Lock()
	b.links[d], b.spoil[d], b.nat = link, cfg.Corrupt > 0, nat{}
	b.mu.Unlock()
	b.poke()
	return nil
}

// Plan changes a direction over time (impair.Link.Plan).
func (b *Box) Plan(d Direction, start time.Time, steps ...impair.Step) error {
	b.mu.Lock()
	err := b.links[d].Plan(start, steps...)
	b.spoil[d] = b.spoil[d] || slices.ContainsFunc(steps, func(s impair.Step) bool { return s.Config.Corrupt > 0 })
	b.mu.Unlock()
	b.poke()
	return err
}

// Rebind has the NAT forget all flows: the client's datagrams come from other ports from now on.
// It returns when that was.
func (b *Box) Rebind() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nat.rebind()
	b.rebind = time.Now()
	return b.rebind
}

// Stats returns what happened in a direction since it was set.
func (b *Box) Stats(d Direction) impair.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.links[d].Stats()
}

// Record begins to write down what comes out, and forgets what was written down before.
func (b *Box) Record() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.writing = [2][]Record{}, true
}

// Records returns what has come out of a direction since Record.
func (b *Box) Records(d Direction) []Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.records[d])
}

// Late says by how much packets left later than they should have, since the last call: the
// median, one in a hundred, and the most.
func (b *Box) Late() (p50, p99, most time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p50, p99, most = b.late.of(0.5), b.late.of(0.99), b.late.most
	b.late = lateness{}
	return p50, p99, most
}

func (b *Box) poke() {
	one := [8]byte{1}
	_, _ = unix.Write(b.wake, one[:]) // full means that the box is awake already
}

// run is the box's goroutine. It keeps its thread, because timers of the runtime are by 1 ms and
// the machine is busy: the thread goes before others, and waits with ppoll(2) to the microsecond.
func (b *Box) run() {
	defer close(b.done)
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	hurry()
	fds := []unix.PollFd{
		{Fd: int32(b.tuns[0].fd), Events: unix.POLLIN}, {Fd: int32(b.tuns[1].fd), Events: unix.POLLIN},
		{Fd: int32(b.wake), Events: unix.POLLIN},
	}
	buffer := make([]byte, 1<<16)
	for {
		next, open := b.step(buffer)
		if !open {
			return
		}
		var wait *unix.Timespec
		if !next.IsZero() {
			ts := unix.NsecToTimespec(int64(max(0, time.Until(next))))
			wait = &ts
		}
		if _, err := unix.Ppoll(fds, wait, nil); err != nil && err != unix.EINTR {
			b.fail(fmt.Errorf("netem: ppoll: %w", err))
			return
		}
		_, _ = unix.Read(b.wake, buffer[:8])
	}
}

// hurry puts the thread before others. Where that is not allowed the box is late more often,
// which Late says.
func hurry() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0) != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	}
}

func (b *Box) fail(err error) {
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
}

// atOnce is how many packets of a device are read before what is due leaves.
const atOnce = 32

// step takes what waits, lets go what is due, and returns when something will be next.
func (b *Box) step(buffer []byte) (next time.Time, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return next, false
	}
	more := false
	for d := range b.links {
		for range atOnce {
			n, err := b.tuns[d].read(buffer)
			if err != nil {
				b.err = err
				return next, false
			}
			if n == 0 {
				break
			}
			more = true
			b.push(Direction(d), time.Now(), buffer[:n])
		}
	}
	for d, l := range b.links {
		now := time.Now()
		l.Advance(now)
		for due := l.Next(); !due.IsZero() && !due.After(now); due = l.Next() {
			p, _ := l.Pop(now)
			b.late.add(now.Sub(due))
			b.pop(Direction(d), now, p)
		}
		for _, at := range []time.Time{l.Next(), l.Change()} {
			if !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if more {
		next = time.Now()
	}
	return next, true
}

// push takes a packet from a device.
func (b *Box) push(d Direction, now time.Time, p []byte) {
	if udp, ok := peekUDP(p); ok {
		if d == Up {
			b.nat.out(udp)
		}
		if b.spoil[d] {
			udp.forgo()
		}
	}
	b.links[d].Push(now, p)
}

// pop hands a packet to the other device.
func (b *Box) pop(d Direction, now time.Time, p []byte) {
	r := classify(p)
	if udp, ok := peekUDP(p); ok {
		if r.Port = udp.source(); d == Down {
			r.Port = udp.destination()
			if !b.nat.in(udp) {
				return
			}
		}
	}
	if b.tuns[1-d].write(p) && b.writing && len(b.records[d]) < maxRecords {
		r.At = now
		b.records[d] = append(b.records[d], r)
	}
}
