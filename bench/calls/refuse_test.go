package calls

import (
	"slices"
	"sync"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// requireNeverAnnounced holds that a was told of nothing about b. The newcomer shows that it
// would have been told by now.
func requireNeverAnnounced(t *testing.T, w *world, a, b *bot.Bot) {
	t.Helper()
	newcomer := w.join(w.peer(bot.RecvOnly))
	requireNotify(t, a, "connection.created", newcomer)
	for _, n := range a.Notifies() {
		if n.ConnectionID == b.ID() {
			t.Errorf("told of %s: %s", b.ID(), n.Raw)
		}
	}
}

// The client shows another certificate than its answer names. The handshake itself is right, so
// the client believes to be connected; but no key of it is ever used.
//
// Row DTLS-05.
func TestWrongFingerprintIsRefused(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		stays := w.join(w.peer(bot.SendRecv))
		cfg := w.peer(bot.SendRecv)
		cfg.WrongFingerprint = true
		b := w.dial(cfg)
		waitClosed(t, b, 4490, "BAD-FINGERPRINT")
		w.requireGrown("bad_fingerprints", 1)
		w.requireGrown("established", 1)
		requireNeverAnnounced(t, w, stays, b)
		for _, r := range b.Stats().Receiving {
			if r.Packets != 0 {
				t.Errorf("media for somebody else: %+v", r)
			}
		}
	})
}

// impatient is a server that gives up clients without media soon.
func impatient(t *testing.T) *world {
	t.Helper()
	return start(t, map[string]string{"connection_created_timeout": "2 s"})
}

// requireNoAnswers waits until the server has given b up, and holds that none of its checks was
// answered.
func requireNoAnswers(t *testing.T, b *bot.Bot) {
	t.Helper()
	waitClosed(t, b, 4490, "CONNECTION-CREATED-WAIT-TIMEOUT-ERROR")
	s := b.Stats()
	if s.Connected || s.ICE.Checks < 3 || s.ICE.Answers+s.ICE.Errors+s.ICE.Bad != 0 || s.Received != 0 {
		t.Errorf("%+v", s)
	}
}

// Row ICE-07.
func TestWrongUfragIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := impatient(t)
	cfg := w.peer(bot.SendRecv)
	cfg.WrongUfrag = true
	b := w.dial(cfg)
	requireNoAnswers(t, b)
	if n := w.grown("drop_ufrag"); n < 3 {
		t.Errorf("drop_ufrag has grown by %d", n)
	}
	w.requireGrown("adopted", 0)
}

// Row ICE-03.
func TestWrongPasswordIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := impatient(t)
	cfg := w.peer(bot.SendRecv)
	cfg.WrongPassword = true
	b := w.dial(cfg)
	requireNoAnswers(t, b)
	if n := w.grown("drop_integrity"); n < 3 {
		t.Errorf("drop_integrity has grown by %d", n)
	}
	w.requireGrown("adopted", 0)
}

// tape keeps copies of datagrams that pass a hook.
type tape struct {
	mu   sync.Mutex
	kept [][]byte
}

// record keeps those of which the first byte is from lo to hi (RFC 7983), at most most.
func (r *tape) record(lo, hi byte, most int) func([]byte) bool {
	return func(b []byte) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(b) > 0 && b[0] >= lo && b[0] <= hi && len(r.kept) < most {
			r.kept = append(r.kept, slices.Clone(b))
		}
		return true
	}
}

func (r *tape) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}

// A second port sends a call's own packets, handshake and media, byte for byte: none of them
// means anything there, and nothing comes back.
//
// Row ICE-10.
func TestDatagramsFromAPortWithoutACheckGoNowhere(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		a := w.join(w.peer(bot.SendRecv))
		var r tape
		cfg := w.peer(bot.SendRecv)
		cfg.Outgoing = r.record(20, 191, 200)
		b := w.join(cfg)
		requireFrames(t, 25, among(a, b)...)
		s, err := b.Stranger()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		before, datagrams := w.grown("drop_path"), r.all()
		for _, d := range datagrams {
			if err := s.Send(d); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "they are counted", func() (bool, any) {
			n := w.grown("drop_path")
			return n >= before+uint64(len(datagrams)), n
		})
		if answer, err := s.Receive(time.Now().Add(50 * time.Millisecond)); err == nil {
			t.Errorf("a stranger was answered %x", answer)
		}
		requireFrames(t, 10, among(a, b)...)
		requireIntact(t, among(a, b)...)
		w.requireGrown("path_switches", 2)
		w.requireGrown("handshakes", 2)
		w.requireGrown("drop_replay", 0)
	})
}
