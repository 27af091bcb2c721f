// Package offer turns what a session wants to send and receive into SDP offers, and the
// client's SDP answers into media parameters. It is the only package that knows SDP. State
// is pure: it opens nothing, reads no clock, and is for one goroutine at a time. Strings
// and slices that it returns are the caller's; param values are immutable from then on.
package offer

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"

	"tsubame/media/param"
)

// MaxSections is the most m-sections of one connection (SIG-06). Remote streams beyond it
// wait until a section is free; nothing is refused for it.
const MaxSections = 512

// Config is what an offer of one connection says, but for the remote streams.
type Config struct {
	ConnectionID string
	Fingerprint  param.Fingerprint // of our certificate
	Ufrag        string
	Password     string
	Candidates   []string // values of a=candidate, in order of preference
	Audio        *OwnAudio
	Video        *OwnVideo
	// RED offers Opus with redundancy (RFC 2198), ahead of Opus alone: clients send what comes
	// first of what they have.
	RED bool
	// PlaceholderVideo makes the placeholder of a client that sends nothing a video
	// section; it wants no audio.
	PlaceholderVideo bool
	// Rand supplies mids and SSRCs; nil: crypto/rand.
	Rand io.Reader
}

// OwnAudio describes the audio that the client sends; nil in Config: none.
type OwnAudio struct {
	Bitrate uint64 // bits per second; 0: the client's choice
	// Opus parameters of RFC 7587 section 6.1. Empty texts and zeros are left out.
	Stereo          string // "0" or "1"
	SpropStereo     string
	UseInbandFEC    string // empty: 1
	UseDTX          string
	MaxPlaybackRate int // Hz
	MinPTime        int // ms; 0: 10
	PTime           int // ms
}

// OwnVideo describes the video that the client sends; nil in Config: none.
type OwnVideo struct {
	Codec   param.Codec
	Params  string // format parameters as in a=fmtp; empty: those of the codec's usual form
	Bitrate uint64 // bits per second; 0: the client's choice
}

// Track is a published track as others receive it.
type Track struct {
	Kind   param.Kind
	Codec  param.Codec
	Params string // format parameters as in a=fmtp; empty: those of the codec's usual form
	ID     param.TrackID
}

// State is the offer/answer state of one connection (RFC 8829): which m-section carries
// what, and what the last answer said.
type State struct {
	cfg         Config
	transport   string // the attributes that every section repeats
	sessionID   uint64
	version     uint64
	outstanding bool
	answered    bool // at least once
	firefox     bool // it is Firefox that answered
	restart     bool // ICE restarts by the next offer
	stale       bool // changed has to be computed again
	changed     bool
	nextSSRC    uint32
	numbers     numbering
	sections    []*section
	mids        map[string]*section
	owners      map[string][]*stream // all that is to be received, by connection id
	waiting     []*stream            // what is not in an offer yet, in order of arrival
	spare       [2][]*section        // scratch of place
	remote      param.Remote
}

// stream is a track of another connection that this client is to receive.
type stream struct {
	owner   string // connection id
	nth     int    // among the owner's streams of the kind, from 0; for the msid
	track   Track
	refused bool     // the client's answer declined it; it is not offered again
	in      *section // nil: not in an offer yet
}

type use uint8

const (
	own         use = iota + 1 // the client sends here
	placeholder                // keeps the transport up for a client that sends nothing
	remote                     // carries a stream, or did
)

// maxFormats is the most formats of one section. A list never shrinks and every answer
// repeats it, so this keeps the answer to MaxSections of them below MaxSDP. A section
// whose list is full is reused for its own formats only.
const maxFormats = 5

// section is one m-section. Sections are never removed (RFC 3264 section 8): their number
// only grows, and those of streams that left are reused.
type section struct {
	use    use
	kind   param.Kind
	mid    string
	stream *stream // remote only; nil: released
	ssrc   uint32  // of the stream
	rtx    uint32  // of the stream; 0: none
	// formats has that of the stream, or of what the client sends, in front. The list only
	// grows: clients keep what they once negotiated and refuse a list that has lost it.
	formats []*format
	offered bool // the last offer said that this section is in use
	dead    bool // refused by the client's answer and never offered again
	// anchor is the first section that the client took. It is never released: libwebrtc gives
	// up the transport of the whole group with it.
	anchor bool
	unsaid bool // the last offer said of the anchor what has changed since
	// subscribed is set while the client is being sent the stream.
	subscribed bool
	// declined is set while the client does not take our format of an own section.
	declined bool
	bundled  bool // by the answer that is being taken
	// heard is the hash of what the last answer said of a stream that is still offered as it
	// was then; 0: nothing. Whoever changes stream, formats or offered sets it to 0.
	heard uint64
}

