package session

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tsubame/signal/sora"
	"tsubame/signal/token"
	"tsubame/signal/webhook"
)

func askingConfig() *Config {
	cfg := testConfig()
	cfg.Ask, cfg.AskTimeout = true, 7*time.Second
	return cfg
}

// asked is a client whose authentication is under way.
const asked = `
client: connect sendrecv
	app: authenticate
`

func TestAClientIsAuthenticatedBeforeMediaIsOpened(t *testing.T) {
	p := play(t, askingConfig(), asked+`
app: allows
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
`)
	r := p.asked.Request
	if r.ChannelID != "room" || r.ConnectionID != "SELF" || r.Role != sora.SendRecv || !r.Audio || !r.Video || r.ClientID != "" {
		t.Errorf("asked %+v", r)
	}
}

func TestTheQuestionHasWhatTheClientSaid(t *testing.T) {
	p := play(t, askingConfig(), `
client: {"type":"connect","role":"sendonly","channel_id":"room","client_id":"me","metadata":{"a":1},"video":{"codec_type":"H264","bit_rate":300},"sora_client":"Sora JavaScript SDK 2026.1.0"}
	app: authenticate
`)
	r := p.asked.Request
	if r.ClientID != "me" || string(r.Metadata) != `{"a":1}` || r.VideoCodecType != "H264" || r.VideoBitRate != 300 || r.Client.SoraClient == "" {
		t.Errorf("asked %+v", r)
	}
}

func TestATokenComesFromMetadataOrElseFromTheRequest(t *testing.T) {
	const withToken = `
client: {"type":"connect","role":"recvonly","channel_id":"room","metadata":{"access_token":"mine"}}
	app: authenticate mine
`
	p := play(t, askingConfig(), "")
	p.s.SetBearer("theirs")
	p.goOn(withToken)
	p = play(t, askingConfig(), "")
	p.s.SetBearer("theirs")
	p.goOn(`
client: connect recvonly
	app: authenticate theirs
`)
}

func TestTheReasonOfADenialReachesTheClient(t *testing.T) {
	for reason, want := range map[string]string{
		"": "AUTHENTICATION-FAILURE", "PLEASE-CONTACT-US": "PLEASE-CONTACT-US", strings.Repeat("あ", 40): strings.Repeat("あ", 33),
	} {
		play(t, askingConfig(), asked+`
app: denies `+reason+`
	server: close 4490 `+want+`
`)
	}
}

func TestWhoVanishesWhileItIsAuthenticatedCancelsThat(t *testing.T) {
	play(t, askingConfig(), asked+`
client: vanishes
	app: cancel
	server: close 0 VANISHED
app: allows
`)
	play(t, askingConfig(), asked+`
client: disconnect
	app: cancel
	server: close 1000 TYPE-DISCONNECT
`)
	play(t, askingConfig(), asked+`
server: shuts down
	app: cancel
	server: close 1000 SHUTDOWN
`)
}

func TestNothingElseIsSaidWhileAClientIsAuthenticated(t *testing.T) {
	play(t, askingConfig(), asked+`
client: pong
	app: cancel
	server: close 4490 UNEXPECTED-MESSAGE
`)
}

func TestAnAuthenticationThatDoesNotEndIsAnError(t *testing.T) {
	play(t, askingConfig(), asked+`
clock: 6999ms
clock: 1ms
	app: cancel
	server: close 4490 AUTHENTICATION-INTERNAL-ERROR
`)
}

// The time that the client had to wait is not taken from what follows.
func TestJoiningMayTakeAsLongAsTheChannelHasToAsk(t *testing.T) {
	play(t, askingConfig(), asked+`
clock: 6s
app: allows
	media: open
media: opened
	channel: join room
clock: 16999ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 SERVER-BUSY
`)
}

func TestWhatAClientMayNotAskForIsRefusedUnasked(t *testing.T) {
	play(t, askingConfig(), `
client: {"type":"connect","role":"sendrecv","channel_id":"room","bundle_id":"us"}
	server: close 4490 BUNDLE-ID-NOT-ALLOWED
`)
}

// handed plays a client whose authentication hands out what a test says, up to the offer.
func handed(t *testing.T, cfg *Config, connect string, a webhook.AuthAnswer) (p *transcript, offer map[string]any) {
	t.Helper()
	p = play(t, cfg, `
client: {"type":"connect","role":"sendrecv","channel_id":"room"`+connect+`}
	app: authenticate
`)
	p.handed = a
	p.goOn(`
app: allows
	media: open
media: opened
	channel: join room
`)
	p.line(p.s.Handle(nil, p.now, Joined{SessionID: "S"})[0])
	if err := json.Unmarshal([]byte(p.json[0]), &offer); err != nil {
		t.Fatal(err)
	}
	return p, offer
}

