package session

import (
	"fmt"
	"testing"

	"tsubame/signal/sora"
)

// Row SIG-05.
func TestEverySequenceOfMessagesUpToFive(t *testing.T) {
	steps := []struct {
		name string
		do   func(*world)
	}{
		{"connect", func(w *world) { w.client(connectMessage(sora.SendRecv)) }},
		{"answer", func(w *world) {
			w.client(sora.Message{Type: sora.TypeAnswer, SDP: w.peer.Answer(w.lastSDP)})
		}},
		{"re-answer", func(w *world) {
			w.client(sora.Message{Type: sora.TypeReAnswer, SDP: w.peer.Answer(w.lastSDP)})
		}},
		{"update", func(w *world) {
			w.client(sora.Message{Type: sora.TypeUpdate, SDP: w.peer.Answer(w.lastSDP)})
		}},
		{"candidate", func(w *world) { w.client(sora.Message{Type: sora.TypeCandidate}) }},
		{"pong", func(w *world) { w.client(sora.Message{Type: sora.TypePong}) }},
		{"disconnect", func(w *world) { w.client(sora.Message{Type: sora.TypeDisconnect}) }},
		{"malformed", func(w *world) { w.feed(Malformed{Reason: "INVALID-JSON"}) }},
		{"established", func(w *world) { w.feed(MediaEstablished{}) }},
		{"publisher", func(w *world) { w.feed(RemoteChanged{"A", pairOf(100)}) }},
		{"publisher gone", func(w *world) { w.feed(RemoteChanged{"A", nil}) }},
	}
	cfg := testConfig()
	// A path that has closed the session is not followed further: a closed session ignores
	// everything, which the steps that follow one close show once.
	var explore func(path []int)
	explore = func(path []int) {
		names := func() (out []string) {
			for _, i := range path {
				out = append(out, steps[i].name)
			}
			return out
		}
		w := newWorld(func(format string, args ...any) { t.Fatalf("%v: %s", names(), fmt.Sprintf(format, args...)) }, cfg)
		for _, i := range path {
			before, ended := w.s.State(), w.closed
			steps[i].do(w)
			if after := w.s.State(); after < before || w.closed != (after == Closed) {
				t.Fatalf("%v: from %v to %v, closed %v", names(), before, after, w.closed)
			}
			if ended {
				return
			}
		}
		if len(path) == 5 {
			return
		}
		for i := range steps {
			explore(append(path[:len(path):len(path)], i))
		}
	}
	explore(nil)
}
