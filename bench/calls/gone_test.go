package calls

import (
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// waitEnded returns the log's line about the end of b's session.
func (w *world) waitEnded(b *bot.Bot) harness.Line {
	w.t.Helper()
	id := b.ID()
	return w.WaitLog(patience, "the end of "+id, func(l harness.Line) bool {
		return l.Attrs["connection_id"] == id && l.Attrs["reason"] != nil
	})
}

// requireEnded holds for what reason the session of b ended.
func (w *world) requireEnded(b *bot.Bot, reason string) {
	w.t.Helper()
	if line := w.waitEnded(b); line.Attrs["reason"] != reason {
		w.t.Errorf("%s: ended for another reason than %s: %s", b.ID(), reason, line.Text)
	}
}

// waitClosed waits until the server has closed the WebSocket of b, and holds how.
func waitClosed(t *testing.T, b *bot.Bot, code int, reason string) {
	t.Helper()
	eventually(t, "the server closes the signaling", func() (bool, any) {
		s := b.Stats()
		return s.CloseCode != 0, s
	})
	if s := b.Stats(); s.CloseCode != code || s.CloseReason != reason {
		t.Errorf("closed by %d %q, want %d %q", s.CloseCode, s.CloseReason, code, reason)
	}
}

// consent is how long the server sends without a valid check (RFC 7675).
const consent = 30 * time.Second

// A client that falls silent keeps its TCP connection: only the missing checks tell.
//
// Row ICE-11.
func TestFrozenClientIsGivenUpByItsMissingConsent(t *testing.T) {
	eachIOWith(t, map[string]string{"consent_grace": "0 s"}, func(t *testing.T, w *world) {
		a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
		freezes := w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(a, b, freezes)...)
		freezes.Freeze()
		begin := time.Now()
		requireNotify(t, a, "connection.destroyed", freezes)
		// The last check may have come a few seconds before.
		if after := time.Since(begin); after < consent-10*time.Second || after > consent+15*time.Second {
			t.Errorf("given up after %v", after)
		}
		w.requireEnded(freezes, "CONSENT-LOST")
		requireFrames(t, 10, among(a, b)...)
		requireIntact(t, among(a, b)...)
	})
}

// at once: long before consent could have been lost.
const atOnce = consent / 2

func TestKilledClientIsNoticedAtOnce(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		stays, dies := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(stays, dies)...)
		dies.Kill()
		begin := time.Now()
		if n := requireNotify(t, stays, "connection.destroyed", dies); n.ChannelConnections != 1 {
			t.Errorf("%d connections are left", n.ChannelConnections)
		}
		if after := time.Since(begin); after > atOnce {
			t.Errorf("noticed after %v", after)
		}
		w.requireEnded(dies, "VANISHED")
		requireClean(t, stays)
	})
}

// close_notify says that media is over; the bot keeps its WebSocket, and sends on under keys
// that nobody has any more.
//
// Row DTLS-09.
func TestCloseNotifyEndsACallAtOnce(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		stays, ends := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(stays, ends)...)
		ends.CloseNotify()
		begin := time.Now()
		requireNotify(t, stays, "connection.destroyed", ends)
		if after := time.Since(begin); after > atOnce {
			t.Errorf("noticed after %v", after)
		}
		waitClosed(t, ends, 1000, "PEER-CLOSED")
		w.requireEnded(ends, "PEER-CLOSED")
		sent := ends.Stats().Sent
		eventually(t, "the bot sends on", func() (bool, any) { return ends.Stats().Sent > sent+20, nil })
		requireClean(t, stays)
	})
}

// Who says disconnect is told in an orderly way, on both paths.
func TestDisconnectIsAnsweredOnBothPaths(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		b := w.join(w.peer(bot.SendRecv))
		requireNotify(t, b, "connection.created", b)
		if err := b.SendSignaling(within(t), `{"type":"disconnect","reason":"NO-ERROR"}`); err != nil {
			t.Fatal(err)
		}
		waitClosed(t, b, 1000, "TYPE-DISCONNECT")
		eventually(t, "close_notify comes", func() (bool, any) { return b.Stats().DTLSClosed, b.Stats() })
	})
}
