package wheel

import (
	"testing"
	"time"

	"tsubame/netio/mono"

	"pgregory.net/rapid"
)

type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// model is the slow and obvious version: a list of deadlines.
type model struct {
	deadline []mono.Time
	late     []bool    // had come already when it was set
	expired  mono.Time // the last Expire
}

// fires is the instant from which on timer id has to fire: its deadline, rounded up.
func (m *model) fires(id int) mono.Time {
	const ms = mono.Time(time.Millisecond)
	return (m.deadline[id] + ms - 1) / ms * ms
}

// runWheel interprets bytes as the number of timers and then operations, three bytes each:
// what, a mantissa and an exponent of a time span, so that spans go from nanoseconds to
// weeks.
func runWheel(t reporter, ops []byte) {
	t.Helper()
	if len(ops) == 0 {
		return
	}
	now := mono.Time(1)
	n := 1 + int(ops[0])%16
	m := &model{deadline: make([]mono.Time, n), late: make([]bool, n), expired: now}
	w := New(now, n)
	for k := 1; k+2 < len(ops) && now < 1<<60; k += 3 {
		span := mono.Time(ops[k+1]) << (ops[k+2] % 43)
		id := int(ops[k]>>2) % n
		switch ops[k] & 3 {
		case 0, 1:
			deadline := now + span
			if ops[k+2] >= 0xf0 { // passed
				deadline = max(1, now-mono.Time(ops[k+1])<<12)
			}
			w.Set(uint32(id), deadline)
			m.deadline[id] = deadline
			m.late[id] = m.fires(id) <= m.expired
		case 2:
			w.Cancel(uint32(id))
			m.deadline[id] = mono.Never
		case 3:
			now += span
			m.expired = now
			m.expire(t, w, now)
		}
		m.compare(t, w, now)
	}
}

// expire takes what fires at now, and checks that this is what should, in order.
func (m *model) expire(t reporter, w *Wheel, now mono.Time) {
	t.Helper()
	last := mono.Time(0)
	for id, ok := w.Expire(now); ok; id, ok = w.Expire(now) {
		fires := m.fires(int(id))
		switch {
		case m.deadline[id] == mono.Never:
			t.Fatalf("at %d: timer %d fired, which is not set", now, id)
		case m.deadline[id] > now:
			t.Fatalf("at %d: timer %d fired early, deadline %d", now, id, m.deadline[id])
		case w.Deadline(id) != mono.Never:
			t.Fatalf("at %d: timer %d is still set after it fired", now, id)
		case m.late[id]: // has no place in the order: it was due at once
		case fires < last:
			t.Fatalf("at %d: timer %d of %d fired after one of %d", now, id, fires, last)
		default:
			last = fires
		}
		m.deadline[id] = mono.Never
	}
	for id, deadline := range m.deadline {
		if deadline != mono.Never && m.fires(id) <= now {
			t.Fatalf("at %d: timer %d did not fire, deadline %d", now, id, deadline)
		}
	}
}

func (m *model) compare(t reporter, w *Wheel, now mono.Time) {
	t.Helper()
	armed, first := 0, mono.Never
	for id, deadline := range m.deadline {
		if w.Deadline(uint32(id)) != deadline {
			t.Fatalf("at %d: timer %d is set to %d, want %d", now, id, w.Deadline(uint32(id)), deadline)
		}
		if deadline != mono.Never {
			armed++
			first = mono.Earliest(first, m.fires(id))
		}
	}
	next := w.Next()
	if w.Len() != armed || (next == mono.Never) != (armed == 0) {
		t.Fatalf("at %d: %d set, next %d, want %d", now, w.Len(), next, armed)
	}
	if next > max(first, now) {
		t.Fatalf("at %d: next is %d, later than the first deadline %d", now, next, first)
	}
}

func TestWheelMatchesTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		runWheel(rt, rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(rt, "operations"))
	})
}

func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 0, 100, 20, 3, 200, 20})
	f.Add([]byte{3, 0, 1, 42, 4, 2, 30, 8, 9, 0xff, 3, 1, 20, 2, 0, 0, 3, 255, 42})
	f.Add([]byte{15, 0, 64, 20, 4, 63, 20, 3, 62, 20, 8, 1, 0, 3, 1, 20, 3, 1, 20})
	f.Fuzz(func(t *testing.T, ops []byte) { runWheel(t, ops) })
}
