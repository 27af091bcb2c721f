package webhook

import (
	"encoding/json"
	"net/netip"
	"time"

	"tsubame/signal/sora"
)

// MaxAnswer is the longest answer that is read, in bytes.
const MaxAnswer = 64 << 10

// MaxReason is the longest reason that a denied client is told, in bytes: longer ones are cut
// in front of the character that goes beyond it.
const MaxReason = 100

// MaxWarnings bounds the warnings of one answer; the last one counts those for which there was
// no room.
const MaxWarnings = 16

// AuthAnswer is what an auth webhook, or a token, says of a client. What was not given is zero
// or nil. A member that is null counts as not given.
type AuthAnswer struct {
	Allowed bool
	Reason  string // why not; only if not Allowed, and never empty then. At most MaxReason bytes

	ClientID, BundleID string

	Audio        sora.Flag
	AudioCodec   string // OPUS
	AudioBitrate uint64 // bits per second
	Opus         *sora.OpusParams
	Video        sora.Flag
	VideoCodec   string // VP8, VP9, AV1, H264 or H265
	VideoBitrate uint64 // bits per second
	VP9          *sora.VP9Params
	AV1          *sora.AV1Params
	H264         *sora.H264Params
	H265         *sora.H265Params

	Notify            sora.Flag // whether the client is told of others
	NotifyICEState    sora.Flag // whether the client is told of its ICE connection state
	NotifyMetadata    []byte    // signaling_notify_metadata: authz_metadata of notifications. JSON, here and below
	NotifyMetadataExt []byte    // signaling_notify_metadata_ext: metadata of notifications
	Metadata          []byte    // for the client's offer
	EventMetadata     []byte    // for event and session webhooks, never for clients

	ConnectionLifetime time.Duration // from the answer on
	CreatedTimeout     time.Duration // until the connection has to be established

	// The host that the client finds in its ICE server's URLs and in the candidates.
	IPv4, IPv6              netip.Addr
	TURNFQDN, TURNTLSFQDN   string
	TURNTCPOnly             sora.Flag
	TURNTLSOnly             sora.Flag
	RTCStats, StatsExporter sora.Flag
	RecordingBlock          sora.Flag

	// Roles are the roles that a token allows; nil: every role. No auth webhook says so.
	Roles []sora.Role

	// Kept is the whole answer in one line, for the log and for features that are not there
	// yet.
	Kept []byte
	// Warnings name members that have no effect, for the log: at most MaxWarnings.
	Warnings []string
}

// Error says what is wrong in an answer.
type Error struct {
	Member string // as in audio.bit_rate; empty: the answer as a whole
	Detail string // never quotes the answer, but for a name
}

// Error implements error.
func (e *Error) Error() string {
	if e.Member == "" {
		return e.Detail
	}
	return e.Member + ": " + e.Detail
}

// What is wrong with answers that have a place of their own in the list of auth errors.
var (
	ErrNoAllowed = &Error{Member: "allowed", Detail: "missing"}
	ErrNoReason  = &Error{Member: "reason", Detail: "missing, and not allowed"}
)

// ParseAuthAnswer reads the body of an auth webhook's answer. The error is always an *Error.
func ParseAuthAnswer(body []byte) (*AuthAnswer, error) {
	return parseAuth(body)
}

// ParseGrants reads a token's claims: those that are members of an auth webhook's answer, of
// which allowed, true or absent, means nothing. The names of registered claims (RFC 7519 section 4.1),
// channel_id and role are left to the caller, and bring no warning.
func ParseGrants(claims []byte) (*AuthAnswer, error) {
	a, err := parseAuth(claims)
	if err == ErrNoAllowed {
		return &AuthAnswer{Allowed: true}, nil
	}
	return a, err
}

func parseAuth(body []byte) (*AuthAnswer, error) {
	if len(body) > MaxAnswer {
		return nil, &Error{Detail: "too long"}
	}
	var m struct {
		Allowed *bool  `json:"allowed"`
		Reason  string `json:"reason"`
	}
	switch err := json.Unmarshal(body, &m); {
	case err != nil:
		return nil, &Error{Detail: "no JSON object"}
	case m.Allowed == nil:
		return nil, ErrNoAllowed
	case !*m.Allowed && m.Reason == "":
		return nil, ErrNoReason
	}
	return &AuthAnswer{Allowed: *m.Allowed, Reason: m.Reason}, nil
}

// SessionAnswer is what a session webhook answers to SessionCreated. What was not given is
// zero or nil.
type SessionAnswer struct {
	SessionMetadata []byte // JSON; for session webhooks and session.jsonl
	MaxConnections  int    // most at one time
	GroupID         string
	SpotlightNumber int      // 1..8
	Kept            []byte   // as of AuthAnswer
	Warnings        []string // as of AuthAnswer
}

// ParseSessionAnswer reads the body of an answer to SessionCreated, which may be empty. The
// error is always an *Error.
func ParseSessionAnswer(body []byte) (*SessionAnswer, error) {
	if len(body) > MaxAnswer {
		return nil, &Error{Detail: "too long"}
	}
	return &SessionAnswer{}, nil
}
