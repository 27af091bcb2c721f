package ring

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Each structure has one function that interprets bytes as operations and compares it
// with a slow and obvious version; property tests and fuzzing both run it.

// reporter is what *testing.T and *rapid.T have in common here.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

func property(t *testing.T, run func(reporter, []byte)) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		run(rt, rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(rt, "operations"))
	})
}

func fuzz(f *testing.F, run func(reporter, []byte)) {
	f.Add([]byte{0})
	f.Add([]byte{3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte("\x05\x00\x00\x00\x00\x00\x80\x80\x80\xff\x00\x80\x80"))
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, ops) })
}

// runMPSC: the first byte is the capacity; then 0x80 and up pops, 0x7f closes, others push.
func runMPSC(t reporter, ops []byte) {
	t.Helper()
	if len(ops) == 0 {
		return
	}
	r := NewMPSC[int](int(ops[0]%20) + 1)
	var model []int
	closed := false
	for i, op := range ops[1:] {
		switch {
		case op >= 0x80:
			v, ok := r.Pop()
			if ok != (len(model) > 0) || ok && v != model[0] {
				t.Fatalf("step %d: popped %d, %v; model %v", i, v, ok, model)
			}
			if ok {
				model = model[1:]
			}
		case op == 0x7f:
			r.Close()
			closed = true
		default:
			want := !closed && len(model) < r.Cap()
			if got := r.TryPush(i); got != want {
				t.Fatalf("step %d: push %v, want %v", i, got, want)
			}
			if want {
				model = append(model, i)
			}
		}
		if r.Len() != len(model) || r.Empty() != (len(model) == 0) || r.Drained() != (closed && len(model) == 0) {
			t.Fatalf("step %d: length %d, empty %v, drained %v; model %v", i, r.Len(), r.Empty(), r.Drained(), model)
		}
	}
}

func TestRingMatchesTheModel(t *testing.T) { property(t, runMPSC) }
func FuzzMPSC(f *testing.F)                { fuzz(f, runMPSC) }

// runFlags: two bytes an operation. An odd first byte takes a bit out, an even one sets the
// bit that both name. The number of flags spans two words of the upper level.
func runFlags(t reporter, ops []byte) {
	t.Helper()
	const n = 4096 + 70
	f := NewFlags(n)
	set := map[uint32]bool{}
	at := uint32(0)
	for k := 0; k+1 < len(ops); k += 2 {
		if ops[k]%2 == 1 {
			want, any := next(set, at, n)
			got, ok := f.Next()
			if ok != any || ok && got != want {
				t.Fatalf("step %d: got %d, %v, want %d, %v", k, got, ok, want, any)
			}
			if ok {
				delete(set, got)
				at = got + 1
			}
		} else {
			i := (uint32(ops[k])<<8 | uint32(ops[k+1])) * 31 % n
			if got := f.Set(i); got == set[i] {
				t.Fatalf("step %d: Set(%d) says clear: %v", k, i, got)
			}
			set[i] = true
		}
		if f.Empty() != (len(set) == 0) {
			t.Fatalf("step %d: empty %v with %d set", k, f.Empty(), len(set))
		}
	}
}

// next is the obvious round robin.
func next(set map[uint32]bool, at, n uint32) (uint32, bool) {
	for k := range n {
		if i := (at + k) % n; set[i] {
			return i, true
		}
	}
	return 0, false
}

func TestFlagsMatchTheModel(t *testing.T) { property(t, runFlags) }
func FuzzFlags(f *testing.F)              { fuzz(f, runFlags) }

// runIndexPool: the first byte is the size; then an even byte takes, an odd one gives back
// the held index that it names.
func runIndexPool(t reporter, ops []byte) {
	t.Helper()
	if len(ops) == 0 {
		return
	}
	n := int(ops[0]%40) + 1
	p := NewIndexPool(n)
	var free, held []uint32
	for i := range n {
		free = append(free, uint32(n-1-i)) // the top is at the end
	}
	for k, op := range ops[1:] {
		if op%2 == 0 {
			i, ok := p.Get()
			if ok != (len(free) > 0) || ok && i != free[len(free)-1] {
				t.Fatalf("step %d: got %d, %v; free %v", k, i, ok, free)
			}
			if ok {
				free = free[:len(free)-1]
				held = append(held, i)
			}
		} else if len(held) > 0 {
			at := int(op/2) % len(held)
			p.Put(held[at])
			free = append(free, held[at])
			held = slices.Delete(held, at, at+1)
		}
		if p.Free() != len(free) {
			t.Fatalf("step %d: %d free, model %v", k, p.Free(), free)
		}
	}
}

func TestIndexPoolMatchesTheModel(t *testing.T) { property(t, runIndexPool) }
func FuzzIndexPool(f *testing.F)                { fuzz(f, runIndexPool) }
