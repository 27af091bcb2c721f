package slab

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"
)

type row struct {
	n    atomic.Uint64
	rest [7]uint64
}

func TestLargeSlabsLieOutsideOfTheHeap(t *testing.T) {
	if !canMap {
		if _, err := mapMemory(mapFrom); err == nil {
			t.Fatal("memory was mapped where it cannot be")
		}
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var s Set
	rows, err := Make[row](&s, 1<<20) // 64 MiB
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if s.Mapped() != 64<<20 {
		t.Errorf("%d bytes mapped, want 64 MiB", s.Mapped())
	}
	if at := uintptr(unsafe.Pointer(&rows[0])); at%4096 != 0 {
		t.Errorf("a slab begins at %#x, not on a page", at)
	}
	if len(rows) != 1<<20 || cap(rows) != 1<<20 {
		t.Errorf("%d rows of %d", len(rows), cap(rows))
	}
	rows[0].n.Add(1)
	rows[len(rows)-1].rest[6] = 7
	if rows[0].n.Load() != 1 || rows[len(rows)-1].rest[6] != 7 || rows[1].rest[0] != 0 {
		t.Error("memory does not keep what is written, or is not zero")
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if err := s.Release(); err != nil || s.Mapped() != 0 {
		t.Error("a second Release finds something to give back", err)
	}
}

func TestSmallSlabsStayOnTheHeap(t *testing.T) {
	var s Set
	b, err := Make[uint32](&s, 100)
	if err != nil || len(b) != 100 || s.Mapped() != 0 {
		t.Errorf("%d values, %d bytes mapped, %v", len(b), s.Mapped(), err)
	}
}

func TestTypesWithPointersPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a type with a pointer deep inside was accepted")
		}
	}()
	var s Set
	_, _ = Make[[2]struct{ b []byte }](&s, 1)
}

func TestAnImpossibleSizeIsAnError(t *testing.T) {
	if !canMap {
		return
	}
	var s Set
	if _, err := Make[byte](&s, 1<<60); err == nil {
		t.Error("2^60 bytes were mapped")
	}
	if s.Mapped() != 0 {
		t.Error("what failed is remembered")
	}
}

func TestADroppedOwnerGivesItsMemoryBack(t *testing.T) {
	type owner struct {
		set  Set
		rows []row
	}
	done := make(chan struct{})
	func() {
		o := &owner{}
		var err error
		if o.rows, err = Make[row](&o.set, 1<<15); err != nil {
			t.Fatal(err)
		}
		Guard(o, &o.set)
		o.rows[0].n.Add(1)
		// Cleanups of one object run in order of their making, on one goroutine.
		runtime.AddCleanup(o, func(c chan struct{}) { close(c) }, done)
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-done:
			return
		default:
			runtime.Gosched()
		}
	}
	<-done
}

func TestAReleasedSetIsNotGivenBackTwice(t *testing.T) {
	o := new([16]uint64)
	var s Set
	if _, err := Make[row](&s, 1<<15); err != nil {
		t.Fatal(err)
	}
	Guard(o, &s)
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if s.guarded {
		t.Error("the cleanup is still due")
	}
	runtime.KeepAlive(o)
}
