//go:build !linux

package record

import (
	"errors"
	"time"
)

// Capture is there on Linux only.
type Capture struct{}

// errPlatform is what it says elsewhere.
var errPlatform = errors.New("record: packets can be recorded on Linux only")

// Open fails.
func Open(uint16) (*Capture, error) { return nil, errPlatform }

// Close does nothing.
func (*Capture) Close() error { return nil }

// Run fails.
func (*Capture) Run(time.Duration) ([]Packet, error) { return nil, errPlatform }
