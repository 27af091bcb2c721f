package ice

import (
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/netio/mono"
)

func TestLatestNominationWins(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	out := nominate(a, start.Add(MinHold), 2)
	if !out.Selected || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
	if out = check(a, start.Add(time.Second), 1); out.Selected || selected(a) != 2 {
		t.Errorf("a check without a nomination moved media to %d", selected(a))
	}
}

// Row ICE-09.
func TestNominationWithinTheHoldWaitsForItsEnd(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	if out := nominate(a, start.Add(MinHold-1), 2); out.Selected || !out.NewPath || selected(a) != 1 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
	if want := start.Add(MinHold); a.Deadline() != want {
		t.Errorf("wakes at %v, want %v", a.Deadline(), want)
	}
	if a.Lost(start.Add(MinHold-1)) || selected(a) != 1 {
		t.Error("switched too soon")
	}
	if a.Lost(start.Add(MinHold)) || selected(a) != 2 {
		t.Error("the held nomination was lost")
	}
}

// Row ICE-09.
func TestHeldNominationIsReleasedByACheckAsWell(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	nominate(a, start.Add(1), 2)
	if out := check(a, start.Add(MinHold), 1); !out.Selected || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}

// Row ICE-09.
func TestOnlyTheLatestHeldNominationCounts(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	nominate(a, start.Add(1), 2)
	nominate(a, start.Add(2), 3)
	a.Lost(start.Add(MinHold))
	if selected(a) != 3 {
		t.Errorf("selected %d", selected(a))
	}

	a = newAgent()
	nominate(a, start, 1)
	nominate(a, start.Add(1), 2)
	nominate(a, start.Add(2), 1) // and back: nothing is to be done
	a.Lost(start.Add(MinHold))
	if selected(a) != 1 {
		t.Errorf("selected %d", selected(a))
	}
}

func TestHoldIsTheRoundTripWithinBounds(t *testing.T) {
	for rtt, want := range map[time.Duration]time.Duration{
		0: MinHold, -time.Second: MinHold, time.Millisecond: MinHold,
		100 * time.Millisecond: 100 * time.Millisecond, time.Hour: MaxHold,
	} {
		a := newAgent()
		a.SetRTT(rtt)
		nominate(a, start, 1)
		nominate(a, start.Add(1), 2)
		if got := a.Deadline().Sub(start); got != want {
			t.Errorf("round trip %v: held for %v, want %v", rtt, got, want)
		}
	}
}

// A peer whose port changes every 50 ms, give or take, for a minute. Its old ports go on
// receiving for 100 ms, as sockets and NAT bindings do; checks take 5 ms to arrive. Media goes
// out every 5 ms.
//
// Row ICE-09.
func TestMediaFollowsAFlappingPeer(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	a := newAgent()
	a.SetRTT(10 * time.Millisecond)
	const alive, delay = 100 * time.Millisecond, 5 * time.Millisecond
	closes := map[int]mono.Time{} // when a port that was left stops receiving
	port := 1
	nominate(a, start, port)
	validated := map[int]bool{port: true}

	var sent, lost, switches int
	var lastSwitch mono.Time
	nextFlip, arrival := start.Add(50*time.Millisecond), mono.Never
	was := selected(a)
	for now := start; now < start.Add(time.Minute); now = now.Add(time.Millisecond) {
		if nextFlip.Due(now) {
			closes[port] = now.Add(alive)
			port++
			arrival = now.Add(delay)
			nextFlip = now.Add(50*time.Millisecond + time.Duration(rnd.IntN(21)-10)*time.Millisecond)
		}
		if arrival.Due(now) {
			validated[port] = true
			nominate(a, now, port)
			arrival = mono.Never
		}
		if a.Deadline().Due(now) && a.Lost(now) {
			t.Fatal("lost")
		}
		if s := selected(a); s != was {
			if now.Sub(lastSwitch) < MinHold {
				t.Fatalf("seed %d: two switches within %v", seed, now.Sub(lastSwitch))
			}
			was, lastSwitch = s, now
			switches++
		}
		if now%mono.Time(5*time.Millisecond) == 0 {
			sent++
			if !validated[was] {
				t.Fatalf("seed %d: sent to unvalidated port %d", seed, was)
			}
			if end, left := closes[was]; left && end.Due(now) {
				lost++
			}
		}
	}
	if lost*100 >= sent {
		t.Errorf("seed %d: %d of %d packets lost", seed, lost, sent)
	}
	if switches < 1000 {
		t.Errorf("seed %d: followed %d times in a minute", seed, switches)
	}
}
