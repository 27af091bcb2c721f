package session

import (
	"strings"
	"testing"
)

// What a client asks to send reaches it in the SDP, and reaches those who receive it: the
// codec and its parameters.
func TestEveryCodecIsOfferedPublishedAndAnnounced(t *testing.T) {
	for codec, sdp := range map[string]string{
		"VP8": "VP8/90000", "VP9": "VP9/90000", "AV1": "AV1/90000", "H264": "H264/90000", "H265": "H265/90000",
	} {
		p := play(t, testConfig(), strings.ReplaceAll(`
client: {"type":"connect","role":"sendonly","channel_id":"room","audio":false,"video":{"codec_type":"CODEC"}}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-video
client: answer
	media: set remote
	media: publish CODEC max 500000
media: published video 7
media: established
	channel: announce CODEC 7
`, "CODEC", codec))
		if !strings.Contains(p.sdp, sdp) {
			t.Errorf("%s: %s is not in\n%s", codec, sdp, p.sdp)
		}
		if !strings.Contains(p.json[0], `"video_codec_type":"`+codec+`"`) {
			t.Errorf("%s is not in %s", codec, p.json[0])
		}
	}
}

func TestParametersOfTheCodecAreAnnounced(t *testing.T) {
	cfg := testConfig()
	cfg.Allow.VP9Params = true
	p := play(t, cfg, `
client: {"type":"connect","role":"sendonly","channel_id":"room","audio":false,"video":{"codec_type":"VP9","vp9_params":{"profile_id":2}}}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-video
client: answer
	media: set remote
	media: publish VP9 max 500000
media: published video 7
media: established
	channel: announce VP9 7 (profile-id=2)
`)
	if !strings.Contains(p.sdp, "profile-id=2") {
		t.Errorf("not in\n%s", p.sdp)
	}
}

// A browser without the codec goes on without video: its microphone and what it receives
// are not to blame.
func TestAClientThatHasNotGotTheCodecGoesOnWithoutVideo(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"sendrecv","channel_id":"room","video":{"codec_type":"H265"}}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
client: answer, own-video declined
	media: set remote
	log: own track refused: H265
	media: publish OPUS max 0
media: published audio 1
media: established
	channel: announce OPUS 1
`)
}
