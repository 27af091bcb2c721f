package webhooks

import (
	"testing"

	"tsubame/bench/bot"
)

// A server that was killed says after its restart that its sessions are gone.
func TestRestartTellsThatSessionsHaveVanished(t *testing.T) {
	t.Parallel()
	app, dir := willing(t), t.TempDir()
	w := start(t, app, settings{"log_dir": dir})
	w.enter("room", bot.SendRecv)
	w.one(session, map[string]string{"type": "session.created"})
	w.Kill()
	start(t, app, settings{"log_dir": dir})
	vanished := w.one(session, map[string]string{"type": "session.vanished"})
	require(t, "session.vanished", envelope, vanished.Body)
	requireHeaders(t, vanished, map[string]string{"sora-session-webhook-type": "session.vanished"})
}
