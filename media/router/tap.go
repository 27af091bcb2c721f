package router

import (
	"sync/atomic"

	"tsubame/media/param"
	"tsubame/netio/count"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
)

// Tapped is one packet handed to a tap: the reader owns one reference to the buffer and
// gives it back through a Magazine of its own.
type Tapped struct {
	Track param.TrackID
	Ref   packet.Ref
}

// Tap hands copies of a track's packets (references, not bytes) to a goroutine outside the
// shards: a recorder, a forwarder, a test. It is bounded: a tap whose reader is stuck
// loses packets, which are counted, and nothing else is the worse for it.
type Tap struct {
	queue   *ring.MPSC[Tapped]
	waker   *ring.Waker
	dropped count.Word
	closed  atomic.Bool
	left    atomic.Bool
	feeder  int
}

// NewTap makes a tap that holds at most capacity packets, and so as many buffers.
func NewTap(capacity int) (*Tap, error) {
	w, err := ring.NewWaker()
	if err != nil {
		return nil, err
	}
	return &Tap{queue: ring.NewMPSC[Tapped](capacity), waker: w}, nil
}

// Push offers one packet. The shard that feeds the tap calls it; it takes a reference of
// its own if there is room.
func (t *Tap) Push(a *packet.Arena, m *packet.Magazine, id param.TrackID, r packet.Ref) {
	if t.closed.Load() {
		return
	}
	a.Retain(r, 1)
	if !t.queue.TryPush(Tapped{Track: id, Ref: r}) {
		m.Release(r)
		t.dropped.Inc()
		return
	}
	t.waker.Wake()
}

// SetFeeder notes which shard is asked to feed the tap, before it is; Feeder returns it. The
// reader's side calls them.
func (t *Tap) SetFeeder(shard int) { t.feeder = shard }

// Feeder returns what SetFeeder noted.
func (t *Tap) Feeder() int { return t.feeder }

// Pop returns the oldest packet. Only the reader may call it.
func (t *Tap) Pop() (Tapped, bool) { return t.queue.Pop() }

// Waker is what the reader sleeps on when Pop finds nothing.
func (t *Tap) Waker() *ring.Waker { return t.waker }

// Dropped returns how many packets found no room.
func (t *Tap) Dropped() uint64 { return t.dropped.Load() }

// Close makes Push do nothing. The reader waits until Left, then calls Free.
func (t *Tap) Close() { t.closed.Store(true) }

// Detach is called by the shard when the tap has left the fan-out, because its reader asked
// for it or because the track ended: nothing is pushed any more. It wakes the reader.
func (t *Tap) Detach() {
	t.left.Store(true)
	t.waker.Wake()
}

// Left reports whether the shard has let go of the tap.
func (t *Tap) Left() bool { return t.left.Load() }

// Free releases what is queued and the waker. The reader calls it after Left.
func (t *Tap) Free(m *packet.Magazine) {
	for {
		p, ok := t.queue.Pop()
		if !ok {
			break
		}
		m.Release(p.Ref)
	}
	t.waker.Close()
}
