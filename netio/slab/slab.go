// Package slab is memory for large tables without pointers, outside of Go's heap where the
// system allows it.
//
// The collector paces itself by the size of what is alive, whether it was ever touched or
// not: a table of 300 MB of which a twentieth is in use would let garbage grow to 300 MB
// before it is collected. Mapped memory is nothing to the collector, and counts against the
// machine only page by page, as it is touched.
//
// A Set belongs to the goroutine that fills it until it is complete, and to one closer
// afterwards. What Make returns is valid until Release, and not an instant longer: a slice
// that is used after it ends the process. The package never grows a slab and never moves one.
package slab

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"
)

// mapFrom is the size in bytes from which memory is mapped. What is smaller means nothing to
// the collector's pace, and costs two system calls less on its own heap.
const mapFrom = 1 << 20

// Set is the memory of one owner. The zero Set is empty.
type Set struct {
	maps    [][]byte
	cleanup runtime.Cleanup
	guarded bool
}

// Make adds n zero values of a type without pointers to the set, on pages of their own if
// they are many. It panics if the type has pointers, which the collector would not see here.
func Make[T any](s *Set, n int) ([]T, error) {
	t := reflect.TypeFor[T]()
	if hasPointers(t) {
		panic(fmt.Sprintf("slab: %v has pointers", t))
	}
	size := n * int(t.Size())
	if size < mapFrom || !canMap {
		return make([]T, n), nil
	}
	b, err := mapMemory(size)
	if err != nil {
		return nil, fmt.Errorf("slab: mapping %d bytes: %w", size, err)
	}
	s.maps = append(s.maps, b)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), nil
}

// Mapped returns how many bytes of the set lie outside of Go's heap.
func (s *Set) Mapped() int {
	n := 0
	for _, b := range s.maps {
		n += len(b)
	}
	return n
}

// Release gives everything back. It may be repeated.
func (s *Set) Release() error {
	if s.guarded {
		s.cleanup.Stop()
		s.guarded = false
	}
	err := unmapAll(s.maps)
	s.maps = nil
	return err
}

// Guard has a complete set given back when its owner is dropped without Release: whoever
// uses a slice of the set has to hold the owner as well.
func Guard[T any](owner *T, s *Set) {
	if len(s.maps) > 0 {
		s.cleanup = runtime.AddCleanup(owner, func(maps [][]byte) { _ = unmapAll(maps) }, s.maps)
		s.guarded = true
	}
}

func unmapAll(maps [][]byte) error {
	var err error
	for _, b := range maps {
		err = errors.Join(err, unmapMemory(b))
	}
	return err
}

// hasPointers reports whether values of t can hold a pointer.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Pointer, reflect.UnsafePointer, reflect.Slice, reflect.String, reflect.Map,
		reflect.Chan, reflect.Func, reflect.Interface:
		return true
	}
	return false
}
