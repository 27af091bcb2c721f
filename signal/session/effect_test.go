package session

import (
	"strings"
	"testing"

	"tsubame/media/param"
)

// offered returns the offer message, as JSON, that a connect with these members leads to.
func offered(t *testing.T, cfg *Config, role, members string) (message string, p *transcript) {
	t.Helper()
	p = play(t, cfg, `
client: {"type":"connect","role":"`+role+`","channel_id":"room",`+members+`}
	media: open
media: opened
	channel: join room
`)
	p.line(p.s.Handle(nil, p.now, Joined{SessionID: "S"})[0])
	return p.json[0], p
}

func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in\n%s", part, text)
		}
	}
}

func hasNot(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%s is in\n%s", part, text)
		}
	}
}

func TestTheOfferSaysWhoAndWhat(t *testing.T) {
	message, _ := offered(t, testConfig(), "sendonly", `"audio":{"bit_rate":64},"video":{"bit_rate":300}`)
	has(t, message,
		`"channel_id":"room"`, `"client_id":"SELF"`, `"bundle_id":"SELF"`, `"connection_id":"SELF"`, `"session_id":"S"`, `"version":"test"`,
		`"audio":true`, `"video":true`, `"audio_codec_type":"OPUS"`, `"video_codec_type":"VP8"`, `"audio_bit_rate":64`, `"video_bit_rate":300`)
}

func TestTheSDPSaysHowToReachTheServer(t *testing.T) {
	_, p := offered(t, testConfig(), "sendonly", `"audio":true`)
	has(t, p.sdp, "a=candidate:1 1 udp 1 192.0.2.1 3478 typ host", "a=ice-ufrag:srvU", "a=ice-pwd:serverpasswordserverpass", "a=ice-lite")
}

// A client obeys the SDP, not the members of the message.
func TestBitRatesReachTheClientInTheSDP(t *testing.T) {
	_, p := offered(t, testConfig(), "sendonly", `"audio":{"bit_rate":64},"video":{"bit_rate":300}`)
	has(t, p.sdp, "b=TIAS:64000\r\nb=AS:64\r\n", "maxaveragebitrate=64000", "b=TIAS:300000\r\nb=AS:300\r\n")
}

func TestDefaultsOfTheServerHold(t *testing.T) {
	cfg := testConfig()
	cfg.Defaults = Defaults{VideoCodec: param.VP9, AudioBitrate: 48_000, VideoBitrate: 700_000}
	message, p := offered(t, cfg, "sendonly", `"video":{"codec_type":"AV1"}`)
	has(t, message, `"video_codec_type":"AV1"`, `"audio_bit_rate":48`, `"video_bit_rate":700`)
	has(t, p.sdp, "AV1/90000", "b=TIAS:48000", "b=TIAS:700000")
	message, p = offered(t, cfg, "sendonly", `"video":true`)
	has(t, message, `"video_codec_type":"VP9"`)
	has(t, p.sdp, "VP9/90000")
}

func TestWithoutABitRateTheClientChooses(t *testing.T) {
	cfg := testConfig()
	cfg.Defaults.VideoBitrate = 0
	message, p := offered(t, cfg, "sendonly", `"video":true`)
	hasNot(t, message, "bit_rate")
	hasNot(t, p.sdp, "b=TIAS", "b=AS", "maxaveragebitrate")
}

func TestOpusParametersAreInTheSDP(t *testing.T) {
	for params, want := range map[string]string{
		`"stereo":true`: "stereo=1", `"stereo":false`: "stereo=0", `"sprop_stereo":true`: "sprop-stereo=1",
		`"sprop_stereo":false`: "sprop-stereo=0", `"usedtx":true`: "usedtx=1", `"usedtx":false`: "usedtx=0",
		`"useinbandfec":false`: "useinbandfec=0", `"maxplaybackrate":16000`: "maxplaybackrate=16000",
		`"minptime":20`: "minptime=20", `"ptime":40`: "a=ptime:40", `"channels":1`: "stereo=0",
		`"channels":1,"stereo":true`: "stereo=1",
	} {
		_, p := offered(t, testConfig(), "sendonly", `"audio":{"opus_params":{`+params+`}}`)
		has(t, p.sdp, want, "opus/48000/2")
	}
	_, p := offered(t, testConfig(), "sendonly", `"audio":true`)
	hasNot(t, p.sdp, "stereo", "usedtx", "maxplaybackrate", "ptime:")
}

func TestWhatIsOffIsNotOffered(t *testing.T) {
	message, p := offered(t, testConfig(), "sendonly", `"audio":false`)
	has(t, message, `"audio":false`, `"video":true`, `"mid":{"video":"video_`)
	hasNot(t, message, "audio_codec_type", "audio_bit_rate")
	hasNot(t, p.sdp, "m=audio")
}

// What a client sends nothing of, it is told nothing about: each stream that a viewer
// receives has the codec and the bit rate of its publisher.
func TestAViewersCodecAndBitRateHaveNoEffect(t *testing.T) {
	cfg := testConfig()
	cfg.Allow.H264 = false
	message, p := offered(t, cfg, "recvonly", `"audio":{"bit_rate":64},"video":{"codec_type":"H264","bit_rate":300}`)
	has(t, message, `"audio":true`, `"video":true`, `"mid":{}`)
	hasNot(t, message, "codec_type", "bit_rate")
	hasNot(t, p.sdp, "b=TIAS", "b=AS", "H264")
}

func TestIdsOfTheClientAreKept(t *testing.T) {
	cfg := testConfig()
	cfg.Allow.BundleID = true
	message, p := offered(t, cfg, "sendrecv", `"client_id":"me","bundle_id":"us","signaling_notify_metadata":{"a":1},"metadata":"secret"`)
	has(t, message, `"client_id":"me"`, `"bundle_id":"us"`, `"connection_id":"SELF"`)
	hasNot(t, message, "secret")
	if m := p.s.Member(); m.ClientID != "me" || m.BundleID != "us" || m.ConnectionID != "SELF" || string(m.AuthnMetadata) != `{"a":1}` {
		t.Errorf("member %+v", m)
	}
}

func TestNotificationsCanBeOff(t *testing.T) {
	cfg := testConfig()
	cfg.Defaults.NotifyOff = true
	play(t, cfg, offeredViewer+`
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
channel: notify someone
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
`)
}
