// Package offer turns what a session wants to send and receive into SDP offers, and the
// client's SDP answers into media parameters. It is the only package that knows SDP. State
// is pure: it opens nothing, reads no clock, and is for one goroutine at a time. Strings
// and slices that it returns are the caller's; param values are immutable from then on.
package offer

import (
	"crypto/rand"
	"encoding/binary"
	"io"

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
	sessionID   uint64
	version     uint64
	outstanding bool
	answered    bool // at least once
	nextSSRC    uint32
	sections    []*section
	wanted      []*stream // in order of arrival
	remote      param.Remote
}

// stream is a track of another connection that this client is to receive.
type stream struct {
	owner   string // connection id
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

// section is one m-section. Sections are never removed (RFC 3264 section 8): their number
// only grows, and those of streams that left are reused.
type section struct {
	use     use
	kind    param.Kind
	mid     string
	stream  *stream // remote only; nil: released
	ssrc    uint32  // of the stream
	rtx     uint32  // of the stream; 0: none
	codec   param.Codec
	offered bool // the last offer said that this section is in use
	dead    bool // refused by the client's answer and never offered again
	// subscribed is set while the client is being sent the stream.
	subscribed bool
}

// New starts the state of one connection. The client's own sections come first, since the
// browser attaches its tracks to the first section of each kind.
func New(cfg Config) *State {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	s := &State{cfg: cfg}
	s.sessionID = uint64(s.random())<<31 | uint64(s.random())>>1
	s.nextSSRC = s.random()
	if cfg.Audio != nil {
		s.add(own, param.Audio, param.Opus)
	}
	if cfg.Video != nil {
		s.add(own, param.Video, cfg.Video.Codec)
	}
	if len(s.sections) == 0 {
		if cfg.PlaceholderVideo {
			s.add(placeholder, param.Video, param.VP8)
		} else {
			s.add(placeholder, param.Audio, param.Opus)
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
func (s *State) add(u use, kind param.Kind, codec param.Codec) *section {
	for {
		mid := kind.String() + "_"
		for r, i := s.random(), 0; i < 6; i++ {
			mid += string(midAlphabet[r&31])
			r >>= 5
		}
		if s.byMID(mid) == nil {
			sec := &section{use: u, kind: kind, mid: mid, codec: codec}
			s.sections = append(s.sections, sec)
			return sec
		}
	}
}

func (s *State) byMID(mid string) *section {
	for _, sec := range s.sections {
		if sec.mid == mid {
			return sec
		}
	}
	return nil
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
	kept := s.wanted[:0]
	have := make(map[Track]bool, len(tracks))
	for _, st := range s.wanted {
		if st.owner == owner && !contains(tracks, st.track) {
			if st.in != nil {
				unsubscribe = append(unsubscribe, st.in.release()...)
			}
			continue
		}
		if st.owner == owner {
			have[st.track] = true
		}
		kept = append(kept, st)
	}
	clear(s.wanted[len(kept):])
	s.wanted = kept
	for _, t := range tracks {
		if !have[t] {
			have[t] = true
			s.wanted = append(s.wanted, &stream{owner: owner, track: t})
		}
	}
	return unsubscribe
}

// release takes the stream out of the section.
func (sec *section) release() (unsubscribe []uint32) {
	if sec.subscribed {
		unsubscribe = []uint32{sec.ssrc}
	}
	sec.stream, sec.subscribed = nil, false
	return unsubscribe
}

func contains(tracks []Track, t Track) bool {
	for _, u := range tracks {
		if u == t {
			return true
		}
	}
	return false
}

// Outstanding reports whether an offer waits for its answer.
func (s *State) Outstanding() bool { return s.outstanding }

// Changed reports whether a new offer would differ from the last one.
func (s *State) Changed() bool {
	if s.version == 0 {
		return true
	}
	for _, sec := range s.sections {
		if sec.offered && !sec.live() {
			return true
		}
	}
	for _, st := range s.wanted {
		if st.in == nil && !st.refused && s.hasRoom(st.track.Kind) {
			return true
		}
	}
	return false
}

// Offered reports whether the last offer carried every stream of a connection that this
// client is to receive, as far as there is room for them.
func (s *State) Offered(owner string) bool {
	for _, st := range s.wanted {
		if st.owner == owner && st.in == nil && !st.refused && s.hasRoom(st.track.Kind) {
			return false
		}
	}
	return true
}

// live reports whether the section is in use.
func (sec *section) live() bool {
	if sec.dead {
		return false
	}
	return sec.use != remote || sec.stream != nil
}

// free reports whether a new stream of the kind may take the section over: the client has
// been told that the old one is gone, and has answered.
func (s *State) free(sec *section, kind param.Kind) bool {
	return sec.use == remote && sec.kind == kind && sec.stream == nil && !sec.offered && !s.outstanding
}

func (s *State) hasRoom(kind param.Kind) bool {
	if len(s.sections) < MaxSections {
		return true
	}
	for _, sec := range s.sections {
		if s.free(sec, kind) {
			return true
		}
	}
	return false
}

// place gives every stream a section while there are any.
func (s *State) place() {
	for _, st := range s.wanted {
		if st.in != nil || st.refused {
			continue
		}
		sec := s.section(st.track)
		if sec == nil {
			continue
		}
		st.in, sec.stream, sec.codec = sec, st, st.track.Codec
		sec.ssrc, sec.rtx = s.ssrc(), 0
		if formatOf(sec.codec).rtx != 0 {
			sec.rtx = s.ssrc()
		}
	}
}

// section returns a section for a new stream, or nil if there is none.
func (s *State) section(t Track) *section {
	for _, sec := range s.sections {
		if s.free(sec, t.Kind) {
			return sec
		}
	}
	if len(s.sections) == MaxSections {
		return nil
	}
	return s.add(remote, t.Kind, t.Codec)
}

// Offer returns the next offer. The one before must have been answered.
func (s *State) Offer() string {
	if s.outstanding {
		panic("offer: the last offer is not answered")
	}
	s.place()
	s.version++
	s.outstanding = true
	for _, sec := range s.sections {
		sec.offered = sec.live()
	}
	return string(s.appendSDP(nil))
}
