package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"runtime"
	"strings"
	"testing"
)

func TestHeapIsReadFromAProfiler(t *testing.T) {
	s := httptest.NewServer(pprof.Handler("heap"))
	defer s.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h, err := readHeap(s.URL + "?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if h.mallocs < before.Mallocs || h.mallocs > after.Mallocs || h.cycles < uint64(before.NumGC) || h.cycles > uint64(after.NumGC) {
		t.Errorf("%+v, between %d and %d", h, before.Mallocs, after.Mallocs)
	}
}

func TestWhatIsNoHeapProfileIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "one number": "# Mallocs = 5\n", "no number": "# Mallocs = x\n# NumGC = 1\n", "too long": strings.Repeat("x", 2<<20),
	} {
		if h, err := scanHeap(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := readHeap(s.URL); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}
