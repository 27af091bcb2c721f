package conn

import (
	"tsubame/media/param"
	"tsubame/netio/mono"
)

// Regained says that the peer's consent is there again, which Tick has found to be lost.
func (c *Conn) Regained() { c.lost = false }

// Returned says that the peer is heard again after longer than retransmissions reach back: what it
// has missed of videos only a key frame makes up for, and asking for it now spares it a round
// trip. It counts as the viewer's own request, and towards how often it may have them passed on:
// whoever goes silent on purpose gets no more than by asking. What it is sent meanwhile goes on: it
// may have heard us all the time.
func (c *Conn) Returned(env *Env, now mono.Time) {
	for _, s := range c.subs {
		if s != nil && s.waiting && s.spec.Kind == param.Video && s.mayAsk(now) && s.stream.KeyFrameRequest(now) {
			env.wantKeyFrame(s.spec.Track)
		}
	}
}
