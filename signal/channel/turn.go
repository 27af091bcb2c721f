package channel

import (
	"sync/atomic"

	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// overTCP is whether a connection's media goes over TCP or TLS, through TURN or not. Media
// writes it whenever that changes; the channel reads it when it tells of the connection, and
// nobody waits for anybody.
type overTCP struct{ atomic.Bool }

func (o *overTCP) note(e MediaEvent) {
	if e.Kind == MediaEstablished || e.Kind == MediaMoved {
		o.Store(e.TCP)
	}
}

// transportType is for turn_transport_type of notifications. Media that goes without TURN is
// said to go over what carries it, since clients know these two words only.
func (p *Peer) transportType() string {
	if p.overTCP.Load() {
		return "tcp"
	}
	return "udp"
}

// iceServer is what the client is told of our TURN server. Called once conn is there.
func (p *Peer) iceServer(urls []string) sora.ICEServer {
	s := sora.ICEServer{URLs: urls}
	if len(urls) > 0 {
		s.Username, s.Credential = p.conn.TURNCredentials()
	}
	return s
}

// reach returns how a client is told to reach us.
func (r *Registry) reach(to session.Reach) (candidates, turnURLs []string) {
	if to != (session.Reach{}) && r.config().Reach != nil {
		return r.config().Reach(to)
	}
	if r.config().TURNURLs != nil {
		turnURLs = r.config().TURNURLs()
	}
	return r.config().Candidates(), turnURLs
}
