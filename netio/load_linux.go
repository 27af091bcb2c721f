package netio

import (
	"bytes"
	"io"
	"os"
	"time"
)

// openThreadTimes opens what the kernel tells of the calling thread's time; nil: it does not.
func openThreadTimes() *os.File {
	f, err := os.Open("/proc/thread-self/schedstat")
	if err != nil {
		return nil
	}
	return f
}

// processorTime returns for how long the thread of a file of openThreadTimes ran, and was ready
// to and had to wait, since it was started; false: the kernel does not say, or the file is
// closed. It reads into buf and allocates nothing.
func processorTime(f *os.File, buf []byte) (ran, waited time.Duration, ok bool) {
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return 0, 0, false
	}
	return parseSchedstat(buf[:n])
}

// parseSchedstat reads what the kernel's sched-stats.rst calls the first two fields of
// /proc/PID/schedstat: nanoseconds on a processor, and on a run queue.
func parseSchedstat(b []byte) (ran, waited time.Duration, ok bool) {
	first, rest, found := bytes.Cut(b, []byte{' '})
	if !found {
		return 0, 0, false
	}
	if i := bytes.IndexAny(rest, " \n"); i >= 0 {
		rest = rest[:i]
	}
	r, ok1 := parseNanoseconds(first)
	w, ok2 := parseNanoseconds(rest)
	return r, w, ok1 && ok2
}

// parseNanoseconds reads a decimal number of at most 18 digits.
func parseNanoseconds(b []byte) (d time.Duration, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = d*10 + time.Duration(c-'0')
	}
	return d, true
}
