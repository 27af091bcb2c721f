package edge

import (
	"net/netip"
	"testing"
	"time"

	"tsubame/media/ice"
	"tsubame/netio/flow"
)

// pathOf is the i-th of many paths.
func pathOf(i int) flow.Key {
	a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
	return flow.KeyOf(netip.MustParseAddr("127.0.0.1"), netip.AddrPortFrom(a, 40000))
}

// held holds that a shard's two tables of others' paths say the same, and returns how many
// there are.
func held(t *testing.T, s *shard) (n int) {
	t.Helper()
	for c, keys := range s.foreign.of {
		n += len(keys)
		for _, k := range keys {
			if st := s.foreign.paths[k]; st == nil || st.conn != c {
				t.Fatalf("%v is listed for a connection that it is not known for", k)
			}
		}
	}
	if n != len(s.foreign.paths) {
		t.Fatalf("%d paths are listed, %d known", n, len(s.foreign.paths))
	}
	return n
}

// Row ICE-08.
func TestOneConnectionCannotFillAShardsMemoryOfPaths(t *testing.T) {
	const many = 1000
	for _, owned := range []bool{false, true} {
		r := newRig(t, 2, nil)
		p := r.open(0, pathA)
		if owned {
			p.establish()
		}
		for i := range many {
			r.deliver(1, pathOf(i), p.check(false))
			r.settle()
		}
		if n := len(r.take()); n != many {
			t.Errorf("owned %v: %d answers to %d checks", owned, n, many)
		}
		s := r.p.shards[1]
		if n := held(t, s); n != maxStrange {
			t.Errorf("owned %v: %d paths of one connection are remembered, want %d", owned, n, maxStrange)
		}
		// Those that had to go are counted, here and where the connection is owned.
		want := uint64(many - maxStrange)
		if owned {
			want += 1 + many - ice.MaxPaths
		}
		if n := r.sum(func(c *Counters) uint64 { return c.DropPaths.Load() }); n != want {
			t.Errorf("owned %v: drop_paths is %d, want %d", owned, n, want)
		}
		r.finish()
		r.advance(time.Minute)
		if n := held(t, s); n != 0 {
			t.Errorf("owned %v: %d paths of a closed connection are left", owned, n)
		}
	}
}

// Among many paths the one that carries something stays.
func TestPathInUseIsNotTheOneThatMakesRoom(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	p.establish()
	r.deliver(1, pathB, p.check(false))
	for i := range 10 * maxStrange {
		r.advance(time.Millisecond)
		r.deliver(1, pathOf(i), p.check(false))
		r.deliver(1, pathB, []byte{0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 3, 232, 1, 2, 3, 4})
	}
	if r.p.shards[1].foreign.find(pathB) == nil {
		t.Error("a path in use was forgotten")
	}
	held(t, r.p.shards[1])
	r.finish()
}
