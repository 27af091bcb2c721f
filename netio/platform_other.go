//go:build !linux

package netio

import (
	"errors"
	"time"
)

const (
	multiShard = false // SO_REUSEPORT gives everything to one socket

	// The sysctls that cap socket buffers, as Darwin calls them.
	recvLimit = "kern.ipc.maxsockbuf"
	sendLimit = "kern.ipc.maxsockbuf"
)

// newPoller returns the system's best poller.
func newPoller() (poller, error) { return newPortablePoller() }

// threadID and processorTime are for Linux only.
func threadID() int { return 0 }

func processorTime(int) (ran, waited time.Duration, ok bool) { return 0, 0, false }

// sharpenTimers is for Linux only: other systems have nothing to sharpen.
func sharpenTimers() error { return nil }

// pin is for Linux only.
func pin(int) error { return errors.ErrUnsupported }
