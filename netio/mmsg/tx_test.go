package mmsg

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tsubame/netio/flow"
)

// put queues text and reports whether there was a slot.
func put(q *TxQueue, text string, to flow.Key, c Class) bool {
	slot := q.Slot()
	if slot == nil {
		return false
	}
	q.Commit(copy(slot, text), to, c)
	return true
}

// texts lists what is queued.
func texts(q *TxQueue) []string {
	list := make([]string, 0, q.Len())
	for i := range q.Len() {
		_, p := q.Packet(i)
		list = append(list, string(p))
	}
	return list
}

func TestTxQueueKeepsOrderKeysAndClasses(t *testing.T) {
	q := NewTxQueue(4)
	put(q, "a", testKey(1), Control)
	put(q, "b", testKey6(2), Video)
	put(q, "c", testKey(3), Audio)
	if got := texts(q); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Fatalf("queued %q", got)
	}
	if k, _ := q.Packet(1); k != testKey6(2) {
		t.Errorf("key %v", k)
	}
	if q.Class(0) != Control || q.Class(1) != Video || q.Class(2) != Audio {
		t.Error("classes changed")
	}
	q.Reset()
	if q.Len() != 0 || q.Dropped(Video) != 0 {
		t.Errorf("after Reset: Len %d, Dropped %d", q.Len(), q.Dropped(Video))
	}
}

func TestSlotIsReusedUntilCommitted(t *testing.T) {
	q := NewTxQueue(2)
	first := q.Slot()
	if len(first) != SlotSize || cap(first) != SlotSize {
		t.Fatalf("slot of length %d, capacity %d", len(first), cap(first))
	}
	if second := q.Slot(); &first[0] != &second[0] {
		t.Error("an uncommitted slot was lost")
	}
	q.Commit(1, testKey(1), Audio)
	if third := q.Slot(); &first[0] == &third[0] {
		t.Error("a committed slot was handed out again")
	}
}

func TestFullQueueFlushesOnceThenDropsTheOldestVideo(t *testing.T) {
	q := NewTxQueue(3)
	flushes := 0
	q.SetFlusher(func() { flushes++ })
	put(q, "audio", testKey(1), Audio)
	put(q, "video 1", testKey(1), Video)
	put(q, "video 2", testKey(1), Video)
	if flushes != 0 {
		t.Fatalf("flushed %d times before the queue was full", flushes)
	}
	if !put(q, "control", testKey(1), Control) {
		t.Fatal("no slot although there was Video to drop")
	}
	if got := texts(q); !slices.Equal(got, []string{"audio", "video 2", "control"}) {
		t.Errorf("queued %q", got)
	}
	if flushes != 1 || q.Dropped(Video) != 1 || q.Dropped(Audio) != 0 || q.Refused() != 0 {
		t.Errorf("flushes %d, dropped %d video %d audio, refused %d", flushes, q.Dropped(Video), q.Dropped(Audio), q.Refused())
	}
}

func TestFullQueueWithoutVideoRefuses(t *testing.T) {
	q := NewTxQueue(2)
	put(q, "audio", testKey(1), Audio)
	put(q, "control", testKey(1), Control)
	if q.Slot() != nil {
		t.Fatal("a slot out of nowhere")
	}
	if got := texts(q); !slices.Equal(got, []string{"audio", "control"}) || q.Refused() != 1 {
		t.Errorf("queued %q, refused %d", got, q.Refused())
	}
	mustPanic(t, "Commit after a refused Slot", func() { q.Commit(1, testKey(1), Audio) })
}

func TestFlusherThatSendsLeavesNothingToDrop(t *testing.T) {
	q := NewTxQueue(1)
	var sent []string
	q.SetFlusher(func() { q.flush(&recorder{sent: &sent, room: 99}, false) })
	for i := range 5 {
		put(q, fmt.Sprint(i), testKey(1), Video)
	}
	if !slices.Equal(sent, []string{"0", "1", "2", "3"}) || q.Dropped(Video) != 0 {
		t.Errorf("sent %q, dropped %d", sent, q.Dropped(Video))
	}
}

func TestDropCountsByClass(t *testing.T) {
	q := NewTxQueue(4)
	put(q, "a", testKey(1), Video)
	put(q, "b", testKey(1), Audio)
	put(q, "c", testKey(1), Video)
	q.Drop()
	if q.Len() != 0 || q.Dropped(Video) != 2 || q.Dropped(Audio) != 1 || q.Dropped(Control) != 0 {
		t.Errorf("Len %d, dropped %d %d %d", q.Len(), q.Dropped(Video), q.Dropped(Audio), q.Dropped(Control))
	}
}