func TestWhatIsHandedOutTakesEffect(t *testing.T) {
	cfg := askingConfig()
	cfg.Defaults.NotifyMetadataExt = true
	p, offer := handed(t, cfg, `,"client_id":"mine","metadata":{"theirs":1},"signaling_notify_metadata":"self"`, webhook.AuthAnswer{
		ClientID: "given", BundleID: "bundle", Audio: sora.True, AudioBitrate: 32_000, Opus: &sora.OpusParams{UseDTX: sora.True},
		VideoCodec: "VP9", VideoBitrate: 700_000, VP9: &sora.VP9Params{ProfileID: 2},
		NotifyMetadata: []byte(`"authz"`), NotifyMetadataExt: []byte(`{"ext":1}`), Metadata: []byte(`{"for":"you"}`), EventMetadata: []byte(`[9]`),
		StatsExporter: sora.True, RecordingBlock: sora.True,
	})
	for name, want := range map[string]any{"client_id": "given", "bundle_id": "bundle", "audio_bit_rate": 32.0, "video_codec_type": "VP9", "video_bit_rate": 700.0} {
		if offer[name] != want {
			t.Errorf("%s: %v", name, offer[name])
		}
	}
	has(t, p.json[0], `"metadata":{"for":"you"}`)
	has(t, p.sdp, "VP9/90000", "profile-id=2", "usedtx=1", "maxaveragebitrate=32000", "b=TIAS:700000")
	m := p.s.Member()
	if m.ClientID != "given" || m.BundleID != "bundle" || string(m.AuthnMetadata) != `"self"` || string(m.AuthzMetadata) != `"authz"` ||
		string(m.MetadataExt) != `{"ext":1}` || string(m.EventMetadata) != "[9]" || !m.StatsExporter || !m.RecordingBlock || !m.Notify {
		t.Errorf("member %+v", m)
	}
	media := webhook.Media{Audio: true, AudioCodecType: "OPUS", AudioBitRate: 32, Video: true, VideoCodecType: "VP9", VideoBitRate: 700, VP9: m.Media.VP9}
	if m.Media != media || m.Media.VP9.ProfileID != 2 {
		t.Errorf("media %+v", m.Media)
	}
}

func TestExtendedMetadataIsShownOnlyWhereItIsSwitchedOn(t *testing.T) {
	p, _ := handed(t, askingConfig(), "", webhook.AuthAnswer{NotifyMetadataExt: []byte(`{"ext":1}`), NotifyMetadata: []byte("1")})
	if m := p.s.Member(); m.MetadataExt != nil || string(m.AuthzMetadata) != "1" {
		t.Errorf("member %+v", m)
	}
}

func TestVideoCanBeTakenAway(t *testing.T) {
	p, offer := handed(t, askingConfig(), "", webhook.AuthAnswer{Video: sora.False})
	if offer["video"] != false {
		t.Errorf("offer %v", offer)
	}
	hasNot(t, p.sdp, "m=video")
}

// Each codec's parameters need no switch of configuration when the application hands them out.
func TestHandedOutParametersNeedNoSwitch(t *testing.T) {
	cfg := askingConfig()
	cfg.Allow = Allow{H264: true, AV1: true, H265: true, VP9: true}
	for want, a := range map[string]webhook.AuthAnswer{
		"profile-level-id=640c1f": {VideoCodec: "H264", H264: &sora.H264Params{ProfileLevelID: "640c1f"}},
		"profile=1":               {VideoCodec: "AV1", AV1: &sora.AV1Params{Profile: 1, LevelIdx: -1, Tier: -1}},
		"level-id=93":             {VideoCodec: "H265", H265: &sora.H265Params{LevelID: 93, ProfileID: -1, TierFlag: -1}},
		"profile-id=1":            {VideoCodec: "VP9", VP9: &sora.VP9Params{ProfileID: 1}},
	} {
		p, _ := handed(t, cfg, "", a)
		has(t, p.sdp, want)
	}
}

