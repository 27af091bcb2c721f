package session

import (
	"errors"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
)

// answer takes the answer to an offer or re-offer.
func (s *Session) answer(now time.Time, sdp string) {
	a, err := s.offer.Answer(sdp)
	if err != nil {
		e := &offer.Error{Reason: offer.ReasonInvalidSDP}
		errors.As(err, &e)
		s.fault(e.Reason, e.Detail)
		return
	}
	s.answerBy = time.Time{}
	s.path.answered(now)
	if s.state == WaitAnswer {
		s.state, s.stageBy = WaitEstablished, now.Add(s.settings.CreatedTimeout)
		s.startPings(now)
	}
	if a.RemoteChanged {
		s.do(SetRemote{Remote: a.Remote})
	}
	for _, k := range a.Refused {
		s.log(EventTrackRefused, s.codec(k).String())
	}
	changed := s.publish(a.Publish)
	for _, ssrc := range a.Unsubscribe {
		s.do(Unsubscribe{SSRC: ssrc})
	}
	for _, sub := range a.Subscribe {
		s.do(Subscribe{Subscribe: sub})
	}
	// What is published anew is told when media has answered.
	if changed && s.publishing == 0 && s.state == Established {
		s.do(Update{Tracks: s.tracks()})
	}
	s.establish()
}

// publish moves from what the client sent to what it sends, and reports whether that is a
// change. No Publish is without its result here: a re-offer waits for it.
func (s *Session) publish(list []param.Publish) (changed bool) {
	var next []sentTrack
	for _, p := range list {
		next = append(next, sentTrack{publish: p})
	}
	for _, old := range s.sent {
		kept := false
		for i := range next {
			if next[i].publish == old.publish {
				next[i], kept = old, true
			}
		}
		if !kept {
			s.do(Unpublish{Track: old.id})
			changed = true
		}
	}
	s.sent = next
	for _, t := range next {
		if !t.known {
			s.publishing++
			s.do(Publish{Publish: t.publish})
			changed = true
		}
	}
	return changed
}

func (s *Session) published(e Published) {
	for i := range s.sent {
		t := &s.sent[i]
		if t.publish.MID != e.MID || t.known {
			continue
		}
		if !e.OK {
			s.close(CodeError, ReasonServerFull)
			return
		}
		t.id, t.known = e.Track, true
		if s.publishing--; s.publishing == 0 && s.state == Established {
			s.do(Update{Tracks: s.tracks()})
		}
		s.establish()
		return
	}
}

// codec returns that of what the client sends.
func (s *Session) codec(k param.Kind) param.Codec {
	if k == param.Audio {
		return param.Opus
	}
	return s.settings.Video.Codec
}

// tracks returns what the client publishes.
func (s *Session) tracks() []offer.Track {
	var out []offer.Track
	for _, t := range s.sent {
		track := offer.Track{Kind: t.publish.Kind, Codec: t.publish.Codec, ID: t.id}
		// Those of Opus say how the client should send, and every decoder takes what comes
		// of it. Those of video say what a decoder has to know of.
		if track.Kind == param.Video {
			track.Params = s.settings.Video.Params
		}
		out = append(out, track)
	}
	return out
}

// establish announces the connection once the answer is in and media is up.
func (s *Session) establish() {
	if s.state != WaitEstablished || !s.mediaUp || s.publishing > 0 {
		return
	}
	s.state, s.stageBy = Established, time.Time{}
	s.do(Announce{Tracks: s.tracks()})
}

func (s *Session) mediaClosed(e MediaClosed) {
	switch e.Reason {
	case MediaDTLSClosed:
		s.close(CodeNormal, ReasonPeerClosed)
	case MediaRequested:
		s.close(CodeNormal, ReasonMediaClosed)
	case MediaBadFingerprint:
		s.close(CodeError, ReasonBadFingerprint)
	case MediaDTLSFailed:
		s.close(CodeError, ReasonDTLSFailed)
	default:
		s.close(CodeError, ReasonConsentLost)
	}
}
