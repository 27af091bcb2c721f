package ws

import (
	"net/http"
	"testing"

	"tsubame/signal/channel"
	"tsubame/signal/channel/fakeplane"
)

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkRefusal is what a request costs that is not let in, beside what net/http takes to
// read it.
func BenchmarkRefusal(b *testing.B) {
	h := NewHandler(channel.NewRegistry(channel.Config{Plane: &fakeplane.Plane{}}), Config{ShedAt: 0.5, Load: func() float64 { return 1 }})
	r := &http.Request{Method: "GET", RemoteAddr: "192.0.2.1:4711", Header: http.Header{"Origin": {"https://call.example"}}}
	w := nowhere{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}
