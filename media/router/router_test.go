package router

import (
	"math/rand/v2"
	"sync"
	"testing"

	"tsubame/media/param"
)

func reserve(t testing.TB, table *Table) param.TrackID {
	t.Helper()
	id, ok := table.Reserve()
	if !ok {
		t.Fatal("the table is full")
	}
	return id
}

func TestTrackWithoutReadersIsReapedAtOnce(t *testing.T) {
	table := NewTable(1)
	id := reserve(t, table)
	if table.Live(id) != nil {
		t.Fatal("a reserved track is live before Open")
	}
	table.Open(id, Info{Owner: 3, Conn: 7})
	if table.Live(id) == nil {
		t.Fatal("an open track is not live")
	}
	if !table.Close(id) {
		t.Fatal("Close saw a reader that is not there")
	}
	if _, ok := table.Reap(id.Index, 2); ok {
		t.Fatal("a shard that is not the owner reaped the track")
	}
	info, ok := table.Reap(id.Index, 3)
	if !ok || info.Conn != 7 {
		t.Fatalf("Reap = %+v, %v", info, ok)
	}
	if _, ok := table.Reap(id.Index, 3); ok {
		t.Fatal("the track was reaped twice")
	}
	if _, ok := table.Reserve(); ok {
		t.Fatal("the index was given out before Release")
	}
	table.Release(id.Index)
	if again := reserve(t, table); again.Index != id.Index || again.Gen == id.Gen {
		t.Fatalf("reused as %v after %v", again, id)
	}
	if table.Live(id) != nil {
		t.Fatal("the old name still leads somewhere")
	}
}

func TestReaderKeepsClosingTrackUntilItDrops(t *testing.T) {
	table := NewTable(2)
	id := reserve(t, table)
	table.Open(id, Info{Owner: 0, Kind: param.Video})
	f := NewFanout(70, table)
	s := Sink{Conn: 1, Slot: 2}
	info, ok, _ := f.Add(id, s)
	if !ok || info.Kind != param.Video {
		t.Fatalf("Add = %+v, %v", info, ok)
	}
	if got := table.Index(id.Index).NextReader(0); got != 70 {
		t.Fatalf("NextReader = %d, want 70", got)
	}
	if table.Close(id) {
		t.Fatal("Close saw no reader")
	}
	if _, ok := table.Reap(id.Index, 0); ok {
		t.Fatal("reaped under a reader")
	}
	if _, ok, _ := NewFanout(1, table).Add(id, s); ok {
		t.Fatal("a closing track took another reader")
	}
	sinks, res := f.Drop(id.Index, nil)
	if len(sinks) != 1 || sinks[0] != s {
		t.Fatalf("dropped %v", sinks)
	}
	if !res.Last || res.Owner != 0 || res.Track != id.Index {
		t.Fatalf("result %+v, want the owner told", res)
	}
	if _, ok := table.Reap(id.Index, 0); !ok {
		t.Fatal("not reaped after the last reader left")
	}
}

func TestFanoutForgetsTrackWithItsLastSink(t *testing.T) {
	table := NewTable(1)
	id := reserve(t, table)
	table.Open(id, Info{})
	f := NewFanout(5, table)
	a, b := Sink{Conn: 1}, Sink{Conn: 2}
	f.Add(id, a)
	f.Add(id, b)
	f.Remove(id, a)
	if l := f.Find(id); l == nil || len(l.Sinks) != 1 || l.Sinks[0] != b {
		t.Fatalf("after one removal: %+v", l)
	}
	f.Remove(id, Sink{Conn: 9})
	if res := f.Remove(id, b); res.Last {
		t.Fatal("a live track asked to be reaped")
	}
	if f.Find(id) != nil || f.Tracks() != 0 || table.Index(id.Index).NextReader(0) != -1 {
		t.Fatal("the shard still reads a track without sinks")
	}
}

func TestCancelledNameLeadsNowhere(t *testing.T) {
	table := NewTable(1)
	id := reserve(t, table)
	table.Cancel(id)
	if table.Free() != 1 || table.Live(id) != nil {
		t.Fatal("the cancelled track is still there")
	}
	if _, ok, _ := NewFanout(0, table).Add(id, Sink{}); ok {
		t.Fatal("a cancelled track took a reader")
	}
}

// Owners publish and unpublish while the readers of other shards come and go as they
// like: in the end every index is free, and no track was ever reaped under a reader.
func TestTwoPhaseEndUnderRace(t *testing.T) {
	const readers, cycles = 4, 10000
	table := NewTable(3)
	var mu sync.Mutex
	var known []param.TrackID // what signaling would have told the readers
	told := make([]chan uint32, readers)
	acks := make(chan Result, 4096)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for r := range readers {
		told[r] = make(chan uint32, 4096)
		wg.Go(func() {
			f := NewFanout(r+1, table)
			rng := rand.New(rand.NewPCG(uint64(r), 1))
			mine := make(map[param.TrackID]bool)
			for {
				select {
				case i := <-told[r]:
					if table.Closing(i) {
						_, res := f.Drop(i, nil)
						if res.Last {
							acks <- res
						}
					}
					continue
				case <-done:
					for id := range mine {
						if res := f.Remove(id, Sink{Conn: id.Gen}); res.Last {
							acks <- res
						}
					}
					return
				default:
				}
				mu.Lock()
				var id param.TrackID
				if len(known) > 0 {
					id = known[rng.IntN(len(known))]
				}
				mu.Unlock()
				if id == (param.TrackID{}) {
					continue
				}
				if mine[id] {
					delete(mine, id)
					if res := f.Remove(id, Sink{Conn: id.Gen}); res.Last {
						acks <- res
					}
					continue
				}
				info, ok, res := f.Add(id, Sink{Conn: id.Gen})
				if res.Last {
					acks <- res
				}
				if ok {
					mine[id] = true
					if info.Conn != id.Gen {
						t.Errorf("track %v shows another's info %d", id, info.Conn)
					}
				}
			}
		})
	}
	reap := func(i uint32) {
		if _, ok := table.Reap(i, 0); ok {
			table.Release(i)
		}
	}
	settle := func() {
		for {
			select {
			case r := <-acks:
				reap(r.Track)
			default:
				return
			}
		}
	}
	for n := 0; n < cycles; {
		settle()
		id, ok := table.Reserve()
		if !ok {
			continue // readers have yet to acknowledge
		}
		n++
		table.Open(id, Info{Owner: 0, Conn: id.Gen})
		mu.Lock()
		known = append(known, id)
		var old param.TrackID
		if len(known) > 1 {
			old, known = known[0], known[1:]
		}
		mu.Unlock()
		if old == (param.TrackID{}) {
			continue
		}
		alone := table.Close(old)
		tr := table.Index(old.Index)
		for s := tr.NextReader(0); s >= 0; s = tr.NextReader(s + 1) {
			told[s-1] <- old.Index
		}
		if alone {
			reap(old.Index)
		}
	}
	close(done)
	wg.Wait()
	settle()
	last := known[0]
	if !table.Close(last) {
		t.Fatal("a reader is left on the last track")
	}
	reap(last.Index)
	for i := range table.Len() {
		reap(uint32(i))
	}
	if table.Free() != table.Len() {
		t.Fatalf("%d of %d indices free at the end", table.Free(), table.Len())
	}
}
