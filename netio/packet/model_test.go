package packet

import (
	"testing"

	"pgregory.net/rapid"
)

type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// runArena interprets bytes as operations on two magazines and keeps the obvious books: a
// map from buffer to references. Two bytes an operation: what, and on which.
func runArena(t reporter, ops []byte) {
	t.Helper()
	counts := []int{24, 16}
	a, err := New(Config{Classes: []ClassConfig{{64, counts[0]}, {100, counts[1]}}, Reserve: 0.25, MagazineSize: 4})
	if err != nil {
		t.Fatalf("%v", err)
	}
	shards := []*Magazine{a.Magazine(), a.Magazine()}
	model := map[Ref]int{}
	var held []Ref // one entry for each reference
	drop := func(i int) Ref {
		r := held[i]
		held[i] = held[len(held)-1]
		held = held[:len(held)-1]
		if model[r]--; model[r] == 0 {
			delete(model, r)
		}
		return r
	}
	for k := 0; k+1 < len(ops); k += 2 {
		op, arg := ops[k], int(ops[k+1])
		m := shards[op>>7]
		switch op & 7 {
		case 0, 1, 2:
			size, p := arg%120, Priority(op>>3&3%byte(priorities))
			r, ok := m.Get(size, p)
			if !ok {
				// Control is refused only if the fitting classes are all in use, but
				// for what the other shard's magazine keeps: at most 3 a class here.
				room := counts[1] + counts[0]
				if size > 64 {
					room = counts[1]
				}
				for ref := range model {
					if size <= 64 || ref>>indexBits == 1 {
						room--
					}
				}
				if size <= 100 && p == Control && room > 6 {
					t.Fatalf("step %d: control refused with %d buffers free", k, room)
				}
				continue
			}
			if model[r] != 0 {
				t.Fatalf("step %d: %#x handed out twice", k, r)
			}
			if len(a.Bytes(r)) < size || *a.Meta(r) != (Meta{}) || len(a.Data(r)) != 0 {
				t.Fatalf("step %d: %#x for %d bytes is too small or dirty", k, r, size)
			}
			a.SetLen(r, size)
			a.Meta(r).Seq = uint64(r)
			model[r] = 1
			held = append(held, r)
		case 3:
			if len(held) > 0 {
				r := held[arg%len(held)]
				a.Retain(r, 1)
				model[r]++
				held = append(held, r)
			}
		case 4:
			r := Ref(arg>>7)<<indexBits | Ref(arg&0x7f%counts[arg>>7]+1)
			if got := a.TryRetain(r); got != (model[r] > 0) {
				t.Fatalf("step %d: TryRetain(%#x) %v with %d references", k, r, got, model[r])
			} else if got {
				model[r]++
				held = append(held, r)
			}
		case 5, 6:
			if len(held) > 0 {
				m.Release(drop(arg % len(held)))
			}
		case 7:
			if arg%8 == 0 {
				m.Drain()
			} else if len(held) > 0 {
				a.Release(drop(arg % len(held)))
			}
		}
		if got := a.Outstanding(); got != len(model) {
			t.Fatalf("step %d: %d outstanding, want %d", k, got, len(model))
		}
		for r := range model {
			if a.Meta(r).Seq != uint64(r) {
				t.Fatalf("step %d: buffer %#x was overwritten", k, r)
			}
		}
	}
	for len(held) > 0 {
		shards[0].Release(drop(0))
	}
	for _, m := range shards {
		m.Drain()
	}
	for _, c := range a.Stats().Classes {
		if c.Depot != c.Count || c.InUse != 0 {
			t.Fatalf("in the end %+v", c)
		}
	}
}

func TestArenaMatchesTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		runArena(rt, rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(rt, "operations"))
	})
}

func FuzzArena(f *testing.F) {
	f.Add([]byte{0, 10, 3, 0, 5, 0, 5, 0})
	f.Add([]byte{0, 1, 0x80, 2, 0x10, 3, 4, 1, 4, 0x81, 0x85, 0, 0x87, 8, 7, 1})
	f.Fuzz(func(t *testing.T, ops []byte) { runArena(t, ops) })
}
