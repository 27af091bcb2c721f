package netem

import "time"

// lateness counts durations in steps of 50 us.
type lateness struct {
	counts [latenessSteps]uint32
	total  uint32
	most   time.Duration
}

const (
	latenessSteps = 1000 // 50 ms; longer ones are in the last
	latenessStep  = 50 * time.Microsecond
)

func (l *lateness) add(d time.Duration) {
	l.counts[min(int(max(0, d)/latenessStep), latenessSteps-1)]++
	l.total++
	l.most = max(l.most, d)
}

// of is a quantile, rounded up to a step.
func (l *lateness) of(q float64) time.Duration {
	rest := int64(q * float64(l.total))
	for i, n := range l.counts {
		if rest -= int64(n); rest < 0 {
			return time.Duration(i+1) * latenessStep
		}
	}
	return 0
}
