package rtx

import (
	"math"
	"slices"
	"testing"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"

	"pgregory.net/rapid"
)

type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// entry is a packet in the slow and obvious version of a ring: a sorted list.
type entry struct {
	seq   uint64
	since mono.Time
	size  int
}

type model struct {
	held    []entry
	newest  uint64
	group   uint64 // first packet of the group that is held; 0: none
	started bool
	cfg     Config
}

func (m *model) insert(seq uint64, size int, now mono.Time) {
	m.expire(now)
	at, there := slices.BinarySearchFunc(m.held, seq, func(e entry, seq uint64) int { return int(int64(e.seq - seq)) })
	if there || m.started && seq+uint64(m.cfg.Slots) <= m.newest {
		return
	}
	m.started = true
	m.newest = max(m.newest, seq)
	since := now
	if at < len(m.held) {
		since = m.held[at].since
	}
	m.held = slices.Insert(m.held, at, entry{seq, since, size})
	for m.held[0].seq+uint64(m.cfg.Slots) <= m.newest {
		if m.held[0].seq == m.group {
			m.group = 0
		}
		m.held = m.held[1:]
	}
	if _, group := m.bytes(); m.group != 0 && seq > m.group && group > m.cfg.HoldBytes {
		m.group = 0
	}
	m.trim()
}

func (m *model) trim() {
	for others, _ := m.bytes(); m.cfg.MaxBytes > 0 && others > m.cfg.MaxBytes; others, _ = m.bytes() {
		m.held = m.held[1:]
	}
}

func (m *model) hold(seq uint64) {
	there := slices.ContainsFunc(m.held, func(e entry) bool { return e.seq == seq })
	if m.cfg.HoldBytes == 0 || !there || seq <= m.group {
		return
	}
	m.group = seq
	if _, group := m.bytes(); group > m.cfg.HoldBytes {
		m.group = 0
		return
	}
	m.trim()
}

func (m *model) expire(now mono.Time) {
	for due := m.deadline(); due != mono.Never && due <= now; due = m.deadline() {
		if m.held[0].seq == m.group {
			m.group = 0
		} else {
			m.held = m.held[1:]
		}
	}
}

func (m *model) deadline() mono.Time {
	switch {
	case len(m.held) == 0 || m.cfg.MaxAge == 0:
		return mono.Never
	case m.held[0].seq == m.group:
		return m.held[0].since.Add(m.cfg.HoldAge)
	}
	return m.held[0].since.Add(m.cfg.MaxAge)
}

// bytes returns the size of the packets before the group, and of those in it.
func (m *model) bytes() (others, group int) {
	for _, e := range m.held {
		if m.group != 0 && e.seq >= m.group {
			group += e.size
		} else {
			others += e.size
		}
	}
	return others, group
}

