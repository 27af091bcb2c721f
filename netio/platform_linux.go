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

// timerSlack is by how much the kernel may prolong a sleep, in nanoseconds. Its default of 50
// us, made for laptops, is a third of what forwarding may add.
const timerSlack = 1000

// sharpenTimers sets the calling thread's timer slack.
func sharpenTimers() error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0)
}

// pin binds the calling thread to one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}
