//go:build browser

package browser

import "time"

// starved is a delay of our own, of a goroutine that only waits for a clock, behind which
// a machine has no processor for its browsers either: their pictures, which pass through
// half a dozen threads, may freeze then.
const starved = 40 * time.Millisecond

// stalls watches how late this process gets a processor.
type stalls struct {
	end  chan struct{}
	most chan time.Duration
}

func watchStalls() *stalls {
	s := &stalls{make(chan struct{}), make(chan time.Duration, 1)}
	go func() {
		const period = 5 * time.Millisecond
		tick := time.NewTicker(period)
		defer tick.Stop()
		most, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
				now := time.Now()
				most, last = max(most, now.Sub(last)-period), now
			case <-s.end:
				s.most <- most
				return
			}
		}
	}()
	return s
}

// longest ends the watch and returns the longest delay.
func (s *stalls) longest() time.Duration {
	close(s.end)
	return <-s.most
}
