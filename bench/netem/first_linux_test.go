//go:build browser

package netem

import (
	"testing"
	"time"

	"tsubame/bench/impair"
)

func TestFirst(t *testing.T) {
	w := newWorld(t)
	base := impair.Config{Delay: 50 * time.Millisecond}
	bad := impair.Config{Delay: 50 * time.Millisecond, Loss: 0.1}
	all := [2][]impair.Step{always(bad), always(bad)}
	for _, c := range []cell{
		{name: "clean", base: base, bitrate: 1_500_000, seconds: 5},
		{name: "loss 10 %", base: base, bitrate: 1_500_000, plans: [2][2][]impair.Step{all, all}},
	} {
		for _, s := range []system{startTsubame(t, w, "tsubame", nil), &direct{}} {
			m, err := w.run(c, s, 20, 1)
			if err != nil {
				t.Error(err)
			}
			t.Log(m)
		}
	}
}
