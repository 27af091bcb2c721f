package session

import (
	"cmp"
	"strings"
	"time"

	"tsubame/signal/offer"
	"tsubame/signal/sora"
)

// connect takes the first message: who the client is and what holds for it is decided here
// and does not change any more.
func (s *Session) connect(now time.Time, c *sora.Connect) {
	if reason := refuse(c, &s.cfg.Allow); reason != "" {
		s.close(CodeError, reason)
		return
	}
	newID := s.cfg.NewID
	if newID == nil {
		newID = sora.NewID
	}
	id := newID()
	layers := Layers{Configuration: s.cfg.layer(id), Connect: connectLayer(c)}
	s.settings = layers.Resolve()
	if reason, detail := s.settings.unusable(c.Role, &s.cfg.Allow); reason != "" {
		s.fault(reason, detail)
		return
	}
	s.member = Member{
		ChannelID: c.ChannelID, ConnectionID: id, ClientID: s.settings.ClientID, BundleID: s.settings.BundleID,
		Role: c.Role, Audio: s.settings.Audio.On, Video: s.settings.Video.On, NotifyMetadata: s.settings.NotifyMetadata,
		Client: cmp.Or(c.SoraClient, c.Libwebrtc), Environment: c.Environment,
	}
	s.oldStyle = knowsOnlyUpdate(c)
	s.state, s.stageBy = Opening, now.Add(s.cfg.JoinTimeout)
	s.do(OpenMedia{})
}

// knowsOnlyUpdate reports whether a client ends its session over a re-offer, as go-sora does
// with every type that it does not know. It says in sora_client what it is, and a version.
func knowsOnlyUpdate(c *sora.Connect) bool { return strings.HasPrefix(c.SoraClient, "go-sora") }

func (s *Session) opened(e Opened) {
	if s.state != Opening {
		return
	}
	s.mediaOpen, s.server = true, e.ICEServer
	s.offer = offer.New(s.offerConfig(e))
	s.state, s.inChannel = Joining, true
	s.do(Join{Member: s.member})
}

func (s *Session) offerConfig(e Opened) offer.Config {
	cfg := offer.Config{
		ConnectionID: s.member.ConnectionID, Fingerprint: s.cfg.Fingerprint, Ufrag: e.Ufrag, Password: e.Password,
		Candidates: e.Candidates, PlaceholderVideo: !s.settings.Audio.On && s.settings.Video.On, Rand: s.cfg.Rand,
		RED: s.cfg.OpusRED,
	}
	cfg.Audio, cfg.Video = s.settings.own(s.member.Role)
	return cfg
}

func (s *Session) onJoined(now time.Time, e Joined) {
	if s.state != Joining {
		return
	}
	for _, r := range e.Remotes {
		s.remoteChanged(r)
	}
	text := texts.Get().(*[]byte)
	defer giveBack(text)
	*text = s.offer.AppendOffer((*text)[:0])
	o := sora.Offer{
		SDP: *text, ChannelID: s.member.ChannelID, ConnectionID: s.member.ConnectionID,
		SessionID: e.SessionID, Version: s.cfg.Version, ICEServer: s.server, RelayOnly: s.cfg.RelayOnly,
	}
	s.server = sora.ICEServer{} // re-offers do not repeat it
	o.AudioMID, o.VideoMID = s.offer.MIDs()
	s.settings.describe(&o, s.member.Role)
	s.send(o.Append(nil))
	s.state, s.stageBy = WaitAnswer, now.Add(s.cfg.AnswerTimeout)
}
