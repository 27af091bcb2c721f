package bwe

import (
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/netio/mono"
)

func TestNumbersThatJumpForgetWhatWasBefore(t *testing.T) {
	e := sentTo(10, 5)
	e.Sent(at(5), 100, 500)
	for _, seq := range []uint16{10, 14, 15, 99, 101} {
		if e.history.find(seq) != nil {
			t.Errorf("%d is known", seq)
		}
	}
	if p := e.history.find(100); p == nil || p.size != 500 {
		t.Errorf("100 is %+v", p)
	}
}

func TestSendTimeIsKeptToAMicrosecond(t *testing.T) {
	var e Estimator
	e.Init(simStart, Config{}, nil)
	sent := simStart.Add(123_456_789)
	e.Sent(sent, 1, 1)
	for _, age := range []mono.Time{0, 1, 1e6, 1e9, 3e9} {
		got := e.history.find(1).sent(sent + age)
		if off := got - sent; off > 1024 || off < -1024 {
			t.Errorf("after %d ns it is off by %d ns", age, off)
		}
	}
}

// What is under way longer than it takes to send a table needs a bigger one, up to the biggest.
func TestTableGrowsWithWhatIsUnderWayAndShrinks(t *testing.T) {
	var tables Tables
	var e Estimator
	e.Init(simStart, Config{}, &tables)
	now, seq := simStart, uint16(0)
	send := func(n int) {
		for range n {
			now = now.Add(ms / 10)
			e.Sent(now, seq, 100)
			seq++
		}
	}
	send(1000)
	if n := len(e.history.entries); n != 1024 {
		t.Errorf("%d entries for 1,000 under way", n)
	}
	for i := range uint16(1000) {
		if e.history.find(i) == nil {
			t.Fatalf("packet %d was lost in growing", i)
		}
	}
	send(20000)
	if n := len(e.history.entries); n != maxHistory {
		t.Errorf("%d entries for 21,000 under way", n)
	}
	if e.history.find(seq-1) == nil || e.history.find(seq-maxHistory/2) == nil || e.history.find(0) != nil {
		t.Error("it is not the oldest that was forgotten")
	}
	for range 20000 { // each is reported at once from here on
		send(1)
		e.history.find(seq - 1).fate = received
		e.history.reported = seq
	}
	if n := len(e.history.entries); n > 2*minHistory {
		t.Errorf("%d entries for one under way", n)
	}
	if len(tables.free[classes-1]) != 1 {
		t.Error("the biggest table was not given back")
	}
}

// A model that remembers everything agrees on the newest packets.
func TestHistoryAgreesWithAModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var e Estimator
		e.Init(simStart, Config{}, new(Tables))
		sizes := map[uint16]uint16{}
		now, seq := simStart, uint16(r.Uint32())
		for range 5000 {
			now = now.Add(time.Duration(r.Int64N(4e6)))
			size := uint16(1 + r.IntN(1500))
			e.Sent(now, seq, int(size))
			sizes[seq] = size
			seq++
			if r.IntN(3) == 0 {
				if p := e.history.find(seq - uint16(r.IntN(100)) - 1); p != nil {
					p.fate = received
				}
				e.history.reported = seq - uint16(r.IntN(60))
			}
			back := uint16(1 + r.IntN(historyLate))
			if p := e.history.find(seq - back); p != nil && p.size != sizes[seq-back] {
				t.Fatalf("seed %d: packet %d has size %d, sent with %d", seq, seq-back, p.size, sizes[seq-back])
			}
			if p := e.history.find(seq - 1); p == nil {
				t.Fatalf("seed %d: the newest packet is not known", seed)
			}
			if e.history.find(seq) != nil {
				t.Fatalf("seed %d: a packet that was not sent is known", seed)
			}
		}
	}
}
