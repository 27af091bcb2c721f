package dtls

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
)

// warning is an alert that ends nothing (RFC 5246 section 7.2: no_renegotiation).
var warning = []byte{1, 100}

// parked completes a handshake, parks the endpoint and waits until it is.
func (x *session) parked(t testing.TB, options ...piondtls.ClientOption) *piondtls.Conn {
	t.Helper()
	conn, _ := x.connect(t, options...)
	x.park(t)
	return conn
}

func (x *session) park(t testing.TB) {
	t.Helper()
	if !x.endpoint.Park() {
		t.Fatal("a live session is not parked")
	}
	until(t, "parked", x.endpoint.isParked)
}

func (e *Endpoint) isParked() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stage == stageParked
}

func TestAParkedSessionHearsTheFarewell(t *testing.T) {
	for _, suite := range cipherSuites {
		s := newTestServer(t, Config{})
		x := newSession(t, s)
		conn := x.parked(t, piondtls.WithCipherSuites(suite))
		if st := s.Stats(); st.Parked != 1 || st.Resumed != 0 {
			t.Fatalf("%+v", st)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if id := wait(t, x.sink.closed, "Closed"); id != 1 {
			t.Errorf("Closed of %d", id)
		}
		s.Wait()
		if st := s.Stats(); st.Parked != 0 || st.Resumed != 1 {
			t.Errorf("%v: %+v", suite, st)
		}
		if n := s.waking.Load(); n != 0 {
			t.Errorf("%d places of the woken are taken", n)
		}
	}
}

func TestAParkedSessionSaysFarewell(t *testing.T) {
	s := newTestServer(t, Config{})
	x := newSession(t, s)
	conn := x.parked(t)
	x.endpoint.Close()
	x.endpoint.Close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client read %v, not the end", err)
	}
	s.Wait()
	if len(x.sink.closed) != 0 {
		t.Error("Closed was called for Close")
	}
	if x.endpoint.Feed(rawRecord(typeAlert, 1, 9, make([]byte, 26))) {
		t.Error("a session that has ended takes records")
	}
}

func TestOnlyALiveSessionIsParked(t *testing.T) {
	s := newTestServer(t, Config{})
	c := newScript(t, s)
	c.begin(goodHello)
	if c.endpoint.Park() {
		t.Error("parked in the middle of the handshake")
	}
	x := newSession(t, s)
	x.connect(t)
	x.endpoint.Close()
	if x.endpoint.Park() {
		t.Error("parked after its end")
	}
}

// The farewell that is queued, or being read, when the session is parked.
func TestAFarewellInTheMiddleOfParkingIsHeard(t *testing.T) {
	s := newTestServer(t, Config{})
	for i := range 200 {
		x := newScript(t, s)
		x.complete()
		farewell := x.sealed(typeAlert, closeNotify)
		if i%2 == 0 {
			x.endpoint.Feed(farewell)
			x.endpoint.Park()
		} else {
			x.endpoint.Park()
			x.endpoint.Feed(farewell)
		}
		wait(t, x.sink.closed, "Closed")
	}
	s.Wait()
	if n := s.Stats().Parked; n != 0 {
		t.Errorf("%d sessions parked, want none", n)
	}
}

// numbers notes the epoch and sequence number of every record of the server, and fails when
// one comes twice.
type numbers struct {
	t    testing.TB
	mu   sync.Mutex
	seen map[uint64]bool
}

func (n *numbers) note(datagram []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(datagram) >= recordHeader {
		number := binary.BigEndian.Uint64(datagram[3:])
		if n.seen[number] {
			n.t.Errorf("epoch %d, sequence number %d was sent twice", number>>48, number&(1<<48-1))
		}
		n.seen[number] = true
		datagram = datagram[recordHeader+int(binary.BigEndian.Uint16(datagram[11:])):]
	}
}

func (n *numbers) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen)
}

// A session is parked and woken again and again: by records that are not genuine, by such
// that are, with the library made to speak before (a repeated Finished draws our last flight)
// and in the end (the farewell). No record number may come twice: the GCM nonce is made of it.
func TestNoRecordNumberIsEverUsedTwice(t *testing.T) {
	s := newTestServer(t, Config{FlightInterval: time.Nanosecond})
	s.wakeTime = time.Millisecond
	for range 20 {
		n := &numbers{t: t, seen: map[uint64]bool{}}
		c := newScript(t, s)
		keep := c.sink.deliver
		c.sink.deliver = func(b []byte) { n.note(b); keep(b) }
		c.complete()
		before := n.count()
		for range 3 { // the library repeats its flight for each, and may be in the middle of it
			c.endpoint.Feed(c.sealed(typeHandshake, message(20, 4, make([]byte, 12))))
		}
		until(t, "a repeated flight", func() bool { return n.count() > before })
		for i := range 6 {
			if !c.endpoint.Park() {
				t.Fatal("not parked")
			}
			switch i % 3 {
			case 0: // wakes or is heard in the middle of parking
				c.endpoint.Feed(c.sealed(typeAlert, warning))
			case 1:
				until(t, "parked", c.endpoint.isParked)
				c.endpoint.Feed(rawRecord(typeAlert, 1, 1<<20, make([]byte, 26)))
			case 2:
				until(t, "parked", c.endpoint.isParked)
				c.endpoint.Feed(c.sealed(typeAlert, warning))
			}
		}
		before = n.count()
		c.endpoint.Close()
		until(t, "a farewell", func() bool { return n.count() > before })
	}
	s.Wait()
}

