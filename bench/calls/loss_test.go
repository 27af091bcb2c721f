package calls

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// lossy drops a share of the RTP datagrams that pass, retransmissions too, and says how many.
// Audio has no retransmission here, so it has to be off.
func lossy(share float64) (hook func([]byte) bool, dropped *atomic.Uint64) {
	dropped = new(atomic.Uint64)
	random := rand.New(rand.NewPCG(7, 11))
	return func(b []byte) bool {
		media := len(b) > 12 && b[0] >= 128 && b[0] < 192
		rtcp := media && b[1]&0x7f >= 64 && b[1]&0x7f < 96 // RFC 5761
		if !media || rtcp || random.Float64() >= share {
			return true
		}
		dropped.Add(1)
		return false
	}, dropped
}

// requireRecovered waits for n frames, and holds that what was lost on the way came after all,
// and that this cost next to no key frame. Two things excuse a packet that never came: a key
// frame, since nobody waits for what is older than it; and a machine that is busy with other
// things, since a bot gives up what it has waited for half a second.
func requireRecovered(t *testing.T, n uint64, f flow) {
	t.Helper()
	frames := func(n uint64) (s bot.ReceiveStats) {
		eventually(t, fmt.Sprintf("%d frames from %v", n, f), func() (bool, any) {
			s = f.stream(param.Video)
			return s.Frames >= n, s
		})
		return s
	}
	early, s, from := frames(n/10), frames(n), track(f.from, param.Video)
	unexcused := func(s bot.ReceiveStats) int { return int(s.Lost) - int(s.Late) - 3*int(s.KeyFrames) }
	if s.BadPayload != 0 || s.Shifts != 0 || s.Duplicates > s.RTXPackets ||
		unexcused(s)-unexcused(early) > int(s.Packets)/300 {
		t.Errorf("%v: %+v, its publisher: %+v", f, s, from)
	}
	if from.PLI > 4+s.PLIs {
		t.Errorf("%v: the publisher was asked for %d key frames, the viewer has asked for %d", f, from.PLI, s.PLIs)
	}
	requireClean(t, f.to)
}

// pictures is a configuration that sends or wants nothing but video.
func (w *world) pictures(role string) bot.Config {
	cfg := w.peer(role)
	cfg.Audio = false
	return cfg
}

func TestLossOnTheWayInIsRepaired(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		viewer := w.join(w.pictures(bot.RecvOnly))
		cfg := w.pictures(bot.SendOnly)
		hook, dropped := lossy(0.1)
		cfg.Outgoing = hook
		publisher := w.join(cfg)
		requireRecovered(t, 250, flow{publisher, viewer})
		s := track(publisher, param.Video)
		if s.Resent == 0 || s.NotInCache != 0 || dropped.Load() < 50 {
			t.Errorf("%d dropped, %+v", dropped.Load(), s)
		}
		if got := w.grown("recovered"); got == 0 {
			t.Errorf("the server counts no recovered packet")
		}
	})
}

func TestLossOnTheWayOutIsRepaired(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		publisher := w.join(w.pictures(bot.SendOnly))
		cfg := w.pictures(bot.RecvOnly)
		hook, dropped := lossy(0.1)
		cfg.Incoming = hook
		lame, whole := w.join(cfg), w.join(w.pictures(bot.RecvOnly))
		requireRecovered(t, 250, flow{publisher, lame})
		s := flow{publisher, lame}.stream(param.Video)
		if s.Recovered == 0 || s.NACKs == 0 || dropped.Load() < 50 {
			t.Errorf("%d dropped, %+v", dropped.Load(), s)
		}
		// Nobody else pays for it: the publisher is asked for nothing, and whoever has a good
		// network gets no copy.
		if s := track(publisher, param.Video); s.Resent != 0 {
			t.Errorf("the publisher was asked for what it had delivered: %+v", s)
		}
		if s := (flow{publisher, whole}).stream(param.Video); s.RTXPackets != s.Padding || s.Lost != 0 || s.Duplicates != 0 {
			t.Errorf("the viewer without loss: %+v", s)
		}
	})
}

func TestLossOnBothWaysIsRepaired(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	hooks := func(cfg bot.Config) bot.Config {
		cfg.Outgoing, _ = lossy(0.05)
		cfg.Incoming, _ = lossy(0.05)
		return cfg
	}
	a, b := w.join(hooks(w.pictures(bot.SendRecv))), w.join(hooks(w.pictures(bot.SendRecv)))
	for _, f := range among(a, b) {
		requireRecovered(t, 250, f)
	}
}
