package offer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"tsubame/media/param"
)

// The reasons of Error.
const (
	ReasonInvalidSDP     = "INVALID-SDP"
	ReasonBadFingerprint = "BAD-FINGERPRINT" // none, or of weak hashes only
	// ReasonNoCommonCodec is for an answer that rejects every section, or all that could
	// bring up the transport. Clients do that if they have none of the codecs.
	ReasonNoCommonCodec = "NO-COMMON-CODEC"
)

// Error says why an answer was refused.
type Error struct {
	Reason string // the close reason
	Detail string // for the log
}

// Error implements error.
func (e *Error) Error() string { return e.Reason + ": " + e.Detail }

func invalid(format string, args ...any) error {
	return &Error{Reason: ReasonInvalidSDP, Detail: fmt.Sprintf(format, args...)}
}

// Answer is what an answer means for media.
type Answer struct {
	Remote        param.Remote
	RemoteChanged bool            // Remote differs from the last answer's
	Publish       []param.Publish // every track that the client sends now
	// Refused names the kinds that the client was asked to send and now declines: it
	// rejected the section, or has not got the codec. Each is named once, and again if it
	// was accepted in between.
	Refused     []param.Kind
	Subscribe   []param.Subscribe // streams that the client takes from now on
	Unsubscribe []uint32          // SSRCs that it does not take any longer
}

// Answer takes the answer to the outstanding offer. After an error the state is as it was,
// the offer still outstanding. The error is always an *Error.
func (s *State) Answer(text string) (Answer, error) {
	if !s.outstanding {
		return Answer{}, invalid("no offer is outstanding")
	}
	p, err := s.parse(text)
	if err != nil {
		return Answer{}, err
	}
	defer p.done()
	if err := s.check(p); err != nil {
		return Answer{}, err
	}
	a := Answer{}
	if a.Remote, err = s.remoteOf(p); err != nil {
		return Answer{}, err
	}
	if s.answered && !sameFingerprints(s.remote.Fingerprints, a.Remote.Fingerprints) {
		// It would take a new DTLS association, which we have not offered.
		return Answer{}, invalid("the fingerprint changed")
	}
	a.RemoteChanged = !s.answered || !sameRemote(s.remote, a.Remote)
	if a.Publish, err = s.publications(p); err != nil {
		return Answer{}, err
	}
	// Nothing below fails: the state may change.
	if !s.answered {
		first := slices.IndexFunc(p.media, func(m media) bool { return !m.rejected })
		s.sections[first].anchor = true
		s.sections[first].retire()
	}
	s.remote, s.answered, s.outstanding, s.stale = a.Remote, true, false, true
	s.firefox = p.firefox
	for i, sec := range s.sections {
		s.apply(&a, sec, &p.media[i])
	}
	return a, nil
}

// check holds the answer against the offer: same sections in the same order (RFC 3264
// section 6), one transport for all.
func (s *State) check(p *parsed) error {
	if len(p.media) != len(s.sections) {
		return invalid("%d m-sections for %d offered", len(p.media), len(s.sections))
	}
	if err := s.readBundle(p.bundle); err != nil {
		return err
	}
	accepted := 0
	for i, sec := range s.sections {
		m := &p.media[i]
		if m.kind != sec.kind {
			return invalid("m-section %d is not %v", i, sec.kind)
		}
		if m.mid != sec.mid && !(m.mid == "" && (m.rejected || !sec.offered)) {
			return invalid("m-section %d has another mid", i)
		}
		// What was offered with port 0 stays rejected whatever the answer says.
		if m.rejected || !sec.offered {
			continue
		}
		if !sec.bundled {
			return invalid("m-section %d is not bundled", i)
		}
		accepted++
		if m.known {
			continue
		}
		if !m.mux {
			return invalid("m-section %d does not multiplex RTCP", i)
		}
		if m.passive {
			return invalid("m-section %d: we are the DTLS server", i)
		}
	}
	if accepted == 0 {
		return &Error{Reason: ReasonNoCommonCodec, Detail: "every m-section is rejected"}
	}
	if p.firefox && !s.answered && p.media[0].rejected {
		return &Error{Reason: ReasonNoCommonCodec, Detail: "Firefox does not begin with ICE if the first m-section is rejected"}
	}
	return nil
}

