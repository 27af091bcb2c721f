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
	// Stats is the array of a pong as it was sent, valid JSON of at most MaxStats bytes; nil:
	// none. A longer one is not kept, since a pong has to count whatever it brings along:
	// StatsTooLarge says so.
	Stats         []byte
	StatsTooLarge bool
	Reason        string // TypeDisconnect; empty: not given. At most maxText bytes
}

// Candidate is a trickled candidate; only JavaScript clients send more than the first.
type Candidate struct {
	Candidate        string // at most maxCandidate bytes; empty: no more will come
	SDPMid           string // empty: not given
	SDPMLineIndex    int    // 0..65535; -1: not given
	UsernameFragment string // empty: not given
}

// Limits of what a client may send, in bytes unless said otherwise.
const (
	// MaxFrame is the longest message: an answer or a pong with statistics can take
	// hundreds of KiB.
	MaxFrame = 1 << 20
	// MaxStats is the most of a pong's statistics that is kept.
	MaxStats = 512 << 10
	// maxDepth is the deepest nesting of arrays and objects. Statistics and metadata stay
	// below ten.
	maxDepth = 32
	// maxValues is the most values in one message. A report of 900 streams fits.
	maxValues = 1 << 16
	// maxTree is the most values of what is not statistics, of which a tree is built: some
	// 700 bytes for each at worst, for a client that nobody knows yet.
	maxTree = 1 << 13
	// maxMembers is the most members of a message's top level; connect has about 30.
	maxMembers = 256
	// maxID bounds channel_id, client_id and bundle_id.
	maxID = 255
	// maxText bounds descriptive texts, which are cut rather than refused.
	maxText = 256
	// maxCandidate bounds the texts of a candidate, which have 100 bytes or so.
	maxCandidate = 1024
	// MaxMetadata bounds what one client says to whoever authenticates it: it is kept, twice in
	// a request and once more in a log, for as long as that takes, for a thousand clients who
	// may be anybody.
	MaxMetadata = 64 << 10
	// MaxNotifyMetadata bounds what one client shows to all others, since a channel of n
	// members sends it n times.
	MaxNotifyMetadata = 64 << 10
	// maxNotifyDepth bounds its nesting: in the list of connection.created it lies three
	// levels deeper, and some clients read no more than 32 levels.
	maxNotifyDepth = 24
)

// Limits of connect's lists. Beyond them the connect is refused.
const (
	// MaxDataChannels is the most entries of data_channels.
	MaxDataChannels = 32
	// maxLabel is the most characters of a label, the # included.
	maxLabel = 32
	// maxFilters is the most entries of forwarding_filters.
	maxFilters = 32
	// maxRules bounds a filter's alternatives, and the rules of each of them.
	maxRules = 64
	// maxRuleValues is the most values of all rules of a connect: 1,000 members by name, a
	// few times.
	maxRuleValues = 4096
	// maxFilterMetadata bounds the metadata of one filter.
	maxFilterMetadata = 16 << 10
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
// the member's name, as in INVALID-CHANNEL-ID; what is wrong inside of audio or video with
// INVALID-AUDIO-FORMAT or INVALID-VIDEO-FORMAT, and inside of another member with the name
// of that one. Error.Detail then names the place.
const (
	ReasonInvalidJSON  = "INVALID-JSON"
	ReasonTooComplex   = "JSON-TOO-COMPLEX"
	ReasonMissingType  = "MISSING-TYPE"
	ReasonUnknownType  = "UNKNOWN-TYPE"
	ReasonDuplicateKey = "DUPLICATED-KEY"
	// ReasonNumberRange refuses a number in connect that is no float64: some clients fail
	// over a notification that passes it on.
	ReasonNumberRange      = "NUMBER-OUT-OF-RANGE"
	ReasonMetadataTooLarge = "METADATA-TOO-LARGE"
	ReasonNotifyTooLarge   = "SIGNALING-NOTIFY-METADATA-TOO-LARGE"
	ReasonNotifyTooDeep    = "SIGNALING-NOTIFY-METADATA-TOO-DEEP"
	reasonInvalidAudio     = "INVALID-AUDIO-FORMAT"
	reasonInvalidVideo     = "INVALID-VIDEO-FORMAT"
	reasonInvalidChannels  = "INVALID-DATA-CHANNELS"
)
