package netio

import (
	"testing"
	"time"

	"tsubame/netio/mono"
)

func TestNowIsMonotonicAndNeverNever(t *testing.T) {
	last := mono.Never
	for range 100_000 {
		now := Now()
		if now < last || now == mono.Never {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}

func TestWallIsTheWallClock(t *testing.T) {
	before := time.Now()
	wall := Wall(Now())
	after := time.Now()
	// The two clocks may have drifted apart by what NTP slewed since the start.
	if wall.Before(before.Add(-time.Second)) || wall.After(after.Add(time.Second)) {
		t.Errorf("wall %v is not between %v and %v", wall, before, after)
	}
}

func TestNTPOfKnownInstants(t *testing.T) {
	for _, c := range []struct {
		unix time.Time
		want uint64
	}{
		{time.Unix(0, 0), 2208988800 << 32},
		{time.Unix(0, 500_000_000), 2208988800<<32 | 1<<31},
		{time.Unix(1, 250_000_000), 2208988801<<32 | 1<<30},
		{time.Unix(0, 999_999_999), 2208988800<<32 | 0xfffffffb},
		// RFC 5905 figure 4: 1 January 2000 is second 3,155,673,600.
		{time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), 3155673600 << 32},
	} {
		if got := ntpOf(c.unix.UnixNano()); got != c.want {
			t.Errorf("%v: %#x, want %#x", c.unix.UTC(), got, c.want)
		}
	}
}

// Row RTP-18: no timestamp is taken from a wall clock that can be stepped.
func TestNTPAdvancesExactlyWithTheMonotonicClock(t *testing.T) {
	const unitsPerSecond = 1 << 32
	base := Now()
	for _, d := range []time.Duration{0, 1, 20 * time.Millisecond, time.Second, time.Hour, 240 * time.Hour} {
		got := NTP(base.Add(d)) - NTP(base)
		want := uint64(d/time.Second)*unitsPerSecond + uint64(d%time.Second)*unitsPerSecond/1e9
		if diff := int64(got - want); diff < -1 || diff > 1 {
			t.Errorf("after %v the timestamp is %d units on, want %d", d, got, want)
		}
	}
}
