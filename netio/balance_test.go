package netio

import "testing"

// looks feeds a spread the same loads n times and returns what it says last. Nobody waits.
func (s *spread) looks(n int, loads ...float64) (threads int) {
	for range n {
		threads = s.look(loads, loads)
	}
	return threads
}

// On a machine with other work a thread may never run for 70 % of the time, and yet never sleep.
func TestThreadsThatNeverSleepSpread(t *testing.T) {
	s := spread{shards: 2, threads: 1}
	for range hurried {
		s.look([]float64{0.3, 0}, []float64{0.97, 0})
	}
	if s.threads != 2 {
		t.Errorf("on %d threads", s.threads)
	}
	for range 3 * settled {
		s.look([]float64{0.2, 0.2}, []float64{0.5, 0.5})
	}
	if s.threads != 2 {
		t.Errorf("back on %d threads, where they would not sleep again", s.threads)
	}
}

func TestShardsGatherWhenTheLoadIsLowForLong(t *testing.T) {
	s := spread{shards: 2, threads: 2}
	if n := s.looks(settled-1, 0.1, 0.1); n != 2 {
		t.Errorf("after %d looks on %d threads", settled-1, n)
	}
	if n := s.looks(1, 0.1, 0.1); n != 1 {
		t.Errorf("after %d looks on %d threads", settled, n)
	}
	if n := s.looks(3*settled, 0, 0); n != 1 {
		t.Errorf("with nothing to do on %d threads", n)
	}
}

func TestOneBusyLookBeginsTheCalmAnew(t *testing.T) {
	s := spread{shards: 2, threads: 2}
	s.looks(settled-1, 0.1, 0.1)
	s.looks(1, 0.6, 0.1)
	if n := s.looks(settled-1, 0.1, 0.1); n != 2 {
		t.Errorf("on %d threads", n)
	}
}

func TestShardsSpreadSoon(t *testing.T) {
	s := spread{shards: 6, threads: 1}
	for _, want := range []int{2, 4, 6, 6} {
		if n := s.looks(hurried, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1); n != want {
			t.Errorf("on %d threads, want %d", n, want)
		}
	}
}

func TestAShortBurstDoesNotSpreadTheShards(t *testing.T) {
	s := spread{shards: 2, threads: 1}
	for range 10 {
		s.looks(hurried-1, 1, 0)
		if n := s.looks(1, 0.5, 0); n != 1 {
			t.Fatalf("on %d threads", n)
		}
	}
}

func TestShardsGatherByHalves(t *testing.T) {
	s := spread{shards: 6, threads: 6}
	for _, want := range []int{4, 2, 1} {
		if n := s.looks(settled, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05); n != want {
			t.Errorf("on %d threads, want %d", n, want)
		}
	}
}

// What rides together after halving counts, not the sum of all.
func TestShardsGatherByTheBusiestThatComesOfIt(t *testing.T) {
	s := spread{shards: 4, threads: 4}
	if n := s.looks(settled, 0.4, 0.4, 0.01, 0.01); n != 2 {
		t.Errorf("0.41 each on %d threads", n)
	}
	s = spread{shards: 4, threads: 4}
	if n := s.looks(settled, 0.4, 0.01, 0.4, 0.01); n != 4 {
		t.Errorf("0.8 and 0.02 on %d threads", n)
	}
}

// No load makes the shards go back and forth: what is spread has at most half of spreadAt on
// its busiest thread at best, and that is not low enough to gather again.
func TestALoadLeadsToOneNumberOfThreads(t *testing.T) {
	for percent := range 100 {
		load := float64(percent) / 100
		s := spread{shards: 2, threads: 1}
		changes, last := 0, 1
		for range 20 * settled {
			loads := []float64{min(load, 1), 0}
			if s.threads == 2 {
				loads = []float64{load / 2, load / 2}
			}
			if n := s.look(loads, loads); n != last {
				changes, last = changes+1, n
			}
		}
		if changes > 1 {
			t.Errorf("a load of %.2f: %d changes", load, changes)
		}
	}
}
