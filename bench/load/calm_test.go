package load

import (
	"testing"
	"time"
)

func TestSteadyIsWhatStaysTheSame(t *testing.T) {
	ms := func(all ...int) (out []time.Duration) {
		for _, n := range all {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for name, c := range map[string]struct {
		seconds []time.Duration
		want    bool
	}{
		"nothing":       {nil, false},
		"too few":       {ms(500, 500), false},
		"the same":      {ms(500, 510, 540), true},
		"after a storm": {ms(1900, 1500, 700, 680, 700), true},
		"falling":       {ms(1900, 700, 600, 500), false},
		"a peak":        {ms(500, 900, 500), false},
		"hardly any":    {ms(0, 30, 10), true},
	} {
		if got := steady(c.seconds); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCalmIsWaitedForButNotForLong(t *testing.T) {
	cpu := time.Duration(0)
	restless := func() time.Duration { cpu = 2*cpu + time.Second; return cpu }
	e := &engine{capacity: 1, scenario: Scenario{PID: 1, Calm: 50 * time.Millisecond}}
	if err := e.calm(t.Context(), restless); err != nil || cpu < 3*time.Second {
		t.Errorf("%v, %v", err, cpu)
	}
	cpu = 0
	e.scenario.PID = 0
	if err := e.calm(t.Context(), restless); err != nil || cpu != 0 {
		t.Errorf("without a process to watch: %v, %v", err, cpu)
	}
}
