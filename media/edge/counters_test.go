package edge

import "testing"

func TestLevelsAreAmongTheCounters(t *testing.T) {
	r := newRig(t, 2, nil)
	counters := r.p.Counters()
	for _, name := range []string{
		"connections", "connections_free", "tracks_free", "buffers_out", "dtls_in_flight", "foreign", "media_depth",
	} {
		if _, ok := counters[name]; !ok {
			t.Errorf("there is no counter %s", name)
		}
	}
	r.finish()
}
