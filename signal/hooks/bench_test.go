package hooks

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/configs"
	"tsubame/signal/webhook"
)

const (
	benchEvents   = 100_000
	benchChannels = 500
)

// liveHeap returns the bytes of objects on the heap, those included that nobody needs any
// more.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// peakHeap looks at the heap until it is stopped, and says how far it rose above what it
// began with.
func peakHeap() (stop func() uint64) {
	runtime.GC()
	began := liveHeap()
	peak := began
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for {
			peak = max(peak, liveHeap())
			select {
			case <-end:
				return
			case <-look.C:
			}
		}
	}()
	return func() uint64 {
		close(end)
		<-ended
		return peak - began
	}
}

// One operation is 100,000 events of 500 channels, given to the queue as fast as it takes
// them, through 10 workers to a server on loopback that answers at once. The server's work
// is in the figures too.
func BenchmarkEvents(b *testing.B) {
	var arrived atomic.Int64
	all := make(chan struct{}, 1)
	url := application(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if arrived.Add(1) == benchEvents {
			all <- struct{}{}
		}
	}).URL
	h, err := New(Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 10, QueueEvents: benchEvents, Timeout: 5 * time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	defer end(h, patience)
	ids := make([]string, benchChannels)
	for i := range ids {
		ids[i] = fmt.Sprint("channel-", i)
	}
	b.ReportAllocs()
	peak := peakHeap()
	for b.Loop() {
		arrived.Store(0)
		for i := range benchEvents {
			h.Connection(connection(webhook.ConnectionUpdated, ids[i%benchChannels], i))
		}
		<-all
	}
	b.ReportMetric(float64(peak())/(1<<20), "peak-heap-MiB")
	b.ReportMetric(benchEvents*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if n := h.Counters()["total_failed_event_webhook"]; n != 0 {
		b.Errorf("%d events failed", n)
	}
}

// BenchmarkQueue is what giving an event costs whom it happens to, without sending.
func BenchmarkQueue(b *testing.B) {
	h, err := New(Config{Webhooks: configs.Webhooks{EventURL: "http://127.0.0.1:1", Workers: 1, QueueEvents: 1000}})
	if err != nil {
		b.Fatal(err)
	}
	defer end(h, patience)
	stuck := newQueue(10, 1000, eventBytes)
	h.events, stuck = stuck, h.events // nobody takes from it
	defer func() { h.events = stuck }()
	b.ReportAllocs()
	for b.Loop() {
		h.Connection(connection(webhook.ConnectionUpdated, "room", 1))
	}
}

func TestMemoryIsBoundedWhenNobodyTakesEvents(t *testing.T) {
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) { <-release }).URL
	const bound = 500
	h, err := New(Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 2, QueueEvents: bound, Timeout: patience}})
	if err != nil {
		t.Fatal(err)
	}
	h.events.floor = 0
	metadata := make([]byte, 4<<10)
	for i := range metadata {
		metadata[i] = '1' // a number
	}
	runtime.GC()
	before := liveHeap()
	for i := range 20 * bound {
		e := connection(webhook.ConnectionUpdated, fmt.Sprint("channel-", i), i)
		if i%2 == 0 {
			e.Type = webhook.ConnectionCreated
		}
		e.EventMetadata = metadata
		h.Connection(e)
	}
	_, bytes, _ := h.events.state()
	runtime.GC()
	// Beside the bytes there are the items, and capacity that bodies have and do not use.
	if grown := int64(liveHeap()) - int64(before); bytes > bound*eventBytes || grown > 2*bound*eventBytes {
		t.Errorf("%d bytes wait, %d more are on the heap; the bound is %d", bytes, grown, bound*eventBytes)
	}
	for _, l := range h.events.lanes {
		h.events.mu.Lock()
		if n := len(l.pending); n > bound+1 {
			t.Errorf("%d channels are remembered", n)
		}
		h.events.mu.Unlock()
	}
	close(release)
	if err := end(h, patience); err != nil {
		t.Error(err)
	}
}
