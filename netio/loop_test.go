package netio

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

func TestShardEchoesBothFamilies(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 1, Plain: plain})
		g.Start(0, &funcs{batch: echo})
		for _, at := range []netip.Addr{loopback4, loopback6} {
			c, to := listen(t, at), netip.AddrPortFrom(at, uint16(g.Port()))
			for i := range 200 {
				text := fmt.Sprintf("%v %d", at, i)
				send(t, c, to, text)
				if got, from := receive(t, c); got != text || from != to {
					t.Fatalf("%q from %v, want %q from %v", got, from, text, to)
				}
			}
		}
		g.Stop()
		s := g.Stats(0)
		if s.RxPackets != 400 || s.TxPackets != 400 || s.RxBytes != s.TxBytes || s.RxBytes == 0 {
			t.Errorf("counted %d/%d datagrams, %d/%d bytes", s.RxPackets, s.TxPackets, s.RxBytes, s.TxBytes)
		}
		if s.Sleeps == 0 || s.Loops == 0 {
			t.Errorf("%d loops, %d sleeps", s.Loops, s.Sleeps)
		}
	})
}

// All calls of one iteration see one time, and time does not go back.
func TestOneNowAnIteration(t *testing.T) {
	g := open(t, Config{Shards: 1})
	var batchNow, last mono.Time
	wrong, done := 0, make(chan int, 1)
	seen := 0
	g.Start(0, &funcs{
		batch: func(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
			batchNow = now
			echo(now, in, out)
		},
		messages: func(now mono.Time, _ *mmsg.TxQueue) bool {
			if now < last || batchNow != 0 && batchNow != now {
				wrong++
			}
			last = now
			return false
		},
		timers: func(now mono.Time, _ *mmsg.TxQueue) mono.Time {
			if now != last {
				wrong++
			}
			if batchNow != 0 {
				if seen++; seen == 50 {
					done <- wrong
				}
			}
			batchNow = 0
			return mono.Never
		},
	})
	c := listen(t, loopback4)
	for range 50 {
		send(t, c, netip.AddrPortFrom(loopback4, uint16(g.Port())), "x")
		receive(t, c)
	}
	if n := await(t, "50 batches", done); n != 0 {
		t.Errorf("%d times the clock was read twice or went back", n)
	}
}

// mailbox is a Handler with one ring.
func mailbox(r *ring.MPSC[int], take func(int, *mmsg.TxQueue)) *funcs {
	const budget = 16
	return &funcs{
		messages: func(_ mono.Time, out *mmsg.TxQueue) bool {
			for range budget {
				v, ok := r.Pop()
				if !ok {
					return false
				}
				take(v, out)
			}
			return !r.Empty()
		},
		pending: func() bool { return !r.Empty() },
	}
}

// The consumer falls asleep before every message: a lost wake-up would end the test by its
// patience.
func TestSleepingShardIsWokenByEveryMessage(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 1, Plain: plain})
		r, got := ring.NewMPSC[int](8), make(chan int, 1)
		g.Start(0, mailbox(r, func(v int, _ *mmsg.TxQueue) { got <- v }))
		for i := range 3000 {
			if !r.TryPush(i) {
				t.Fatal("the ring is full")
			}
			g.Waker(0).Wake()
			if v := await(t, "a message", got); v != i {
				t.Fatalf("message %d came as %d", i, v)
			}
		}
		if s := g.Stats(0); s.Wakes == 0 {
			t.Error("no wake was counted")
		}
	})
}

func TestMessagesOfManyProducersAllArrive(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		const producers, each = 4, 5000
		g := open(t, Config{Shards: 1, Plain: plain})
		r, done := ring.NewMPSC[int](64), make(chan struct{})
		count := 0
		g.Start(0, mailbox(r, func(int, *mmsg.TxQueue) {
			if count++; count == producers*each {
				close(done)
			}
		}))
		for range producers {
			go func() {
				for i := range each {
					for !r.TryPush(i) {
						runtime.Gosched()
					}
					g.Waker(0).Wake()
				}
			}()
		}
		await(t, "all messages", done)
	})
}