// readBundle notes which sections the answer bundles.
func (s *State) readBundle(mids string) error {
	for _, sec := range s.sections {
		sec.bundled = false
	}
	for mids != "" {
		var mid string
		if mid, mids, _ = strings.Cut(mids, " "); mid == "" {
			continue
		}
		sec := s.mids[mid]
		if sec == nil {
			return invalid("BUNDLE names an unknown mid")
		}
		sec.bundled = true
	}
	return nil
}

// publications returns what the client sends.
func (s *State) publications(p *parsed) ([]param.Publish, error) {
	var out []param.Publish
	var named []uint32 // four at most
	for i, sec := range s.sections {
		m := &p.media[i]
		if sec.use != own || !sec.offered || m.rejected || !m.sends {
			continue
		}
		f := sec.formats[0]
		n, ok := m.negotiate(f)
		if !ok {
			continue // it cannot encode this
		}
		pub := param.Publish{
			Kind: sec.kind, Codec: f.codec, MID: sec.mid, ClockRate: f.clock,
			// A client sends with the payload types of the offer (RFC 3264 section 5.1).
			PayloadType: f.pt,
			Extensions:  m.extensions, Feedback: n.feedback, ReducedSize: m.reducedSize,
			MaxBitrate: s.bitrate(sec),
		}
		pub.SSRC, pub.RTXSSRC = m.primary()
		if n.rtx != 0 {
			pub.RTXType = f.rtx
		} else {
			pub.RTXSSRC = 0
		}
		if n.red != 0 {
			pub.REDType = f.red
		}
		for _, ssrc := range []uint32{pub.SSRC, pub.RTXSSRC} {
			if ssrc != 0 && slices.Contains(named, ssrc) {
				return nil, invalid("SSRC %d is used twice", ssrc)
			}
			named = append(named, ssrc)
		}
		out = append(out, pub)
	}
	return out, nil
}

// apply moves one section to what the answer says about it. A client that has not got the
// codec says so by leaving out its payload type, or by port 0 if nothing else is left.
func (s *State) apply(a *Answer, sec *section, m *media) {
	if !sec.offered || m.known {
		return
	}
	sec.heard = m.hash
	if m.rejected {
		sec.offered, sec.heard = false, 0
	}
	if sec.use != remote {
		sec.dead = m.rejected
		s.applyOwn(a, sec, m)
		return
	}
	if sec.stream == nil {
		return // released while the offer was on its way
	}
	n, ok := m.negotiate(sec.formats[0])
	switch {
	case m.rejected || !ok:
		// A section that is still in use is released by the next offer.
		sec.stream.refused = true
		a.Unsubscribe = sec.release(a.Unsubscribe)
	case m.receives && !sec.subscribed:
		sec.subscribed = true
		a.Subscribe = append(a.Subscribe, sec.subscription(m, n))
	case !m.receives && sec.subscribed:
		sec.subscribed = false
		a.Unsubscribe = append(a.Unsubscribe, sec.ssrc)
	}
}

func (s *State) applyOwn(a *Answer, sec *section, m *media) {
	if sec.use != own {
		return
	}
	_, ok := m.negotiate(sec.formats[0])
	declined := m.rejected || !ok
	if declined && !sec.declined {
		a.Refused = append(a.Refused, sec.kind)
	}
	sec.declined = declined
}

func (sec *section) subscription(m *media, n negotiated) param.Subscribe {
	f := sec.formats[0]
	sub := param.Subscribe{
		Track: sec.stream.track.ID, Kind: sec.kind, Codec: f.codec, MID: sec.mid, SSRC: sec.ssrc,
		PayloadType: n.pt, REDType: n.red, ClockRate: f.clock, CNAME: sec.stream.owner,
		Extensions: m.extensions, Feedback: n.feedback, ReducedSize: m.reducedSize,
	}
	if n.rtx != 0 {
		sub.RTXSSRC, sub.RTXType = sec.rtx, n.rtx
	}
	return sub
}

func sameRemote(a, b param.Remote) bool {
	return a.Ufrag == b.Ufrag && a.Password == b.Password && sameFingerprints(a.Fingerprints, b.Fingerprints)
}

func sameFingerprints(a, b []param.Fingerprint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Algorithm != b[i].Algorithm || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
