package sora

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

	Redirect    bool // it was sent here by another server's redirect
	Multistream bool // true unless refused by the client
	E2EE        bool // of clients before 2024.2; means nothing now
	Audio       Audio
	Video       Video

	Simulcast                 bool
	SimulcastQuality          string // low, middle or high of the oldest clients, whose simulcast was an object
	SimulcastMulticodec       bool
	SimulcastRID              string // r0, r1 or r2
	SimulcastRequestRID       string // the same or none, as the two below
	Spotlight                 bool
	SpotlightNumber           int // 1..8; 0: not given
	SpotlightFocusRID         string
	SpotlightUnfocusRID       string
	DataChannelSignaling      Flag
	IgnoreDisconnectWebSocket Flag
	DataChannels              []DataChannel      // at most MaxDataChannels, each label once
	ForwardingFilter          *ForwardingFilter  // the singular form; nil: not given
	ForwardingFilters         []ForwardingFilter // at most maxFilters, each name once
	AudioStreamingLanguage    string             // audio_streaming_language_code, at most 255 bytes; empty: not given
}

// DataChannel is an entry of connect's data_channels.
type DataChannel struct {
	Label             string // starts with #; at most maxLabel characters
	Direction         string // sendrecv, sendonly or recvonly, from the client's view
	Ordered           bool   // true unless refused by the client
	MaxPacketLifeTime int    // ms, 0..65535; -1: not given. Never together with the next
	MaxRetransmits    int    // 0..65535; -1: not given
	Protocol          string // at most 255 bytes; empty: none
	Compress          bool
	// SenderConnectionID says that header asks for the sender's connection id in front of
	// every message.
	SenderConnectionID bool
}

// ForwardingFilter is an entry of connect's forwarding_filters, or its forwarding_filter.
type ForwardingFilter struct {
	Name     string             // at most 255 bytes; empty: not given
	Action   string             // block, which is the default, or allow
	Priority int                // 0..65535, the smallest first; DefaultPriority: not given
	Rules    [][]ForwardingRule // alternatives, each of which is a list of rules that all have to match
	Version  string             // at most 255 bytes; empty: not given
	Metadata []byte             // JSON of at most maxFilterMetadata bytes; nil: not given
}

// DefaultPriority is that of a filter which does not name one.
const DefaultPriority = 32767

// ForwardingRule compares a property of the sender's connection.
type ForwardingRule struct {
	Field    string   // connection_id, client_id or kind
	Operator string   // is_in or is_not_in
	Values   []string // audio and video for kind
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
	LevelID   int    // 0..255
	ProfileID int    // 0..31
	TierFlag  int    // 0..1
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
	Channels        int // 1..2
	MaxPlaybackRate int // Hz, 8000..48000 (RFC 7587 section 6.1)
	MinPTime        int // ms, 3..120
	PTime           int // ms, 3..120
	Stereo          Flag
	SpropStereo     Flag
	UseInbandFEC    Flag
	UseDTX          Flag
	ClockRate       int // Hz; only of old Android clients, and without effect (RFC 7587 section 4.1)
}
