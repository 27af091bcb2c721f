package recv

import (
	"testing"

	"tsubame/netio/mono"
)

func TestSuspicionAndRepeatsAllocateNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	var tables Tables
	s := new(Stream)
	s.Init(Config{SSRC: 1, ClockRate: 90000, NACK: true, Video: true, Tables: &tables})
	nacks := make([]uint16, 0, MaxNACK)
	now, n, asked := start, uint16(0), 0
	s.eager.on = true
	step := func() {
		now = now.Add(ms(5))
		if n++; n%10 == 0 {
			s.Suspect(now, 2)
		} else {
			s.Receive(now, n, uint32(n)*3000, 1100, false)
		}
		if d := s.Deadline(); d != mono.Never && d.Due(now) {
			asked += len(s.AppendNACK(now, ms(40), nacks[:0]))
		}
	}
	for range 1000 {
		step()
	}
	if allocs := testing.AllocsPerRun(2000, step); allocs != 0 {
		t.Errorf("%v allocations a step", allocs)
	}
	if asked < 1000 {
		t.Errorf("asked %d times", asked)
	}
}
