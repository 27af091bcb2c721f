package wheel

import (
	"math"
	"slices"
	"testing"
	"time"

	"tsubame/netio/mono"
)

func at(d time.Duration) mono.Time { return mono.Time(d) }

func expired(w *Wheel, now mono.Time) (ids []uint32) {
	for id, ok := w.Expire(now); ok; id, ok = w.Expire(now) {
		ids = append(ids, id)
	}
	return ids
}

func TestTimersNeverFireEarlyAndLessThanAMillisecondLate(t *testing.T) {
	const us = time.Microsecond
	for _, start := range []time.Duration{1, 999 * us, 1000 * us, 63*time.Millisecond + 1, time.Hour} {
		for _, in := range []time.Duration{
			1, 500 * us, 999 * us, 1000 * us, 1001 * us, 1999 * us, 63 * time.Millisecond,
			64 * time.Millisecond, 4095 * time.Millisecond, 4096*time.Millisecond + 1,
			30 * time.Second, time.Hour, 25 * time.Hour, 365 * 24 * time.Hour,
		} {
			w := New(at(start), 1)
			deadline := at(start + in)
			w.Set(0, deadline)
			if got := expired(w, deadline-1); got != nil {
				t.Errorf("at %v: a timer in %v fired early", start, in)
			}
			if got := expired(w, deadline.Add(time.Millisecond-1)); len(got) != 1 {
				t.Errorf("at %v: a timer in %v had not fired a millisecond later", start, in)
			}
			if w.Len() != 0 || w.Next() != mono.Never || w.Deadline(0) != mono.Never {
				t.Errorf("at %v: a timer in %v is still set", start, in)
			}
		}
	}
}

func TestTimersFireInOrderOfTheirMilliseconds(t *testing.T) {
	w := New(0, 5)
	for id, ms := range []time.Duration{700, 5, 64, 7000, 63} {
		w.Set(uint32(id), at(ms*time.Millisecond))
	}
	if got, want := expired(w, at(time.Minute)), []uint32{1, 4, 2, 0, 3}; !slices.Equal(got, want) {
		t.Errorf("fired in order %v, want %v", got, want)
	}
}

func TestSettingAgainReplacesAndNeverCancels(t *testing.T) {
	w := New(0, 3)
	w.Set(0, at(10*time.Millisecond))
	w.Set(0, at(20*time.Millisecond))
	w.Set(1, at(10*time.Millisecond))
	w.Set(1, mono.Never)
	w.Set(2, at(10*time.Millisecond))
	w.Cancel(2)
	w.Cancel(2)
	if w.Len() != 1 || w.Deadline(0) != at(20*time.Millisecond) || w.Deadline(1) != mono.Never {
		t.Errorf("%d timers set, deadlines %d and %d", w.Len(), w.Deadline(0), w.Deadline(1))
	}
	if got := expired(w, at(15*time.Millisecond)); got != nil {
		t.Errorf("fired %v", got)
	}
	if got := expired(w, at(20*time.Millisecond)); !slices.Equal(got, []uint32{0}) {
		t.Errorf("fired %v, want timer 0", got)
	}
}

// A handler may do what it likes to any timer between two calls of Expire.
func TestTimersMayBeSetAndCanceledInTheMiddleOfARound(t *testing.T) {
	w := New(0, 6)
	now := at(10 * time.Millisecond)
	for id := range uint32(4) {
		w.Set(id, at(5*time.Millisecond))
	}
	first, _ := w.Expire(now)
	rest := slices.DeleteFunc([]uint32{0, 1, 2, 3}, func(id uint32) bool { return id == first })
	w.Cancel(rest[0])                       // was due
	w.Set(rest[1], at(20*time.Millisecond)) // was due, now later
	w.Set(4, at(3*time.Millisecond))        // passed
	w.Set(5, now)                           // now
	if next := w.Next(); next > now || next == mono.Never {
		t.Errorf("next at %d with timers due at %d", next, now)
	}
	if got, want := expired(w, now), []uint32{rest[2], 4, 5}; !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
	if got := expired(w, at(20*time.Millisecond)); !slices.Equal(got, rest[1:2]) {
		t.Errorf("fired %v, want %v", got, rest[1:2])
	}
}

