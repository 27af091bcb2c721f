//go:build browser

package netem

import (
	"testing"
	"time"

	"tsubame/bench/impair"
)

// The short form of the matrix: one call in which the network loses a tenth of everything, the
// viewer's NAT forgets it, and its link is dark for two seconds. What it measures is told; what
// it requires is what no busy machine takes away.
func TestACallSurvivesABadNetwork(t *testing.T) {
	const from, lasts, whole = 11 * time.Second, 2 * time.Second, 20
	lossy := impair.Config{Delay: delay, Loss: 0.1}
	c := steady("short", lossy)
	c.seconds, c.black = whole, [2]time.Duration{from, from + lasts}
	c.plans[viewer][Down] = []impair.Step{
		{Config: lossy}, {After: from, Config: impair.Config{Delay: delay, Loss: 1}}, {After: from + lasts, Config: lossy},
	}
	c.rebind[viewer], c.every, c.times = true, 4*time.Second, 1

	w := newWorld(t)
	m, err := w.run(c, startTsubame(t, w, withRED, map[string]string{"opus_red": "true"}), whole, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(m)
	if m.FPS < 0.5*m.SentFPS || m.SentFPS == 0 {
		t.Errorf("%.1f of %.1f frames a second", m.FPS, m.SentFPS)
	}
	if m.Recovered == 0 || m.PacketLoss < 0.03 {
		t.Errorf("%.1f %% lost and %.0f recovered: the network is not what it was to be", 100*m.PacketLoss, m.Recovered)
	}
	if m.Return == never || m.Return > 3 {
		t.Errorf("the picture was back %.2f s behind the blackout", m.Return)
	}
	if len(m.Gaps) != 1 || m.Gaps[0].Silence == never {
		t.Fatalf("nothing came behind the NAT's rebinding: %+v", m.Gaps)
	}
	// The first check from the new flow that gets through is answered with media at once; where
	// its answer is lost it is the next one, 2.5 s later at most.
	if g := m.Gaps[0]; g.Silence > 8 || g.Answer > 3 {
		t.Errorf("media were silent for %.2f s, and came %.2f s behind the first check", g.Silence, g.Answer)
	}
	if m.ServerEstimate == 0 {
		t.Error("the server has estimated nothing of the viewer's link")
	}
}