// ticker fires every period and counts its fires and the calls in between.
type ticker struct {
	period time.Duration
	next   mono.Time
	early  int // calls before the deadline
	fires  int
	done   chan struct{}
}

func (k *ticker) HandleTimers(now mono.Time, _ *mmsg.TxQueue) mono.Time {
	switch {
	case k.next == mono.Never:
		k.next = now.Add(k.period)
	case k.next.Due(now):
		k.next = now.Add(k.period)
		if k.fires++; k.fires == 5 {
			close(k.done)
		}
	default:
		k.early++
	}
	return k.next
}

// A shard with nothing but a timer sleeps until it is due: it runs when it has to, and hardly
// ever when it has not.
func TestIdleShardSleepsUntilItsTimer(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 1, Plain: plain})
		k := &ticker{period: 30 * time.Millisecond, done: make(chan struct{})}
		began := time.Now()
		g.Start(0, &funcs{timers: k.HandleTimers})
		await(t, "five timers", k.done)
		if took := time.Since(began); took < 5*k.period {
			t.Errorf("five timers of %v were over after %v", k.period, took)
		}
		g.Stop()
		if k.early > 20 {
			t.Errorf("called %d times before a deadline", k.early)
		}
		if s := g.Stats(0); s.Timers < 5 || s.Loops > 60 {
			t.Errorf("%d loops and %d timers for 5 deadlines", s.Loops, s.Timers)
		}
	})
}

// While more is reported the shard does not sleep.
func TestMoreMessagesKeepTheShardAwake(t *testing.T) {
	g := open(t, Config{Shards: 1})
	left, done := 1000, make(chan struct{})
	g.Start(0, &funcs{messages: func(mono.Time, *mmsg.TxQueue) bool {
		if left--; left == 0 {
			close(done)
		}
		return left > 0
	}})
	await(t, "the last message", done)
	g.Stop()
	if s := g.Stats(0); s.Sleeps > 2 {
		t.Errorf("slept %d times", s.Sleeps)
	}
}

func TestStopSendsWhatWasPosted(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 1, Plain: plain})
		c, r := listen(t, loopback4), ring.NewMPSC[int](64)
		to := flow.KeyOf(loopback4, addrOf(c))
		g.Start(0, mailbox(r, func(v int, out *mmsg.TxQueue) { put(out, fmt.Append(nil, v), to, mmsg.Control) }))
		const posted = 50 // more than one budget
		for i := range posted {
			r.TryPush(i)
		}
		g.Stop()
		for i := range posted {
			if got, _ := receive(t, c); got != fmt.Sprint(i) {
				t.Fatalf("received %q, want %d", got, i)
			}
		}
	})
}

func TestStopEndsSoon(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		busy := &funcs{messages: func(mono.Time, *mmsg.TxQueue) bool { return true }}
		for name, h := range map[string]Handler{"asleep": &funcs{}, "never idle": busy} {
			g := open(t, Config{Shards: 1, Plain: plain})
			g.Start(0, h)
			began := time.Now()
			g.Stop()
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%s: Stop took %v", name, took)
			}
		}
	})
}

func TestStopTwiceAndWithoutStart(t *testing.T) {
	g := open(t, Config{Shards: 1})
	var stopped atomic.Int32
	done := make(chan struct{})
	for range 4 {
		go func() {
			g.Stop()
			if stopped.Add(1) == 4 {
				close(done)
			}
		}()
	}
	await(t, "four Stops", done)
	g.Waker(0).Wake() // harmless
}

func TestSecondStartPanics(t *testing.T) {
	g := open(t, Config{Shards: 1})
	g.Start(0, &funcs{})
	defer func() {
		if recover() == nil {
			t.Error("a second Start did not panic")
		}
	}()
	g.Start(0, &funcs{})
}
