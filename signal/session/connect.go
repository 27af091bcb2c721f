package session

import (
	"cmp"
	"strings"
	"time"

	"tsubame/signal/offer"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// connect takes the first message. What the client may not ask for is refused whatever
// others would say; the rest is decided when they have been asked.
func (s *Session) connect(now time.Time, c *sora.Connect) {
	newID := s.cfg.NewID
	if newID == nil {
		newID = sora.NewID
	}
	s.member = Member{
		ChannelID: c.ChannelID, ConnectionID: newID(), ClientID: c.ClientID, BundleID: c.BundleID, Role: c.Role,
		Client: webhook.Client{SoraClient: c.SoraClient, Libwebrtc: c.Libwebrtc, Environment: c.Environment},
	}
	if reason := refuse(c, &s.cfg.Allow); reason != "" {
		s.close(CodeError, reason)
		return
	}
	s.layers = &Layers{Configuration: s.cfg.layer(s.member.ConnectionID), Connect: connectLayer(c)}
	s.oldStyle = knowsOnlyUpdate(c)
	if !s.cfg.Ask {
		s.admit(now)
		return
	}
	r := webhook.NewAuthRequest(c)
	r.ConnectionID = s.member.ConnectionID
	s.state, s.stageBy = Authenticating, now.Add(s.cfg.AskTimeout)
	s.do(Authenticate{Request: r, Token: cmp.Or(c.AccessToken(), s.bearer)})
	s.bearer = ""
}

func (s *Session) authenticated(now time.Time, e Authenticated) {
	if s.state != Authenticating {
		return
	}
	s.layers.Auth = authLayer(e.Answer)
	s.admit(now)
}

// maxDenied is the most bytes of a reason that is somebody else's text. A close frame has room
// for 123 (RFC 6455 section 5.5).
const maxDenied = 100

func (s *Session) denied(e Denied) {
	if s.state != Authenticating {
		return
	}
	if e.Reason == "" {
		e.Reason = ReasonAuthFailure
	}
	if len(e.Reason) > maxDenied {
		e.Reason = strings.ToValidUTF8(e.Reason[:maxDenied], "")
	}
	s.state = Opening // nobody is being asked any more
	s.end(Close{Code: CodeError, Reason: e.Reason, Detail: e.Detail, Foreign: !denials[e.Reason]})
}

// admit goes on with a client who may connect. Who it is and what holds for it is decided here
// and does not change any more.
func (s *Session) admit(now time.Time) {
	s.state, s.stageBy = Opening, now.Add(s.cfg.JoinTimeout)
	if s.cfg.Ask {
		s.stageBy = s.stageBy.Add(s.cfg.AskTimeout) // the channel asks too
	}
	s.settings = s.layers.Resolve()
	v, m := &s.settings, &s.member
	if reason, detail := v.unusable(m.Role, &s.cfg.Allow); reason != "" {
		s.fault(reason, detail)
		return
	}
	m.ClientID, m.BundleID, m.Audio, m.Video, m.Notify = v.ClientID, v.BundleID, v.Audio.On, v.Video.On, v.Notify
	m.AuthnMetadata, m.AuthzMetadata, m.MetadataExt = v.AuthnMetadata, v.AuthzMetadata, v.MetadataExt
	if !s.cfg.Defaults.NotifyMetadataExt {
		m.MetadataExt = nil // the feature is off as a whole
	}
	m.EventMetadata, m.Media, m.RecordingBlock, m.StatsExporter = v.EventMetadata, v.media(m.Role), v.RecordingBlock, v.StatsExporter
	m.WantsStats = v.StatsExporter || s.layers.Auth.RTCStats == sora.True
	if v.Lifetime > 0 {
		s.lifeBy = now.Add(v.Lifetime)
	}
	s.do(OpenMedia{Reach: v.Reach})
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
	s.sessionID = e.SessionID
	if e.Handed != nil {
		s.layers.Session = *e.Handed
		s.settings = s.layers.Resolve()
	}
	s.layers = nil
	for _, r := range e.Remotes {
		s.remoteChanged(r)
	}
	text := texts.Get().(*[]byte)
	defer giveBack(text)
	*text = s.offer.AppendOffer((*text)[:0])
	o := sora.Offer{
		SDP: *text, ChannelID: s.member.ChannelID, ConnectionID: s.member.ConnectionID,
		SessionID: e.SessionID, Version: s.cfg.Version, ICEServer: s.server, RelayOnly: s.cfg.RelayOnly || s.relayOnly(),
	}
	s.server = sora.ICEServer{} // re-offers do not repeat it
	o.AudioMID, o.VideoMID = s.offer.MIDs()
	s.settings.describe(&o, s.member.Role)
	s.send(o.Append(nil))
	s.state, s.stageBy = WaitAnswer, now.Add(s.cfg.AnswerTimeout)
}

// relayOnly reports whether this client is to send all media through our TURN server, as it was
// handed out. Without a server of that kind it would find no way at all: then it is told of the
// ways that there are.
func (s *Session) relayOnly() bool {
	if !s.settings.Reach.relayOnly() {
		return false
	}
	if len(s.server.URLs) == 0 {
		s.log(EventNoRelay, "turn_tcp_only or turn_tls_only was handed out, and there is no such TURN server")
		return false
	}
	return true
}