// A connection of the library that was muted says nothing, whatever it is made to say.
func TestAMutedConnectionNeverSpeaks(t *testing.T) {
	s := newTestServer(t, Config{})
	x := newSession(t, s)
	x.connect(t)
	x.endpoint.mu.Lock()
	p := x.endpoint.pipe
	x.endpoint.mu.Unlock()
	x.park(t)
	before := x.sink.sent.Load()
	if n, err := p.WriteTo([]byte{typeAlert}, nil); err == nil && n != 1 {
		t.Error("a muted pipe tells the library what it does")
	}
	if got := x.sink.sent.Load(); got != before {
		t.Errorf("%d datagrams from a muted connection", got-before)
	}
}

// What a client repeats after its media has come is a straggler: it has our Finished, or it
// would have no keys. It wakes nobody.
func TestARepeatedFinishedDoesNotWake(t *testing.T) {
	s := newTestServer(t, Config{})
	c := newScript(t, s)
	c.complete()
	c.endpoint.Park()
	until(t, "parked", c.endpoint.isParked)
	before := s.Stats()
	if c.endpoint.Feed(c.sealed(typeHandshake, message(20, 4, make([]byte, 12)))) {
		t.Error("a repeated Finished was taken")
	}
	after := s.Stats()
	if after.Resumed != 0 || after.Parked != 1 || after.Dropped[DropUnexpected] != before.Dropped[DropUnexpected]+1 {
		t.Errorf("%+v", after)
	}
}

// Who can write the peer's address into a datagram can wake a session, for a second.
func TestAForgedFarewellWakesForASecond(t *testing.T) {
	s := newTestServer(t, Config{})
	x := newSession(t, s)
	conn := x.parked(t)
	if !x.endpoint.Feed(rawRecord(typeAlert, 1, 77, make([]byte, 26))) {
		t.Fatal("not taken")
	}
	if st := s.Stats(); st.Parked != 0 || st.Resumed != 1 {
		t.Fatalf("%+v", st)
	}
	until(t, "parked again", func() bool { return s.Stats().Parked == 1 && s.waking.Load() == 0 })
	if len(x.sink.closed) != 0 {
		t.Error("the forgery ended the session")
	}
	_ = conn.Close()
	wait(t, x.sink.closed, "Closed")
}

func TestOnlySoManyAreWokenAtOnce(t *testing.T) {
	s := newTestServer(t, Config{})
	x := newSession(t, s)
	x.parked(t)
	s.waking.Add(maxWaking)
	if x.endpoint.Feed(rawRecord(typeAlert, 1, 77, make([]byte, 26))) {
		t.Error("woken beyond the bound")
	}
	if st := s.Stats(); st.Parked != 1 || st.Dropped[DropRate] != 1 {
		t.Errorf("%+v", st)
	}
	if n := s.waking.Add(-maxWaking); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// Parking, farewells of both sides and forgeries, all at once.
func TestParkingRacesWithEverything(t *testing.T) {
	s := newTestServer(t, Config{})
	s.wakeTime = time.Microsecond
	for range 100 {
		c := newScript(t, s)
		c.complete()
		farewell := c.sealed(typeAlert, closeNotify)
		var all sync.WaitGroup
		all.Go(func() { c.endpoint.Park() })
		all.Go(func() { c.endpoint.Park() })
		all.Go(func() { // one shard feeds and closes
			c.endpoint.Feed(rawRecord(typeAlert, 1, 77, make([]byte, 26)))
			c.endpoint.Feed(farewell)
			runtime.Gosched()
			c.endpoint.Close()
		})
		all.Wait()
	}
	s.Wait()
	if st := s.Stats(); st.Parked != 0 || s.waking.Load() != 0 {
		t.Errorf("%+v, %d waking", st, s.waking.Load())
	}
}

// BenchmarkEndpointMemory reports what one session holds, and how many goroutines run for it.
func BenchmarkEndpointMemory(b *testing.B) {
	for _, park := range []bool{false, true} {
		name := "live"
		if park {
			name = "parked"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				reportMemory(b, 200, park)
			}
		})
	}
}

func reportMemory(b *testing.B, n int, park bool) {
	s := newTestServer(b, Config{})
	var before, after runtime.MemStats
	settle(&before)
	goroutines := runtime.NumGoroutine()
	kept := make([]*Endpoint, 0, n)
	for range n {
		c := newScript(b, s)
		c.complete()
		if park {
			c.endpoint.Park()
			until(b, "parked", c.endpoint.isParked)
		}
		c.endpoint.sink = silent{} // and the client is forgotten
		kept = append(kept, c.endpoint)
	}
	until(b, "settled", func() bool {
		return runtime.NumGoroutine()-goroutines < n/2 || !park
	})
	settle(&after)
	per := func(a, b uint64) float64 { return (float64(b) - float64(a)) / float64(n) }
	b.ReportMetric(per(before.HeapAlloc, after.HeapAlloc), "heap-B/endpoint")
	b.ReportMetric(per(before.StackInuse, after.StackInuse), "stack-B/endpoint")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(n), "goroutines/endpoint")
	for _, e := range kept {
		e.Close()
	}
	s.Wait()
}

// settle collects what can be and reads what is left.
func settle(m *runtime.MemStats) {
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(m)
}

// silent is a Sink for nobody.
type silent struct{}

func (silent) Records(uint64, []byte)     {}
func (silent) Done(uint64, Result, error) {}
func (silent) Closed(uint64)              {}
