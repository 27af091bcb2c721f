package mmsg

import (
	"testing"

	"golang.org/x/sys/unix"
)

// realtime reads the clock that arrival times are told by.
func realtime(t testing.TB) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}

// arrivals sends datagrams to s and returns, for each, when its sending began and ended and
// when it is said to have arrived. They are read only after all were sent.
func arrivals(t *testing.T, k kit, s Socket) (list [4]struct{ began, ended, arrived int64 }) {
	t.Helper()
	b, c := NewRxBatch(8), k.client(t)
	for i := range list {
		list[i].began = realtime(t)
		sendTo(t, c, reach(k, s), []byte("x"))
		list[i].ended = realtime(t)
	}
	await(t, s, b, len(list))
	for i := range list {
		list[i].arrived = b.Time(i)
	}
	return list
}

func TestTimestampsSayWhenTheKernelReceived(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s := k.open(t, Options{Timestamps: true})
		// Loopback delivers before the sending call returns, unless the machine is busy; and
		// the kernel takes a moment to switch stamps on. A time within the call, for all of
		// them, cannot be the time of reading.
		for deadline := realtime(t) + 10e9; ; {
			list, within := arrivals(t, k, s), 0
			for _, a := range list {
				// If the thread changes its processor between two sends they may be delivered in
				// the other order, and then neither time is within its call.
				if a.began <= a.arrived && a.arrived <= a.ended {
					within++
				}
			}
			if within == len(list) {
				return
			}
			if realtime(t) > deadline {
				t.Fatalf("for ten seconds, times of arrival were not those of sending: %v", list)
			}
		}
	})
}

func TestTimeIsZeroUnlessAskedFor(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, b, c := k.open(t, Options{}), NewRxBatch(8), k.client(t)
		sendTo(t, c, reach(k, s), []byte("x"))
		await(t, s, b, 1)
		if b.Time(0) != 0 {
			t.Errorf("arrived at %d", b.Time(0))
		}
	})
}
