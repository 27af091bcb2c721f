package calls

import (
	"net/netip"
	"testing"

	"tsubame/bench/bot"
)

// Answers come from the address that was asked, or the bot counts them as asymmetric, which
// requireIntact refuses: a client's NAT would drop them.
func TestClientOnASecondLocalAddress(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		cfg := w.peer(bot.SendRecv)
		cfg.LocalAddrs = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0")}
		a, b := w.join(cfg), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 25, among(a, b)...)
		requireIntact(t, among(a, b)...)
	})
}

func TestServerOnASecondLocalAddress(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]map[string]string{
		"fast":  {"ipv4_address": "127.0.0.3"},
		"plain": {"ipv4_address": "127.0.0.3", "plain_io": "true", "steering": "false", "shards": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, config)
			a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
			for _, p := range a.Paths() {
				if p.Remote.Addr() != netip.MustParseAddr("127.0.0.3") {
					t.Errorf("the bot was sent to %v", p.Remote)
				}
			}
			requireFrames(t, 25, among(a, b)...)
			requireIntact(t, among(a, b)...)
		})
	}
}
