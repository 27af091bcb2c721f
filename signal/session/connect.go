package session

import (
	"cmp"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
)

// refusal returns the close reason of a connect that asks for what this server has not got
// or does not allow; empty: none. What does not exist is never ignored: a client that
// believes in it would wait for it.
func (s *Session) refusal(c *sora.Connect) string {
	audio, video := c.Audio.CodecType, c.Video.CodecType
	for _, r := range []struct {
		bad    bool
		reason string
	}{
		{c.BundleID != "" && !s.cfg.Allow.BundleID, ReasonBundleIDNotAllowed},
		{!c.Multistream, "MULTISTREAM-FALSE-NOT-SUPPORTED"},
		{!c.Spotlight && c.SpotlightFocusRID != "", "SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT"},
		{!c.Spotlight && c.SpotlightUnfocusRID != "", "SPOTLIGHT-UNFOCUS-RID-WITHOUT-SPOTLIGHT"},
		{c.Simulcast, "SIMULCAST-NOT-SUPPORTED"},
		{c.SimulcastMulticodec, "SIMULCAST-MULTICODEC-NOT-SUPPORTED"},
		{c.SimulcastRID != "", "SIMULCAST-RID-NOT-SUPPORTED"},
		{c.SimulcastRequestRID != "" && c.SimulcastRequestRID != "none", "SIMULCAST-REQUEST-RID-NOT-SUPPORTED"},
		{c.Spotlight, "SPOTLIGHT-NOT-SUPPORTED"},
		{c.SpotlightNumber != 0, "SPOTLIGHT-NUMBER-NOT-SUPPORTED"},
		{c.DataChannelSignaling == sora.True, "DATA-CHANNEL-SIGNALING-NOT-SUPPORTED"},
		{c.IgnoreDisconnectWebSocket == sora.True, "IGNORE-DISCONNECT-WEBSOCKET-NOT-SUPPORTED"},
		{len(c.DataChannels) > 0, "DATA-CHANNELS-NOT-SUPPORTED"},
		{c.ForwardingFilter != nil, "FORWARDING-FILTER-NOT-SUPPORTED"},
		{len(c.ForwardingFilters) > 0, "FORWARDING-FILTERS-NOT-SUPPORTED"},
		{audio != "" && audio != "OPUS", ReasonUnknownCodec},
		{video != "" && video != "VP8", ReasonUnknownCodec},
		{c.Video.VP9 != nil, "VP9-PARAMS-NOT-SUPPORTED"},
		{c.Video.AV1 != nil, "AV1-PARAMS-NOT-SUPPORTED"},
		{c.Video.H264 != nil, "H264-PARAMS-NOT-SUPPORTED"},
		{c.Video.H265 != nil, "H265-PARAMS-NOT-SUPPORTED"},
	} {
		if r.bad {
			return r.reason
		}
	}
	return ""
}

func (s *Session) connect(now time.Time, c *sora.Connect) {
	if reason := s.refusal(c); reason != "" {
		s.close(CodeError, reason)
		return
	}
	newID := s.cfg.NewID
	if newID == nil {
		newID = sora.NewID
	}
	id := newID()
	s.conn = c
	s.member = Member{
		ChannelID: c.ChannelID, ConnectionID: id, ClientID: c.ClientID, BundleID: c.BundleID,
		Role: c.Role, Audio: c.Audio.Enabled, Video: c.Video.Enabled, NotifyMetadata: c.NotifyMetadata,
		Client: cmp.Or(c.SoraClient, c.Libwebrtc), Environment: c.Environment,
	}
	if s.member.ClientID == "" {
		s.member.ClientID = id
	}
	if s.member.BundleID == "" {
		s.member.BundleID = id
	}
	s.state, s.stageBy = Opening, now.Add(s.cfg.JoinTimeout)
	s.do(OpenMedia{})
}

func (s *Session) opened(e Opened) {
	if s.state != Opening {
		return
	}
	s.mediaOpen = true
	s.offer = offer.New(s.offerConfig(e))
	s.state, s.inChannel = Joining, true
	s.do(Join{Member: s.member})
}

func (s *Session) offerConfig(e Opened) offer.Config {
	c := s.conn
	cfg := offer.Config{
		ConnectionID: s.member.ConnectionID, Fingerprint: s.cfg.Fingerprint, Ufrag: e.Ufrag, Password: e.Password,
		Candidates: e.Candidates, PlaceholderVideo: !c.Audio.Enabled && c.Video.Enabled, Rand: s.cfg.Rand,
	}
	if !c.Role.Sends() {
		return cfg
	}
	if c.Audio.Enabled {
		cfg.Audio = opus(c.Audio.Opus)
		cfg.Audio.Bitrate = bitrate(c.Audio.BitRate, s.cfg.Defaults.AudioBitrate)
	}
	if c.Video.Enabled {
		cfg.Video = &offer.OwnVideo{Codec: param.VP8, Bitrate: bitrate(c.Video.BitRate, s.cfg.Defaults.VideoBitrate)}
	}
	return cfg
}

// bitrate returns bits per second for what the client asked for in kbps.
func bitrate(kbps int, byDefault uint64) uint64 {
	if kbps != 0 {
		return uint64(kbps) * 1000
	}
	return byDefault
}

func opus(p sora.OpusParams) *offer.OwnAudio {
	text := func(f sora.Flag) string { return [...]string{sora.Unset: "", sora.False: "0", sora.True: "1"}[f] }
	a := &offer.OwnAudio{
		Stereo: text(p.Stereo), SpropStereo: text(p.SpropStereo), UseInbandFEC: text(p.UseInbandFEC),
		UseDTX: text(p.UseDTX), MaxPlaybackRate: p.MaxPlaybackRate, MinPTime: p.MinPTime, PTime: p.PTime,
	}
	// Opus is always opus/48000/2 in SDP (RFC 7587 section 7): one channel is said by the
	// stereo parameter, two are what it can do anyway.
	if p.Channels == 1 && a.Stereo == "" {
		a.Stereo = "0"
	}
	return a
}

func (s *Session) onJoined(now time.Time, e Joined) {
	if s.state != Joining {
		return
	}
	for _, r := range e.Remotes {
		s.remoteChanged(r)
	}
	sdp := s.offer.Offer()
	c, m := s.conn, &s.member
	audioMID, videoMID := s.offer.MIDs()
	o := sora.Offer{
		SDP: sdp, ChannelID: m.ChannelID, ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID,
		SessionID: e.SessionID, Version: s.cfg.Version, AudioMID: audioMID, VideoMID: videoMID,
		Audio: m.Audio, Video: m.Video,
	}
	if m.Audio {
		o.AudioCodecType = "OPUS"
	}
	if m.Video {
		o.VideoCodecType = "VP8"
	}
	if audioMID != "" {
		o.AudioBitRate = int(bitrate(c.Audio.BitRate, s.cfg.Defaults.AudioBitrate) / 1000)
	}
	if videoMID != "" {
		o.VideoBitRate = int(bitrate(c.Video.BitRate, s.cfg.Defaults.VideoBitrate) / 1000)
	}
	s.send(o.Append(nil))
	s.state, s.stageBy = WaitAnswer, now.Add(s.cfg.AnswerTimeout)
	s.conn = nil // metadata may be large and has done its work
}
