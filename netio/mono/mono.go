// Package mono is the data plane's clock type: nanoseconds on a monotonic scale that
// starts when the process does.
//
// Nothing below signal reads a clock. A shard reads it once per loop iteration (the one
// place is netio/clock.go) and hands the value to everything it calls, so that a test
// can pass any instant it likes and two decisions about one packet never see two times.
// Every goroutine may use the type; it holds no state.
package mono

import "time"

// Time is an instant in nanoseconds since the process started. The zero value means
// "never" wherever a deadline is expected; the clock itself starts above it.
type Time int64

// Never is the deadline that does not come.
const Never Time = 0

// Add returns the instant d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns how long after u the instant t is.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u. It treats Never as any other instant.
func (t Time) Before(u Time) bool { return t < u }

// Due reports whether deadline t, which may be Never, has come at now.
func (t Time) Due(now Time) bool { return t != Never && t <= now }

// Earliest returns the earlier of two deadlines, either of which may be Never.
func Earliest(a, b Time) Time {
	switch {
	case a == Never:
		return b
	case b == Never, a <= b:
		return a
	}
	return b
}
