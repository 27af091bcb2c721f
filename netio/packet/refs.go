package packet

import "fmt"

// Why a reader without a lock is safe.
//
// A retransmission ring publishes buffers in slots that readers on other shards look at
// while the writer replaces them. A reader (1) loads the slot, (2) calls TryRetain, (3)
// loads the slot again, and releases the buffer unread when the slot has changed. The
// writer first changes the slot and then releases the ring's reference. Between (1) and
// (2) the buffer may be freed, and may even be handed out again for another packet: a
// buffer's life is not part of its name. That is harmless, because of four rules:
//
//   - Nobody lifts a count from zero but Get. TryRetain is a compare-and-swap from a count
//     above zero, Retain panics on zero. So whoever lowers the count to zero is alone with
//     the buffer from then on, may put it into its own magazine whatever shard it runs on,
//     and Get can store 1 without losing anybody's increment.
//   - A reader that retained a buffer in its next life holds a true reference of that life.
//     It reads nothing (step 3 fails first, see below) and releases it. If the new owner
//     has released its own in the meantime, the reader is the one who frees the buffer.
//     Each reference is released once, so the sum comes out right in every order.
//   - Therefore a count of 1 never proves ownership, and a count above 1 never disproves
//     it: nothing here or elsewhere may decide by the count whether a buffer may be
//     written. The owner of a buffer is who took it by Get, until it shares it.
//   - If step 3 finds the slot unchanged, the reference is one of the right life: the ring's
//     own reference is released only after the slot has changed, so it was held during
//     step 2, and the buffer's content was complete before the slot was published. Should
//     the same slot have been emptied and filled with the same value again in between,
//     then the buffer holds, in its new life, the very packet that the slot names.
//     (A ring that was given to another track meanwhile is told by its generation.)
//
// The same chain of atomic operations on the count orders every read by a holder before
// every write of the next life.

// Retain adds n references to a buffer of which the caller holds at least one.
func (a *Arena) Retain(r Ref, n int) {
	if n < 0 {
		panic("packet: Retain of a negative number")
	}
	if after := a.head(r).refs.Add(int32(n)); int(after) <= n {
		panic(fmt.Sprintf("packet: Retain of buffer %#x, which is free", uint32(r)))
	}
}

// TryRetain adds one reference if the buffer has any, for readers that hold none and look
// at a published Ref: see the comment above for what they have to do next. It reports
// whether it did. Any goroutine may call it.
func (a *Arena) TryRetain(r Ref) bool {
	refs := &a.head(r).refs
	for {
		n := refs.Load()
		if n <= 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back one reference for callers without a magazine: a control goroutine, or
// a reader whose second look failed. It takes the depot's lock if the reference was the
// last; a shard releases through its Magazine.
func (a *Arena) Release(r Ref) {
	if a.drop(r, 1) {
		a.classes[r>>indexBits].put([]Ref{r})
	}
}

// drop gives back n references and reports whether the buffer is free now, in which case
// it is the caller's alone.
func (a *Arena) drop(r Ref, n int) bool {
	switch after := a.head(r).refs.Add(-int32(n)); {
	case after > 0:
		return false
	case after < 0:
		panic(fmt.Sprintf("packet: buffer %#x released %d times too often", uint32(r), -after))
	}
	return n > 0
}
