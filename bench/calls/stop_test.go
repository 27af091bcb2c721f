package calls

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// SIGTERM in the middle of fifty calls: everybody is told, on both paths, within the time that
// the configuration gives.
//
// Row OPS-07.
func TestStopDuringFiftyCalls(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		const calls = 50
		var bots []*bot.Bot
		for i := range calls {
			cfg := w.peer(bot.SendRecv)
			cfg.Channel, cfg.Video = fmt.Sprint("room", i/2), false
			bots = append(bots, w.join(cfg))
		}
		for i, b := range bots {
			eventually(t, "voice", func() (bool, any) {
				s := flow{bots[i^1], b}.stream(param.Audio)
				return s.Frames > 5, s
			})
		}
		begin := time.Now()
		w.Stop()                        // fails the test unless the exit code is 0
		const within = 10 * time.Second // the default of shutdown_timeout
		if took := time.Since(begin); took > within {
			t.Errorf("the end took %v", took)
		}
		for _, b := range bots {
			eventually(t, "the end of the signaling", func() (bool, any) { return b.Err() != nil, nil })
			var closed *bot.SignalingClosed
			if err := b.Err(); !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "SHUTDOWN" {
				t.Errorf("%s: %v", b.ID(), err)
			}
			eventually(t, "close_notify", func() (bool, any) { return b.Stats().DTLSClosed, b.Stats() })
		}
	})
}
