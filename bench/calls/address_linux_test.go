package calls

import (
	"net/netip"
	"testing"

	"tsubame/bench/bot"
)

// One interface with two addresses of each family: a call to any of them, from either family,
// is answered from the one that it was made to, and all of them see and hear each other.
//
// Row OPS-06.
func TestAnswersComeFromTheInterfaceAddressThatWasHit(t *testing.T) {
	t.Parallel()
	for name, io := range map[string]map[string]string{
		"fast":  {},
		"plain": {"plain_io": "true", "steering": "false", "shards": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := map[string]string{
				"ipv4_address": server4 + " " + second4, "ipv6": "true", "ipv6_address": server6 + " " + second6,
			}
			for key, value := range io {
				config[key] = value
			}
			s := newSpace(t, config)
			var bots []*bot.Bot
			for _, hit := range []struct{ from, to string }{
				{client4, server4}, {client4, second4}, {client6, server6}, {client6, second6},
			} {
				cfg := s.peer(bot.SendRecv)
				cfg.LocalAddrs = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(hit.from), 0)}
				cfg.Arrange = func(paths []bot.Path) (only []bot.Path) {
					for _, p := range paths {
						if p.Remote.Addr() == netip.MustParseAddr(hit.to) {
							only = append(only, p)
						}
					}
					return only
				}
				bots = append(bots, s.join(cfg))
			}
			requireFrames(t, 25, among(bots...)...)
			requireIntact(t, among(bots...)...)
		})
	}
}

// A bot that checks all pairs of its addresses and the server's, as browsers do.
func TestAllPairsOfAddressesAreValidated(t *testing.T) {
	t.Parallel()
	s := newSpace(t, map[string]string{
		"ipv4_address": server4 + " " + second4, "ipv6": "true", "ipv6_address": server6 + " " + second6,
	})
	cfg := s.peer(bot.SendRecv)
	cfg.LocalAddrs = []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr(client4), 0), netip.AddrPortFrom(netip.MustParseAddr(client6), 0),
	}
	a, b := s.join(cfg), s.join(cfg)
	for _, c := range []*bot.Bot{a, b} {
		waitValidated(t, c)
		if n := len(c.Paths()); n != 4 {
			t.Errorf("%d pairs of two local addresses and four of the server, two of each family", n)
		}
	}
	// Any of them can carry the call.
	for i := range a.Paths() {
		if err := a.Nominate(i); err != nil {
			t.Fatal(err)
		}
		waitSelected(t, a, i)
		requireFrames(t, 10, among(a, b)...)
	}
	requireIntact(t, among(a, b)...)
	s.requireGrown("established", 2)
}
