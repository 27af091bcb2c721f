package hooks

import (
	"hash/maphash"
	"sync"
)

// item is one request that waits for its worker, or a barrier.
type item struct {
	to           *caller
	typ          string
	id           string // of the webhook
	channelID    string
	sessionID    string
	connectionID string
	body         []byte // nil: a barrier
	brief        []byte // what stands in lines instead of a body that is too long; nil: the body
	class        class
	reached      chan struct{} // of a barrier: closed when it is its turn

	lane  *lane
	links [2]struct{ prev, next *item }
}

// class is what an item is worth when there is no room.
type class uint8

const (
	// lasting: nothing else tells what it does. It goes for nobody.
	lasting class = iota
	// perishable: another of its kind will tell the same and more. The oldest go first.
	perishable
	// cheap: connection.failed, which anybody brings about, without being allowed to connect
	// and as often as connections may be made. They take maxCheap of the queue together, and
	// push nothing out. When there is no room and nothing perishable, the oldest go.
	cheap
	classes
)

// maxCheap is the part of a queue that cheap items take at most: one in so many. It is small
// since others wait behind them; those that are refused are in the log file all the same.
const maxCheap = 16

// The two chains that an item is in.
const (
	inLane  = iota // in the order in which it is sent
	inClass        // the oldest first, of all lanes
)

// chain is a doubly linked list through the items themselves.
type chain struct {
	which      int
	head, tail *item
}

func (c *chain) push(i *item) {
	i.links[c.which].prev, i.links[c.which].next = c.tail, nil
	if c.tail == nil {
		c.head = i
	} else {
		c.tail.links[c.which].next = i
	}
	c.tail = i
}

func (c *chain) remove(i *item) {
	prev, next := i.links[c.which].prev, i.links[c.which].next
	if prev == nil {
		c.head = next
	} else {
		prev.links[c.which].next = next
	}
	if next == nil {
		c.tail = prev
	} else {
		next.links[c.which].prev = prev
	}
	i.links[c.which].prev, i.links[c.which].next = nil, nil
}

// lane is what one worker has to send. It is guarded by the queue's mutex.
type lane struct {
	items chain
	// pending counts what waits or is under way, by channel; barriers are not counted.
	pending map[string]int
	wake    chan struct{} // of one, for the worker
}

// queue holds what waits for all workers. A channel's items are in one lane, so that they
// stay in order. It holds at most max items and maxBytes bytes in all. When a new item
// does not fit, others go for it as their class says, whatever channel they are of; when
// there is none to go, the new one is refused. Any goroutine may call its methods; none waits.
type queue struct {
	seed   maphash.Seed
	closed chan struct{}

	mu      sync.Mutex
	max     int
	each    int // bytes that an item has at most on average
	floor   int // bytes that there is room for at least, however few items may wait
	lanes   []*lane
	chains  [classes]chain
	cheap   int // items of this class
	count   int
	bytes   int
	flying  int // taken and not finished
	closing bool
}

func newQueue(lanes, limit, each int) *queue {
	q := &queue{seed: maphash.MakeSeed(), closed: make(chan struct{}), max: limit, each: each}
	for c := range q.chains {
		q.chains[c].which = inClass
	}
	for range lanes {
		q.lanes = append(q.lanes, &lane{pending: map[string]int{}, wake: make(chan struct{}, 1)})
	}
	return q
}

func (q *queue) laneOf(channelID string) *lane {
	return q.lanes[maphash.String(q.seed, channelID)%uint64(len(q.lanes))]
}

// maxBytes is how many bytes may wait in all.
func (q *queue) maxBytes() int { return max(q.max*q.each, q.floor) }

// put queues an item. dropped are those that had to go for it; ok is false if it was refused
// itself.
func (q *queue) put(i *item) (dropped []*item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing || len(i.body) > q.maxBytes() {
		return nil, false
	}
	if i.class == cheap && q.cheap >= max(q.max/maxCheap, 1) {
		return nil, false
	}
	for q.count+1 > q.max || q.bytes+len(i.body) > q.maxBytes() {
		oldest := q.chains[perishable].head
		if oldest == nil {
			oldest = q.chains[cheap].head
		}
		if oldest == nil || i.class == cheap {
			return dropped, false
		}
		q.remove(oldest)
		q.finished(oldest)
		dropped = append(dropped, oldest)
	}
	i.lane = q.laneOf(i.channelID)
	i.lane.items.push(i)
	i.lane.pending[i.channelID]++
	q.chains[i.class].push(i)
	if i.class == cheap {
		q.cheap++
	}
	q.count++
	q.bytes += len(i.body)
	i.lane.signal()
	return dropped, true
}

// barrier returns an item whose reached is closed when everything of channelID that is
// queued now has been sent; nil: nothing is. Whoever waits no longer gives it to unbar.
func (q *queue) barrier(channelID string) *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.laneOf(channelID)
	if l.pending[channelID] == 0 || q.closing {
		return nil
	}
	i := &item{channelID: channelID, lane: l, reached: make(chan struct{})}
	l.items.push(i)
	l.signal()
	return i
}

// unbar takes a barrier out that has not been reached; otherwise those of a lane that does
// not move would become more and more.
func (q *queue) unbar(i *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-i.reached:
	default:
		q.remove(i)
		close(i.reached)
	}
}

// take returns the next item of a lane, or nil. Barriers are opened on the way.
func (q *queue) take(l *lane) *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := l.items.head; i != nil; i = l.items.head {
		q.remove(i)
		if i.body != nil {
			q.flying++
			return i
		}
		close(i.reached)
	}
	return nil
}

// finish says that an item that was taken has been dealt with.
func (q *queue) finish(i *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flying--
	q.finished(i)
}

// finished notes that a channel has one item fewer.
func (q *queue) finished(i *item) {
	if i.lane.pending[i.channelID]--; i.lane.pending[i.channelID] == 0 {
		delete(i.lane.pending, i.channelID)
	}
}

// remove takes an item out of its chains.
func (q *queue) remove(i *item) {
	i.lane.items.remove(i)
	if i.body == nil {
		return
	}
	q.count--
	q.bytes -= len(i.body)
	q.chains[i.class].remove(i)
	if i.class == cheap {
		q.cheap--
	}
}

// resize changes the bound. What is over it goes as items are sent.
func (q *queue) resize(limit int) {
	q.mu.Lock()
	q.max = limit
	q.mu.Unlock()
}

// close refuses everything from now on; what waits can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closing {
		q.closing = true
		close(q.closed)
	}
}

// isClosed reports whether the queue refuses everything.
func (q *queue) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

// state returns how many items wait, their bytes, and how many are under way.
func (q *queue) state() (count, bytes, flying int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count, q.bytes, q.flying
}

// signal wakes the lane's worker, if it waits.
func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
