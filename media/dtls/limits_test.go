package dtls

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// startHello starts an endpoint whose client says a ClientHello and nothing more.
func startHello(t testing.TB, s *Server, source netip.Addr) (*Endpoint, *recorder) {
	t.Helper()
	sink := newRecorder()
	e, err := s.Start(1, source, sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	e.Feed(rawRecord(typeHandshake, 0, 0, message(msgClientHello, 0, goodHello.body(make([]byte, 32)))))
	return e, sink
}

// Row DTLS-03.
func TestHandshakesInFlightAreBounded(t *testing.T) {
	s := newTestServer(t, Config{MaxInFlight: 3, MaxPerSource: 3})
	var first *Endpoint
	for i := range 3 {
		e, _ := startHello(t, s, somewhere)
		if i == 0 {
			first = e
		}
	}
	if _, err := s.Start(1, netip.MustParseAddr("198.51.100.1"), newRecorder()); !errors.Is(err, ErrTooMany) {
		t.Fatalf("the fourth of three: %v", err)
	}
	first.Close()
	until(t, "a place is free", func() bool { return s.Stats().InFlight == 2 })
	startHello(t, s, somewhere)
	if st := s.Stats(); st.RefusedFull != 1 || st.InFlight != 3 || st.Started != 4 {
		t.Fatalf("%+v", st)
	}
}

// Row DTLS-03.
func TestHandshakesOfOneSourceAreBounded(t *testing.T) {
	s := newTestServer(t, Config{MaxInFlight: 100, MaxPerSource: 2})
	parse := netip.MustParseAddr
	for _, c := range []struct {
		source string
		full   bool
	}{
		{"192.0.2.1", false},
		{"::ffff:192.0.2.1", false}, // the same in another spelling
		{"192.0.2.1", true},
		{"192.0.2.2", false},
		{"2001:db8::1", false},
		{"2001:db8::2", false},
		{"2001:db8::ffff:ffff:ffff:ffff", true}, // one /64
		{"2001:db8:0:1::1", false},
	} {
		e, err := s.Start(1, parse(c.source), newRecorder())
		if errors.Is(err, ErrTooManyFromSource) != c.full {
			t.Fatalf("%s: %v", c.source, err)
		}
		if e != nil {
			t.Cleanup(e.Close)
		}
	}
	if st := s.Stats(); st.RefusedSource != 2 {
		t.Fatalf("%+v", st)
	}
}

// Row DTLS-03. An established session does not count as a handshake.
func TestEstablishedSessionsLeaveTheirPlace(t *testing.T) {
	s := newTestServer(t, Config{MaxInFlight: 1})
	for range 3 {
		newSession(t, s).connect(t)
	}
}

// Row DTLS-03. A thousand peers that fall silent after their ClientHello cost the next one
// nothing.
func TestSilentPeersDoNotQueueOthers(t *testing.T) {
	const silent = 1000
	s := newTestServer(t, Config{Deadline: time.Minute})
	var endpoints []*Endpoint
	var sinks []*recorder
	for range silent {
		e, sink := startHello(t, s, somewhere)
		endpoints, sinks = append(endpoints, e), append(sinks, sink)
	}
	start := time.Now()
	newSession(t, s).connect(t)
	t.Logf("joined after %v beside %d silent peers", time.Since(start), s.Stats().InFlight)
	if n := s.Stats().InFlight; n != silent {
		t.Fatalf("%d in flight: the join was not beside %d silent peers", n, silent)
	}
	for i, e := range endpoints {
		e.Close()
		if o := wait(t, sinks[i].done, "Done of a silent peer"); !errors.Is(o.err, ErrClosed) {
			t.Fatal(o.err)
		}
	}
	if n := s.Stats().InFlight; n != 0 {
		t.Fatalf("%d in flight after the end", n)
	}
}

// Row DTLS-03.
func TestSilentPeersAreGoneAfterTheDeadline(t *testing.T) {
	const silent = 200
	s := newTestServer(t, Config{Deadline: 300 * time.Millisecond})
	var sinks []*recorder
	for range silent {
		_, sink := startHello(t, s, somewhere)
		sinks = append(sinks, sink)
	}
	for _, sink := range sinks {
		if o := wait(t, sink.done, "Done of a silent peer"); !errors.Is(o.err, ErrTimeout) {
			t.Fatal(o.err)
		}
	}
	if st := s.Stats(); st.InFlight != 0 || st.TimedOut != silent {
		t.Fatalf("%+v", st)
	}
}