// runRing interprets bytes: three of configuration, then operations of two bytes each.
func runRing(t reporter, ops []byte) {
	t.Helper()
	if len(ops) < 3 {
		return
	}
	cfg := Config{
		Slots:    1 << (ops[0] % 6),
		MaxAge:   time.Duration(ops[1]) * time.Millisecond,
		MaxBytes: int(ops[2]%64) * 64,
	}
	if cfg.MaxAge > 0 {
		cfg.HoldBytes, cfg.HoldAge = int(ops[0]/6)*64, cfg.MaxAge*time.Duration(1+ops[2]/64)
	}
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: 64, Count: 64}, {Size: 100, Count: 64}}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	mag := arena.Magazine()
	pool := NewPool(arena, 1, cfg)
	id, _ := pool.Open()
	g, m := pool.Writer(id), &model{cfg: cfg}
	seq, now := uint64(1<<16), mono.Time(1)
	for k := 3; k+1 < len(ops); k += 2 {
		arg := uint64(ops[k+1])
		switch ops[k] % 8 {
		case 0, 1, 2, 3: // the next, one after a gap, a late one, one after a jump
			at := seq
			switch ops[k] % 8 {
			case 0:
				seq++
				at = seq
			case 1:
				seq += arg % 40
				at = seq
			case 2:
				at -= arg % 64
			case 3:
				seq += arg << (arg % 24)
				at = seq
			}
			size := 64 + 36*int(ops[k]>>7)
			r, ok := mag.Get(size, packet.Control)
			if !ok {
				t.Fatalf("step %d: arena is empty", k)
			}
			stamp(arena, r, id, at)
			g.Insert(at, r, now, mag)
			m.insert(at, size, now)
		case 4, 5:
			now = now.Add(time.Duration(arg) * time.Millisecond / 4)
		case 6:
			g.Expire(now, mag)
			m.expire(now)
		case 7:
			if arg%16 == 0 {
				stale := id
				pool.Close(id, mag)
				id, _ = pool.Open()
				g, m = pool.Writer(id), &model{cfg: cfg}
				if _, ok := pool.Get(stale, seq); ok {
					t.Fatalf("step %d: an id that is over found a packet", k)
				}
				if pool.Oldest(stale) != math.MaxUint64 {
					t.Fatalf("step %d: an id that is over may have packets", k)
				}
				if _, ok := pool.Held(stale); ok {
					t.Fatalf("step %d: an id that is over holds a group", k)
				}
				if _, ok := pool.Next(stale, seq); ok {
					t.Fatalf("step %d: an id that is over has packets", k)
				}
				break
			}
			g.Hold(seq-arg%8, mag)
			m.hold(seq - arg%8)
		}
		compare(t, k, pool, arena, mag, id, g, m)
	}
	pool.Close(id, mag)
	if n := arena.Outstanding(); n != 0 {
		t.Fatalf("%d buffers leaked", n)
	}
}

func compare(t reporter, step int, pool *Pool, arena *packet.Arena, mag *packet.Magazine, id ID, g *Ring, m *model) {
	t.Helper()
	s := g.Stats()
	others, group := m.bytes()
	if s.Held != len(m.held) || s.Bytes != others+group || arena.Outstanding() != len(m.held) {
		t.Fatalf("step %d: %+v with %d buffers, model %v", step, s, arena.Outstanding(), m.held)
	}
	if g.Deadline() != m.deadline() {
		t.Fatalf("step %d: deadline %d, want %d", step, g.Deadline(), m.deadline())
	}
	if got, ok := pool.Held(id); got != m.group || ok != (m.group != 0) || ok != g.Holds() {
		t.Fatalf("step %d: holds %d, %v; want %d", step, got, ok, m.group)
	}
	oldest := uint64(0)
	if len(m.held) > 0 {
		oldest = m.held[0].seq
	} else if m.started {
		oldest = m.newest + 1
	}
	if got := pool.Oldest(id); got != oldest {
		t.Fatalf("step %d: oldest %d, want %d", step, got, oldest)
	}
	for seq := m.newest - 70; seq != m.newest+70; seq++ {
		want := slices.ContainsFunc(m.held, func(e entry) bool { return e.seq == seq })
		if next, ok := pool.Next(id, seq); want != (ok && next == seq) {
			t.Fatalf("step %d: the next packet at or after %d is %d, %v", step, seq, next, ok)
		}
		r, ok := pool.Get(id, seq)
		if ok != want || ok && !stamped(arena, r, id, seq) {
			t.Fatalf("step %d: Get(%d) %v, want %v", step, seq, ok, want)
		}
		if ok {
			mag.Release(r)
		}
	}
}

func TestRingMatchesTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		runRing(rt, rapid.SliceOfN(rapid.Byte(), 3, 400).Draw(rt, "operations"))
	})
}

func FuzzRing(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 1, 30, 2, 5, 7, 0, 0, 0})
	f.Add([]byte{2, 20, 10, 0, 0, 4, 40, 0, 0, 2, 1, 4, 41, 6, 0, 3, 255})
	f.Add([]byte{53, 9, 200, 0, 0, 7, 1, 0, 0, 0, 0, 4, 44, 6, 0, 0, 0, 4, 99, 0, 0})
	f.Add([]byte{5, 0, 5, 0, 0, 128, 0, 128, 0, 0, 0, 0, 0, 2, 1, 2, 4})
	f.Fuzz(func(t *testing.T, ops []byte) { runRing(t, ops) })
}
