package session

import "tsubame/signal/sora"

// refusal is one reason to refuse a connect.
type refusal struct {
	reason string
	when   func(*sora.Connect, *Allow) bool
}

// refusals are checked in this order; the first that applies is the close reason. What does
// not exist (NOT-SUPPORTED) and what configuration forbids (NOT-ALLOWED) is never ignored
// silently: a client that believes in it would wait for it. They hold for what the client
// says, whatever a webhook would put in its place, and for viewers too.
var refusals = []refusal{
	{"MULTISTREAM-FALSE-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return !c.Multistream }},
	{"SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT", func(c *sora.Connect, _ *Allow) bool { return !c.Spotlight && c.SpotlightFocusRID != "" }},
	{"SPOTLIGHT-UNFOCUS-RID-WITHOUT-SPOTLIGHT", func(c *sora.Connect, _ *Allow) bool { return !c.Spotlight && c.SpotlightUnfocusRID != "" }},
	{"SPOTLIGHT-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.Spotlight }},
	{"SPOTLIGHT-NUMBER-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.SpotlightNumber != 0 }},
	{"SIMULCAST-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.Simulcast }},
	{"SIMULCAST-MULTICODEC-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.SimulcastMulticodec }},
	{"SIMULCAST-RID-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.SimulcastRID != "" }},
	// None of several encodings is what there is without simulcast.
	{"SIMULCAST-REQUEST-RID-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool {
		return c.SimulcastRequestRID != "" && c.SimulcastRequestRID != "none"
	}},
	{"DATA-CHANNEL-SIGNALING-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.DataChannelSignaling == sora.True }},
	{"IGNORE-DISCONNECT-WEBSOCKET-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.IgnoreDisconnectWebSocket == sora.True }},
	{"DATA-CHANNELS-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return len(c.DataChannels) > 0 }},
	{"FORWARDING-FILTER-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.ForwardingFilter != nil }},
	{"FORWARDING-FILTERS-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return len(c.ForwardingFilters) > 0 }},
	{"AUDIO-STREAMING-LANGUAGE-CODE-NOT-SUPPORTED", func(c *sora.Connect, _ *Allow) bool { return c.AudioStreamingLanguage != "" }},

	{"CLIENT-ID-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.ClientID != "" && !a.ClientID }},
	{ReasonBundleIDNotAllowed, func(c *sora.Connect, a *Allow) bool { return c.BundleID != "" && !a.BundleID }},
	{"OPUS-PARAMS-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.Audio.Opus != (sora.OpusParams{}) && !a.OpusParams }},
	{"VP9-PARAMS-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.Video.VP9 != nil && !a.VP9Params }},
	{"AV1-PARAMS-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.Video.AV1 != nil && !a.AV1Params }},
	{"H264-PARAMS-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.Video.H264 != nil && !a.H264Params }},
	{"H265-PARAMS-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool { return c.Video.H265 != nil && !a.H265Params }},
	{"H264-B-FRAME-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool {
		return c.Video.H264 != nil && c.Video.H264.BFrame == sora.True && !a.H264BFrame
	}},
	{"H265-B-FRAME-NOT-ALLOWED", func(c *sora.Connect, a *Allow) bool {
		return c.Video.H265 != nil && c.Video.H265.BFrame == sora.True && !a.H265BFrame
	}},

	// Whether a codec that exists is switched on is asked of what comes out in the end.
	{ReasonUnknownCodec, func(c *sora.Connect, _ *Allow) bool {
		return c.Audio.CodecType != "" && c.Audio.CodecType != "OPUS" || c.Video.CodecType != "" && videoCodecs[c.Video.CodecType] == 0
	}},
}

// refuse returns the close reason for a connect that asks for what it cannot have; empty:
// there is none.
func refuse(c *sora.Connect, a *Allow) string {
	for i := range refusals {
		if refusals[i].when(c, a) {
			return refusals[i].reason
		}
	}
	return ""
}

// unusable returns the close reason and, for the log, the detail of settings that cannot be
// had, whoever chose them; empty: there is none. A viewer's codec has no effect.
func (s *Settings) unusable(r sora.Role, a *Allow) (reason, detail string) {
	if r.Sends() && s.Video.On && !a.codec(s.Video.Codec) {
		return ReasonUnknownCodec, s.Video.Codec.String() + " is switched off"
	}
	return "", ""
}
