package packet

import (
	"sync"
	"testing"
)

func TestVideoIsRefusedFirstAndCountedByPriority(t *testing.T) {
	const n, reserve = 64, 16
	a := small(t, 64, n, float64(reserve)/n)
	m := a.Magazine()
	var held []Ref
	take := func(p Priority) (got int) {
		for {
			r, ok := m.Get(1, p)
			if !ok {
				return got
			}
			held = append(held, r)
			got++
		}
	}
	if got := take(Video); got != n-reserve {
		t.Errorf("video got %d buffers, want %d", got, n-reserve)
	}
	if got := take(Audio); got != reserve {
		t.Errorf("audio got %d buffers, want the reserve of %d", got, reserve)
	}
	if got := take(Control); got != 0 {
		t.Errorf("control got %d buffers of none", got)
	}
	if got := a.Stats().Failures; got != [priorities]uint64{1, 1, 1} {
		t.Errorf("failures %v, want one each", got)
	}

	// What audio frees is the reserve again and not video's, although it lies in the
	// same magazine.
	for range reserve {
		m.Release(held[len(held)-1])
		held = held[:len(held)-1]
	}
	if got := take(Video); got != 0 {
		t.Errorf("video got %d buffers of the reserve", got)
	}
	if got := take(Audio); got != reserve {
		t.Errorf("audio got %d buffers, want %d", got, reserve)
	}
	for _, r := range held {
		m.Release(r)
	}
	held = nil
	if got := take(Video); got != n-reserve {
		t.Errorf("video got %d buffers afterwards, want %d", got, n-reserve)
	}
}

// Video that is refused because the depot is low puts its own magazine into the depot, so
// that it does not starve with everything free.
func TestVideoDoesNotStarveBesideItsOwnMagazine(t *testing.T) {
	const n = 64
	a := small(t, 64, n, 0.5)
	m := a.Magazine()
	var held []Ref
	for range n {
		held = append(held, mustGet(t, m, 1, Audio))
	}
	for _, r := range held {
		m.Release(r)
	}
	for range n / 2 {
		mustGet(t, m, 1, Video)
	}
	if _, ok := m.Get(1, Video); ok {
		t.Error("video got into the reserve")
	}
}

