// Package sora is the wire form of the signaling protocol of WebRTC SFU Sora: the JSON
// messages that clients send, decoded into plain values, and the ones that they receive,
// appended to a caller's buffer. It never talks to a socket, keeps no state between
// messages and takes no decision about a session: whether a message fits the moment, or a
// feature exists, is signal/session's business. Every goroutine may call every function.
// What Decode returns is a copy: it stays valid after the frame's buffer is reused.
package sora

import "fmt"

// Type names a message that a client sends.
type Type uint8

// The messages of a client.
const (
	TypeConnect    Type = iota + 1
	TypeAnswer          // the reply to offer
	TypeReAnswer        // the reply to re-offer
	TypeUpdate          // what re-answer was called before 2022.1
	TypeCandidate       // trickled candidate; both shapes
	TypePong            // with or without statistics
	TypeDisconnect      // the client leaves
)

var typeNames = map[string]Type{
	"connect":    TypeConnect,
	"answer":     TypeAnswer,
	"re-answer":  TypeReAnswer,
	"update":     TypeUpdate,
	"candidate":  TypeCandidate,
	"pong":       TypePong,
	"disconnect": TypeDisconnect,
}

// String returns the name on the wire.
func (t Type) String() string {
	for name, v := range typeNames {
		if v == t {
			return name
		}
	}
	return "unknown"
}

// Role says what a client does with media.
type Role uint8

// The roles.
const (
	SendRecv Role = iota + 1
	SendOnly
	RecvOnly
)

// String returns the name on the wire.
func (r Role) String() string {
	switch r {
	case SendRecv:
		return "sendrecv"
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	}
	return "unknown"
}

// Sends reports whether a client of this role publishes.
func (r Role) Sends() bool { return r == SendRecv || r == SendOnly }

// Receives reports whether a client of this role gets what others publish.
func (r Role) Receives() bool { return r == SendRecv || r == RecvOnly }

// Message is one decoded message of a client.
type Message struct {
	Type    Type
	Connect *Connect // TypeConnect only
	SDP     string   // TypeAnswer, TypeReAnswer, TypeUpdate
	// Candidate is set with TypeCandidate. An ICE-lite server does not need it.
	Candidate *Candidate
	// Stats is the array of a pong as it was sent, valid JSON; nil: none.
	Stats  []byte
	Reason string // TypeDisconnect; empty: not given. At most maxText bytes
}

// Connect is the first message. Optional members that were absent or null are zero unless
// the comment says otherwise.
type Connect struct {
	Role      Role
	ChannelID string // 1..255 bytes
	ClientID  string // empty: not given
	BundleID  string // empty: not given

	// Metadata is for whoever authenticates this client and is never shown to others: it
	// carries access tokens. NotifyMetadata is what others see. Both are valid JSON as it
	// was sent; nil: not given.
	Metadata       []byte
	NotifyMetadata []byte

	// Who the client says it is, for logs; cut to maxText bytes.
	SoraClient  string
	Libwebrtc   string
	Environment string

	Redirect    bool
	Multistream bool // true unless refused by the client
	Audio       Audio
	Video       Video

	Simulcast                 bool
	SimulcastMulticodec       bool
	SimulcastRID              string
	SimulcastRequestRID       string
	Spotlight                 bool
	SpotlightNumber           int // 0: not given
	SpotlightFocusRID         string
	SpotlightUnfocusRID       string
	DataChannelSignaling      Flag
	IgnoreDisconnectWebSocket Flag
	DataChannels              []DataChannel
	ForwardingFilter          *ForwardingFilter // the singular form; nil: not given
	ForwardingFilters         []ForwardingFilter
	AudioStreamingLanguage    string // audio_streaming_language_code; empty: not given
}

// Candidate is a trickled candidate; only JavaScript clients send more than the first.
type Candidate struct {
	Candidate        string // empty: no more will come
	SDPMid           string // empty: not given
	SDPMLineIndex    int    // -1: not given
	UsernameFragment string // empty: not given
}

// DataChannel is an entry of connect's data_channels.
type DataChannel struct {
	Label     string
	Direction string // sendrecv, sendonly or recvonly
}

// ForwardingFilter is an entry of connect's forwarding_filters.
type ForwardingFilter struct {
	Name   string // empty: not given
	Action string // block or allow
}

// Audio is connect's audio member.
type Audio struct {
	Enabled   bool
	CodecType string // empty: the server's choice
	BitRate   int    // kbps, 6..510; 0: the server's choice
	Opus      OpusParams
}

// Video is connect's video member.
type Video struct {
	Enabled   bool
	CodecType string // empty: the server's choice
	BitRate   int    // kbps, 1..50000; 0: the server's choice

	// What was given for the codecs; nil: nothing.
	VP9  *VP9Params
	AV1  *AV1Params
	H264 *H264Params
	H265 *H265Params
}

// VP9Params is video's vp9_params. Numbers are -1 where they were not given, here and in the
// types below.
type VP9Params struct{ ProfileID int } // 0..3

// AV1Params is video's av1_params.
type AV1Params struct {
	Profile  int // 0..2
	LevelIdx int // 0..31
	Tier     int // 0..1
}

// H264Params is video's h264_params.
type H264Params struct {
	ProfileLevelID string // six hexadecimal digits, lower case; empty: not given
	BFrame         Flag
}

// H265Params is video's h265_params.
type H265Params struct {
	LevelID   int
	ProfileID int
	TierFlag  int
	TxMode    string // SRST, MRST or MRMT; empty: not given
	BFrame    Flag
}

// Flag is an optional boolean.
type Flag uint8

// The values of a Flag.
const (
	Unset Flag = iota
	False
	True
)

// OpusParams is audio's opus_params. Zero values were not given.
type OpusParams struct {
	Channels        int
	MaxPlaybackRate int // Hz
	MinPTime        int // ms
	PTime           int // ms
	Stereo          Flag
	SpropStereo     Flag
	UseInbandFEC    Flag
	UseDTX          Flag
}

// Limits of what a client may send, in bytes unless said otherwise.
const (
	// MaxFrame is the longest message: an answer or a pong with statistics can take
	// hundreds of KiB.
	MaxFrame = 1 << 20
	// maxDepth is the deepest nesting of arrays and objects. Statistics and metadata stay
	// below ten.
	maxDepth = 32
	// maxValues is the most values in one message. A report of 900 streams fits.
	maxValues = 1 << 16
	// maxID bounds channel_id, client_id and bundle_id.
	maxID = 255
	// maxText bounds descriptive texts, which are cut rather than refused.
	maxText = 256
	// MaxNotifyMetadata bounds what one client shows to all others, since a channel of n
	// members sends it n times.
	MaxNotifyMetadata = 64 << 10
)

// Error says why a message was refused.
type Error struct {
	Reason string // the close reason: upper case, hyphenated
	Detail string // for the log; may quote the client, never its metadata
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Detail)
}

// The reasons of Decode. A member of a wrong type or range is refused with INVALID- and
// the member's name, as in INVALID-CHANNEL-ID.
const (
	ReasonInvalidJSON  = "INVALID-JSON"
	ReasonTooComplex   = "JSON-TOO-COMPLEX"
	ReasonMissingType  = "MISSING-TYPE"
	ReasonUnknownType  = "UNKNOWN-TYPE"
	ReasonDuplicateKey = "DUPLICATED-KEY"
)
