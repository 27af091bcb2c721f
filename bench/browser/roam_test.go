//go:build browser

package browser

import "testing"

// A client with one interface has one path, and the shard that sees its first
// datagram keeps it. (A browser that uses two interfaces starts on the one that
// answers first and moves to the better one: then its datagrams may land on another
// shard, which forwards them.)
func TestMostBrowserCallsDoNotRoam(t *testing.T) {
	const calls = 6
	s, b := newScene(t), ownChromium(t, oneInterface...)
	one, two := s.client(b, "one", 2), s.client(b, "two", 5)
	roamed := 0
	for range calls {
		before := s.server.Counters()
		one.join("sendrecv")
		two.join("sendrecv")
		one.requireArrivesFrom(two)
		two.requireArrivesFrom(one)
		one.leave()
		two.leave()
		after := s.server.Counters()
		// Two clients: a few early datagrams are no roaming, a tenth of a call's is.
		if got, all := after["roamed"]-before["roamed"], after["rtp_in"]-before["rtp_in"]; got*10 > all {
			roamed++
			t.Logf("%d of %d datagrams landed on a shard that does not own the connection", got, all)
		}
	}
	if roamed > calls/3 {
		t.Errorf("%d of %d calls roamed", roamed, calls)
	}
	if s.server.Counters()["adopted"] != 2*calls {
		t.Errorf("%d connections were adopted in %d calls of two", s.server.Counters()["adopted"], calls)
	}
}
