//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// recorder serves the page with a signaling that notes the connect message and says
// nothing.
func recorder(t *testing.T) (base string, connects <-chan map[string]any) {
	t.Helper()
	messages := make(chan map[string]any, 16)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return // the page has gone
			}
			var m map[string]any
			if json.Unmarshal(b, &m) == nil && m["type"] == "connect" {
				messages <- m
			}
		}
	})
	base, _, _ = strings.Cut(url, "?")
	return base, messages
}

func requireConnect(t *testing.T, connects <-chan map[string]any, want string) {
	t.Helper()
	select {
	case got := <-connects:
		var members map[string]any
		if err := json.Unmarshal([]byte(want), &members); err != nil {
			t.Fatal(err)
		}
		delete(got, "environment")
		delete(got, "type")
		if !reflect.DeepEqual(got, members) {
			b, err := json.Marshal(got)
			t.Errorf("connect is %s (%v), want %s", b, err, want)
		}
	case <-time.After(callTimeout):
		t.Fatal("the page sends nothing")
	}
}

func TestPageLinkReachesTheConnectMessage(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base)
	for query, want := range map[string]string{
		"channel=a": `{"channel_id":"a","role":"sendrecv","audio":true,"video":true}`,
		"channel=a&role=recvonly&codec=VP9&video_kbps=9&stereo=1": `{"channel_id":"a","role":"recvonly","audio":true,"video":true}`,
		"channel=%E7%87%95&role=sendonly&codec=AV1&video_kbps=800&client_id=Hanako": `{"channel_id":"燕","role":"sendonly","client_id":"Hanako",
			"audio":true,"video":{"codec_type":"AV1","bit_rate":800}}`,
		"channel=a&audio_kbps=64&stereo=true&dtx=1&fec=false&max_playback_rate=16000": `{"channel_id":"a","role":"sendrecv","video":true,
			"audio":{"codec_type":"OPUS","bit_rate":64,"opus_params":{"stereo":true,"sprop_stereo":true,"usedtx":true,
			"useinbandfec":false,"maxplaybackrate":16000}}}`,
		`channel=a&media=audio&metadata={"token":[1,null]}`: `{"channel_id":"a","role":"sendrecv","audio":true,"video":false,"metadata":{"token":[1,null]}}`,
		"channel=a&media=video&audio_kbps=64":               `{"channel_id":"a","role":"sendrecv","audio":false,"video":true}`,
		// What no field takes is as if it were not there.
		"channel=a&codec=H999&role=upstream&stereo=maybe&media=smell": `{"channel_id":"a","role":"sendrecv","audio":true,"video":true}`,
	} {
		tb.run("localStorage.clear()")
		tb.do("open "+query, navigate(base+"?source=test&auto=1&"+strings.NewReplacer(`"`, "%22", "{", "%7B", "}", "%7D").Replace(query)))
		requireConnect(t, connects, want)
	}
}

func TestPageControlsReachTheConnectMessageAndAreRemembered(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base)
	tb.click("#more summary")
	tb.choose("role", "sendonly")
	tb.choose("video", "pattern")
	tb.choose("audio", "tone")
	for name, value := range map[string]string{
		"channel": "room 7", "codec": "VP9", "video_kbps": "1200", "audio_kbps": "96", "stereo": "true", "dtx": "false",
		"fec": "true", "max_playback_rate": "48000", "client_id": "Kenji", "metadata": `"secret"`, "pattern_size": "320x180", "fps": "10",
	} {
		tb.pick(name, value)
	}
	if link := tb.text("#share-link"); !strings.HasSuffix(link, "/?channel=room+7") {
		t.Errorf("the link is shown as %q", link)
	}
	const want = `{"channel_id":"room 7","role":"sendonly","client_id":"Kenji","metadata":"secret",
		"video":{"codec_type":"VP9","bit_rate":1200},
		"audio":{"codec_type":"OPUS","bit_rate":96,"opus_params":{"stereo":true,"sprop_stereo":true,"usedtx":false,"useinbandfec":true,"maxplaybackrate":48000}}}`
	tb.click("#connect")
	requireConnect(t, connects, want)
	tb.requireTrue("the pattern has that size", `document.querySelector(".tile video").videoWidth === 320`)

	tb.do("reload", navigate(base))
	tb.requireState("idle")
	tb.click("#connect")
	// All but the metadata is remembered: there may be a token in it.
	requireConnect(t, connects, strings.Replace(want, `,"metadata":"secret"`, "", 1))
	tb.click("#leave")
	tb.requireState("idle")
	tb.click("#more summary")
	tb.click("#defaults")
	tb.choose("video", "pattern")
	tb.choose("audio", "tone")
	tb.click("#connect")
	requireConnect(t, connects, `{"channel_id":"lobby","role":"sendrecv","audio":true,"video":true}`)
}

