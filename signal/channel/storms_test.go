package channel_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// crowd returns how many take part in a storm of n.
func crowd(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// Everybody hears of everybody, nobody is too far behind, and nobody is offered anything
// twice.
func TestAThousandJoinAtOnce(t *testing.T) {
	s := newStorm(t, true)
	defer s.close()
	s.join(10, "sendonly", "")
	s.settle(10+45, 0)
	n := crowd(1000)
	s.join(n, "recvonly", "")
	s.settle(int64(10+45+n*10+n+n*(n-1)/2), int64(n*20))
	if o, re := s.offers.Load(), s.reoffers.Load(); o != int64(n+10) || re != 0 || s.ended.Load() != 0 {
		t.Errorf("%d offers, %d re-offers, %d ended", o, re, s.ended.Load())
	}
}

// While a re-offer is out, whatever happens goes into the next one.
func TestReOffersOfAStormAreOne(t *testing.T) {
	r := newRig(t)
	v, _ := r.join("room", "recvonly", "")
	r.join("room", "sendonly", "")
	first := v.expect("re-offer")
	v.expect("connection.created")
	var gone []*client
	for i := range 50 {
		c, _ := r.join("room", "sendonly", "")
		if i%5 == 0 {
			gone = append(gone, c)
		}
	}
	for _, c := range gone {
		c.leave()
	}
	eventually(t, "the channel has heard of all", func() bool { return r.registry.Joining() == 0 })
	// The channel posts in order: who comes now tells that all before is in the queue.
	r.join("room", "recvonly", "")
	v.answer("re-answer", first.SDP)
	re, ok := v.read()
	for ; ok && re.Type != "re-offer"; re, ok = v.read() {
	}
	if n := strings.Count(re.SDP, "m="); n != 1+2+80 {
		t.Errorf("%d m-sections", n)
	}
	v.answer("re-answer", re.SDP)
	eventually(t, "all 41 are received", func() bool { _, s, _ := r.plane.Conn(0).Snapshot(); return len(s) == 82 })
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.inbox[v.next:] {
		if m.Type == "re-offer" {
			t.Error("one more re-offer")
		}
	}
}

// Who meets many publishers at once gets them in one re-offer, and hears who they are behind
// it.
func TestFiftyPublishersAtOnceAreOneReOffer(t *testing.T) {
	r := newRig(t)
	v, _ := r.join("room", "recvonly", "")
	hold := make(chan struct{})
	v.mu.Lock()
	v.block = hold
	v.mu.Unlock()
	r.join("room", "recvonly", "")
	v.expect("connection.created") // and there it hangs
	var publishers []*client
	for range 50 {
		c, _ := r.join("room", "sendonly", "")
		publishers = append(publishers, c)
	}
	// The channel posts in order: who hears of itself now tells that all before is in the queue.
	r.join("room", "recvonly", "")
	v.mu.Lock()
	v.block = nil
	v.mu.Unlock()
	close(hold)
	re := v.expect("re-offer")
	if n := strings.Count(re.SDP, "m="); n != 1+100 {
		t.Errorf("%d m-sections", n)
	}
	for i, c := range publishers {
		if m := v.expect("connection.created"); m.ConnectionID != c.id {
			t.Fatalf("number %d: got %+v", i, m)
		}
	}
}

// reader is a client that keeps what it was sent, up to a bound as sockets have it, and
// reads none of it if it is slow.
type reader struct {
	slow bool
	max  int

	mu     sync.Mutex
	bytes  int
	last   []byte // connection.created of another
	others int    // how many of them
	reason string
	peer   chan *channel.Peer
}

// Send implements channel.Transport.
func (r *reader) Send(json []byte) bool {
	if bytes.HasPrefix(json, isOffer) {
		go func() {
			p := <-r.peer
			(&stormMember{ready: closedChan, peer: p}).answer(json)
			r.peer <- p
		}()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow && r.bytes >= r.max {
		return false
	}
	r.bytes += len(json)
	if bytes.Contains(json, []byte(`"connection.created"`)) && !bytes.Contains(json, []byte(`"data"`)) {
		r.last, r.others = json, r.others+1
	}
	return true
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Close implements channel.Transport.
func (r *reader) Close(_ int, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason = reason
}

func (r *reader) join(s *storm, members string) {
	c, err := sora.Decode([]byte(`{"type":"connect","channel_id":"room","role":"recvonly"` + members + `}`))
	if err != nil {
		s.tb.Fatal(err)
	}
	machine := s.registry.NewSession(time.Now())
	r.peer = make(chan *channel.Peer, 1)
	r.peer <- s.registry.Start(machine, machine.Handle(nil, time.Now(), session.Message{Message: c}), r, "")
}

// What one client shows to a thousand others is encoded once; those who do not read it are
// cut, and cost no more than their bound until then. A client takes 65 MB off the server's
// link by coming, and as much by going: that is what the cap of 64 KiB bounds, not memory.
//
// Row SIG-10.
func TestMetadataOfTheLargestSizeInALargeChannel(t *testing.T) {
	const queue = 1 << 20
	n := crowd(1000)
	slow := n / 10
	s := newStorm(t, true)
	defer s.close()
	var all []*reader
	for i := range n {
		r := &reader{slow: i < slow, max: queue}
		all = append(all, r)
		r.join(s, "")
	}
	established := func(k int) func() bool {
		return func() bool { _, peers := s.registry.Counts(); return peers == k && s.registry.Joining() == 0 }
	}
	eventually(t, "all are established", established(n))
	eventually(t, "all notifications are out", func() bool {
		heard := 0
		for _, o := range all {
			heard += o.count()
		}
		return heard == n*(n-1)/2
	})
	before := liveHeap()
	metadata := `,"signaling_notify_metadata":"` + strings.Repeat("x", sora.MaxNotifyMetadata-2) + `"`
	coming := func() *reader {
		r := &reader{}
		r.join(s, metadata)
		return r
	}
	r := coming()
	eventually(t, "the same bytes went to all", func() bool {
		first := unsafe.SliceData(all[0].heard())
		for _, o := range all {
			if b := o.heard(); len(b) < sora.MaxNotifyMetadata || unsafe.SliceData(b) != first {
				return false
			}
		}
		return true
	})
	if grown := liveHeap() - before; grown > 8<<20 {
		t.Errorf("telling %d members of %d bytes keeps %d bytes", n, sora.MaxNotifyMetadata, grown)
	}
	for range 8 { // each comes and goes: 130 kB for everybody
		eventually(t, "it is established", func() bool { return s.registry.Joining() == 0 })
		p := <-r.peer
		p.Deliver(session.Vanished{})
		r.peer <- p
		r = coming()
	}
	eventually(t, "the slow are gone, and nobody else", established(n-slow+1))
	for i, o := range all {
		o.mu.Lock()
		if want := map[bool]string{true: session.ReasonSlowReader}[o.slow]; o.reason != want || o.slow && o.bytes > queue+sora.MaxNotifyMetadata+1024 {
			t.Errorf("%d: %q with %d bytes in its queue", i, o.reason, o.bytes)
		}
		o.mu.Unlock()
	}
}

func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.others
}

func (r *reader) heard() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Connection ids are the server's: however many join at once, and whatever they say of
// themselves. There is no resumption, so that an id that leaks is of no use.
//
// Row SIG-12.
func TestTenThousandConcurrentJoinsShareNoID(t *testing.T) {
	r := newRigWith(t, false)
	victim := r.connect("room 0", "sendonly", "")
	id := victim.expect("offer").ConnectionID
	claim := fmt.Sprintf(`,"connection_id":"%s","session_id":"%s","client_id":"%s","redirect":true`, id, id, id)
	const workers = 20
	each := crowd(500)
	ids := make([][]string, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				c := r.connect(fmt.Sprint("room ", i%50), "recvonly", claim)
				o, ok := c.read()
				if !ok || o.Type != "offer" {
					t.Errorf("got %+v", o)
					return
				}
				ids[w] = append(ids[w], o.ConnectionID)
				c.deliver(`{"type":"disconnect"}`)
			}
		}()
	}
	all.Wait()
	seen := map[string]bool{id: true}
	for _, list := range ids {
		for _, x := range list {
			if seen[x] || len(x) != sora.IDLen {
				t.Fatalf("%q twice, or no id", x)
			}
			seen[x] = true
		}
	}
	if len(seen) != workers*each+1 {
		t.Errorf("%d ids", len(seen))
	}
	eventually(t, "the claimants are gone, the victim is not", func() bool { _, n := r.registry.Counts(); return n == 1 })
	select {
	case <-victim.peer.Done():
		t.Error("somebody else's disconnect ended the session")
	default:
	}
	victim.leave()
}
