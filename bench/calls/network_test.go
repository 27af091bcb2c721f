package calls

import (
	"sync/atomic"
	"testing"

	"tsubame/bench/bot"
)

// A viewer whose network begins to lose packets is told so, and once more when it does no longer.
// Nobody else is: it is its own network.
func TestClientIsToldOfItsUnstableNetwork(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var bad atomic.Bool
	var n atomic.Int64
	cfg := w.peer(bot.RecvOnly)
	cfg.NoNACK, cfg.TransportCC = true, true
	cfg.Incoming = func(datagram []byte) bool {
		isRTP := datagram[0] >= 128 && (datagram[1] < 192 || datagram[1] > 223)
		return !isRTP || !bad.Load() || n.Add(1)%15 != 0 // 7 %
	}
	viewer, publisher := w.join(cfg), w.join(w.peer(bot.SendOnly))
	requireFrames(t, 10, flow{publisher, viewer})
	level := func(is func(level int) bool) {
		t.Helper()
		if _, err := viewer.WaitNotify(within(t), func(n bot.Notify) bool {
			return n.EventType == "network.status" && is(n.UnstableLevel)
		}); err != nil {
			t.Fatal(err)
		}
	}
	bad.Store(true)
	level(func(level int) bool { return level > 0 })
	bad.Store(false)
	level(func(level int) bool { return level == 0 })
	for _, n := range publisher.Notifies() {
		if n.EventType == "network.status" {
			t.Errorf("the publisher is told of %+v", n)
		}
	}
}
