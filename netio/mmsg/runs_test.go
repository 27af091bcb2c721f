package mmsg

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tsubame/netio/flow"
)

// datagram is what buildRuns looks at.
type datagram struct {
	to   flow.Key
	size int
}

// entriesOf lays datagrams out as a queue would: slots stand in the order of sending, entries
// in any other.
func entriesOf(datagrams []datagram) (entries []txEntry, slots []uint16) {
	entries = make([]txEntry, len(datagrams))
	for i, d := range datagrams {
		slot := len(datagrams) - 1 - i
		entries[slot] = txEntry{to: d.to, size: uint16(d.size)}
		slots = append(slots, uint16(slot))
	}
	return entries, slots
}

// lengths cuts datagrams and returns how many each run has.
func lengths(datagrams []datagram, longest int, alone *flowSet) (list []int) {
	entries, slots := entriesOf(datagrams)
	for _, r := range buildRuns(make([]run, 0, len(slots)), entries, slots, longest, alone) {
		list = append(list, int(r.n))
	}
	return list
}

func TestBuildRunsCutsWhereTheKernelWouldCutElsewhere(t *testing.T) {
	a, b := testKey(1), testKey(2)
	elsewhere := a
	elsewhere.Local = flow.AddrOf(netip.MustParseAddr("192.0.2.77"))
	to := func(k flow.Key, sizes ...int) (list []datagram) {
		for _, size := range sizes {
			list = append(list, datagram{k, size})
		}
		return list
	}
	cases := []struct {
		name      string
		datagrams []datagram
		want      []int
	}{
		{"nothing", nil, nil},
		{"one", to(a, 1000), []int{1}},
		{"equal lengths", to(a, 1000, 1000, 1000), []int{3}},
		{"a shorter last", to(a, 1000, 1000, 1), []int{3}},
		{"a shorter one in between ends its run", to(a, 1000, 999, 1000), []int{2, 1}},
		{"nothing follows a shorter one, as short as it may be", to(a, 1000, 999, 999), []int{2, 1}},
		{"a longer one begins a run", to(a, 999, 1000, 1000), []int{1, 2}},
		{"each longer than the one before", to(a, 1, 2, 3), []int{1, 1, 1}},
		{"each shorter than the one before", to(a, 4, 3, 2, 1), []int{2, 2}},
		{"another port", slices.Concat(to(a, 100, 100), to(b, 100)), []int{2, 1}},
		{"another family", slices.Concat(to(a, 100, 100), to(testKey6(1), 100, 100)), []int{2, 2}},
		{"another source address", slices.Concat(to(a, 100), to(elsewhere, 100, 100)), []int{1, 2}},
		{"two destinations in turn are not sorted", slices.Concat(to(a, 100), to(b, 100), to(a, 100)), []int{1, 1, 1}},
		{"as many segments as a message may have", to(a, slices.Repeat([]int{10}, 64)...), []int{64}},
		{"one more", to(a, slices.Repeat([]int{10}, 65)...), []int{64, 1}},
		{"as many bytes as a message may have", to(a, slices.Repeat([]int{2000}, 33)...), []int{32, 1}},
		{"exactly", to(a, slices.Repeat([]int{1300}, 51)...), []int{50, 1}},
		{"a shorter last that does not fit", to(a, append(slices.Repeat([]int{1300}, 50), 1)...), []int{50, 1}},
	}
	for _, c := range cases {
		if got := lengths(c.datagrams, maxSegments, new(flowSet)); !slices.Equal(got, c.want) {
			t.Errorf("%s: runs of %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBuildRunsLeavesFlowsAlone(t *testing.T) {
	var alone flowSet
	a, b := testKey(1), testKey(2)
	alone.add(&a)
	datagrams := []datagram{{a, 9}, {a, 9}, {a, 9}, {b, 9}, {b, 9}, {a, 9}}
	if got := lengths(datagrams, maxSegments, &alone); !slices.Equal(got, []int{1, 1, 1, 2, 1}) {
		t.Errorf("runs of %v", got)
	}
	if got := lengths(datagrams, 1, new(flowSet)); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1}) {
		t.Errorf("runs of %v where none are wanted", got)
	}
}

func TestBuildRunsStopsWhenThereIsRoomForNoMore(t *testing.T) {
	entries, slots := entriesOf([]datagram{{testKey(1), 9}, {testKey(1), 9}, {testKey(2), 9}, {testKey(3), 9}})
	runs := buildRuns(make([]run, 0, 2), entries, slots, maxSegments, new(flowSet))
	if want := []run{{first: 0, n: 2, bytes: 18}, {first: 2, n: 1, bytes: 9}}; !slices.Equal(runs, want) {
		t.Errorf("runs %v, want %v", runs, want)
	}
}

// Whatever is queued: the runs cover all of it in order, each is one that the kernel cuts
// where we do, and no two neighbours could have been one.
func TestBuildRunsHoldsItsRules(t *testing.T) {
	keys := []flow.Key{testKey(1), testKey(2), testKey6(1), {Remote: testKey(1).Remote, Port: 1}}
	rapid.Check(t, func(t *rapid.T) {
		var datagrams []datagram
		for range rapid.IntRange(0, 12).Draw(t, "stretches") {
			k := rapid.SampledFrom(keys).Draw(t, "flow")
			size := rapid.SampledFrom([]int{1, 2, 100, 999, 1000, 1100, SlotSize}).Draw(t, "size")
			for range rapid.IntRange(1, 80).Draw(t, "times") {
				datagrams = append(datagrams, datagram{k, size})
			}
		}
		var alone flowSet
		if rapid.Bool().Draw(t, "one flow alone") {
			alone.add(&keys[0])
		}
		longest := rapid.IntRange(1, maxSegments).Draw(t, "longest")
		entries, slots := entriesOf(datagrams)
		next := 0
		var last *run
		for _, r := range buildRuns(make([]run, 0, len(slots)), entries, slots, longest, &alone) {
			if int(r.first) != next || r.n == 0 || int(r.n) > longest {
				t.Fatalf("run %+v where the next datagram is %d", r, next)
			}
			mine := datagrams[next : next+int(r.n)]
			bytes := 0
			for i, d := range mine {
				bytes += d.size
				if d.to != mine[0].to || d.size > mine[0].size || d.size < mine[0].size && i != len(mine)-1 {
					t.Fatalf("run %v: the kernel would cut it elsewhere", mine)
				}
			}
			if bytes != int(r.bytes) || r.n > 1 && (bytes > maxRunBytes || alone.has(&mine[0].to)) {
				t.Fatalf("run %+v has %d bytes", r, bytes)
			}
			if last != nil && last.bytes+uint32(mine[0].size) <= maxRunBytes && int(last.n) < longest && !alone.has(&mine[0].to) {
				before := datagrams[last.first:next]
				if before[0].to == mine[0].to && before[0].size == before[len(before)-1].size && mine[0].size <= before[0].size {
					t.Fatalf("runs %v and %v could have been longer", before, mine)
				}
			}
			last, next = &r, next+int(r.n)
		}
		if next != len(datagrams) {
			t.Fatalf("%d of %d datagrams are in runs", next, len(datagrams))
		}
	})
}

func TestFlowSetForgetsTheOlderOfTwoInOnePlace(t *testing.T) {
	var f flowSet
	older := testKey(0)
	if f.has(&older) {
		t.Fatal("an empty set has a flow")
	}
	f.add(&older)
	newer, found := testKey(0), false
	for port := 1; port < 1<<16 && !found; port++ {
		newer.Port = uint16(port)
		found = hashFlow(&newer)%flowSetSize == hashFlow(&older)%flowSetSize
	}
	if !found {
		t.Fatal("no other flow has the place")
	}
	if f.has(&newer) {
		t.Error("a flow is there that only has another's place")
	}
	f.add(&newer)
	if !f.has(&newer) || f.has(&older) {
		t.Errorf("newer %v, older %v", f.has(&newer), f.has(&older))
	}
}

// A full set holds most of the flows that were added last, whatever they differ in.
func TestFlowSetSpreadsFlows(t *testing.T) {
	for name, key := range map[string]func(i int) flow.Key{
		"port":   func(i int) flow.Key { return testKey(uint16(i)) },
		"remote": func(i int) (k flow.Key) { k = testKey6(1); k.Remote[9], k.Remote[15] = byte(i>>8), byte(i); return k },
		"local":  func(i int) (k flow.Key) { k = testKey(1); k.Local[14], k.Local[15] = byte(i>>8), byte(i); return k },
	} {
		var f flowSet
		for i := range flowSetSize {
			k := key(i)
			f.add(&k)
		}
		kept := 0
		for i := range flowSetSize {
			if k := key(i); f.has(&k) {
				kept++
			}
		}
		// Of n flows thrown at n places, 1 - 1/e of the places are taken.
		if kept < flowSetSize*55/100 {
			t.Errorf("of %d flows that differ by %s, %d are held", flowSetSize, name, kept)
		}
	}
}

func TestBuildRunsDoesNotAllocate(t *testing.T) {
	entries, slots := entriesOf(mix(256))
	runs, alone := make([]run, 0, 256), new(flowSet)
	if n := testing.AllocsPerRun(100, func() { buildRuns(runs, entries, slots, maxSegments, alone) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// mix is frames of four equal datagrams and a shorter one, to as many destinations.
func mix(n int) (list []datagram) {
	for i := range n {
		size := 1100
		if i%5 == 4 {
			size = 700
		}
		list = append(list, datagram{testKey(uint16(i / 5)), size})
	}
	return list
}

func BenchmarkBuildRuns(b *testing.B) {
	b.ReportAllocs()
	entries, slots := entriesOf(mix(256))
	runs, alone := make([]run, 0, 256), new(flowSet)
	for done := 0; done < b.N; done += 256 {
		buildRuns(runs, entries, slots, maxSegments, alone)
	}
}
