package hooks

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func put(t *testing.T, q *queue, channelID, name string, worth class) (dropped []string, ok bool) {
	t.Helper()
	items, ok := q.put(&item{channelID: channelID, id: name, body: []byte(name), class: worth})
	for _, i := range items {
		dropped = append(dropped, i.id)
	}
	return dropped, ok
}

// taken empties a queue of one lane.
func taken(q *queue) string {
	names := ""
	for i := q.take(q.lanes[0]); i != nil; i = q.take(q.lanes[0]) {
		names += i.id + " "
		q.finish(i)
	}
	return names
}

func TestAChannelKeepsToItsLaneAndItsOrder(t *testing.T) {
	q := newQueue(4, 100, 100)
	for i := range 60 {
		if _, ok := put(t, q, fmt.Sprint("channel", i%6), fmt.Sprint(i), class(i%2)); !ok {
			t.Fatal("refused")
		}
	}
	laneOf := map[string]*lane{}
	last := map[string]int{}
	for _, l := range q.lanes {
		for i := q.take(l); i != nil; i = q.take(l) {
			if known := laneOf[i.channelID]; known != nil && known != l {
				t.Errorf("%s is in two lanes", i.channelID)
			}
			laneOf[i.channelID] = l
			n := 0
			fmt.Sscan(i.id, &n)
			if before, ok := last[i.channelID]; ok && n < before {
				t.Errorf("%s: %d after %d", i.channelID, n, before)
			}
			last[i.channelID] = n
			q.finish(i)
		}
	}
	if len(last) != 6 {
		t.Errorf("%d channels", len(last))
	}
}

