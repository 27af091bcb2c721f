package webhook

import (
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

	// Kept is the whole answer in one line, JSON, for the log and for features that are not
	// there yet.
	Kept []byte
	// Warnings name members without effect, for the log: unknown ones, and those of features
	// that are not there yet, unless they are false. At most MaxWarnings.
	Warnings []string
}

// Error says what is wrong in an answer.
type Error struct {
	Member string // as in audio.bit_rate; empty: the answer as a whole
	Detail string // quotes nothing of the answer but names
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
	ErrNoReason  = &Error{Member: "reason", Detail: "missing or empty, although not allowed"}
)

// ParseAuthAnswer reads the body of an auth webhook's answer. Of one that is not allowed only
// the reason is read. The error is always an *Error: a body of more than MaxAnswer bytes, or
// too deep, or of too many members, or with one of them twice, at any depth, is one as a whole,
// and so is a member of a wrong type or value. Members of features that are not there yet are
// not looked at.
func ParseAuthAnswer(body []byte) (*AuthAnswer, error) {
	o, err := readAnswer(body)
	if err != nil {
		return nil, err
	}
	return authAnswer(o, o.Flag("allowed"), nil)
}

// claims are the members of a token that are no members of an answer: the registered ones
// (RFC 7519 section 4.1), and those which say where and as what it lets in.
var claims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "channel_id", "role"}

// ParseGrants reads a token's claims by the rules of ParseAuthAnswer. One without allowed is
// allowed. The registered claims, channel_id and role are left to the caller, and bring no
// warning.
func ParseGrants(token []byte) (*AuthAnswer, error) {
	o, err := readAnswer(token)
	if err != nil {
		return nil, err
	}
	allowed := o.Flag("allowed")
	if allowed == sora.Unset {
		allowed = sora.True
	}
	return authAnswer(o, allowed, claims)
}

// authAnswer reads an answer; beside are the names that are not its business.
func authAnswer(o *sora.Object, allowed sora.Flag, beside []string) (*AuthAnswer, error) {
	a := &AuthAnswer{Allowed: allowed == sora.True, Kept: o.Line()}
	switch {
	case o.Fault() != "":
	case allowed == sora.Unset:
		return nil, ErrNoAllowed
	case !a.Allowed:
		a.Reason = cut(o.String("reason"), MaxReason)
		if o.Fault() == "" && a.Reason == "" {
			return nil, ErrNoReason
		}
	default:
		a.read(o)
		a.Warnings = warnings(o, authMembers, beside)
	}
	if err := fault(o); err != nil {
		return nil, err
	}
	return a, nil
}

// maxSeconds is the longest time that an answer can give: 68 years. It fits where integers
// have 32 bits.
const maxSeconds = 1<<31 - 1

func (a *AuthAnswer) read(o *sora.Object) {
	a.ClientID, a.BundleID = o.ID("client_id"), o.ID("bundle_id")
	a.media(o)
	a.Notify, a.NotifyICEState = o.Flag("signaling_notify"), o.Flag("signaling_notify_ice_connection_state")
	a.NotifyMetadata = o.RawForClients("signaling_notify_metadata")
	a.NotifyMetadataExt = o.RawForClients("signaling_notify_metadata_ext")
	a.Metadata, a.EventMetadata = o.RawForClients("metadata"), o.Raw("event_metadata")
	a.ConnectionLifetime = time.Duration(o.Integer("connection_lifetime", 1, maxSeconds)) * time.Second
	a.CreatedTimeout = time.Duration(o.Integer("connection_created_timeout", 1, maxSeconds)) * time.Second
	a.IPv4, a.IPv6 = address(o, "ipv4_address", netip.Addr.Is4), address(o, "ipv6_address", isIPv6)
	a.TURNFQDN, a.TURNTLSFQDN = host(o, "turn_fqdn"), host(o, "turn_tls_fqdn")
	a.TURNTCPOnly, a.TURNTLSOnly = o.Flag("turn_tcp_only"), o.Flag("turn_tls_only")
	a.StatsExporter, a.RecordingBlock = o.Flag("stats_exporter"), o.Flag("recording_block")
	// The name before 2025 counts where the new one is not given.
	former := o.Flag("user_agent_stats")
	if a.RTCStats = o.Flag("rtc_stats"); a.RTCStats == sora.Unset {
		a.RTCStats = former
	}
}

func (a *AuthAnswer) media(o *sora.Object) {
	on, audio := o.Audio()
	a.Audio, a.AudioCodec, a.AudioBitrate = on, audio.CodecType, uint64(audio.BitRate)*1000
	if audio.Opus != (sora.OpusParams{}) {
		a.Opus = &audio.Opus
	}
	on, video := o.Video()
	a.Video, a.VideoCodec, a.VideoBitrate = on, video.CodecType, uint64(video.BitRate)*1000
	a.VP9, a.AV1, a.H264, a.H265 = video.VP9, video.AV1, video.H264, video.H265
}

// authMembers are the members of an answer, and whether they have an effect.
var authMembers = map[string]bool{
	"allowed": true, "reason": true, "client_id": true, "bundle_id": true,
	"audio": true, "audio_codec_type": true, "audio_bit_rate": true, "audio_opus_params": true,
	"video": true, "video_codec_type": true, "video_bit_rate": true, "video_vp9_params": true,
	"video_av1_params": true, "video_h264_params": true, "video_h265_params": true,
	"signaling_notify": true, "signaling_notify_ice_connection_state": true,
	"signaling_notify_metadata": true, "signaling_notify_metadata_ext": true,
	"metadata": true, "event_metadata": true,
	"connection_lifetime": true, "connection_created_timeout": true,
	"ipv4_address": true, "ipv6_address": true, "turn_fqdn": true, "turn_tls_fqdn": true,
	"turn_tcp_only": true, "turn_tls_only": true,
	"rtc_stats": true, "user_agent_stats": true, "stats_exporter": true, "recording_block": true,

	"audio_lyra_params": false, "h264_profile_level_id": false,
	"simulcast": false, "simulcast_rid": false, "simulcast_request_rid": false,
	"simulcast_encodings": false, "simulcast_multicodec": false, "simulcast_codecs": false,
	"spotlight": false, "spotlight_number": false, "spotlight_focus_rid": false,
	"spotlight_unfocus_rid": false, "spotlight_encodings": false,
	"data_channel_signaling": false, "ignore_disconnect_websocket": false, "data_channels": false,
	"audio_streaming_language_code": false, "forwarding_filter": false, "forwarding_filters": false,
	"rpc_methods": false, "cluster_affinity": false,
	"rtp_packet_loss_simulator_incoming": false, "rtp_packet_loss_simulator_outgoing": false,
}
