package session

import (
	"cmp"
	"time"

	"tsubame/signal/sora"
)

// A client whose media has gone silent while its signaling answers has lost its path: its network
// has changed and it does not know, or a NAT, relay or firewall between has forgotten it. A
// re-offer that restarts ICE makes it look for paths anew. It comes only after the client has said
// something since: in a blackout it would arrive when it is no longer needed. While the silence
// lasts more of them follow, restartFirst after each other, then twice as long each time, up to
// restartMost; of these too there is never more than one that waits for its answer.
const (
	restartFirst = 7 * time.Second
	restartMost  = 30 * time.Second
)

// path is what a session knows of its client's silent media. The zero value: it is heard.
type path struct {
	silent bool
	spoke  bool          // the client has said something since
	at     time.Time     // of the next restart
	gap    time.Duration // to the one after it
}

// mediaSilent asks the client whether it is there.
func (s *Session) mediaSilent(now time.Time) {
	if s.state != Established || s.path.silent {
		return
	}
	s.path = path{silent: true, at: now, gap: restartFirst}
	s.ping(now)
}

// mediaLapsed is for the log: the connection has only its time of grace left.
func (s *Session) mediaLapsed() {
	if s.state == Established {
		s.log(EventLapsed, "nothing is sent until the client checks again")
	}
}

// restartDue returns when restartICE wants to be called; zero: other events decide.
func (s *Session) restartDue() time.Time {
	if !s.announced || !s.path.spoke || s.offer.Outstanding() || s.publishing > 0 {
		return time.Time{}
	}
	return s.path.at
}

// restartICE has media restart ICE if it is due.
func (s *Session) restartICE(now time.Time) {
	if s.state != Established {
		return
	}
	if at := s.restartDue(); at.IsZero() || now.Before(at) {
		return
	}
	s.path.at = now.Add(s.path.gap)
	s.path.gap = min(2*s.path.gap, restartMost)
	s.do(RestartICE{Reach: s.settings.Reach})
}

// restarted has the next re-offer, which renegotiate sends at once, name the new credentials. Media
// knows them in any case, so that they are offered even if the client has been heard meanwhile.
func (s *Session) restarted(e Restarted) {
	if s.state != Established {
		return
	}
	s.offer.Restart(e.Ufrag, e.Password, e.Candidates)
	s.log(EventRestart, "its media is silent")
}

// answered leaves the client time to look for paths, once it knows that it is to.
func (p *path) answered(now time.Time) {
	if p.gap > restartFirst && p.at.Before(now.Add(restartFirst)) {
		p.at = now.Add(restartFirst)
	}
}

// networkEvery is the least time between two notifications network.status of a session.
const networkEvery = 5 * time.Second

// network is what the client is told of its network.
type network struct {
	level int       // as it is
	said  int       // as the client was told; 0 in the beginning
	next  time.Time // when it may be told again
}

// networkDue returns when tellNetwork has something to say; zero: not at all.
func (s *Session) networkDue() time.Time {
	if n := &s.network; n.level != n.said && s.announced && s.settings.Notify {
		return n.next
	}
	return time.Time{}
}

// tellNetwork sends network.status if it is due. Of changes that come sooner the last one counts.
func (s *Session) tellNetwork(now time.Time) {
	n := &s.network
	if s.state != Established || !s.announced || !s.settings.Notify || n.level == n.said || now.Before(n.next) {
		return
	}
	n.said, n.next = n.level, now.Add(networkEvery)
	s.send(sora.AppendNetworkStatus(nil, now, n.level))
}

// What an ICE connection can be, in the words of browsers (RTCIceConnectionState).
const (
	iceChecking     = "" // as the zero value has it
	iceConnected    = "connected"
	iceDisconnected = "disconnected" // nothing comes any more
	iceFailed       = "failed"       // and consent has lapsed
)

// iceState is how the client's ICE connection is, and as what the client knows it.
type iceState struct{ is, said string }

// tellICE tells the client how its ICE connection has changed, if it is to know: what comes of
// it together is told as one change. Media says so seconds apart at most.
func (s *Session) tellICE(now time.Time) {
	if s.ice.is == s.ice.said || s.state != Established || !s.announced || !s.settings.Notify || !s.settings.NotifyICEState {
		return
	}
	m := &s.member
	s.send(sora.AppendICEState(nil, now, m.ClientID, m.BundleID, m.ConnectionID, s.ice.is, cmp.Or(s.ice.said, "checking")))
	s.ice.said = s.ice.is
}
