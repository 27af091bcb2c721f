package session

import (
	"net/netip"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// Layer is what one source says about the settings of a session. What is zero or nil in it
// is left to the sources below.
type Layer struct {
	ClientID       string
	BundleID       string
	Audio          AudioLayer
	Video          VideoLayer
	Notify         sora.Flag // whether the client is told of others
	NotifyICEState sora.Flag // whether it is told of its own ICE connection state
	// What others are shown, JSON: what the client says of itself, what its authentication
	// says of it, and the extended metadata that has its name from before both. None of them
	// takes the place of another.
	AuthnMetadata []byte
	AuthzMetadata []byte
	MetadataExt   []byte
	Metadata      []byte // JSON for the client, in its offer
	EventMetadata []byte // JSON for webhooks
	// Lifetime is how long the connection may last, CreatedTimeout how long it may take from
	// the answer until it is established.
	Lifetime       time.Duration
	CreatedTimeout time.Duration
	Reach          Reach
	RTCStats       sora.Flag // the client is asked for statistics
	StatsExporter  sora.Flag // and they are exported
	RecordingBlock sora.Flag
	// SpotlightNumber is accepted and kept: there is no spotlight.
	SpotlightNumber int
}

// Reach is how a client is told to reach us, where that is not as everybody is.
type Reach struct {
	IPv4, IPv6               netip.Addr // in candidates, and as the host of TURN's URLs
	TURNFQDN, TURNTLSFQDN    string
	TURNTCPOnly, TURNTLSOnly sora.Flag
}

// relayOnly reports whether the client is to send nothing but through TURN: whoever is told of
// one kind of URL only is to use it.
func (r *Reach) relayOnly() bool { return r.TURNTCPOnly == sora.True || r.TURNTLSOnly == sora.True }

// AudioLayer is a layer's part about audio.
type AudioLayer struct {
	On      sora.Flag
	Bitrate uint64 // bits per second
	// Opus replaces the parameters of lower layers as a whole: whoever sets them means
	// those and no others. The same holds for video's.
	Opus *sora.OpusParams
}

// VideoLayer is a layer's part about video.
type VideoLayer struct {
	On      sora.Flag
	Codec   param.Codec
	Bitrate uint64 // bits per second
	// Parameters of codecs. Only those of the codec that comes out have an effect; clients
	// may send several, and a higher layer may choose another codec.
	VP9  *sora.VP9Params
	AV1  *sora.AV1Params
	H264 *sora.H264Params
	H265 *sora.H265Params
}

// Layers are all sources, from the weakest to the strongest: what a later one says goes
// before what an earlier one says, member by member.
type Layers struct {
	Configuration Layer
	Connect       Layer // the client's message
	Auth          Layer // what the authentication webhook handed out
	Session       Layer // what the session webhook handed out
}

// Settings are what holds for one session.
type Settings struct {
	ClientID       string
	BundleID       string
	Audio          AudioSettings
	Video          VideoSettings
	Notify         bool
	NotifyICEState bool
	// JSON; nil: none.
	AuthnMetadata []byte
	AuthzMetadata []byte
	MetadataExt   []byte
	Metadata      []byte
	EventMetadata []byte

	Lifetime        time.Duration // 0: no end
	CreatedTimeout  time.Duration
	Reach           Reach
	RTCStats        bool
	StatsExporter   bool
	RecordingBlock  bool
	SpotlightNumber int // 0: none
}

// AudioSettings hold for audio: for what a publisher sends, or for what a viewer receives,
// which is only whether it does.
type AudioSettings struct {
	On      bool
	Bitrate uint64 // bits per second; 0: the client's choice
	Opus    sora.OpusParams
}

// VideoSettings are the same for video.
type VideoSettings struct {
	On      bool
	Codec   param.Codec
	Bitrate uint64 // bits per second; 0: the client's choice
	Params  string // of the codec, as in a=fmtp; empty: those of its usual form
	// BFrame says that H.264 or H.265 may have B-frames. No parameter of the SDP says so.
	BFrame bool
	// What Params come from, as it was given; of the codec only, nil: nothing was.
	VP9  *sora.VP9Params
	AV1  *sora.AV1Params
	H264 *sora.H264Params
	H265 *sora.H265Params
}

// Resolve returns what holds.
func (l *Layers) Resolve() Settings {
	var s Settings
	var v VideoLayer
	for _, x := range []*Layer{&l.Configuration, &l.Connect, &l.Auth, &l.Session} {
		over(&s.ClientID, x.ClientID)
		over(&s.BundleID, x.BundleID)
		overFlag(&s.Notify, x.Notify)
		overFlag(&s.NotifyICEState, x.NotifyICEState)
		overJSON(&s.AuthnMetadata, x.AuthnMetadata)
		overJSON(&s.AuthzMetadata, x.AuthzMetadata)
		overJSON(&s.MetadataExt, x.MetadataExt)
		overJSON(&s.Metadata, x.Metadata)
		overJSON(&s.EventMetadata, x.EventMetadata)
		over(&s.Lifetime, x.Lifetime)
		over(&s.CreatedTimeout, x.CreatedTimeout)
		s.Reach.over(&x.Reach)
		overFlag(&s.RTCStats, x.RTCStats)
		overFlag(&s.StatsExporter, x.StatsExporter)
		overFlag(&s.RecordingBlock, x.RecordingBlock)
		over(&s.SpotlightNumber, x.SpotlightNumber)
		overFlag(&s.Audio.On, x.Audio.On)
		over(&s.Audio.Bitrate, x.Audio.Bitrate)
		if x.Audio.Opus != nil {
			s.Audio.Opus = *x.Audio.Opus
		}
		overFlag(&s.Video.On, x.Video.On)
		over(&s.Video.Codec, x.Video.Codec)
		over(&s.Video.Bitrate, x.Video.Bitrate)
		over(&v.VP9, x.Video.VP9)
		over(&v.AV1, x.Video.AV1)
		over(&v.H264, x.Video.H264)
		over(&v.H265, x.Video.H265)
	}
	s.Video.Params, s.Video.BFrame = v.params(s.Video.Codec)
	switch s.Video.Codec {
	case param.VP9:
		s.Video.VP9 = v.VP9
	case param.AV1:
		s.Video.AV1 = v.AV1
	case param.H264:
		s.Video.H264 = v.H264
	case param.H265:
		s.Video.H265 = v.H265
	}
	return s
}

func (r *Reach) over(x *Reach) {
	over(&r.IPv4, x.IPv4)
	over(&r.IPv6, x.IPv6)
	over(&r.TURNFQDN, x.TURNFQDN)
	over(&r.TURNTLSFQDN, x.TURNTLSFQDN)
	over(&r.TURNTCPOnly, x.TURNTCPOnly)
	over(&r.TURNTLSOnly, x.TURNTLSOnly)
}

// over puts a value that was given in place of one from below.
func over[T comparable](dst *T, v T) {
	var none T
	if v != none {
		*dst = v
	}
}

func overFlag(dst *bool, v sora.Flag) {
	if v != sora.Unset {
		*dst = v == sora.True
	}
}

func overJSON(dst *[]byte, v []byte) {
	if v != nil {
		*dst = v
	}
}

// params returns the format parameters for the codec that was chosen.
func (v *VideoLayer) params(c param.Codec) (fmtp string, bFrame bool) {
	switch {
	case c == param.VP9 && v.VP9 != nil && v.VP9.ProfileID >= 0:
		return offer.VP9Params(v.VP9.ProfileID), false
	case c == param.AV1 && v.AV1 != nil:
		return offer.AV1Params(v.AV1.Profile, v.AV1.LevelIdx, v.AV1.Tier), false
	case c == param.H264 && v.H264 != nil:
		bFrame = v.H264.BFrame == sora.True
		if v.H264.ProfileLevelID != "" {
			fmtp = offer.H264Params(v.H264.ProfileLevelID)
		}
		return fmtp, bFrame
	case c == param.H265 && v.H265 != nil:
		return offer.H265Params(v.H265.LevelID, v.H265.ProfileID, v.H265.TierFlag, v.H265.TxMode), v.H265.BFrame == sora.True
	}
	return "", false
}

// layer returns the configuration as the weakest layer. A client that gives no ids of its
// own goes by its connection id.
func (c *Config) layer(connectionID string) Layer {
	return Layer{
		ClientID: connectionID, BundleID: connectionID, Notify: flag(!c.Defaults.NotifyOff),
		NotifyICEState: flag(c.Defaults.NotifyICEState), Lifetime: c.Defaults.Lifetime, CreatedTimeout: c.CreatedTimeout,
		RTCStats: flag(c.StatsInterval > 0),
		Audio:    AudioLayer{On: sora.True, Bitrate: c.Defaults.AudioBitrate},
		Video:    VideoLayer{On: sora.True, Codec: c.Defaults.VideoCodec, Bitrate: c.Defaults.VideoBitrate},
	}
}

// connectLayer returns what the client asks for. It has been checked by refusal.
func connectLayer(c *sora.Connect) Layer {
	l := Layer{
		ClientID: c.ClientID, BundleID: c.BundleID, AuthnMetadata: c.NotifyMetadata,
		Audio: AudioLayer{On: flag(c.Audio.Enabled), Bitrate: uint64(c.Audio.BitRate) * 1000},
		Video: VideoLayer{
			On: flag(c.Video.Enabled), Codec: videoCodecs[c.Video.CodecType], Bitrate: uint64(c.Video.BitRate) * 1000,
			VP9: c.Video.VP9, AV1: c.Video.AV1, H264: c.Video.H264, H265: c.Video.H265,
		},
	}
	if c.Audio.Opus != (sora.OpusParams{}) {
		l.Audio.Opus = &c.Audio.Opus
	}
	return l
}

// authLayer returns what an authentication hands out. It needs no switch of configuration:
// the application is trusted where clients are not.
func authLayer(a *webhook.AuthAnswer) Layer {
	return Layer{
		ClientID: a.ClientID, BundleID: a.BundleID,
		Audio: AudioLayer{On: a.Audio, Bitrate: a.AudioBitrate, Opus: a.Opus},
		Video: VideoLayer{
			On: a.Video, Codec: videoCodecs[a.VideoCodec], Bitrate: a.VideoBitrate,
			VP9: a.VP9, AV1: a.AV1, H264: a.H264, H265: a.H265,
		},
		Notify: a.Notify, NotifyICEState: a.NotifyICEState,
		AuthzMetadata: a.NotifyMetadata, MetadataExt: a.NotifyMetadataExt, Metadata: a.Metadata, EventMetadata: a.EventMetadata,
		Lifetime: a.ConnectionLifetime, CreatedTimeout: a.CreatedTimeout,
		Reach: Reach{IPv4: a.IPv4, IPv6: a.IPv6, TURNFQDN: a.TURNFQDN, TURNTLSFQDN: a.TURNTLSFQDN,
			TURNTCPOnly: a.TURNTCPOnly, TURNTLSOnly: a.TURNTLSOnly},
		RTCStats: a.RTCStats, StatsExporter: a.StatsExporter, RecordingBlock: a.RecordingBlock,
	}
}

// SessionLayer returns what the answer to session.created hands out for every connection of
// the session; nil: nothing. The rest of the answer is the channel's.
func SessionLayer(a *webhook.SessionAnswer) *Layer {
	if a.SpotlightNumber == 0 {
		return nil
	}
	return &Layer{SpotlightNumber: a.SpotlightNumber}
}

func flag(b bool) sora.Flag {
	if b {
		return sora.True
	}
	return sora.False
}

// videoCodecs are the words of video's codec_type.
var videoCodecs = map[string]param.Codec{
	"VP8": param.VP8, "VP9": param.VP9, "AV1": param.AV1, "H264": param.H264, "H265": param.H265,
}

// VideoCodec returns the codec of a word of video's codec_type; 0: there is none.
func VideoCodec(word string) param.Codec { return videoCodecs[word] }

// codec reports whether clients may send video in a codec.
func (a *Allow) codec(c param.Codec) bool {
	switch c {
	case param.VP8:
		return a.VP8
	case param.VP9:
		return a.VP9
	case param.AV1:
		return a.AV1
	case param.H264:
		return a.H264
	case param.H265:
		return a.H265
	}
	return false
}

// own returns what the client's own sections are to say; nil: none.
func (s *Settings) own(r sora.Role) (audio *offer.OwnAudio, video *offer.OwnVideo) {
	if r.Sends() && s.Audio.On {
		audio = opus(&s.Audio)
	}
	if r.Sends() && s.Video.On {
		video = &offer.OwnVideo{Codec: s.Video.Codec, Params: s.Video.Params, Bitrate: s.Video.Bitrate}
	}
	return audio, video
}

func opus(s *AudioSettings) *offer.OwnAudio {
	text := func(f sora.Flag) string { return [...]string{sora.Unset: "", sora.False: "0", sora.True: "1"}[f] }
	p := &s.Opus
	a := &offer.OwnAudio{
		Bitrate: s.Bitrate, Stereo: text(p.Stereo), SpropStereo: text(p.SpropStereo), UseInbandFEC: text(p.UseInbandFEC),
		UseDTX: text(p.UseDTX), MaxPlaybackRate: p.MaxPlaybackRate, MinPTime: p.MinPTime, PTime: p.PTime,
	}
	// Opus is always opus/48000/2 in SDP (RFC 7587 section 7): one channel is said by the
	// stereo parameter, two are what it can do anyway.
	if p.Channels == 1 && a.Stereo == "" {
		a.Stereo = "0"
	}
	return a
}

// media is what webhooks and logs are told of the settings.
func (s *Settings) media(r sora.Role) webhook.Media {
	m := webhook.Media{Audio: s.Audio.On, Video: s.Video.On}
	if r.Sends() && s.Audio.On {
		m.AudioCodecType, m.AudioBitRate = param.Opus.String(), int(s.Audio.Bitrate/1000)
	}
	if r.Sends() && s.Video.On {
		v := &s.Video
		m.VideoCodecType, m.VideoBitRate = v.Codec.String(), int(v.Bitrate/1000)
		m.VP9, m.AV1, m.H264, m.H265 = v.VP9, v.AV1, v.H264, v.H265
	}
	return m
}

// describe fills in what the offer message tells of the settings. Codecs and bit rates are
// of what the client sends: a viewer's streams each have those of their publisher.
func (s *Settings) describe(o *sora.Offer, r sora.Role) {
	m := s.media(r)
	o.ClientID, o.BundleID, o.Audio, o.Video, o.Metadata = s.ClientID, s.BundleID, m.Audio, m.Video, s.Metadata
	o.AudioCodecType, o.AudioBitRate = m.AudioCodecType, m.AudioBitRate
	o.VideoCodecType, o.VideoBitRate = m.VideoCodecType, m.VideoBitRate
}
