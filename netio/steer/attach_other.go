//go:build !linux

package steer

import (
	"errors"
	"fmt"
)

// Attach reports that this system has no steering: one socket has to take everything.
func Attach(int, []Instruction) error {
	return fmt.Errorf("attaching the steering program: %w", errors.ErrUnsupported)
}
