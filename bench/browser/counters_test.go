//go:build browser

package browser

import (
	"maps"
	"slices"
	"testing"
	"time"

	"tsubame/bench/harness"
)

// never are counters that stay at zero whatever honest browsers do.
var never = []string{
	"bad_fingerprints",
	"drop_seal",         // a packet would have been sealed twice
	"drop_stun",         // malformed
	"drop_integrity",    // a check that does not verify
	"drop_paths",        // more paths than are remembered
	"drop_header",       // RTP that is none
	"rtcp_bad",          // RTCP that is none
	"rtx_malformed",     // RFC 4588
	"publish_refused",   // no room
	"subscribe_refused", // no room
	"drop_arena",        // no buffer was free
	"dtls_failed",
	"handshakes_failed",
}

// startServer starts a server whose counters are looked at when the test has closed
// its tabs: nothing happened that honest browsers cannot cause, and everything that
// they held is free again.
func startServer(t *testing.T) *harness.Server {
	t.Helper()
	return startServerWith(t, harness.Options{Args: []string{"-dev"}})
}

// startServerWith is startServer with options; counters that the test looks at itself are
// excepted.
func startServerWith(t *testing.T, o harness.Options, except ...string) *harness.Server {
	t.Helper()
	if o.Config == nil {
		o.Config = map[string]string{}
	}
	if _, ok := o.Config["shed_joins_at_load"]; !ok {
		// The browsers need all processors of this machine, and a shard that waits for one
		// counts as busy.
		o.Config["shed_joins_at_load"] = "0"
	}
	s := harness.Start(t, o)
	before := s.Counters()
	t.Cleanup(func() {
		if !s.Running() {
			return
		}
		requireNothingLeft(t, s, before)
		after := s.Counters()
		for _, name := range never {
			if n, ok := after[name]; !ok || n != 0 && !slices.Contains(except, name) {
				t.Errorf("counter %s is %d (there: %v)", name, n, ok)
			}
		}
	})
	return s
}

// requireNothingLeft waits until connections, tracks and buffers are free as they
// were before the test.
func requireNothingLeft(t *testing.T, s *harness.Server, before map[string]uint64) {
	t.Helper()
	names := []string{"connections", "connections_free", "tracks_free", "buffers_out"}
	for _, name := range names {
		if _, ok := before[name]; !ok {
			t.Fatalf("the server has no counter %s; there are %v", name, slices.Sorted(maps.Keys(before)))
		}
	}
	eventually(t, 15*time.Second, "everything is free again", func() (bool, any) {
		now := s.Counters()
		left := make(map[string][2]uint64)
		for _, name := range names {
			if now[name] != before[name] {
				left[name] = [2]uint64{before[name], now[name]}
			}
		}
		return len(left) == 0, left
	})
}