func TestTxQueueRefusesMisuse(t *testing.T) {
	mustPanic(t, "a queue of no slots", func() { NewTxQueue(0) })
	mustPanic(t, "a queue of too many slots", func() { NewTxQueue(maxSlots + 1) })
	q := NewTxQueue(2)
	mustPanic(t, "Commit without Slot", func() { q.Commit(1, testKey(1), Audio) })
	q.Slot()
	mustPanic(t, "Commit of nothing", func() { q.Commit(0, testKey(1), Audio) })
	mustPanic(t, "Commit beyond the slot", func() { q.Commit(SlotSize+1, testKey(1), Audio) })
	mustPanic(t, "Commit of an unknown class", func() { q.Commit(1, testKey(1), Classes) })
	q.Commit(1, testKey(1), Audio)
	mustPanic(t, "a second Commit of one slot", func() { q.Commit(1, testKey(1), Audio) })
}

// recorder is a sender that takes room datagrams, then blocks.
type recorder struct {
	sent  *[]string
	room  int
	calls int
}

func (r *recorder) send(q *TxQueue, slots []uint16) (done, sent int) {
	r.calls++
	if len(slots) == 0 || len(slots) > maxHand {
		panic(fmt.Sprintf("%d slots in one call", len(slots)))
	}
	for _, slot := range slots {
		if r.room == 0 {
			return done, sent
		}
		r.room--
		done++
		sent++
		*r.sent = append(*r.sent, string(bytes.Clone(q.bytes(slot))))
	}
	return done, sent
}

func TestFlushCallsTheSenderInBoundedBatches(t *testing.T) {
	q := NewTxQueue(512)
	for i := range 300 {
		put(q, fmt.Sprint(i), testKey(1), Video)
	}
	var sent []string
	r := &recorder{sent: &sent, room: 300}
	if n, blocked := q.flush(r, false); n != 300 || blocked {
		t.Fatalf("flushed %d, blocked %v", n, blocked)
	}
	if want := (300 + maxHand - 1) / maxHand; r.calls != want {
		t.Errorf("%d calls, want %d", r.calls, want)
	}
}

// modelEntry is one queued datagram of the slow obvious queue.
type modelEntry struct {
	text  string
	class Class
	v6    bool
}

// TestTxQueueBehavesLikeAList checks the queue against a list, under random commits, flushes
// of either family that block anywhere, and drops for want of room.
func TestTxQueueBehavesLikeAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 150).Draw(t, "slots")
		q := NewTxQueue(slots)
		var model []modelEntry
		var dropped, refused uint64
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				n := rapid.IntRange(1, 40).Draw(t, "n")
				for range n {
					e := modelEntry{fmt.Sprint(next), Class(rapid.IntRange(0, Classes-1).Draw(t, "class")), rapid.Bool().Draw(t, "v6")}
					next++
					if len(model) == slots {
						oldest := slices.IndexFunc(model, func(e modelEntry) bool { return e.class == Video })
						if oldest < 0 {
							refused++
							if put(q, e.text, testKey(1), e.class) {
								t.Fatal("a full queue without Video took a datagram")
							}
							continue
						}
						model = slices.Delete(model, oldest, oldest+1)
						dropped++
					}
					model = append(model, e)
					to := testKey(1)
					if e.v6 {
						to = testKey6(1)
					}
					if !put(q, e.text, to, e.class) {
						t.Fatal("no slot")
					}
				}
			},
			"flush": func(t *rapid.T) {
				v6 := rapid.Bool().Draw(t, "v6")
				room := rapid.IntRange(0, slots).Draw(t, "room")
				var got, want []string
				var rest []modelEntry
				for _, e := range model {
					if e.v6 == v6 && len(want) < room {
						want = append(want, e.text)
					} else {
						rest = append(rest, e)
					}
				}
				stuck := slices.ContainsFunc(rest, func(e modelEntry) bool { return e.v6 == v6 })
				n, blocked := q.flush(&recorder{sent: &got, room: room}, v6)
				if n != len(want) || blocked != stuck || !slices.Equal(got, want) {
					t.Fatalf("flush sent %q (%d, blocked %v), want %q (blocked %v)", got, n, blocked, want, stuck)
				}
				model = rest
			},
			"": func(t *rapid.T) {
				want := make([]string, 0, len(model))
				for _, e := range model {
					want = append(want, e.text)
				}
				if got := texts(q); !slices.Equal(got, want) {
					t.Fatalf("queue %q, want %q", got, want)
				}
				if q.Dropped(Video) != dropped || q.Refused() != refused {
					t.Fatalf("dropped %d refused %d, want %d %d", q.Dropped(Video), q.Refused(), dropped, refused)
				}
				if len(q.free)+q.Len() != slots {
					t.Fatalf("%d free and %d queued of %d slots", len(q.free), q.Len(), slots)
				}
			},
		})
	})
}
