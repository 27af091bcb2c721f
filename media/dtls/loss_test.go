package dtls

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
)

// badly says what a network does to a datagram.
type badly struct {
	lose, repeat, damage float64       // shares
	delay, jitter        time.Duration // each datagram's own, so that they overtake each other
	seed                 uint64
}

// network carries one direction of a session.
type network struct {
	badly
	out func([]byte)

	mu     sync.Mutex
	rnd    *rand.Rand
	lost   int
	closed bool
	flying sync.WaitGroup
	turn   sync.Mutex // the ends take one at a time
}

// over puts a session's network between its ends; it is there until the test ends.
func (x *session) over(t testing.TB, how badly) (up, down *network) {
	t.Helper()
	carry := func(stream uint64, out func([]byte)) *network {
		n := &network{badly: how, out: out, rnd: rand.New(rand.NewPCG(how.seed, stream))}
		t.Cleanup(n.close)
		return n
	}
	up, down = carry(1, x.toServer), carry(2, x.toClient)
	x.toServer, x.toClient = up.push, down.push
	return up, down
}

func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.flying.Wait()
}

func (n *network) push(b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if n.rnd.Float64() < n.lose {
		n.lost++
		return
	}
	copies := 1
	if n.rnd.Float64() < n.repeat {
		copies = 2
	}
	for range copies {
		one := bytes.Clone(b)
		if n.rnd.Float64() < n.damage {
			one[n.rnd.IntN(len(one))] ^= byte(1 + n.rnd.IntN(255))
		}
		n.flying.Add(1)
		time.AfterFunc(n.delay+time.Duration(n.rnd.Float64()*float64(n.jitter)), func() {
			defer n.flying.Done()
			n.turn.Lock()
			defer n.turn.Unlock()
			n.out(one)
		})
	}
}

func (n *network) losses() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// likeABrowser are the retransmissions of Chromium and Firefox: after 50, 100, 200 ms and so on.
var likeABrowser = piondtls.WithFlightInterval(50 * time.Millisecond)

// A fifth of the datagrams is lost each way, some come twice, and some overtake others. Every
// handshake comes to its end, most of them within a few retransmissions.
func TestHandshakeCompletesOverALossyNetwork(t *testing.T) {
	const runs = 32
	var mu sync.Mutex
	var took []time.Duration
	var lost int
	t.Run("all", func(t *testing.T) {
		for seed := range uint64(runs) {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				x := newSession(t, newTestServer(t, Config{}))
				up, down := x.over(t, badly{lose: 0.2, repeat: 0.05, delay: 10 * time.Millisecond, jitter: 20 * time.Millisecond, seed: seed})
				begin := time.Now()
				x.connect(t, likeABrowser, piondtls.WithMTU(600)) // a ClientHello of one datagram, the rest of several
				d := time.Since(begin)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
				lost += up.losses() + down.losses()
			})
		}
	})
	slices.Sort(took)
	if len(took) < runs {
		t.Fatalf("%d of %d handshakes ended", len(took), runs)
	}
	t.Logf("20 %% loss each way: median %v, p90 %v, most %v; %d datagrams lost", took[runs/2], took[runs*9/10], took[runs-1], lost)
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

// A ClientHello that comes in pieces, as browsers send it, of which every tenth is lost.
func TestHandshakeInPiecesCompletesOverALossyNetwork(t *testing.T) {
	const runs = 12
	var mu sync.Mutex
	var took []time.Duration
	t.Run("all", func(t *testing.T) {
		for seed := range uint64(runs) {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				x := newSession(t, newTestServer(t, Config{}))
				var hellos atomic.Int64
				toServer := x.toServer
				x.toServer = func(b []byte) {
					if b[0] == typeHandshake && b[recordHeader] == msgClientHello {
						hellos.Add(1)
					}
					toServer(b)
				}
				x.over(t, badly{lose: 0.1, delay: 10 * time.Millisecond, jitter: 20 * time.Millisecond, seed: seed})
				begin := time.Now()
				x.connect(t, likeABrowser, piondtls.WithMTU(100))
				mu.Lock()
				defer mu.Unlock()
				if n := hellos.Load(); n < 2 {
					t.Errorf("a ClientHello of %d datagrams", n)
				}
				took = append(took, time.Since(begin))
			})
		}
	})
	slices.Sort(took)
	if len(took) == runs {
		t.Logf("10 %% loss each way, in pieces: median %v, most %v", took[runs/2], took[runs-1])
	}
}

