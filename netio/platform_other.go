//go:build !linux

package netio

import (
	"errors"
	"os"
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

// The times of threads are known on Linux only.
func openThreadTimes() *os.File { return nil }

func processorTime(*os.File, []byte) (ran, waited time.Duration, ok bool) { return 0, 0, false }

// sharpenTimers is for Linux only: other systems have nothing to sharpen.
func sharpenTimers() error { return nil }

// pin is for Linux only.
func pin(int) error { return errors.ErrUnsupported }
