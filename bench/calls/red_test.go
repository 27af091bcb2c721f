package calls

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/impair"
	"tsubame/media/param"
)

// The server's payload types of Opus and of its redundancy.
const (
	opusType = 111
	redType  = 63
)

// losing drops lost packets in a row of each period of audio, and counts packets by payload type.
type losing struct {
	lost, period uint64
	audio        uint64 // under the bot's lock
	red, plain   atomic.Uint64
	dropped      atomic.Uint64
}

func (l *losing) hook(b []byte) bool {
	if len(b) < 12 || b[0] < 128 || b[0] >= 192 {
		return true
	}
	switch b[1] & 0x7f {
	case opusType:
		l.plain.Add(1)
	case redType:
		l.red.Add(1)
	default:
		return true
	}
	l.audio++
	if l.period == 0 || l.audio < 50 || l.audio%l.period >= l.lost {
		return true
	}
	l.dropped.Add(1)
	return false
}

// voice is a configuration of sound only, with redundancy if levels is not 0.
func (w *world) voice(role string, levels int) bot.Config {
	cfg := w.peer(role)
	cfg.Video, cfg.RED = false, levels
	return cfg
}

// requireVoice waits for n payloads of a flow's sound.
func requireVoice(t *testing.T, n uint64, f flow) bot.ReceiveStats {
	t.Helper()
	want := f.stream(param.Audio).Frames + n
	eventually(t, fmt.Sprintf("%d payloads from %v", n, f), func() (bool, any) {
		s := f.stream(param.Audio)
		return s.Frames >= want, s
	})
	return f.stream(param.Audio)
}

// Sound with redundancy that is lost on the way in is whole for everybody, and what is lost on
// the way out is for whoever has negotiated it; the others get plain Opus.
func TestVoiceWithRedundancySurvivesLossOnBothWays(t *testing.T) {
	eachIOWith(t, map[string]string{"opus_red": "true"}, func(t *testing.T, w *world) {
		up, down, beside := &losing{lost: 1, period: 5}, &losing{lost: 1, period: 4}, new(losing)
		a, b, c := w.voice(bot.SendOnly, 1), w.voice(bot.RecvOnly, 1), w.voice(bot.RecvOnly, 0)
		a.Outgoing, b.Incoming, c.Incoming = up.hook, down.hook, beside.hook
		viewer, plain := w.join(b), w.join(c)
		publisher := w.join(a)
		for _, x := range []struct {
			flow
			lost *losing
		}{{flow{publisher, viewer}, down}, {flow{publisher, plain}, beside}} {
			s := requireVoice(t, 250, x.flow)
			if s.Unheard != 0 || s.BadPayload != 0 || s.Duplicates != 0 || s.Shifts != 0 || s.Verified != s.Packets || s.WrongType != 0 {
				t.Errorf("%v: %+v", x.flow, s)
			}
			if x.lost == down && (s.FromRED < 30 || s.RED < 150 || down.dropped.Load() < 30) {
				t.Errorf("%v: %d dropped, %+v", x.flow, down.dropped.Load(), s)
			}
			if x.lost == beside && (s.RED != 0 || s.Lost != 0 || beside.red.Load() != 0 || beside.plain.Load() < 250) {
				t.Errorf("%v: %d of RED, %+v", x.flow, beside.red.Load(), s)
			}
			requireClean(t, x.to)
		}
		if n := w.grown("red_recovered"); n < 30 || n > up.dropped.Load() {
			t.Errorf("%d recovered of %d", n, up.dropped.Load())
		}
		if in, out := w.grown("red_in"), w.grown("red_out"); in < 200 || out < 200 || w.grown("drop_red")+w.grown("drop_red_type")+w.grown("drop_dup") != 0 {
			t.Errorf("%d came with redundancy, %d went out", in, out)
		}
		if s := track(publisher, param.Audio); s.NACKs != 0 {
			t.Errorf("the publisher was asked for %d packets", s.NACKs)
		}
	})
}

func TestAViewerWhoLosesPairsGetsTwoLevels(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"opus_red": "true"})
	down := &losing{lost: 2, period: 10}
	cfg := w.voice(bot.RecvOnly, 1)
	cfg.Incoming = down.hook
	viewer := w.join(cfg)
	publisher := w.join(w.voice(bot.SendOnly, 0)) // which has no redundancy itself
	f := flow{publisher, viewer}
	eventually(t, "everything is heard once the viewer has reported its loss", func() (bool, any) {
		before := f.stream(param.Audio)
		s := requireVoice(t, 100, f)
		return before.Frames > 100 && s.Unheard == before.Unheard, s
	})
	if n := w.grown("red_in"); n != 0 {
		t.Errorf("%d packets came with redundancy", n)
	}
}

// through lets datagrams of a bot through a link without delay, and loses what that loses.
func through(t *testing.T, cfg impair.Config) func([]byte) bool {
	t.Helper()
	link, err := impair.NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return func(b []byte) bool {
		now := time.Now()
		link.Push(now, b)
		_, ok := link.Pop(now)
		return ok
	}
}

// A tenth of all datagrams is lost at random on either way, and with them nearly a fifth of the
// sound. With redundancy of two levels next to nothing of it is: three in a row, and two until
// the viewer's reports have come.
func TestRandomLossOfATenthOnBothWaysIsNotHeard(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"opus_red": "true"})
	a, b := w.voice(bot.SendOnly, 2), w.voice(bot.RecvOnly, 2)
	a.Outgoing = through(t, impair.Config{Loss: 0.1, Seed: 3})
	b.Incoming = through(t, impair.Config{Loss: 0.1, Seed: 4})
	viewer := w.join(b)
	publisher := w.join(a)
	s := requireVoice(t, 500, flow{publisher, viewer})
	if s.Unheard > 15 || s.Lost < 20 || s.FromRED < 20 || s.BadPayload != 0 || s.Shifts != 0 {
		t.Errorf("%+v", s)
	}
	if n := w.grown("red_recovered"); n < 20 {
		t.Errorf("%d recovered on the way in", n)
	}
	t.Logf("%d of %d unheard, %d filled in by the viewer, %d by the server", s.Unheard, s.Frames, s.FromRED, w.grown("red_recovered"))
}

func TestNobodySpeaksOfRedundancyUnlessItIsOn(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	seen := new(losing)
	a, b := w.voice(bot.SendOnly, 2), w.voice(bot.RecvOnly, 2)
	b.Incoming = seen.hook
	viewer := w.join(b)
	publisher := w.join(a)
	s := requireVoice(t, 100, flow{publisher, viewer})
	if s.RED != 0 || s.FromRED != 0 || s.Verified != s.Packets || seen.red.Load() != 0 || w.grown("red_in")+w.grown("red_out") != 0 {
		t.Errorf("%+v", s)
	}
}