// What UDP's checksum has let through is dropped where it is not a record: a copy of each datagram
// comes ahead of it, with another version, epoch or length.
func TestDamagedRecordsAreIgnored(t *testing.T) {
	for _, at := range []int{1, 2, 3, 4, 11, 12} {
		x := newSession(t, newTestServer(t, Config{}))
		toServer, n := x.toServer, 0
		x.toServer = func(b []byte) {
			damaged := bytes.Clone(b)
			damaged[at] ^= 0x40
			toServer(damaged)
			n++
			toServer(b)
		}
		if x.connect(t); n < 2 {
			t.Errorf("%d datagrams", n)
		}
	}
}

// Nothing tells a damaged handshake message from a good one before the Finished messages, which
// then do not match (RFC 5246 section 7.4.9). Whatever comes of it, it ends in time, and never with
// ends that think differently of the keys.
func TestDamagedHandshakeEndsOneWayOrTheOther(t *testing.T) {
	const runs = 20
	var mu sync.Mutex
	completed := 0
	t.Run("all", func(t *testing.T) {
		for seed := range uint64(runs) {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				x := newSession(t, newTestServer(t, Config{Deadline: 300 * time.Millisecond}))
				x.over(t, badly{damage: 0.15, seed: seed})
				conn := x.client(t)
				ended := make(chan error, 1)
				go func() { ended <- conn.Handshake() }()
				o := wait(t, x.sink.done, "Done")
				if o.err != nil {
					_ = conn.Close()
					wait(t, ended, "end of the client")
					return
				}
				if err := wait(t, ended, "end of the client"); err != nil {
					return // it did not understand our last flight, and tells so in its time
				}
				state, ok := conn.ConnectionState()
				if !ok {
					t.Fatal("no state")
				}
				n := o.result.Keys.Profile.KeyLen()
				material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(n+o.result.Keys.Profile.SaltLen()))
				if err != nil || !bytes.Equal(material[:n], o.result.Keys.RemoteKey) || !bytes.Equal(material[n:2*n], o.result.Keys.LocalKey) {
					t.Errorf("the ends have different keys: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				completed++
			})
		}
	})
	t.Logf("%d of %d handshakes with 15 %% of damaged datagrams completed", completed, runs)
}

// Our longest flight, certificate and all, is in datagrams that every path carries.
func TestNoDatagramIsLongerThanAnyPathCarries(t *testing.T) {
	longest, most := 0, 0
	for _, dtls13 := range []bool{false, true} {
		s := newTestServer(t, Config{FlightInterval: 20 * time.Millisecond})
		x := newScript(t, s)
		h := goodHello
		h.dtls13 = dtls13
		deliver := x.sink.deliver
		var mu sync.Mutex
		x.sink.deliver = func(b []byte) {
			mu.Lock()
			longest, most = max(longest, len(b)), most+1
			mu.Unlock()
			deliver(b)
		}
		x.say(msgClientHello, 0, h.body(x.random[:]))
		x.readFlight()
		sent := x.sink.sent.Load()
		until(t, "the flight is repeated", func() bool { return x.sink.sent.Load() >= 2*sent })
		x.sayCertificate(1, x.certificate.Certificate[0])
		x.sayKeyExchange(2)
		x.sayVerify(3, x.privateKey())
		x.sayFinished(4)
		if o := wait(t, x.sink.done, "Done"); o.err != nil {
			t.Fatal(o.err)
		}
		mu.Lock()
		if longest > mtu {
			t.Errorf("a datagram of %d bytes", longest)
		}
		mu.Unlock()
	}
	t.Logf("the longest of %d datagrams has %d bytes", most, longest)
}

// Our flights are repeated after 50, 150, 350, 750 ms and so on: eight times before the deadline.
func TestRepetitionsAreTwiceAsFarApartEachTime(t *testing.T) {
	const interval = 50 * time.Millisecond
	x := newScript(t, newTestServer(t, Config{}))
	start := time.Now()
	x.say(msgClientHello, 0, goodHello.body(x.random[:]))
	x.readFlight()
	flight := x.sink.sent.Load()
	for n := range int64(4) {
		until(t, "the flight is repeated", func() bool { return x.sink.sent.Load() >= (n+2)*flight })
		if after, least := time.Since(start), (1<<(n+1)-1)*interval; after < least-interval/5 {
			t.Errorf("repeated for the %dth time after %v, not %v", n+1, after, least)
		}
	}
}
