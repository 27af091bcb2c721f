package entry

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// faultInterval is the time between log lines of what a client can make happen at will. The
// rest is in the counters.
const faultInterval = time.Second

// faultLog writes at most one line an interval.
type faultLog struct {
	log  *slog.Logger
	next atomic.Int64 // Unix time in ns
}

func (f *faultLog) warn(text string, args ...any) {
	now, next := time.Now().UnixNano(), f.next.Load()
	if now >= next && f.next.CompareAndSwap(next, now+int64(faultInterval)) {
		f.log.Warn(text, args...)
	}
}
