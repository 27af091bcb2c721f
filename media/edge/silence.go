package edge

import (
	"time"

	"tsubame/media/ice"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// A peer whose network is gone says nothing. What follows, by how long:
//
//	returnAfter            its return is taken for the end of a blackout: see returned
//	Config.SilentAfter     signaling is told, which may offer the peer to restart ICE: later if the
//	                       peer never says much, see silentTenths
//	param.ConsentTimeout   nothing is sent any more (RFC 7675 section 5.1)
//	and Config.ConsentGrace  the connection ends; until then any valid check brings it back
//
// The bound is the sum of the last two: so long a connection holds its place, its tracks and what
// its publishers' rings hold for peers that will not come back.

// returnAfter is how long nothing may come from a peer, neither checks nor media nor reports, for
// its return to be the end of a blackout. Retransmission reaches back for a second (rtxAge). Some
// peers report and check every few seconds only: it has to be returnTimes what is usual with them,
// of which no more than usualMost is believed.
const (
	returnAfter = 2 * time.Second
	returnTimes = 3
	usualMost   = 5 * time.Second
)

// silentTenths is how long, in tenths of what is usual with a peer, it may say nothing before
// signaling is told, if that is more than Config.SilentAfter: one lost check of a peer that has
// nothing to say but checks every 4 to 6 s (RFC 7675 section 5.1), as Firefox does before anything
// is published, is no reason to restart ICE.
const silentTenths = 25

// How much is known of a peer, as signaling is told.
const (
	silenceNone   = iota // it is heard
	silenceLong          // not for Config.SilentAfter
	silenceLapsed        // nothing may be sent to it any more
)

// silenceKinds are the events that say so.
var silenceKinds = [...]EventKind{silenceNone: Heard, silenceLong: Silent, silenceLapsed: Lapsed}

// lastHeard returns when anything came from the peer last. Media and reports count by their path,
// before they are decrypted: who can forge the peer's address could only keep signaling from
// offering a restart.
func (l *live) lastHeard() mono.Time { return max(l.heard, l.ICE.Checked()) }

// watch tells signaling of silence and its end, and of how stable the network is.
func (s *shard) watch(now mono.Time, l *live) {
	if !l.Established() || l.closing {
		return
	}
	state := uint32(silenceNone)
	if after := s.plane.cfg.SilentAfter; after > 0 && now.Sub(l.lastHeard()) >= max(after, l.usual*silentTenths/10) {
		state = silenceLong
	}
	l.handle.silentFor(now, state)
	l.handle.unstable(l.Unstable())
	l.handle.ignoring(l.IgnoresRequests())
}

// consentLost begins the time of grace of a connection whose peer has not checked for
// param.ConsentTimeout, or ends the connection when it is over. Nothing is sent meanwhile: there
// is no path. One that was never established has none to come back to.
func (s *shard) consentLost(now mono.Time, l *live) {
	if !l.lapsed {
		s.count.ConsentLost.Inc()
		if s.plane.cfg.ConsentGrace == 0 || !l.Established() {
			s.end(now, l, ReasonConsentLost)
			return
		}
		l.lapsed, l.graceEnd = true, now.Add(s.plane.cfg.ConsentGrace)
		l.handle.silentFor(now, silenceLapsed)
	}
	if l.graceEnd.Due(now) {
		s.end(now, l, ReasonConsentLost)
		return
	}
	s.rearm(l, l.graceEnd)
}

// checked follows a valid check that came when the peer had last been heard at before.
func (s *shard) checked(now, before mono.Time, l *live) {
	if l.lapsed {
		l.lapsed = false
		l.Regained()
		s.count.ConsentRegained.Inc()
		s.arm(l, l.Deadline()) // reports and feedback go on
		s.watch(now, l)
	}
	if l.returned(now.Sub(before)) && l.Established() {
		s.watch(now, l)
		l.Returned(&s.env, now)
	}
}

// returned reports whether a check after so long without a word is the end of a blackout, and
// learns from it what is usual.
func (l *live) returned(gap time.Duration) bool {
	is := gap >= max(returnAfter, returnTimes*l.usual)
	l.usual = max(min(gap, usualMost), l.usual-l.usual/8)
	return is
}

// takeCheck gives a valid check to the connection's agent.
func (s *shard) takeCheck(now mono.Time, k flow.Key, req *ice.Request, l *live) ice.Outcome {
	before := l.lastHeard()
	out := l.ICE.HandleCheck(now, k, req)
	if out.ErrorCode == 0 {
		s.checked(now, before, l)
	}
	return out
}
