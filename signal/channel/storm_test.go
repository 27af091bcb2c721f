package channel_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/channel"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// storm is a channel that very many join at once, without sockets, to see what that costs.
// Clients answer as fast as a few workers can.
type storm struct {
	tb       testing.TB
	registry *channel.Registry
	plane    countingPlane
	members  []*stormMember

	messages, bytes          atomic.Int64
	offers, reoffers, notes  atomic.Int64
	ended                    atomic.Int64
	offerBytes, reofferBytes atomic.Int64

	mu      sync.Mutex
	more    *sync.Cond
	jobs    []stormJob
	busy    int // workers that answer
	stopped bool
	workers sync.WaitGroup
}

type stormJob struct {
	member *stormMember
	offer  []byte
}

func newStorm(tb testing.TB, notify bool) *storm {
	s := &storm{tb: tb}
	s.more = sync.NewCond(&s.mu)
	s.registry = channel.NewRegistry(channel.Config{
		Plane: &s.plane, Notify: notify, JoiningFor: time.Hour,
		Candidates: func() []string { return []string{"1 1 udp 2130706431 192.0.2.1 3478 typ host"} },
		Session: session.Config{ConnectTimeout: time.Hour, JoinTimeout: time.Hour, AnswerTimeout: time.Hour, CreatedTimeout: time.Hour,
			PingInterval: time.Hour, PongTimeout: 2 * time.Hour,
			Allow:    session.Allow{ClientID: true, BundleID: true, VP8: true},
			Defaults: session.Defaults{VideoCodec: param.VP8}},
	})
	channel.SetJoinWait(s.registry, time.Hour)
	for range 2 {
		s.workers.Add(1)
		go s.answer()
	}
	return s
}

func (s *storm) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.registry.Close(ctx); err != nil {
		s.tb.Error(err)
	}
	s.mu.Lock()
	s.stopped = true
	s.more.Broadcast()
	s.mu.Unlock()
	s.workers.Wait()
}

// answer is one worker.
func (s *storm) answer() {
	defer s.workers.Done()
	for {
		s.mu.Lock()
		for len(s.jobs) == 0 && !s.stopped {
			s.more.Wait()
		}
		if s.stopped {
			s.mu.Unlock()
			return
		}
		j := s.jobs[0]
		s.jobs[0] = stormJob{}
		s.jobs = s.jobs[1:]
		s.busy++
		s.mu.Unlock()
		j.member.answer(j.offer)
		s.mu.Lock()
		s.busy--
		s.mu.Unlock()
	}
}

func (s *storm) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy == 0 && len(s.jobs) == 0
}

// join lets n members in, all at once.
func (s *storm) join(n int, role, members string) {
	for range n {
		m := &stormMember{storm: s, ready: make(chan struct{})}
		s.members = append(s.members, m)
		c, err := sora.Decode([]byte(`{"type":"connect","channel_id":"room","role":"` + role + `"` + members + `}`))
		if err != nil {
			s.tb.Fatal(err)
		}
		machine := s.registry.NewSession(time.Now())
		m.peer = s.registry.Start(machine, machine.Handle(nil, time.Now(), session.Message{Message: c}), m, "192.0.2.1")
		close(m.ready)
	}
}

// settle waits until everybody has heard of everybody and receives this many streams in all.
func (s *storm) settle(notes, streams int64) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Minute)
	for s.notes.Load() != notes || s.plane.subscribed.Load() != streams || !s.idle() {
		select {
		case <-tick.C:
		case <-deadline:
			s.tb.Fatalf("%d of %d notifications, %d of %d streams, %d offers and %d re-offers, %d sessions ended",
				s.notes.Load(), notes, s.plane.subscribed.Load(), streams, s.offers.Load(), s.reoffers.Load(), s.ended.Load())
		}
	}
}

type stormMember struct {
	storm *storm
	ready chan struct{} // closed when peer is set
	peer  *channel.Peer
}

var (
	isOffer   = []byte(`{"type":"offer"`)
	isReOffer = []byte(`{"type":"re-offer"`)
	isNotify  = []byte(`{"type":"notify"`)
)

// Send implements channel.Transport.
func (m *stormMember) Send(json []byte) bool {
	s := m.storm
	s.messages.Add(1)
	s.bytes.Add(int64(len(json)))
	switch {
	case bytes.HasPrefix(json, isNotify):
		s.notes.Add(1)
		return true
	case bytes.HasPrefix(json, isReOffer):
		s.reoffers.Add(1)
		s.reofferBytes.Add(int64(len(json)))
	case bytes.HasPrefix(json, isOffer):
		s.offers.Add(1)
		s.offerBytes.Add(int64(len(json)))
	}
	s.mu.Lock()
	s.jobs = append(s.jobs, stormJob{m, json})
	s.more.Signal()
	s.mu.Unlock()
	return true
}

