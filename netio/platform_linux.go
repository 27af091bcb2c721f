package netio

import "golang.org/x/sys/unix"

const (
	multiShard = true // SO_REUSEPORT spreads datagrams over sockets

	// The sysctls that cap socket buffers.
	recvLimit = "net.core.rmem_max"
	sendLimit = "net.core.wmem_max"
)

// newPoller returns the system's best poller.
func newPoller() (poller, error) { return newEpoller() }

// pin binds the calling thread to one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}
