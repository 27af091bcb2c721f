package netio

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// threadID names the calling thread.
func threadID() int { return unix.Gettid() }

// processorTime returns for how long a thread of ours ran, and was ready to and had to wait,
// since it was started; false: the kernel does not say.
func processorTime(tid int) (ran, waited time.Duration, ok bool) {
	b, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/schedstat")
	if err != nil {
		return 0, 0, false
	}
	return parseSchedstat(b)
}

// parseSchedstat reads what the kernel's sched-stats.rst calls the first two fields of
// /proc/PID/schedstat: nanoseconds on a processor, and on a run queue.
func parseSchedstat(b []byte) (ran, waited time.Duration, ok bool) {
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, 0, false
	}
	first, err1 := strconv.ParseInt(string(fields[0]), 10, 64)
	second, err2 := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(first), time.Duration(second), err1 == nil && err2 == nil
}
