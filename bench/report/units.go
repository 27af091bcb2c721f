package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time writes a duration with three digits and its unit: "0 us", "1.23 us", "456 ms", "12.0 s".
func Time(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d == 0:
		return "0 us"
	case d < time.Microsecond:
		return fmt.Sprintf("%s%d ns", sign, d.Nanoseconds())
	case d < 999500*time.Nanosecond:
		return sign + digits(float64(d)/1e3) + " us"
	case d < 999500*time.Microsecond:
		return sign + digits(float64(d)/1e6) + " ms"
	case d < 10*time.Minute:
		return sign + digits(float64(d)/1e9) + " s"
	}
	return fmt.Sprintf("%s%d min", sign, int(d.Round(time.Minute)/time.Minute))
}

// Size writes a number of bytes with three digits and its binary unit.
func Size(n uint64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1023.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return digits(v) + " " + units[i]
}

// BitRate writes bits a second with three digits and its decimal unit.
func BitRate(v float64) string {
	units := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return digits(v) + " " + units[i]
}

// Count writes a number with commas between its thousands.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Percent writes a share (1 is all) with three digits.
func Percent(share float64) string { return digits(100*share) + " %" }

// digits writes a number that is not negative with three digits, or as many as stand before
// the point, with commas between thousands.
func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Count(uint64(v + 0.5))
}

// perSecond divides a count by a duration; 0 if there was no time.
func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// share divides two durations; 0 if there was no time.
func share(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
