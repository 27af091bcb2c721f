package stream

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

func newRing(size int) *ring {
	r := new(ring)
	r.init(make([]byte, size))
	return r
}

// put adds one entry, or reports that there is no place.
func put(r *ring, entry []byte) bool {
	b := r.place(0, len(entry))
	if b == nil {
		return false
	}
	copy(b, entry)
	r.advance(len(entry))
	return true
}

// drain takes everything that was published and releases it.
func drain(r *ring) []byte {
	var all []byte
	for b := r.readable(); len(b) > 0; b = r.readable() {
		all = append(all, b...)
		r.take(len(b))
	}
	r.release()
	return all
}

// What one operation of the model is.
const (
	opPut = iota
	opPending
	opPublish
	opTake
	opRelease
	ops
)

// runRing reads operations and their sizes from bytes, two each, and compares the ring with
// a byte slice.
func runRing(t interface {
	Helper()
	Fatalf(string, ...any)
}, script []byte) {
	t.Helper()
	const size, longest = 256, 60
	r := newRing(size)
	var model []byte   // what was published and not taken
	var unseen []byte  // what was advanced over and not published
	var pending []byte // of an entry that is not whole
	var views [][2][]byte
	next := byte(0)
	for i := 0; i+1 < len(script); i += 2 {
		n := int(script[i+1])
		switch script[i] % ops {
		case opPut: // ends an entry of up to longest bytes, with what is pending of it
			n = max(n%(longest+1), len(pending)+1)
			b := r.place(len(pending), n)
			if b == nil {
				// An entry may be refused for the skipped rest, which is less than one.
				if free := size - r.used(); free >= 2*longest {
					t.Fatalf("step %d: no place for %d with %d free", i, n, free)
				}
				continue
			}
			if len(b) < n || !bytes.Equal(b[:len(pending)], pending) {
				t.Fatalf("step %d: %d bytes with %x, want %d with %x", i, len(b), b, n, pending)
			}
			for j := len(pending); j < n; j++ {
				b[j] = next
				next++
			}
			unseen = append(unseen, b[:n]...)
			pending = nil
			r.advance(n)
		case opPending: // one more byte of an entry that is not whole
			if len(pending) >= longest-1 {
				continue
			}
			b := r.place(len(pending), longest)
			if b == nil {
				continue
			}
			b[len(pending)] = next
			pending = append(pending, next)
			next++
		case opPublish:
			if got := r.publish(); got != (len(unseen) > 0) {
				t.Fatalf("step %d: published %v with %d unseen", i, got, len(unseen))
			}
			model, unseen = append(model, unseen...), nil
		case opTake:
			if r.ready() != (len(model) > 0) {
				t.Fatalf("step %d: ready %v with %d in the model", i, r.ready(), len(model))
			}
			b := r.readable()
			if (len(b) == 0) != (len(model) == 0) {
				t.Fatalf("step %d: %d readable, %d in the model", i, len(b), len(model))
			}
			b = b[:min(n, len(b))]
			if !bytes.Equal(b, model[:len(b)]) {
				t.Fatalf("step %d: read %x, want %x", i, b, model[:len(b)])
			}
			views = append(views, [2][]byte{b, bytes.Clone(b)})
			model = model[len(b):]
			r.take(len(b))
		case opRelease:
			for _, v := range views {
				if !bytes.Equal(v[0], v[1]) {
					t.Fatalf("step %d: a view changed to %x before its release, was %x", i, v[0], v[1])
				}
			}
			views = nil
			r.release()
		}
		free := 0
		for _, b := range r.spare() {
			free += len(b)
			if len(b) > 0 && len(model) > 0 {
				// Nothing that waits lies there.
				for _, p := range []uint64{r.read, r.tail.Load() - 1} {
					if at := &r.buf[p&(size-1)]; inside(b, at) && p != r.skip.Load() {
						t.Fatalf("step %d: position %d is spare", i, p)
					}
				}
			}
		}
		if free+r.used() != size {
			t.Fatalf("step %d: %d spare and %d used of %d", i, free, r.used(), size)
		}
		if used := r.used(); used < 0 || used > size {
			t.Fatalf("step %d: %d used of %d", i, used, size)
		}
		if w := r.waiting(); w < len(model) || w > size {
			t.Fatalf("step %d: %d waiting, %d in the model", i, w, len(model))
		}
	}
}

// inside reports whether p points into b.
func inside(b []byte, p *byte) bool {
	for i := range b {
		if &b[i] == p {
			return true
		}
	}
	return false
}

func TestRingMatchesTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		runRing(rt, rapid.SliceOfN(rapid.Byte(), 0, 800).Draw(rt, "operations"))
	})
}

// Long scripts, most of them entries: what takes many turns of the ring to go wrong.
func TestRingMatchesTheModelForLong(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0))
		script := make([]byte, 20_000)
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		runRing(t, script)
	}
}

