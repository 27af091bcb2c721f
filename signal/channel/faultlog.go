package channel

import (
	"log/slog"
	"sync"
	"time"
)

// FaultLog writes the log lines of clients' faults, at most faultsPerSecond of them a
// second, so that a flood of bad clients costs no more than that. The first line of a later
// second says how many were left out.
type FaultLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	second  int64
	written int
	left    int
}

const faultsPerSecond = 10

// NewFaultLog returns a FaultLog that writes to log.
func NewFaultLog(log *slog.Logger) *FaultLog { return &FaultLog{log: log, now: time.Now} }

// Log writes one line at level warn, or counts it as left out.
func (f *FaultLog) Log(message string, attributes ...any) {
	f.mu.Lock()
	if s := f.now().Unix(); s != f.second {
		f.second, f.written = s, 0
	}
	if f.written == faultsPerSecond {
		f.left++
		f.mu.Unlock()
		return
	}
	f.written++
	left := f.left
	f.left = 0
	f.mu.Unlock()
	if left > 0 {
		attributes = append(attributes, "left_out", left)
	}
	f.log.Warn(message, attributes...)
}
