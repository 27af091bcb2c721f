// Package param holds what signaling negotiated with a peer, as plain values: the words
// in which signal tells media what to do.
//
// Everything here is immutable once it has been handed over. Signaling fills it from an
// SDP, a shard reads it. No package below signal knows more of SDP than this.
package param

import "time"

// Kind tells audio from video.
type Kind uint8

// The kinds of media.
const (
	Audio Kind = iota + 1
	Video
)

// String returns the SDP media type.
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	}
	return "unknown"
}

// Codec names a payload format.
type Codec uint8

// The codecs. Payloads are passed through; media/codec reads no more of them than where key
// frames begin.
const (
	Opus Codec = iota + 1
	VP8
	VP9
	AV1
	H264
	H265
)

// String returns the name in signaling, which is that of the rtpmap in capitals.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "OPUS"
	case VP8:
		return "VP8"
	case VP9:
		return "VP9"
	case AV1:
		return "AV1"
	case H264:
		return "H264"
	case H265:
		return "H265"
	}
	return "unknown"
}

// Extensions maps RTP header extensions (RFC 8285) to their negotiated ids; 0 means that
// an extension was not negotiated. Ids are 1..14 (one-byte form) or up to 255.
type Extensions struct {
	MID              uint8 // urn:ietf:params:rtp-hdrext:sdes:mid
	RID              uint8 // urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
	RepairedRID      uint8 // urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
	AbsSendTime      uint8 // http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
	TransportCC      uint8 // http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
	AudioLevel       uint8 // urn:ietf:params:rtp-hdrext:ssrc-audio-level
	VideoOrientation uint8 // urn:3gpp:video-orientation
}

// Feedback says which RTCP feedback (RFC 4585) an m-section negotiated.
type Feedback struct {
	NACK        bool
	PLI         bool
	FIR         bool
	TransportCC bool
	REMB        bool
}

// TrackID names a published track for as long as it lives; a reused index has another
// generation. The zero value names none.
type TrackID struct {
	Index uint32
	Gen   uint32
}

// Publish describes one track that a peer sends to us.
type Publish struct {
	Kind        Kind
	Codec       Codec
	MID         string // of the m-section; at most 16 bytes
	RID         string // of the layer among those of the m-section (RFC 8851); empty: the only one
	SSRC        uint32 // 0: not signalled, bound by the MID extension and, with a RID, by that of the RID
	RTXSSRC     uint32 // 0: not signalled
	PayloadType uint8
	RTXType     uint8 // 0: no RTX
	REDType     uint8 // of redundant audio around PayloadType (RFC 2198); 0: not negotiated
	ClockRate   uint32
	Extensions  Extensions
	Feedback    Feedback
	ReducedSize bool   // RFC 5506
	MaxBitrate  uint64 // bits per second asked for by signaling; 0: no limit
}

// Subscribe describes one track that we send to a peer.
type Subscribe struct {
	Track       TrackID
	Kind        Kind
	Codec       Codec
	MID         string
	SSRC        uint32
	RTXSSRC     uint32 // 0: no RTX
	PayloadType uint8
	RTXType     uint8
	REDType     uint8 // as in Publish
	ClockRate   uint32
	CNAME       string
	Extensions  Extensions
	Feedback    Feedback
	ReducedSize bool
}

// Fingerprint is a certificate's hash from an SDP (RFC 8122).
type Fingerprint struct {
	Algorithm string // lower case: sha-256, sha-384, sha-512
	Value     []byte // the digest
}

// Remote is what an answer tells about the peer's transport.
type Remote struct {
	Ufrag        string
	Password     string
	Fingerprints []Fingerprint // of the strongest hash among them, any one has to match (RFC 8122 section 5)
}

// Limits of one connection, in one place because signal validates by them and media
// sizes its tables by them.
const (
	MaxPublish   = 16   // tracks that one connection may publish
	MaxSubscribe = 1024 // tracks that one connection may receive
	MaxSSRC      = 64   // SSRCs that one connection may bind
)

// ConsentTimeout is how long a path may go without a valid check before consent to send
// on it is lost (RFC 7675 section 5.1).
const ConsentTimeout = 30 * time.Second