func FuzzRing(f *testing.F) {
	f.Add([]byte{opPut, 50, opPublish, 0, opTake, 50, opRelease, 0})
	// A place at the front that nothing follows is no entry, and what is skipped is not waiting.
	f.Add([]byte{0, 0, 2, 0, 3, 1, 4, 0, 1, 0, 2, 0})
	f.Add([]byte{0, 0, 2, 0, 3, 1, 4, 0, 0, 0, 0, 0, 2, 0})
	f.Add([]byte("272190200A20901020800x900A00"))
	f.Add(bytes.Repeat([]byte{opPut, 59, opPublish, 0, opTake, 40, opRelease, 0, opPending, 0}, 20))
	f.Fuzz(func(t *testing.T, script []byte) { runRing(t, script) })
}

func TestEntryThatDoesNotFitTheEndComesAtTheFrontInOnePiece(t *testing.T) {
	r := newRing(64)
	a, b, c := bytes.Repeat([]byte{1}, 40), bytes.Repeat([]byte{2}, 20), bytes.Repeat([]byte{3}, 30)
	if !put(r, a) || !put(r, b) || !r.publish() {
		t.Fatal("no place in an empty ring")
	}
	if put(r, c) {
		t.Fatal("an entry was put over another")
	}
	if got := r.readable(); !bytes.Equal(got, append(a, b...)) {
		t.Fatalf("read %v", got)
	}
	r.take(40)
	r.release()
	if !put(r, c) || !r.publish() {
		t.Fatal("no place at the front")
	}
	if got := r.readable(); !bytes.Equal(got, b) {
		t.Errorf("before what is skipped: %v", got)
	}
	r.take(20)
	if got := r.readable(); !bytes.Equal(got, c) || &got[0] != &r.buf[0] {
		t.Errorf("after what is skipped: %v", got)
	}
}

func TestEmptyRingBeginsAtTheFrontAgain(t *testing.T) {
	r := newRing(1 << 16)
	for i := range 1000 {
		entry := binary.BigEndian.AppendUint64(nil, uint64(i))
		if !put(r, entry) || !r.publish() {
			t.Fatal("no place")
		}
		if got := drain(r); !bytes.Equal(got, entry) {
			t.Fatalf("read %x, want %x", got, entry)
		}
	}
	for i, b := range r.buf[8:] {
		if b != 0 {
			t.Fatalf("byte %d was touched by entries of 8 bytes", i+8)
		}
	}
}

func TestWholeRingCanBeUsed(t *testing.T) {
	r := newRing(64)
	for range 10 {
		if b := r.place(0, 64); len(b) != 64 {
			t.Fatalf("%d bytes are free", len(b))
		}
		if !put(r, make([]byte, 64)) || put(r, []byte{1}) {
			t.Fatal("64 bytes hold another number than 64")
		}
		r.publish()
		if got := drain(r); len(got) != 64 {
			t.Fatalf("read %d bytes", len(got))
		}
	}
}

func TestConsumerSeesNothingBeforeItIsPublished(t *testing.T) {
	r := newRing(64)
	put(r, []byte{1, 2, 3})
	if r.ready() || r.readable() != nil || r.waiting() != 0 {
		t.Fatal("seen")
	}
	if !r.publish() || r.publish() {
		t.Fatal("published another number of times than once")
	}
	if got := r.readable(); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Fatalf("read %v", got)
	}
}

func TestRingOfAnOddSizePanics(t *testing.T) {
	for _, size := range []int{0, 3, 100} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a ring of %d bytes", size)
				}
			}()
			newRing(size)
		}()
	}
}

// Entries are [length, number, number...]: what arrives out of order, torn or twice shows.
func TestTwoGoroutinesPassEverythingInOrder(t *testing.T) {
	r := newRing(1 << 10)
	const entries = 30_000
	go func() {
		for i := 0; i < entries; {
			n := 2 + i*7%98
			b := r.place(0, n)
			if b == nil {
				r.publish()
				runtime.Gosched()
				continue
			}
			b[0] = byte(n)
			for j := 1; j < n; j++ {
				b[j] = byte(i)
			}
			r.advance(n)
			if i++; i%3 == 0 {
				r.publish()
			}
		}
		r.publish()
	}()
	for i := 0; i < entries; {
		b := r.readable()
		if len(b) == 0 {
			r.release()
			runtime.Gosched()
			continue
		}
		n := int(b[0])
		if n != 2+i*7%98 || n > len(b) {
			t.Fatalf("entry %d: %d bytes of %d", i, n, len(b))
		}
		for _, x := range b[1:n] {
			if x != byte(i) {
				t.Fatalf("entry %d holds %v", i, b[:n])
			}
		}
		r.take(n)
		if i++; i%5 == 0 {
			r.release()
		}
	}
}
