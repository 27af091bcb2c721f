package netio

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

// exclusive is a Handler that echoes and takes messages, and complains when two threads are in
// it at once. Its plain fields have the race detector complain as well.
type exclusive struct {
	t       *testing.T
	in      atomic.Int32
	ring    *ring.MPSC[int]
	calls   int
	last    mono.Time
	handled atomic.Int64
}

func (e *exclusive) enter(now mono.Time) {
	if !e.in.CompareAndSwap(0, 1) {
		e.t.Error("two threads are in one shard")
	}
	if now < e.last {
		e.t.Error("the clock of a shard went back")
	}
	e.calls, e.last = e.calls+1, now
}

func (e *exclusive) HandleBatch(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
	e.enter(now)
	echo(now, in, out)
	e.in.Store(0)
}

func (e *exclusive) HandleMessages(now mono.Time, _ *mmsg.TxQueue) bool {
	e.enter(now)
	defer e.in.Store(0)
	for range 16 {
		v, ok := e.ring.Pop()
		if !ok {
			return false
		}
		if want := e.handled.Add(1) - 1; int64(v) != want {
			e.t.Errorf("message %d, want %d", v, want)
		}
	}
	return !e.ring.Empty()
}

func (e *exclusive) HandleTimers(now mono.Time, _ *mmsg.TxQueue) mono.Time {
	e.enter(now)
	e.in.Store(0)
	return now.Add(5 * time.Millisecond)
}

func (e *exclusive) Pending() bool { return !e.ring.Empty() }

// Shards move from thread to thread a thousand times while datagrams and messages come: none is
// lost, messages keep their order, and nobody is in a shard twice.
func TestShardsMoveUnderTraffic(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		const shards = 3
		g := open(t, Config{Shards: shards, Plain: plain})
		var handlers []*exclusive
		for i := range shards {
			h := &exclusive{t: t, ring: ring.NewMPSC[int](1024)}
			handlers = append(handlers, h)
			g.Start(i, h)
		}
		stop, posted := make(chan struct{}), make(chan [shards]int)
		go func() {
			var n [shards]int
			for i := 0; ; i = (i + 1) % shards {
				select {
				case <-stop:
					posted <- n
					return
				default:
				}
				if handlers[i].ring.TryPush(n[i]) {
					n[i]++
					g.Waker(i).Wake()
				}
				runtime.Gosched()
			}
		}()
		moved := make(chan struct{})
		go func() {
			defer close(moved)
			for range 1000 {
				g.move(g.shards[rand.IntN(shards)], g.threads[rand.IntN(shards)])
			}
		}()
		to := netip.AddrPortFrom(loopback4, uint16(g.Port()))
		rounds := 0
		for done := false; !done; rounds++ {
			c := listen(t, loopback4) // another port: another shard now and then
			for i := range 10 {
				text := fmt.Sprintf("%d %d", rounds, i)
				send(t, c, to, text)
				if got, _ := receive(t, c); got != text {
					t.Fatalf("%q came back as %q", text, got)
				}
			}
			c.Close()
			select {
			case <-moved:
				done = true
			default:
			}
		}
		close(stop)
		n := <-posted
		g.Stop()
		for i, h := range handlers {
			if got := h.handled.Load(); got != int64(n[i]) {
				t.Errorf("shard %d handled %d of %d messages", i, got, n[i])
			}
		}
		t.Logf("%d datagrams, %v messages", rounds*10, n)
	})
}

// A thread that gave its shard away does nothing more, and what it carries it carries alone.
func TestGatheredShardsLeaveTheirThreadsAsleep(t *testing.T) {
	g := open(t, Config{Shards: 2})
	for i := range 2 {
		g.Start(i, &exclusive{t: t, ring: ring.NewMPSC[int](16)})
	}
	g.rideOn(1)
	if g.Threads() != 1 {
		t.Errorf("on %d threads", g.Threads())
	}
	meter := NewLoadMeter(g)
	before := g.Stats(1).Loops
	for g.Stats(1).Loops < before+20 {
		runtime.Gosched()
	}
	meter.Sample()
	if meter.ran[1] > 0.01 {
		t.Errorf("the thread without a shard has a load of %.3f", meter.ran[1])
	}
	g.rideOn(2)
	before = g.Stats(1).Loops
	for g.Stats(1).Loops < before+20 {
		runtime.Gosched()
	}
}

// One that has always more to do does not keep another on its thread from its sockets.
func TestBusyShardLeavesRoomForOthersOnItsThread(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 2, Plain: plain, NoSteering: true})
		var busy atomic.Bool
		g.Start(0, &funcs{batch: echo, messages: func(mono.Time, *mmsg.TxQueue) bool { return busy.Load() },
			timers: func(now mono.Time, _ *mmsg.TxQueue) mono.Time { return now.Add(time.Millisecond) }})
		g.Start(1, &funcs{batch: echo})
		g.rideOn(1)
		for slept := g.Stats(0).Sleeps; g.Stats(0).Sleeps < slept+5; {
			runtime.Gosched() // a sleep tells that the second shard's sockets have nothing
		}
		busy.Store(true)
		to := netip.AddrPortFrom(loopback4, uint16(g.Port()))
		for tries := 0; g.Stats(1).TxPackets < 20; tries++ {
			c := listen(t, loopback4) // the kernel chooses the shard by its port
			for range 5 {
				send(t, c, to, "x")
				receive(t, c)
			}
			c.Close()
			if tries > 1000 {
				t.Fatal("nothing came to the second shard")
			}
		}
	})
}

// A shard that does not sleep any more is given a thread of its own.
func TestBalancerSpreads(t *testing.T) {
	g := open(t, Config{Shards: 2})
	var busy atomic.Bool
	g.Start(0, &exclusive{t: t, ring: ring.NewMPSC[int](16)})
	g.Start(1, &funcs{timers: func(now mono.Time, _ *mmsg.TxQueue) mono.Time {
		if busy.Load() {
			return now // makes the shard spin
		}
		return now.Add(time.Millisecond)
	}})
	g.rideOn(1)
	b := newBalancer(g)
	b.state.threads = 1
	go b.run()
	defer b.end()
	busy.Store(true)
	for end := time.Now().Add(patience); g.Threads() != 2; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("still on one thread")
		}
	}
	busy.Store(false)
}

func TestSharingGroupHasABalancer(t *testing.T) {
	for _, share := range []bool{false, true} {
		g := open(t, Config{Shards: 2, Share: share})
		for i := range 2 {
			g.Start(i, &funcs{})
		}
		if (g.balancer != nil) != share {
			t.Errorf("share %v: a balancer: %v", share, g.balancer != nil)
		}
		g.Stop()
	}
}

// All threads sleep with their processor slots in hand, for as long as they may: the rest of
// the program runs, and so does the collector, which has to stop them for it.
func TestSleepingThreadsHoldUpNobody(t *testing.T) {
	const shards = 3
	before := runtime.GOMAXPROCS(shards + 1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	g := open(t, Config{Shards: shards})
	for i := range shards {
		g.Start(i, &funcs{})
	}
	for slots.threads.Load() < shards {
		runtime.Gosched() // until all have begun
	}
	if preemptible != slots.spare() {
		t.Errorf("spare slots: %v", slots.spare())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			runtime.GC()
		}
	}()
	await(t, "200 collections", done)
	stopped := make(chan struct{})
	go func() { g.Stop(); close(stopped) }()
	await(t, "the group to stop", stopped)
	if slots.threads.Load() != 0 {
		t.Errorf("%d threads are counted", slots.threads.Load())
	}
}
