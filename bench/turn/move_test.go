package turn

import (
	"net"
	"testing"

	"tsubame/bench/bot"
)

// requireCarried holds that whatever came was what was sent.
func requireCarried(t *testing.T, flows ...flow) {
	t.Helper()
	for _, f := range flows {
		for _, kind := range kinds {
			s := f.stream(kind)
			if s.Packets == 0 || s.Verified != s.Packets || s.BadPayload != 0 || s.WrongType != 0 {
				t.Errorf("%v from %v: %+v", kind, f, s)
			}
		}
		requireClean(t, f.to)
	}
}

// A client goes from one carrier to another in a call, as one does that leaves an office for the
// street: same connection, same keys, same streams, and of what carried it before nothing is
// left.
func TestCallMovesFromCarrierToCarrier(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a := w.join(w.peer(bot.SendRecv))
	b, bridge := w.bridged(overUDP, w.peer(bot.SendRecv), asItIs)
	requireConnected(t, b)
	requireFrames(t, 10, between(a, b)...)
	as, offers := w.accountOf(b), b.Stats().Offers
	for _, v := range []way{overTLS, iceOverTCP, overUDP, overTCP, {"udp", 6}, iceOverTCP6} {
		before := w.Counters()[v.counters()+"out"]
		bridge.lead(w.farSide(as, v, asItIs))
		requireFrames(t, 10, between(a, b)...)
		if now := w.Counters()[v.counters()+"out"]; now < before+20 {
			t.Errorf("%v: %d datagrams went out", v, now-before)
		}
	}
	requireCarried(t, between(a, b)...)
	if got := b.Stats().Offers; got != offers {
		t.Errorf("%d offers because of the moves", got-offers)
	}
	for _, name := range []string{"adopted", "established", "handshakes"} {
		w.requireGrown(name, 2)
	}
}

// A TCP connection breaks in a call, as they do on trains: the client comes back by another, with
// the credentials that it has, and the call goes on.
func TestCallOutlastsItsTCPConnection(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a := w.join(w.peer(bot.SendRecv))
	for _, v := range []way{overTCP, overTLS, iceOverTCP} {
		var last net.Conn
		keep := func(c net.Conn) net.Conn {
			last = c
			return c
		}
		b, bridge := w.bridged(v, w.peer(bot.SendRecv), keep)
		requireConnected(t, b)
		as := w.accountOf(b)
		for range 2 {
			requireFrames(t, 10, between(a, b)...)
			opened := w.grown("stream_opened")
			if err := last.Close(); err != nil {
				t.Fatal(err)
			}
			bridge.lead(w.farSide(as, v, keep))
			if w.grown("stream_opened") != opened+1 {
				w.waitGrown("stream_opened", opened+1)
			}
		}
		requireFrames(t, 10, between(a, b)...)
		requireCarried(t, between(a, b)...)
		leave(t, b)
	}
}
