package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// simCell is what a lossy network leaves of a call for two minutes: a publisher and a viewer, each
// behind a link of its own that loses as much in each direction.
type simCell struct {
	packets, lost int // of video, from end to end, after all recovery
	frames, shown int
	freezes       int // longer than 500 ms
	asked         int // key frames
	again         float64
}

func (c simCell) residual() float64 { return float64(c.lost) / float64(c.packets) }

func runCell(t *testing.T, m *simMemory, loss, burst float64, rtt time.Duration) (c simCell) {
	link := simNet{Loss: loss, Burst: burst, Delay: rtt / 2}
	plan := &simPlan{
		seed: 1 + uint64(loss*1000) + uint64(burst*7) + uint64(rtt), shards: 2, window: true, heal: 2 * time.Minute, measure: 5 * time.Second,
		peers: []simPeerPlan{
			{Video: true, FPS: 30, Size: 300, TWCC: true, Up: link, Down: link},
			{View: true, TWCC: true, Up: link, Down: link},
		},
	}
	s := newSim(t, m, plan)
	defer s.close(m)
	defer func() {
		if f, failed := recover().(simFailure); failed {
			t.Errorf("loss %v in bursts of %v, round trip %v: %s", loss, burst, rtt, f.what)
		}
	}()
	s.begin()
	s.run(s.heals)
	src, v := s.who(0).pubs[0], s.who(1).views[0]
	for _, n := range src.measured {
		if !v.numbers[n] {
			c.lost++
		}
	}
	sent := s.sum(func(c *Counters) uint64 { return c.Conn.RTPOut.Load() })
	again := s.sum(func(c *Counters) uint64 { return c.Conn.RTXOut.Load() })
	c.packets, c.frames, c.shown = len(src.measured), int(src.frame), v.decoded
	c.freezes, c.asked, c.again = v.freezes, src.asked, float64(again)/float64(sent)
	return c
}

// What retransmission, over both links, leaves of losses: in the cell that matters most, 10 % in
// each direction of each link and 100 ms of round trip on each, no more than 0.2 %.
func TestLossIsRepairedOverBothLinks(t *testing.T) {
	losses, rtts := []float64{0.01, 0.05, 0.1, 0.2}, []time.Duration{20, 100, 200, 400}
	if testing.Short() || raceEnabled {
		losses, rtts = []float64{0.1}, []time.Duration{100}
	}
	m := newSimMemory()
	var table strings.Builder
	for _, burst := range []float64{1, 4} {
		for _, loss := range losses {
			for _, ms := range rtts {
				c := runCell(t, m, loss, burst, ms*time.Millisecond)
				fmt.Fprintf(&table, "\n%4.0f %% in bursts of %.0f, %3d ms: %.3f %% of %d packets never came, %.2f %% of frames not shown, "+
					"%d freezes, %d key frames asked for, %.1f %% sent again", loss*100, burst, ms, 100*c.residual(), c.packets,
					100*(1-float64(c.shown)/float64(c.frames)), c.freezes, c.asked, 100*c.again)
				most := 0.002
				switch {
				case loss > 0.1 && ms > 200:
					most = 0.1 // a publisher keeps what it sent for little longer than two round trips
				case loss > 0.1:
					most = 0.03
				case ms > 200:
					most = 0.03
				case burst > 1:
					most = 0.01
				}
				if c.packets < 5000 || c.residual() > most {
					t.Errorf("loss %v in bursts of %v, round trip %d ms: %d of %d packets never came, at most %v may be missing",
						loss, burst, ms, c.lost, c.packets, most)
				}
				if c.asked > 120 {
					t.Errorf("loss %v in bursts of %v, round trip %d ms: %d key frames asked for", loss, burst, ms, c.asked)
				}
			}
		}
	}
	t.Log(table.String())
}
