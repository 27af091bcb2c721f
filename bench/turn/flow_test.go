package turn

import (
	"fmt"
	"testing"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

var kinds = []param.Kind{param.Audio, param.Video}

// flow is what goes from one bot to another.
type flow struct{ from, to *bot.Bot }

func (f flow) String() string { return f.from.ID() + " to " + f.to.ID() }

// stream returns what arrives of a kind now; nothing if it is not offered.
func (f flow) stream(kind param.Kind) bot.ReceiveStats {
	id := f.from.ID()
	for _, r := range f.to.Stats().Receiving {
		if r.Active && r.Kind == kind && r.Stream == id {
			return r
		}
	}
	return bot.ReceiveStats{}
}

// between are both directions.
func between(a, b *bot.Bot) []flow { return []flow{{a, b}, {b, a}} }

// requireFrames waits for n more whole frames, audio and video, of every flow.
func requireFrames(t *testing.T, n uint64, flows ...flow) {
	t.Helper()
	type goal struct {
		flow
		kind param.Kind
		want uint64
	}
	var goals []goal
	for _, f := range flows {
		for _, kind := range kinds {
			goals = append(goals, goal{f, kind, f.stream(kind).Frames + n})
		}
	}
	for _, g := range goals {
		eventually(t, fmt.Sprintf("%d frames of %v from %v", n, g.kind, g.flow), func() (bool, any) {
			s := g.stream(g.kind)
			return s.Frames >= g.want, s
		})
	}
}

// requireIntact holds that every packet came, once, as it was sent.
func requireIntact(t *testing.T, flows ...flow) {
	t.Helper()
	for _, f := range flows {
		for _, kind := range kinds {
			s := f.stream(kind)
			if s.Packets == 0 || s.Verified != s.Packets || s.BadPayload != 0 || s.Duplicates != 0 || s.Lost != 0 || s.Shifts != 0 || s.WrongType != 0 {
				t.Errorf("%v from %v: %+v", kind, f, s)
			}
		}
		requireClean(t, f.to)
	}
}

// requireClean holds that nothing came that nobody can have meant.
func requireClean(t *testing.T, b *bot.Bot) {
	t.Helper()
	s := b.Stats()
	if s.Undecryptable != 0 || s.Replayed != 0 || s.UnknownSSRC != 0 || s.ICE.Bad != 0 || s.ICE.Asymmetric != 0 ||
		s.ICE.Requests != 0 || s.ICE.Errors != 0 {
		t.Errorf("%s: %+v", s.ConnectionID, s)
	}
	if err := b.Err(); err != nil {
		t.Errorf("%s: %v", s.ConnectionID, err)
	}
}