// Close implements channel.Transport.
func (m *stormMember) Close(code int, reason string) {
	if code != session.CodeNormal {
		m.storm.tb.Errorf("ended by %d %s", code, reason)
	}
	m.storm.ended.Add(1)
}

func (m *stormMember) answer(offer []byte) {
	<-m.ready
	kind := sora.TypeAnswer
	if bytes.HasPrefix(offer, isReOffer) {
		kind = sora.TypeReAnswer
	}
	_, sdp, _ := bytes.Cut(offer, []byte(`"sdp":"`))
	sdp, _, _ = bytes.Cut(sdp, []byte{'"'})
	text := strings.ReplaceAll(string(sdp), `\r\n`, "\r\n")
	m.peer.Deliver(session.Message{Message: sora.Message{Type: kind, SDP: (&offertest.Peer{}).Answer(text)}})
}

// countingPlane is a media plane that counts what it is asked for and keeps nothing.
type countingPlane struct {
	conns, tracks, subscribed atomic.Int64
}

// Fingerprint implements channel.Plane.
func (p *countingPlane) Fingerprint() param.Fingerprint {
	return param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)}
}

// Open implements channel.Plane.
func (p *countingPlane) Open(notify func(channel.MediaEvent)) (channel.Conn, error) {
	p.conns.Add(1)
	return &countingConn{plane: p, notify: notify}, nil
}

type countingConn struct {
	plane  *countingPlane
	notify func(channel.MediaEvent)
	up     bool
}

func (c *countingConn) Credentials() (ufrag, password string) {
	return "ufragufrag", "serverpasswordserverpass"
}

func (c *countingConn) TURNCredentials() (username, password string) { return "user", "password" }

func (c *countingConn) RestartICE() (ufrag, password string, err error) {
	return "ufragagain", "serverpasswordserverpass", nil
}

func (c *countingConn) SetRemote(param.Remote) {
	if !c.up {
		c.up = true
		c.notify(channel.MediaEvent{Kind: channel.MediaEstablished})
	}
}

func (c *countingConn) Publish(param.Publish) (param.TrackID, error) {
	return param.TrackID{Index: uint32(c.plane.tracks.Add(1)), Gen: 1}, nil
}

func (c *countingConn) Unpublish(param.TrackID)   {}
func (c *countingConn) Subscribe(param.Subscribe) { c.plane.subscribed.Add(1) }
func (c *countingConn) Unsubscribe(uint32)        { c.plane.subscribed.Add(-1) }
func (c *countingConn) Close()                    { c.plane.conns.Add(-1) }

// report runs a storm in a benchmark and reports what it took. before is who is there
// already.
func (s *storm) report(b *testing.B, before func(), run func()) {
	heap := func() (m runtime.MemStats) {
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m
	}
	start := heap()
	before()
	there := len(s.members)
	messages, sent := s.messages.Load(), s.bytes.Load()
	offers, reoffers := s.offers.Load(), s.reoffers.Load()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	began := time.Now()
	run()
	took := time.Since(began)
	runtime.ReadMemStats(&m1)
	end := heap()
	n := float64(len(s.members))
	b.ReportMetric(took.Seconds()*1000, "ms/storm")
	b.ReportMetric(float64(s.messages.Load()-messages), "messages")
	b.ReportMetric(float64(s.offers.Load()-offers), "offers")
	b.ReportMetric(float64(s.reoffers.Load()-reoffers), "re-offers")
	b.ReportMetric(float64(s.bytes.Load()-sent)/1e6, "MB-sent")
	b.ReportMetric(float64(m1.Mallocs-m0.Mallocs)/float64(len(s.members)-there), "allocs/join")
	b.ReportMetric(float64(end.HeapAlloc-min(end.HeapAlloc, start.HeapAlloc))/n/1e3, "kB/member")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAThousandJoinOneChannel is all of it, the clients included, which take most of
// the time where there are many streams.
func BenchmarkAThousandJoinOneChannel(b *testing.B) {
	const n = 1000
	// All hear of themselves, and everybody of those that come later.
	const notes = n + n*(n-1)/2
	for _, c := range []struct {
		name       string
		role       string
		publishers int64
		streams    int64 // of each member of the storm
	}{
		{"notify", "recvonly", 0, 0},
		{"recvonly, 10 publishers", "recvonly", 10, 20},
		// All have 512 m-sections in the end, of which two are for what they send.
		{"sendrecv", "sendrecv", 0, 510},
	} {
		b.Run(fmt.Sprint(c.name), func(b *testing.B) {
			for b.Loop() {
				s := newStorm(b, true)
				p := c.publishers
				s.report(b, func() {
					s.join(int(p), "sendonly", "")
					s.settle(p+p*(p-1)/2, 0)
				}, func() {
					s.join(n, c.role, "")
					s.settle(notes+p*n+p+p*(p-1)/2, c.streams*n)
				})
				s.close()
			}
		})
	}
}
