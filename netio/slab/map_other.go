//go:build !linux || race

package slab

import "errors"

// canMap is false where we know of nothing better than the heap, and under the race detector,
// which watches no other memory.
const canMap = false

func mapMemory(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapMemory([]byte) error { return errors.ErrUnsupported }