// A codec that is switched off is one that the client may not have; the application may give
// it another.
func TestTheApplicationMayGiveAnotherCodecThanOneThatIsOff(t *testing.T) {
	cfg := askingConfig()
	cfg.Allow.H265 = false
	p, _ := handed(t, cfg, `,"video":{"codec_type":"H265"}`, webhook.AuthAnswer{VideoCodec: "AV1"})
	has(t, p.sdp, "AV1/90000")
	play(t, cfg, `
client: {"type":"connect","role":"sendrecv","channel_id":"room","video":{"codec_type":"H265"}}
	app: authenticate
app: allows
	server: close 4490 UNKNOWN-CODEC-TYPE
`)
}

func TestAConnectionEndsWithItsLifetime(t *testing.T) {
	const joined = `
app: allows
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
clock: 2999ms
clock: 1ms
	channel: leave
	media: close
	server: close 1000 LIFETIME-EXPIRED
`
	p := play(t, askingConfig(), asked)
	p.handed.ConnectionLifetime = 3 * time.Second
	p.goOn(joined)
	cfg := askingConfig()
	cfg.Defaults.Lifetime = 3 * time.Second
	play(t, cfg, asked+joined)
	// The application's word counts for more than configuration.
	p = play(t, cfg, asked)
	p.handed.ConnectionLifetime = 4 * time.Second
	p.goOn(strings.ReplaceAll(joined, "2999ms", "3999ms"))
}

func TestTheTimeToEstablishCanBeHandedOut(t *testing.T) {
	p := play(t, askingConfig(), asked)
	p.handed.CreatedTimeout = 2 * time.Second
	p.goOn(`
app: allows
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
clock: 1999ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 CONNECTION-CREATED-WAIT-TIMEOUT-ERROR
`)
}

func TestHowAClientReachesUsCanBeHandedOut(t *testing.T) {
	want := Reach{IPv4: netip.MustParseAddr("198.51.100.1"), IPv6: netip.MustParseAddr("2001:db8::1"), TURNFQDN: "turn.example.com",
		TURNTLSFQDN: "tls.example.com", TURNTLSOnly: sora.True}
	p := play(t, askingConfig(), asked)
	p.handed = webhook.AuthAnswer{IPv4: want.IPv4, IPv6: want.IPv6, TURNFQDN: want.TURNFQDN, TURNTLSFQDN: want.TURNTLSFQDN, TURNTLSOnly: sora.True}
	p.goOn(`
app: allows
	media: open
media: opened with TURN
	channel: join room
channel: joined
	server: offer own-audio own-video
`)
	if p.reach != want {
		t.Errorf("media was opened for %+v", p.reach)
	}
	has(t, p.json[0], `"iceTransportPolicy":"relay"`)
}

// Told to use nothing but a server that is not there, a client would find no way at all.
func TestWithoutATURNServerNobodyIsToldToUseItOnly(t *testing.T) {
	p := play(t, askingConfig(), asked)
	p.handed.TURNTCPOnly = sora.True
	p.goOn(`
app: allows
	media: open
media: opened
	channel: join room
channel: joined
	log: no relay for a client that is to use it only: turn_tcp_only or turn_tls_only was handed out, and there is no such TURN server
	server: offer own-audio own-video
`)
	has(t, p.json[0], `"iceTransportPolicy":"all"`)
}

func TestNotificationsCanBeSwitchedPerConnection(t *testing.T) {
	for _, on := range []bool{true, false} {
		cfg := askingConfig()
		cfg.Defaults.NotifyOff = on // the application says the opposite of configuration
		p := play(t, cfg, asked)
		p.handed.Notify = flag(on)
		p.goOn(`
app: allows
	media: open
`)
		if p.s.Member().Notify != on {
			t.Errorf("%v", p.s.Member().Notify)
		}
	}
}

func TestStatisticsCanBeSwitchedPerConnection(t *testing.T) {
	cfg := askingConfig()
	p := play(t, cfg, asked)
	p.handed.RTCStats = sora.True
	p.goOn(establish + `
clock: 5s
	server: ping
client: pong
clock: 55s
	server: ping stats
client: {"type":"pong","stats":[{"id":"x"}]}
	app: report [{"id":"x"}]
`)
	cfg.StatsInterval = 5 * time.Second
	p = play(t, cfg, asked)
	p.handed.RTCStats = sora.False
	p.goOn(establish + `
clock: 5s
	server: ping
`)
}

// establish goes on from asked.
const establish = `
app: allows
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
media: published audio 1
media: published video 2
media: established
	channel: announce OPUS 1 VP8 2
channel: announced
	server: notify self
`

