package netio

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"golang.org/x/sys/unix"

	"tsubame/netio/mmsg"
)

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Row SOAK-02.
func TestOpeningAndStoppingLeaksNothing(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		idle := goleak.IgnoreCurrent()
		before := descriptors(t)
		for i := range 100 {
			g, err := Open(Config{IPv4: true, IPv6: true, Shards: 2, Plain: plain})
			if err != nil {
				t.Fatal(err)
			}
			for j := range i % 3 { // none, one or both of its shards run
				g.Start(j, &funcs{batch: echo})
			}
			g.Stop()
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
		goleak.VerifyNone(t, idle)
	})
}

// Wherever Open fails, it gives back what it had opened.
func TestFailedOpenLeaksNothing(t *testing.T) {
	before := descriptors(t)
	for _, fail := range []int{1, 2, 3, 4, 5, 6} {
		calls := 0
		_, err := Open(Config{IPv4: true, IPv6: true, Shards: 3, open: failOpen(func(mmsg.Options) error {
			if calls++; calls == fail {
				return unix.ENOMEM
			}
			return nil
		})})
		if err == nil {
			t.Fatalf("call %d failed and nobody noticed", fail)
		}
		if after := descriptors(t); after != before {
			t.Errorf("failure of socket %d: %d descriptors before, %d after", fail, before, after)
		}
	}
	// A socket that no poller can watch fails later, when the shards are made.
	for _, broken := range []int{0, 1, 2} {
		_, err := Open(Config{IPv4: true, IPv6: true, Shards: 3, Wrap: func(shard int, s mmsg.Socket) mmsg.Socket {
			if shard == broken {
				return badFD{s}
			}
			return s
		}})
		if err == nil {
			t.Fatal("a socket without a descriptor was accepted")
		}
		if after := descriptors(t); after != before {
			t.Errorf("failure of shard %d: %d descriptors before, %d after", broken, before, after)
		}
	}
}

// badFD claims a descriptor that does not exist.
type badFD struct{ mmsg.Socket }

func (badFD) FD() int { return -1 }
