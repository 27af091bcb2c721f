package netio

import (
	"time"

	"tsubame/netio/mono"
)

// start ties the monotonic scale to the wall, once: a clock that is stepped while the server
// runs moves nothing here, so RTP and NTP time stay on one line for the whole process.
var start = time.Now()

// Now reads the clock. This is the only place in the data plane that does, and a shard calls
// it once an iteration (and once more to know how long to sleep).
func Now() mono.Time {
	return mono.Time(time.Since(start)) + 1 // above mono.Never even in the first nanosecond
}

// Wall returns the wall-clock time of t, by the offset taken when the process started.
func Wall(t mono.Time) time.Time {
	return start.Round(0).Add(time.Duration(t - 1))
}

// ntpEpoch is the Unix epoch in seconds since 1900 (RFC 5905 section 6).
const ntpEpoch = 2208988800

// NTP returns t as a 64-bit NTP timestamp (RFC 5905 section 6; RFC 3550 section 4): seconds
// since 1900 in the upper half, fractions of 2^-32 s in the lower. It never jumps: two
// timestamps differ by exactly what their times do.
func NTP(t mono.Time) uint64 { return ntpOf(startUnix + int64(t-1)) }

var startUnix = start.UnixNano()

// ntpOf converts nanoseconds since the Unix epoch, which must not be negative.
func ntpOf(unix int64) uint64 {
	seconds, nanos := uint64(unix/1e9), uint64(unix%1e9)
	return (seconds+ntpEpoch)<<32 | nanos<<32/1e9
}