func TestIceStatesAreToldToWhoIsToKnow(t *testing.T) {
	p := play(t, askingConfig(), asked)
	p.handed.NotifyICEState = sora.True
	p.goOn(establish + `	server: notify ice connected, was checking
media: silent
	server: ping
	server: notify ice disconnected, was connected
media: lapsed
	log: consent lapsed: nothing is sent until the client checks again
	server: notify ice failed, was disconnected
media: heard
	server: notify ice connected, was failed
# What is over before it is told is not told.
media: silent &
media: heard
	server: ping
`)
	p = play(t, askingConfig(), asked)
	p.handed.NotifyICEState, p.handed.Notify = sora.True, sora.False
	p.goOn(strings.Replace(establish, "	server: notify self\n", "", 1) + `
media: silent
	server: ping
`)
}

// Of a session that a webhook has spoken for too, its word counts the most.
func TestTheSessionsAnswerIsTheStrongestLayer(t *testing.T) {
	p := play(t, askingConfig(), asked+`
app: allows
	media: open
media: opened
	channel: join room
`)
	p.s.Handle(nil, p.now, Joined{SessionID: "S", Handed: SessionLayer(&webhook.SessionAnswer{SpotlightNumber: 3})})
	if p.s.settings.SpotlightNumber != 3 || p.s.SessionID() != "S" {
		t.Errorf("settings %+v", p.s.settings)
	}
	if l := SessionLayer(&webhook.SessionAnswer{MaxConnections: 1}); l != nil {
		t.Errorf("layer %+v", l)
	}
}

// Whoever counts reasons counts ours by name, and all others as one.
func TestOnlyTextsOfOthersAreForeign(t *testing.T) {
	for reason, foreign := range map[string]bool{
		"": false, "AUTHENTICATION-INTERNAL-ERROR": false, "SERVER-BUSY": false, "PLEASE-PAY": true,
		token.ReasonRequired: false, token.ReasonInvalid: false, token.ReasonExpired: false, token.ReasonNotYetValid: false,
		token.ReasonWrongChannel: false, token.ReasonWrongRole: false,
	} {
		p := play(t, askingConfig(), asked)
		actions := p.s.Handle(nil, p.now, Denied{Reason: reason})
		if c := actions[len(actions)-1].(Close); c.Foreign != foreign {
			t.Errorf("%s: %v", reason, c.Foreign)
		}
	}
}

// What there is no feature for yet is accepted, kept and without effect: an application that
// was written for more than we can do works all the same.
func TestWhatDoesNotExistYetHasNoEffect(t *testing.T) {
	plain, _ := handed(t, askingConfig(), "", webhook.AuthAnswer{})
	for _, members := range []string{
		`"simulcast":true`, `"simulcast_rid":"r1"`, `"simulcast_request_rid":"r0"`, `"simulcast_multicodec":true`,
		`"simulcast_encodings":[{"rid":"r0","active":true,"scaleResolutionDownBy":4}]`, `"spotlight":true`, `"spotlight_number":3`,
		`"spotlight_focus_rid":"r1"`, `"spotlight_unfocus_rid":"none"`, `"spotlight_encodings":[{"rid":"r0"}]`, `"data_channel_signaling":true`,
		`"ignore_disconnect_websocket":true`, `"data_channels":[{"label":"#chat","direction":"sendrecv"}]`, `"rpc_methods":["x"]`,
		`"forwarding_filter":{"rules":[]}`, `"forwarding_filters":[{"rules":[]}]`, `"audio_streaming_language_code":"ja-JP"`,
		`"cluster_affinity":true`, `"user_agent_stats":true`, `"rtp_packet_loss_simulator_incoming":10`, `"audio_lyra_params":{"version":"1.3.0"}`,
		`"h264_profile_level_id":"42e01f"`, `"nobody_knows":{"this":[1,2]}`,
	} {
		a, err := webhook.ParseAuthAnswer([]byte(`{"allowed":true,` + members + `}`))
		if err != nil {
			t.Errorf("%s: %v", members, err)
			continue
		}
		p, _ := handed(t, askingConfig(), "", *a)
		if p.json[0] != plain.json[0] {
			t.Errorf("%s: offer\n%s\nnot\n%s", members, p.json[0], plain.json[0])
		}
		if !strings.Contains(string(a.Kept), members[:strings.Index(members, ":")]) {
			t.Errorf("%s is not kept in %s", members, a.Kept)
		}
	}
}
