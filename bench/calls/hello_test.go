package calls

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// crowd dials n bots, several at a time.
func (w *world) crowd(n int, config func(i int) bot.Config) []*bot.Bot {
	w.t.Helper()
	bots := make([]*bot.Bot, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				b, err := bot.Dial(ctx, config(i))
				cancel()
				if err != nil {
					w.t.Errorf("bot %d: %v", i, err)
					return
				}
				bots[i] = b
			}
		})
	}
	all.Wait()
	w.t.Cleanup(func() {
		for _, b := range bots {
			if b != nil {
				all.Go(b.Kill)
			}
		}
		all.Wait()
	})
	if w.t.Failed() {
		w.t.FailNow()
	}
	return bots
}

// joinTime is the median of how long a bot takes from its first byte to its keys.
func (w *world) joinTime() time.Duration {
	w.t.Helper()
	var times []time.Duration
	for range 9 {
		b := w.join(w.peer(bot.RecvOnly))
		times = append(times, b.Stats().ConnectTime)
		leave(w.t, b)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// A thousand clients pass the checks, say ClientHello and fall silent. They do not queue
// anybody, and are gone when their handshakes' time is up.
//
// Row DTLS-03.
func TestAThousandSilentClientHellosDelayNobody(t *testing.T) {
	const silent = 1000
	// As many joins as that are all that is let in by default: those beside would be told to come later.
	w := start(t, map[string]string{"max_joining": strconv.Itoa(2 * silent)})
	publisher := w.join(w.peer(bot.SendOnly))
	viewer := w.join(w.peer(bot.RecvOnly))
	requireFrames(t, 10, flow{publisher, viewer})
	baseline := w.joinTime()
	handshakes := w.grown("handshakes")

	// All of them are let go at once, so that all handshakes run at a time.
	var open atomic.Bool
	bots := w.crowd(silent, func(i int) bot.Config {
		cfg := w.peer(bot.RecvOnly)
		cfg.Channel = fmt.Sprint("silent", i)
		cfg.SilentAfterClientHello = true
		cfg.Outgoing = func([]byte) bool { return open.Load() }
		return cfg
	})
	for _, b := range bots {
		eventually(t, "an offer", func() (bool, any) { return b.OfferMessage() != nil, b.Err() })
	}
	open.Store(true)
	eventually(t, "the handshakes have begun", func() (bool, any) {
		n := w.grown("handshakes") - handshakes
		return n >= silent, n
	})
	inFlight := w.level("dtls_in_flight")
	beside := w.joinTime()
	t.Logf("a join takes %v, and %v beside %d silent handshakes", baseline, beside, inFlight)
	if inFlight < silent/2 {
		t.Errorf("%d handshakes at a time: nothing was shown", inFlight)
	}
	if limit := 4*baseline + 100*time.Millisecond; beside > limit {
		t.Errorf("a join takes %v beside %d silent handshakes, %v without", beside, inFlight, baseline)
	}
	requireFrames(t, 10, flow{publisher, viewer})

	for _, b := range bots {
		waitClosed(t, b, 4490, "DTLS-FAILED")
	}
	w.requireGrown("dtls_timed_out", silent)
	eventually(t, "everything is given back", func() (bool, any) {
		now := w.Counters()
		return now["dtls_in_flight"] == 0 && w.idle["connections_free"]-now["connections_free"] == 2, now["connections_free"]
	})
	requireIntact(t, flow{publisher, viewer})
}

// helloOf returns the datagrams of a ClientHello as a bot sends it.
func (w *world) helloOf() [][]byte {
	w.t.Helper()
	var r tape
	cfg := w.peer(bot.RecvOnly)
	cfg.Channel, cfg.SilentAfterClientHello = "hello", true
	cfg.Outgoing = r.record(20, 63, 1)
	b := w.dial(cfg)
	eventually(w.t, "a ClientHello", func() (bool, any) { return len(r.all()) == 1, b.Err() })
	eventually(w.t, "its handshake", func() (bool, any) { return w.grown("handshakes") == 1, b.Err() })
	b.Kill()
	return r.all()
}

// While others keep sending the ClientHello of somebody, and records that are none, from
// ports without a check, every handshake succeeds.
//
// Row DTLS-01.
func TestStrangersRecordsSpoilNoHandshake(t *testing.T) {
	t.Parallel()
	const joins = 240
	w := start(t, nil)
	hello := w.helloOf()[0]
	server := netip.AddrPortFrom(loopback.Addr(), uint16(w.UDPPort()))
	ctx, stop := context.WithCancel(context.Background())
	var strangers sync.WaitGroup
	var sent atomic.Uint64
	for i := range 4 {
		conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(onShard(t, i%2, 2)), net.UDPAddrFromAddrPort(server))
		if err != nil {
			t.Fatal(err)
		}
		strangers.Go(func() {
			defer conn.Close()
			disturb(ctx, conn, hello, &sent)
		})
	}
	bots := w.crowd(joins, func(i int) bot.Config {
		cfg := w.peer(bot.RecvOnly)
		cfg.Channel = fmt.Sprint("room", i)
		return cfg
	})
	for i, b := range bots {
		if err := b.WaitConnected(within(t)); err != nil {
			t.Errorf("bot %d: %v", i, err)
		}
	}
	stop()
	strangers.Wait()
	if n := sent.Load(); n < joins {
		t.Errorf("%d disturbing datagrams: nothing was shown", n)
	}
	w.requireGrown("handshakes", 1+joins)
	w.requireGrown("established", joins)
	if n := w.grown("drop_path"); n < sent.Load()/2 {
		t.Errorf("%d datagrams were dropped of %d from ports without a check", n, sent.Load())
	}
}

// disturb sends a ClientHello, and variations of it that are no good, a thousand a second.
func disturb(ctx context.Context, conn *net.UDPConn, hello []byte, sent *atomic.Uint64) {
	random := rand.New(rand.NewPCG(3, 5))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		b := slices.Clone(hello)
		switch random.IntN(3) {
		case 1:
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
			b[0] = byte(20 + random.IntN(44)) // still DTLS by its first byte
		case 2:
			b = b[:1+random.IntN(len(b)-1)]
		}
		if _, err := conn.Write(b); err == nil {
			sent.Add(1)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// flights counts the handshake datagrams that come in.
func flights() (hook func([]byte) bool, n *atomic.Int64) {
	n = new(atomic.Int64)
	return func(b []byte) bool {
		if len(b) > 0 && b[0] >= 20 && b[0] < 64 {
			n.Add(1)
		}
		return true
	}, n
}

// Two clients stop after their ClientHello. One of them repeats it thousands of times, by its
// validated path, and draws no more of our flights than the other: those that our timer sends.
//
// Row DTLS-10.
func TestRepeatedFlightDrawsNoFlight(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	dial := func() (b *bot.Bot, hello *tape, came *atomic.Int64) {
		cfg := w.peer(bot.RecvOnly)
		hello = &tape{}
		cfg.SilentAfterClientHello = true
		cfg.Outgoing = hello.record(20, 63, 1)
		cfg.Incoming, came = flights()
		return w.dial(cfg), hello, came
	}
	repeats, hello, drawn := dial()
	silent, _, control := dial()
	eventually(t, "both have begun", func() (bool, any) { return drawn.Load() > 0 && control.Load() > 0, nil })
	flight := hello.all()[0]
	repeated := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-repeats.Failed():
			ended = true
		case <-tick.C:
			if err := repeats.SendRaw(flight); err != nil {
				t.Fatal(err)
			}
			repeated++
		}
	}
	waitClosed(t, repeats, 4490, "DTLS-FAILED")
	waitClosed(t, silent, 4490, "DTLS-FAILED")
	t.Logf("%d repeats drew %d datagrams, silence %d", repeated, drawn.Load(), control.Load())
	// The schedule of both is 50 ms, doubled each time: one more or less is a matter of when
	// the time was up.
	if most := control.Load() * 5 / 4; drawn.Load() > most+2 || control.Load() < 3 {
		t.Errorf("%d repeats drew %d datagrams, silence %d", repeated, drawn.Load(), control.Load())
	}
	if repeated < 500 {
		t.Errorf("%d repeats: nothing was shown", repeated)
	}
}

// Browsers with large key shares, and links with a small MTU, cut the ClientHello.
//
// Row DTLS-04.
func TestHandshakeInSmallPieces(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		cfg := w.peer(bot.SendRecv)
		cfg.DTLSMTU = 120
		a, b := w.join(cfg), w.join(cfg)
		requireFrames(t, 5, among(a, b)...)
		requireIntact(t, among(a, b)...)
	})
}
