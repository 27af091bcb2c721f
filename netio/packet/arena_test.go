package packet

import (
	"bytes"
	"math"
	"testing"
	"unsafe"
)

// small makes an arena of one class.
func small(t testing.TB, size, count int, reserve float64) *Arena {
	t.Helper()
	a, err := New(Config{Classes: []ClassConfig{{size, count}}, Reserve: reserve})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustGet(t testing.TB, m *Magazine, size int, p Priority) Ref {
	t.Helper()
	r, ok := m.Get(size, p)
	if !ok {
		t.Fatalf("Get(%d, %d) refused", size, p)
	}
	return r
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestHeaderIsOneAlignedCacheLine(t *testing.T) {
	if got := unsafe.Sizeof(Meta{}); got != metaSize {
		t.Errorf("Meta has %d bytes, want %d", got, metaSize)
	}
	if got := unsafe.Sizeof(head{}); got != cacheLine {
		t.Errorf("head has %d bytes, want %d", got, cacheLine)
	}
	a := small(t, 100, 1000, 0)
	if at := uintptr(unsafe.Pointer(&a.classes[0].heads[0])); at%cacheLine != 0 {
		t.Errorf("headers start at %#x, not on a cache line", at)
	}
	if at := uintptr(unsafe.Pointer(&a.classes[0].bytes[0])); at%cacheLine != 0 {
		t.Errorf("payloads start at %#x, not on a cache line", at)
	}
	if got := stride(100); got != 128 {
		t.Errorf("payloads of 100 bytes are %d apart, want 128", got)
	}
}

func TestNewRefusesImpossibleConfigs(t *testing.T) {
	ok := []ClassConfig{{256, 10}}
	for name, cfg := range map[string]Config{
		"no classes":        {},
		"too many classes":  {Classes: make([]ClassConfig, maxClasses+1)},
		"sizes descend":     {Classes: []ClassConfig{{256, 1}, {255, 1}}},
		"equal sizes":       {Classes: []ClassConfig{{256, 1}, {256, 1}}},
		"size 0":            {Classes: []ClassConfig{{0, 1}}},
		"size too large":    {Classes: []ClassConfig{{1 << 16, 1}}},
		"count 0":           {Classes: []ClassConfig{{256, 0}}},
		"count too large":   {Classes: []ClassConfig{{256, 1 << indexBits}}},
		"reserve 1":         {Classes: ok, Reserve: 1},
		"reserve below 0":   {Classes: ok, Reserve: -0.1},
		"reserve NaN":       {Classes: ok, Reserve: math.NaN()},
		"magazine below 0":  {Classes: ok, MagazineSize: -1},
		"magazine too long": {Classes: ok, MagazineSize: maxMagazine + 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestGetGivesACleanBufferOfTheSmallestClassThatFits(t *testing.T) {
	a, err := New(Config{Classes: []ClassConfig{{256, 16}, {768, 16}, {1600, 16}}})
	if err != nil {
		t.Fatal(err)
	}
	m := a.Magazine()
	for _, c := range []struct{ size, capacity int }{
		{0, 256}, {1, 256}, {256, 256}, {257, 768}, {768, 768}, {769, 1600}, {1600, 1600},
	} {
		r := mustGet(t, m, c.size, Video)
		if got := len(a.Bytes(r)); got != c.capacity {
			t.Errorf("Get(%d): capacity %d, want %d", c.size, got, c.capacity)
		}
		if len(a.Data(r)) != 0 || *a.Meta(r) != (Meta{}) {
			t.Errorf("Get(%d): %d bytes in use, meta %+v", c.size, len(a.Data(r)), *a.Meta(r))
		}
		// Dirty it: the next round of the same buffer must be clean again.
		a.SetLen(r, c.size)
		*a.Meta(r) = Meta{Seq: 1, HeaderLen: 2, Padding: 3, Flags: FlagMarker}
		m.Release(r)
	}
	if n := a.Outstanding(); n != 0 {
		t.Errorf("%d buffers outstanding", n)
	}
}

func TestBuffersDoNotOverlap(t *testing.T) {
	a, err := New(Config{Classes: []ClassConfig{{100, 20}, {200, 20}}})
	if err != nil {
		t.Fatal(err)
	}
	m := a.Magazine()
	refs := map[Ref]byte{}
	for range 40 {
		r := mustGet(t, m, 100, Control)
		if _, twice := refs[r]; twice || r == 0 {
			t.Fatalf("ref %#x handed out twice, or none", r)
		}
		refs[r] = byte(len(refs) + 1)
		b := a.Bytes(r)
		for i := range b {
			b[i] = refs[r]
		}
		_ = append(b, 0xff) // must move, not run into the neighbor
	}
	for r, fill := range refs {
		if b := a.Bytes(r); !bytes.Equal(b, bytes.Repeat([]byte{fill}, len(b))) {
			t.Errorf("ref %#x was overwritten", r)
		}
		m.Release(r)
	}
}

func TestPayloadLeavesOutHeaderAndPadding(t *testing.T) {
	a := small(t, 64, 8, 0)
	m := a.Magazine()
	r := mustGet(t, m, 20, Video)
	copy(a.Bytes(r), "0123456789abcdefghij")
	a.SetLen(r, 20)
	a.Meta(r).HeaderLen, a.Meta(r).Padding = 12, 3
	if got := string(a.Payload(r)); got != "cdefg" {
		t.Errorf("payload %q, want cdefg", got)
	}
	if got := cap(a.Payload(r)); got != 5 {
		t.Errorf("payload has capacity %d: an append would overwrite the padding", got)
	}
	a.Meta(r).HeaderLen, a.Meta(r).Padding = 12, 8
	if got := a.Payload(r); len(got) != 0 {
		t.Errorf("payload %q, want none", got)
	}
}

func TestProgrammerErrorsPanic(t *testing.T) {
	a := small(t, 64, 8, 0)
	m := a.Magazine()
	mustPanic(t, "a length beyond the capacity", func() { a.SetLen(mustGet(t, m, 1, Video), 65) })
	mustPanic(t, "a negative length", func() { a.SetLen(mustGet(t, m, 1, Video), -1) })
	mustPanic(t, "a negative size", func() { m.Get(-1, Video) })
	mustPanic(t, "Bytes of no buffer", func() { a.Bytes(0) })
	mustPanic(t, "Meta of no buffer", func() { a.Meta(0) })
	mustPanic(t, "Data of a class that is not there", func() { a.Data(1<<indexBits | 1) })
	mustPanic(t, "a negative release", func() { m.ReleaseN(mustGet(t, m, 1, Video), -1) })
	mustPanic(t, "a negative retain", func() { a.Retain(mustGet(t, m, 1, Video), -1) })
}
