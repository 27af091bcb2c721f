package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// heap is what a Go program has counted of its heap since its start (runtime.MemStats), exactly:
// reading it stops the program for a moment, in which all counts are brought together. The
// counts of runtime/metrics lag behind by what each processor has not handed in.
type heap struct {
	mallocs uint64 // objects allocated
	cycles  uint64 // garbage collections
}

const heapTimeout = 10 * time.Second

// readHeap asks a profiler (net/http/pprof) for the heap profile as text, which ends with the
// numbers of runtime.MemStats.
func readHeap(url string) (heap, error) {
	client := &http.Client{Timeout: heapTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return heap{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return heap{}, fmt.Errorf("e2e: the profiler answered %s", response.Status)
	}
	return scanHeap(response.Body)
}

func scanHeap(r io.Reader) (heap, error) {
	var h heap
	missing := map[string]*uint64{"# Mallocs": &h.mallocs, "# NumGC": &h.cycles}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // the line of pauses
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " = ")
		if to := missing[name]; to != nil {
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return heap{}, fmt.Errorf("e2e: heap profile: %w", err)
			}
			*to = n
			delete(missing, name)
		}
	}
	if err := lines.Err(); err != nil {
		return heap{}, fmt.Errorf("e2e: heap profile: %w", err)
	}
	if len(missing) > 0 {
		return heap{}, errors.New("e2e: a heap profile without Mallocs and NumGC")
	}
	return h, nil
}

// freeAddress returns an address on loopback that nobody listened on a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("e2e: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// span is what a server allocated within a time.
type span struct {
	asking   uint64 // what reading takes by itself: from one reading to the next without a pause
	from, to heap
	began    time.Time
	took     time.Duration
	err      error
	ended    bool
}

// beginSpan reads twice, so that it is known what a reading takes.
func beginSpan(s target, now func() time.Time) *span {
	first, err := s.Heap()
	second, err2 := s.Heap()
	return &span{asking: second.mallocs - first.mallocs, from: second, began: now(), err: errors.Join(err, err2)}
}

// end ends a span; nil is none.
func (w *span) end(s target, now func() time.Time) {
	if w == nil {
		return
	}
	var err error
	w.took = now().Sub(w.began)
	w.to, err = s.Heap()
	w.err, w.ended = errors.Join(w.err, err), true
}

// rates is what happened in a second.
type rates struct{ mallocs, cycles float64 }

func (w *span) rates() (rates, error) {
	switch {
	case w == nil || !w.ended:
		return rates{}, errors.New("e2e: what the server allocates was not counted")
	case w.err != nil:
		return rates{}, w.err
	case w.took <= 0:
		return rates{}, fmt.Errorf("e2e: what the server allocates was counted over %v", w.took)
	}
	made, cycles := float64(w.to.mallocs-w.from.mallocs)-float64(w.asking), float64(w.to.cycles-w.from.cycles)
	return rates{max(0, made) / w.took.Seconds(), cycles / w.took.Seconds()}, nil
}
