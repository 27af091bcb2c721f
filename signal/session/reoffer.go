package session

import (
	"sync"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
)

// remoteChanged notes what another connection publishes. The client hears of it by the
// next re-offer; what it must not get any longer stops at once.
func (s *Session) remoteChanged(e RemoteChanged) {
	if s.offer == nil || !s.member.Role.Receives() {
		return
	}
	var tracks []offer.Track
	for _, t := range e.Tracks {
		if s.wants(t.Kind) {
			tracks = append(tracks, t)
		}
	}
	for _, ssrc := range s.offer.SetRemote(e.ConnectionID, tracks) {
		s.do(Unsubscribe{SSRC: ssrc})
	}
}

// wants reports whether the client receives the kind. A viewer says so in audio and video;
// a publisher describes by them only what it sends.
func (s *Session) wants(k param.Kind) bool {
	if s.member.Role != sora.RecvOnly {
		return true
	}
	return k == param.Audio && s.member.Audio || k == param.Video && s.member.Video
}

func (s *Session) onAnnounced(e Announced) {
	if s.state != Established || s.announced {
		return
	}
	s.announced = true
	if e.JSON != nil && s.settings.Notify {
		s.send(e.JSON)
	}
}

func (s *Session) notify(e Notify) {
	// The channel does not notify before it has announced.
	if !s.announced || !s.settings.Notify {
		return
	}
	if len(s.held) == 0 && !s.offer.Changed() {
		s.send(e.JSON) // there is nothing that it could have to wait for
		return
	}
	s.held = append(s.held, e)
}

// reOffer returns the next offer in the client's words. Until 2022 the message was called
// update, in both directions. A client that answers with update knows that name for sure;
// the others know re-offer, but for those of knowsOnlyUpdate.
func (s *Session) reOffer() []byte {
	text := texts.Get().(*[]byte)
	defer giveBack(text)
	*text = s.offer.AppendOffer((*text)[:0])
	if s.oldStyle {
		return sora.AppendUpdate(nil, *text)
	}
	return sora.AppendReOffer(nil, *text)
}

// texts holds room for the SDP of an offer until it is in its message.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// keepText is the longest room that is kept: the offers of a channel of 100.
const keepText = 256 << 10

func giveBack(text *[]byte) {
	if cap(*text) <= keepText {
		texts.Put(text)
	}
}

// A client is sent this many re-offers as fast as it answers them, as when a large meeting
// begins, and more of them only so far apart: those who come and go, or switch what they
// send on and off, must not keep everybody else's browser busy for long (SIG-07). What
// changes meanwhile shares the next one.
const (
	reOfferBurst = 300
	reOfferEvery = 200 * time.Millisecond
)

// In a channel that many join at once each of them means a re-offer to all others, and most
// of these are news within moments. So the first re-offer goes out at once, and the next ones
// the further apart the more of them there are, from gatherFirst, doubled each time, up to
// Config.Gather, which nobody sees. After gatherQuiet without one it begins anew.
const (
	gatherFirst = 25 * time.Millisecond
	gatherQuiet = time.Second
)

// mayReOffer reports whether a re-offer is due. One that has to wait for its time sets
// reOfferAt.
func (s *Session) mayReOffer(now time.Time) bool {
	s.reOfferAt, s.gathering = time.Time{}, false
	if s.offer.Outstanding() || !s.offer.Changed() || s.publishing > 0 {
		return false
	}
	at := s.reOffersFull.Add(-(reOfferBurst - 1) * reOfferEvery)
	if now.Before(at) {
		s.reOfferAt = at
		return false
	}
	if at := s.reOffered.Add(s.gather); now.Before(at) {
		s.reOfferAt, s.gathering = at, true
		return false
	}
	if s.reOffersFull.Before(now) {
		s.reOffersFull = now
	}
	s.reOffersFull = s.reOffersFull.Add(reOfferEvery)
	s.gather = min(max(2*s.gather, gatherFirst), s.cfg.Gather)
	if now.Sub(s.reOffered) >= gatherQuiet {
		s.gather = min(gatherFirst, s.cfg.Gather)
	}
	s.reOffered = now
	return true
}

// renegotiate sends a re-offer if it is due, and then the notifications that waited for it.
func (s *Session) renegotiate(now time.Time) {
	if s.state != Established || !s.announced {
		return
	}
	if s.mayReOffer(now) {
		s.answerBy = now.Add(s.cfg.AnswerTimeout)
		s.send(s.reOffer())
	}
	n := 0
	for n < len(s.held) && (len(s.held)-n > maxHeld || !s.waits(s.held[n])) {
		s.send(s.held[n].JSON)
		n++
	}
	if n == len(s.held) {
		s.held = nil
	} else {
		s.held = s.held[n:]
	}
}

// waits reports whether a notification has to wait for a re-offer: for that of the streams it
// announces, and for one that is held back only a moment, so that clients see both in the
// order in which they do when nothing is held back.
func (s *Session) waits(n Notify) bool {
	return s.gathering || n.After != "" && !s.offer.Offered(n.After)
}