// New starts the state of one connection. The client's own sections come first, since the
// browser attaches its tracks to the first section of each kind.
func New(cfg Config) *State {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	s := &State{cfg: cfg, mids: map[string]*section{}, owners: map[string][]*stream{}, stale: true}
	s.transport = transportLines(cfg)
	s.numbers.red = cfg.RED
	s.sessionID = uint64(s.random())<<31 | uint64(s.random())>>1
	s.nextSSRC = s.random()
	if cfg.Audio != nil {
		s.add(own, param.Audio, s.numbers.own(param.Opus, cfg.Audio.fmtp()))
	}
	if cfg.Video != nil {
		s.add(own, param.Video, s.numbers.own(cfg.Video.Codec, cfg.Video.Params))
	}
	if len(s.sections) == 0 {
		if cfg.PlaceholderVideo {
			s.add(placeholder, param.Video, s.numbers.own(param.VP8, ""))
		} else {
			s.add(placeholder, param.Audio, s.numbers.own(param.Opus, ""))
		}
	}
	return s
}

func (s *State) random() uint32 {
	var b [4]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		panic("offer: source of random numbers: " + err.Error())
	}
	return binary.BigEndian.Uint32(b[:])
}

// ssrc returns an SSRC that this connection has not used and will not use again: the step
// is odd, so the sequence repeats after 2^32 values. An SSRC must not come back under one
// SRTP key, or its packet indices would.
func (s *State) ssrc() uint32 {
	for {
		s.nextSSRC += 0x9e3779b9
		if s.nextSSRC != 0 {
			return s.nextSSRC
		}
	}
}

const midAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// add appends a section. Its mid contains the kind, because clients look for that, and
// stays below the 16 bytes of a one-byte header extension.
func (s *State) add(u use, kind param.Kind, f *format) *section {
	var b [12]byte
	for {
		mid := append(append(b[:0], kind.String()...), '_')
		for r, i := s.random(), 0; i < 6; i++ {
			mid = append(mid, midAlphabet[r&31])
			r >>= 5
		}
		if s.mids[string(mid)] == nil {
			sec := &section{use: u, kind: kind, mid: string(mid), formats: []*format{f}}
			s.sections = append(s.sections, sec)
			s.mids[sec.mid] = sec
			return sec
		}
	}
}

// MIDs returns the mids of the sections on which the client sends; empty: none.
func (s *State) MIDs() (audio, video string) {
	for _, sec := range s.sections {
		switch {
		case sec.use != own:
		case sec.kind == param.Audio:
			audio = sec.mid
		default:
			video = sec.mid
		}
	}
	return audio, video
}

// SetRemote says which tracks of another connection this client is to receive from now on;
// none: the connection left. It returns the SSRCs that the client was being sent and must
// not be any longer. Sections follow in the next offer.
func (s *State) SetRemote(owner string, tracks []Track) (unsubscribe []uint32) {
	before := s.owners[owner]
	kept := before[:0]
	for _, st := range before {
		if slices.Contains(tracks, st.track) {
			kept = append(kept, st)
			continue
		}
		unsubscribe = s.drop(st, unsubscribe)
	}
	clear(before[len(kept):])
	for _, t := range tracks {
		if !slices.ContainsFunc(kept, func(st *stream) bool { return st.track == t }) {
			st := &stream{owner: owner, nth: ordinal(kept, t.Kind), track: t}
			kept = append(kept, st)
			s.waiting = append(s.waiting, st)
			s.stale = true
		}
	}
	if len(kept) > 0 {
		s.owners[owner] = kept
	} else {
		delete(s.owners, owner)
	}
	return unsubscribe
}

// drop forgets a stream.
func (s *State) drop(st *stream, unsubscribe []uint32) []uint32 {
	s.stale = true
	if st.in != nil {
		return st.in.release(unsubscribe)
	}
	if i := slices.Index(s.waiting, st); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return unsubscribe
}

// release takes the stream out of the section.
func (sec *section) release(unsubscribe []uint32) []uint32 {
	if sec.subscribed {
		unsubscribe = append(unsubscribe, sec.ssrc)
	}
	sec.stream.in = nil
	sec.stream, sec.subscribed, sec.heard = nil, false, 0
	sec.retire()
	return unsubscribe
}

// retire makes a placeholder of an anchor that has lost its stream.
func (sec *section) retire() {
	if sec.anchor && sec.use == remote && sec.stream == nil {
		sec.use, sec.unsaid = placeholder, true
	}
}

// ordinal returns the lowest number that none of an owner's streams of the kind has.
func ordinal(streams []*stream, k param.Kind) int {
	for n := 0; ; n++ {
		if !slices.ContainsFunc(streams, func(st *stream) bool { return st.track.Kind == k && st.nth == n }) {
			return n
		}
	}
}

// Outstanding reports whether an offer waits for its answer.
func (s *State) Outstanding() bool { return s.outstanding }

// Offer returns the next offer. The one before must have been answered.
func (s *State) Offer() string { return string(s.AppendOffer(nil)) }

// AppendOffer appends the next offer to dst. The one before must have been answered.
func (s *State) AppendOffer(dst []byte) []byte {
	if s.outstanding {
		panic("offer: the last offer is not answered")
	}
	s.place()
	s.version++
	s.outstanding, s.stale, s.restart = true, true, false
	for _, sec := range s.sections {
		sec.offered, sec.unsaid = sec.live(), false
	}
	return s.appendSDP(dst)
}