func TestWakingAtNextReachesADeadlineInFewSteps(t *testing.T) {
	for _, in := range []time.Duration{time.Millisecond, 77 * time.Millisecond, 30 * time.Second, 100 * time.Hour} {
		w := New(at(12345*time.Microsecond), 1)
		deadline := at(12345*time.Microsecond + in)
		w.Set(0, deadline)
		steps, last := 0, mono.Time(0)
		for {
			next := w.Next()
			if next <= last || next > deadline.Add(time.Millisecond) {
				t.Fatalf("in %v: next is %d after %d, deadline %d", in, next, last, deadline)
			}
			last = next
			steps++
			if id, ok := w.Expire(next); ok {
				if id != 0 || next < deadline {
					t.Errorf("in %v: timer %d at %d", in, id, next)
				}
				break
			}
		}
		if steps > levels {
			t.Errorf("in %v: %d steps", in, steps)
		}
	}
}

func TestTheEndsOfTheClock(t *testing.T) {
	w := New(-5, 3) // an instant that does not occur counts as the clock's start
	w.Set(0, -1)
	w.Set(1, math.MaxInt64)
	w.Set(2, 1)
	if next := w.Next(); next != 1 {
		t.Errorf("next is %d for a timer that is due at the clock's start, want 1", next)
	}
	if got := expired(w, 0); !slices.Equal(got, []uint32{0}) {
		t.Errorf("fired %v", got)
	}
	if got := expired(w, math.MaxInt64/2); !slices.Equal(got, []uint32{2}) {
		t.Errorf("fired %v", got)
	}
	w.Set(2, math.MaxInt64/2+at(time.Second))
	next := w.Next()
	if got := expired(w, 5); got != nil || w.Next() != next {
		t.Errorf("a clock that goes back fired %v, and next is %d instead of %d", got, w.Next(), next)
	}
	// The last millisecond is not whole: the deadline is rounded up behind the end.
	if got := expired(w, math.MaxInt64); !slices.Equal(got, []uint32{2}) {
		t.Errorf("fired %v, want timer 2", got)
	}
}

func TestNumbersOutsidePanic(t *testing.T) {
	w := New(0, 2)
	for name, f := range map[string]func(){
		"Set":            func() { w.Set(2, 1) },
		"Cancel":         func() { w.Cancel(2) },
		"New below 0":    func() { New(0, -1) },
		"New over limit": func() { New(0, most+1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestWheelAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	w := New(0, 1000)
	now := mono.Time(0)
	if n := testing.AllocsPerRun(100, func() {
		for id := range uint32(1000) {
			w.Set(id, now.Add(time.Duration(id)*time.Millisecond))
		}
		now = now.Add(time.Second)
		for _, ok := w.Expire(now); ok; _, ok = w.Expire(now) {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Each timer is set again far ahead before it fires, as a connection's consent timer is.
func BenchmarkSetAgain(b *testing.B) {
	const n = 10000
	w := New(0, n)
	now := mono.Time(0)
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		now += 1000
		w.Set(i%n, now.Add(30*time.Second))
		w.Expire(now)
	}
}

// Each timer fires and is set again 20 ms ahead.
func BenchmarkFire(b *testing.B) {
	const n = 1000
	w := New(0, n)
	now := mono.Time(0)
	for id := range uint32(n) {
		w.Set(id, now.Add(time.Duration(id)*20*time.Microsecond))
	}
	b.ReportAllocs()
	for b.Loop() {
		id, ok := w.Expire(now)
		for !ok {
			now = now.Add(time.Millisecond)
			id, ok = w.Expire(now)
		}
		w.Set(id, now.Add(20*time.Millisecond))
	}
}

func BenchmarkNext(b *testing.B) {
	w := New(0, 10)
	w.Set(3, at(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		w.Next()
	}
}