func TestPageChecksTheFormBeforeItConnects(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base+"?source=test")
	says := func(field, want string) {
		t.Helper()
		tb.click("#connect")
		if text := eval[string](tb, fmt.Sprintf(`document.activeElement.name === %q ? document.activeElement.validationMessage : ""`, field)); !strings.Contains(text, want) {
			t.Errorf("at the %s the page says %q", field, text)
		}
		tb.requireState("idle")
	}
	tb.pick("metadata", "{token}")
	says("metadata", "The metadata is not JSON")
	tb.pick("metadata", "")
	tb.pick("channel", strings.Repeat("燕", 86))
	says("channel", "longer than 255 bytes")
	tb.pick("channel", "short")
	tb.pick("video_kbps", "50001")
	says("video_kbps", "50000")
	tb.pick("video_kbps", "")
	tb.click("#connect")
	select {
	case <-connects:
	case <-time.After(callTimeout):
		t.Error("what was put right is still refused")
	}
}

func TestPageMarksCodecsThatTheBrowserCannotSend(t *testing.T) {
	besideChurn(t)
	base, _ := recorder(t)
	tb := lobby(t, base)
	for _, codec := range []string{"VP8", "VP9", "AV1", "H264", "H265"} {
		can := eval[bool](tb, fmt.Sprintf(`RTCRtpSender.getCapabilities("video").codecs.some((c) => c.mimeType.toUpperCase() === "VIDEO/%s")`, codec))
		disabled := eval[bool](tb, fmt.Sprintf(`[...document.querySelector('[name="codec"]').options].find((o) => o.value === %q).disabled`, codec))
		if can == disabled {
			t.Errorf("%s: can be sent: %v, disabled: %v", codec, can, disabled)
		}
	}
}

func TestPageOptionsReachTheMedia(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	sender := openPage(t, s, "sender", little+"&role=sendonly&codec=VP9&video_kbps=300&audio_kbps=48&stereo=true&dtx=true&fec=true&max_playback_rate=24000&client_id=Hanako")
	watcher := openPage(t, s, "watcher", "role=recvonly")
	type sending struct {
		Video, Audio, Fmtp         string
		VideoTarget, AudioTarget   float64
		Width, Height, FrameTarget int
	}
	read := func() (got sending) {
		return eval[sending](sender, `(async () => {
			const stats = [...(await probe.peers.at(-1).getStats()).values()];
			const of = (kind) => stats.find((s) => s.type === "outbound-rtp" && s.kind === kind) ?? {};
			const codec = (kind) => stats.find((s) => s.id === of(kind).codecId) ?? {};
			return { video: codec("video").mimeType ?? "", audio: codec("audio").mimeType ?? "", fmtp: codec("audio").sdpFmtpLine ?? "",
				videoTarget: of("video").targetBitrate ?? 0, audioTarget: of("audio").targetBitrate ?? 0,
				width: of("video").frameWidth ?? 0, height: of("video").frameHeight ?? 0 };
		})()`)
	}
	eventually(t, arriveTimeout, "it is sent as asked", func() (bool, any) {
		got := read()
		ok := got.Video == "video/VP9" && got.Audio == "audio/opus" && got.VideoTarget > 0 && got.VideoTarget <= 300_000 &&
			math.Abs(got.AudioTarget-48_000) < 1 && got.Width == 320 && got.Height == 180
		for _, want := range []string{"stereo=1", "usedtx=1", "useinbandfec=1", "maxplaybackrate=24000"} {
			ok = ok && strings.Contains(got.Fmtp, want)
		}
		return ok, got
	})
	watcher.requireText(".tile .name", "Hanako")
	watcher.requireText(".tile .codec", "VP9")
	watcher.requireText(".tile .size", "320×180")
	// Two notes, one on each side, arrive as two.
	watcher.requireTrue("stereo is played", `probe.peers.at(-1).currentLocalDescription.sdp.includes("stereo=1")`)
}
