package pace

// blockItems is how many items a block has: some 1 KiB.
const blockItems = 64

// block is a piece of a queue.
type block struct {
	items [blockItems]Item
	next  *block
}

// Tables lends the pacers of one shard the memory for what waits. It never gives memory back:
// there is as much as was in need at one time. The zero value is ready, lends MaxBlocks at most
// and allocates as it has to lend more than ever before. It belongs to the shard's goroutine and
// is not copied.
type Tables struct {
	free *block
	lent int
}

// MaxBlocks is how many blocks of 64 packets the pacers of one shard have together: 4 MiB, or a
// hundred packets for each of two thousand viewers, who all get a key frame at once.
const MaxBlocks = 4096

// Lent returns how many blocks are lent now.
func (t *Tables) Lent() int { return t.lent }

func (t *Tables) take() *block {
	if t == nil {
		return new(block)
	}
	if t.lent == MaxBlocks {
		return nil
	}
	t.lent++
	b := t.free
	if b == nil {
		return new(block)
	}
	t.free, b.next = b.next, nil
	return b
}

func (t *Tables) put(b *block) {
	if t != nil {
		t.lent--
		b.next, t.free = t.free, b
	}
}

// queue is a list of items, oldest first, in blocks. Of an empty one nothing is lent.
type queue struct {
	head, tail *block
	from, to   int // where the oldest stands in head, and where the next one comes in tail
	n          int
}

func (q *queue) push(it Item, t *Tables) bool {
	if q.tail == nil || q.to == blockItems {
		b := t.take()
		if b == nil {
			return false
		}
		if q.tail == nil {
			q.head, q.from = b, 0
		} else {
			q.tail.next = b
		}
		q.tail, q.to = b, 0
	}
	q.tail.items[q.to] = it
	q.to++
	q.n++
	return true
}

// peek returns the oldest item; there is one.
func (q *queue) peek() *Item { return &q.head.items[q.from] }

// pop takes the oldest item; there is one.
func (q *queue) pop(t *Tables) Item {
	it := q.head.items[q.from]
	q.from++
	q.n--
	if q.n == 0 || q.from == blockItems {
		b := q.head
		q.head, q.from = b.next, 0
		b.next = nil
		if q.n == 0 {
			q.head, q.tail = nil, nil
		}
		t.put(b)
	}
	return it
}

// drop takes the items of one stream and gives them to f. The others stay, in their order.
func (q *queue) drop(slot uint16, t *Tables, f func(Item)) {
	n, kept := q.n, 0
	from, at := q.head, q.from // the next one to look at
	to, last := q.head, q.from // where the next one that stays goes
	tail, end := q.head, q.from
	for ; n > 0; n-- {
		if at == blockItems {
			from, at = from.next, 0
		}
		it := from.items[at]
		at++
		if it.Slot == slot {
			f(it)
			continue
		}
		if last == blockItems {
			to, last = to.next, 0
		}
		to.items[last] = it
		last++
		tail, end = to, last
		kept++
	}
	q.cut(kept, tail, end, t)
}

// cut makes the queue end with kept items before place end of block tail.
func (q *queue) cut(kept int, tail *block, end int, t *Tables) {
	if kept == q.n {
		return
	}
	spare := q.head
	if kept > 0 {
		spare, tail.next = tail.next, nil
	}
	q.n = kept
	if q.tail, q.to = tail, end; kept == 0 {
		q.head, q.tail = nil, nil
	}
	for spare != nil {
		next := spare.next
		t.put(spare)
		spare = next
	}
}