func TestAtTheBoundTheOldestUpdateGoesFirst(t *testing.T) {
	q := newQueue(1, 4, 100)
	put(t, q, "a", "created", lasting)
	put(t, q, "a", "updated-1", perishable)
	put(t, q, "b", "updated-2", perishable)
	put(t, q, "a", "destroyed", lasting)
	for _, want := range []string{"[updated-1] true", "[updated-2] true", "[] false"} {
		dropped, ok := put(t, q, "c", "created-c", lasting)
		if got := fmt.Sprint(dropped, ok); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if dropped, ok := put(t, q, "c", "updated-3", perishable); ok || len(dropped) != 0 {
		t.Errorf("an update has pushed out %v: %v", dropped, ok)
	}
	if got, want := taken(q), "created destroyed created-c created-c "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCheapItemsHaveAPartOfTheQueueAndPushNothingOut(t *testing.T) {
	q := newQueue(1, 2*maxCheap, 100)
	for i, want := range []bool{true, true, false} {
		if dropped, ok := put(t, q, "a", fmt.Sprint("cheap-", i), cheap); ok != want || len(dropped) != 0 {
			t.Errorf("%d: %v, %v", i, dropped, ok)
		}
	}
	for i := range 2*maxCheap - 3 {
		put(t, q, "a", fmt.Sprint("lasting-", i), lasting)
	}
	put(t, q, "a", "perishable", perishable)
	for _, want := range []string{"[perishable] true", "[cheap-0] true", "[cheap-1] true", "[] false"} {
		dropped, ok := put(t, q, "b", "another", lasting)
		if got := fmt.Sprint(dropped, ok); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if dropped, ok := put(t, q, "b", "cheap-3", cheap); ok || len(dropped) != 0 {
		t.Errorf("a full queue takes a cheap item for %v: %v", dropped, ok)
	}
	q.finish(q.take(q.lanes[0]))
	put(t, q, "b", "perishable", perishable)
	if dropped, ok := put(t, q, "b", "cheap-4", cheap); ok || len(dropped) != 0 {
		t.Errorf("a cheap item has pushed out %v: %v", dropped, ok)
	}
}

func TestBytesAreBoundedAsWell(t *testing.T) {
	q := newQueue(1, 4, 100)
	long := make([]byte, 300)
	if _, ok := q.put(&item{id: "1", body: long, class: perishable}); !ok {
		t.Fatal("300 of 400 bytes are refused")
	}
	if dropped, ok := q.put(&item{id: "2", body: long}); !ok || len(dropped) != 1 {
		t.Errorf("dropped %d, %v", len(dropped), ok)
	}
	if _, ok := q.put(&item{id: "3", body: long}); ok {
		t.Error("600 of 400 bytes")
	}
	if dropped, ok := q.put(&item{id: "4", body: make([]byte, 401), class: perishable}); ok || len(dropped) != 0 {
		t.Error("more than the whole queue")
	}
	if count, bytes, _ := q.state(); count != 1 || bytes != 300 {
		t.Errorf("%d items, %d bytes", count, bytes)
	}
}

func TestABarrierIsReachedAfterWhatWasThere(t *testing.T) {
	q := newQueue(1, 10, 100)
	if q.barrier("a") != nil {
		t.Error("a barrier before nothing")
	}
	put(t, q, "a", "1", lasting)
	b := q.barrier("a")
	if q.barrier("b") != nil {
		t.Error("another channel waits too")
	}
	i := q.take(q.lanes[0])
	if again := q.barrier("a"); again == nil {
		t.Error("no barrier before what is under way")
	} else {
		q.unbar(again)
		q.unbar(again)
	}
	select {
	case <-b.reached:
		t.Error("reached while the item is under way")
	default:
	}
	q.finish(i)
	if q.take(q.lanes[0]) != nil {
		t.Error("something is left")
	}
	<-b.reached
	q.unbar(b)
	if q.lanes[0].items.head != nil || len(q.lanes[0].pending) != 0 {
		t.Error("something is kept")
	}
}

func TestAClosedQueueGivesOutWhatItHas(t *testing.T) {
	q := newQueue(1, 10, 100)
	put(t, q, "a", "1", lasting)
	q.close()
	q.close()
	if _, ok := put(t, q, "a", "2", lasting); ok || !q.isClosed() {
		t.Error("a closed queue takes an item")
	}
	if got := taken(q); got != "1 " {
		t.Errorf("%q", got)
	}
}

func TestASmallerQueueRefusesUntilThereIsRoom(t *testing.T) {
	q := newQueue(1, 10, 100)
	for i := range 5 {
		put(t, q, "a", fmt.Sprint(i), lasting)
	}
	q.resize(3)
	if _, ok := put(t, q, "a", "5", lasting); ok {
		t.Error("taken")
	}
	if got := taken(q); got != "0 1 2 3 4 " {
		t.Errorf("%q", got)
	}
	if _, ok := put(t, q, "a", "6", lasting); !ok {
		t.Error("refused")
	}
}

// model is the same queue, slow and obvious.
type model struct {
	limit int
	items []*item // in order of arrival
}

func (m *model) bytes() (n int) {
	for _, i := range m.items {
		n += len(i.body)
	}
	return n
}

func (m *model) put(i *item) (dropped []*item, ok bool) {
	isOf := func(c class) func(*item) bool { return func(i *item) bool { return i.class == c } }
	if i.class == cheap && slices.ContainsFunc(m.items, isOf(cheap)) { // its part is one
		return nil, false
	}
	for len(m.items)+1 > m.limit || m.bytes()+len(i.body) > m.limit*8 {
		at := slices.IndexFunc(m.items, isOf(perishable))
		if at < 0 {
			at = slices.IndexFunc(m.items, isOf(cheap))
		}
		if at < 0 || i.class == cheap {
			return dropped, false
		}
		dropped = append(dropped, m.items[at])
		m.items = append(m.items[:at:at], m.items[at+1:]...)
	}
	m.items = append(m.items, i)
	return dropped, true
}

func (m *model) take(q *queue, l *lane) *item {
	for j, i := range m.items {
		if q.laneOf(i.channelID) == l {
			m.items = append(m.items[:j:j], m.items[j+1:]...)
			return i
		}
	}
	return nil
}

func TestTheQueueIsAsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, m := newQueue(3, 6, 8), &model{limit: 6}
		var flying []*item
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := &item{channelID: rapid.StringMatching("[a-e]").Draw(t, "channel"),
					body:  make([]byte, rapid.IntRange(1, 48).Draw(t, "bytes")),
					class: class(rapid.IntRange(0, int(classes)-1).Draw(t, "class"))}
				dropped, ok := q.put(i)
				wantDropped, wantOK := m.put(i)
				if !slices.Equal(dropped, wantDropped) || ok != wantOK {
					t.Fatalf("%d dropped, %v, want %d, %v", len(dropped), ok, len(wantDropped), wantOK)
				}
			},
			"take": func(t *rapid.T) {
				l := q.lanes[rapid.IntRange(0, 2).Draw(t, "lane")]
				i, want := q.take(l), m.take(q, l)
				if i != want {
					t.Fatalf("%p, want %p", i, want)
				}
				if i != nil {
					flying = append(flying, i)
				}
			},
			"finish": func(t *rapid.T) {
				if len(flying) > 0 {
					q.finish(flying[0])
					flying = flying[1:]
				}
			},
			"barrier": func(t *rapid.T) {
				if b := q.barrier(rapid.StringMatching("[a-e]").Draw(t, "channel")); b != nil && rapid.Bool().Draw(t, "unbar") {
					q.unbar(b)
				}
			},
			"": func(t *rapid.T) {
				pending := 0
				for _, l := range q.lanes {
					for _, n := range l.pending {
						pending += n
					}
				}
				count, bytes, n := q.state()
				if count != len(m.items) || bytes != m.bytes() || n != len(flying) || pending != count+n {
					t.Fatalf("%d items, %d bytes, %d under way, %d by channel; want %d, %d, %d", count, bytes, n, pending, len(m.items), m.bytes(), len(flying))
				}
			},
		})
	})
}
