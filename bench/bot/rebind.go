package bot

import (
	"fmt"
	"net/netip"
	"time"
)

// Rebind gives the socket another port, as a NAT does that has forgotten the bot: its paths are
// what they were, nobody told the bot, and what comes to the old port is lost. With check the
// paths over it are checked at once; without, when consent is due, as browsers do.
func (b *Bot) Rebind(index int, check bool) (netip.AddrPort, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if index < 0 || index >= len(b.sockets) || b.sockets[index].closed || b.closing {
		return netip.AddrPort{}, fmt.Errorf("bot: no socket %d", index)
	}
	old := b.sockets[index]
	s, err := b.openSocket(netip.AddrPortFrom(old.local.Addr(), 0))
	if err != nil {
		return netip.AddrPort{}, err
	}
	// The place of the new one is that of the old one; nobody has read of it yet.
	b.sockets = b.sockets[:len(b.sockets)-1]
	s.index = index
	b.sockets[index] = s
	old.close()
	for _, p := range b.agent.paths {
		if p.Socket != index {
			continue
		}
		p.Local = s.local
		if check && !p.Dead {
			p.nextCheck, p.retry = time.Now(), firstRetry
		}
	}
	b.nudge()
	return s.local, nil
}