func TestEmptyClassSpillsUpwardAndNeverDown(t *testing.T) {
	a, err := New(Config{Classes: []ClassConfig{{64, 4}, {128, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	m := a.Magazine()
	for i := range 8 {
		r := mustGet(t, m, 64, Video)
		if want := []int{64, 128}[i/4]; len(a.Bytes(r)) != want {
			t.Errorf("buffer %d has %d bytes, want %d", i, len(a.Bytes(r)), want)
		}
		if i == 0 {
			defer m.Release(r)
		}
	}
	if _, ok := m.Get(64, Video); ok {
		t.Error("empty arena gave a buffer")
	}
	if s := a.Stats(); s.Spilled != 4 || s.Failures[Video] != 1 {
		t.Errorf("spilled %d, failed %d, want 4 and 1", s.Spilled, s.Failures[Video])
	}
	m2 := a.Magazine()
	if _, ok := m2.Get(129, Control); ok || a.Stats().TooLong != 1 {
		t.Errorf("a size beyond every class: got one, or counted %d times", a.Stats().TooLong)
	}
}

// Buffers that one shard takes and another frees come back by way of the depot.
func TestBuffersFreedElsewhereComeBack(t *testing.T) {
	a := small(t, 64, 64, 0)
	taker, freer := a.Magazine(), a.Magazine()
	for i := range 1000 {
		r, ok := taker.Get(1, Video)
		if !ok {
			t.Fatalf("empty after %d buffers", i)
		}
		freer.Release(r)
	}
	if a.Outstanding() != 0 {
		t.Error("buffers outstanding")
	}
	taker.Drain()
	freer.Drain()
	if s := a.Stats().Classes[0]; s.Depot != s.Count {
		t.Errorf("depot has %d of %d", s.Depot, s.Count)
	}
}

func TestMagazineHoldsAnEighthOfASmallClassAtMost(t *testing.T) {
	a := small(t, 64, 64, 0)
	m := a.Magazine()
	r := mustGet(t, m, 1, Video)
	m.Release(r)
	if got := 64 - a.Stats().Classes[0].Depot; got > 8 {
		t.Errorf("magazine holds %d of 64", got)
	}
}

func TestDepotPanicsOnMoreThanItGave(t *testing.T) {
	a := small(t, 64, 8, 0)
	mustPanic(t, "a buffer that nobody took", func() { a.classes[0].put([]Ref{1}) })
}

// Shards pass buffers on to each other, retain and release in any order: the sum stays
// right and nothing is handed out twice.
func TestShardsPassBuffersAround(t *testing.T) {
	for _, shards := range []int{2, 4, 8} {
		const rounds = 3000
		a, err := New(Config{
			Classes: []ClassConfig{{64, 100}, {128, 100}}, Reserve: 0.1, MagazineSize: 16,
		})
		if err != nil {
			t.Fatal(err)
		}
		mail := make([]chan Ref, shards)
		for i := range mail {
			mail[i] = make(chan Ref, 16)
		}
		var wg sync.WaitGroup
		for s := range shards {
			wg.Go(func() {
				m := a.Magazine()
				defer m.Drain()
				defer func() {
					for r := range mail[s] {
						m.Release(r)
					}
				}()
				defer close(mail[(s+1)%shards])
				for i := range rounds {
					if r, ok := m.Get(i%128, Priority(i%int(priorities))); ok {
						a.Bytes(r)[0] = byte(i)
						a.Retain(r, 2)
						m.ReleaseN(r, 2)
						select {
						case mail[(s+1)%shards] <- r:
						default:
							m.Release(r)
						}
					}
					select {
					case r, ok := <-mail[s]:
						if ok {
							m.Release(r)
						}
					default:
					}
				}
			})
		}
		wg.Wait()
		if n := a.Outstanding(); n != 0 {
			t.Errorf("%d shards: %d buffers leaked", shards, n)
		}
		for _, c := range a.Stats().Classes {
			if c.Depot != c.Count {
				t.Errorf("%d shards: depot has %d of %d", shards, c.Depot, c.Count)
			}
		}
	}
}

func TestArenaAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	a := small(t, 1600, 1000, 0.1)
	m := a.Magazine()
	var held [200]Ref // beyond a magazine: the depot is in it too
	if n := testing.AllocsPerRun(100, func() {
		for i := range held {
			held[i], _ = m.Get(1200, Video)
			a.SetLen(held[i], 1200)
			a.Meta(held[i]).Seq = uint64(i)
			a.TryRetain(held[i])
		}
		for _, r := range held {
			m.Release(r)
			m.Release(r)
		}
		r, _ := m.Get(1, Audio)
		a.Release(r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	a := small(b, 1600, 1000, 0.1)
	m := a.Magazine()
	b.ReportAllocs()
	for b.Loop() {
		r, _ := m.Get(1200, Video)
		m.Release(r)
	}
}

// One shard takes, another frees: each buffer goes by the depot.
func BenchmarkGetReleaseByTheDepot(b *testing.B) {
	a := small(b, 1600, 1000, 0.1)
	taker, freer := a.Magazine(), a.Magazine()
	b.ReportAllocs()
	for b.Loop() {
		r, _ := taker.Get(1200, Video)
		freer.Release(r)
	}
}

func BenchmarkTryRetainRelease(b *testing.B) {
	a := small(b, 1600, 1000, 0.1)
	m := a.Magazine()
	r := mustGet(b, m, 1, Video)
	b.ReportAllocs()
	for b.Loop() {
		a.TryRetain(r)
		m.Release(r)
	}
}

func BenchmarkOutstanding(b *testing.B) {
	a := small(b, 64, 100000, 0)
	m := a.Magazine()
	for range 100000 {
		mustGet(b, m, 1, Video)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Outstanding()
	}
}
