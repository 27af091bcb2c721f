package bot

import (
	"strings"
	"testing"

	"tsubame/media/param"
)

// fixture is an offer in the shape of the server's, with parameters at session level and a
// codec that one bot does not speak.
const fixture = `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE audio_AAAAAA video_BBBBBB audio_CCCCCC video_DDDDDD
a=ice-lite
a=ice-ufrag:srvU
a=ice-pwd:serverpasswordserverpass
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=candidate:2 1 udp 2130706175 192.0.2.2 3478 typ host
a=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host
a=candidate:3 1 udp 100 2001:db8::1 3478 typ host
a=candidate:4 1 tcp 2130706431 192.0.2.3 3478 typ host tcptype passive
a=candidate:5 1 udp 2130706431 example.local 3478 typ host
a=candidate:6 2 udp 2130706431 192.0.2.4 3479 typ host
a=mid:audio_AAAAAA
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:9 urn:example:unknown
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 98 96 97
c=IN IP4 0.0.0.0
a=mid:video_BBBBBB
a=extmap:3/recvonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=recvonly
a=rtcp-mux
a=rtpmap:98 VP9/90000
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
m=audio 0 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:audio_CCCCCC
a=inactive
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=mid:video_DDDDDD
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=msid:OTHER OTHER-video
a=ssrc-group:FID 1000 1001
a=ssrc:1000 cname:OTHER
a=ssrc:1001 cname:OTHER
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:data
`

func TestOfferIsRead(t *testing.T) {
	o, err := parseOffer(fixture, param.VP9)
	if err != nil {
		t.Fatal(err)
	}
	if o.ufrag != "srvU" || o.password != "serverpasswordserverpass" || len(o.fingerprints) != 1 ||
		o.fingerprints[0].Algorithm != "sha-256" || o.fingerprints[0].Value[31] != 0xab {
		t.Errorf("%+v", o)
	}
	var got []string
	for _, c := range o.candidates {
		got = append(got, c.String())
	}
	if want := "192.0.2.1:3478 192.0.2.2:3478 [2001:db8::1]:3478"; strings.Join(got, " ") != want {
		t.Errorf("candidates %v", got)
	}
	audio, video, released, stream, data := &o.sections[0], &o.sections[1], &o.sections[2], &o.sections[3], &o.sections[4]
	if audio.kind != param.Audio || audio.format(param.Opus).pt != 111 || audio.sends || !audio.takes || !audio.reduced ||
		audio.extensions[uriMID] != 4 || audio.extensions[uriAudioLevel] != 1 || len(audio.extensions) != 2 {
		t.Errorf("%+v", audio)
	}
	if len(video.codecs) != 1 {
		t.Fatalf("%+v", video.codecs)
	}
	vp8 := video.codecs[0]
	if vp8.codec != param.VP8 || vp8.pt != 96 || vp8.rtx != 97 || !vp8.has("nack pli") || vp8.has("ccm fir") || video.extensions[uriTransportCC] != 3 {
		t.Errorf("%+v", video)
	}
	if !released.rejected || !data.rejected {
		t.Error("a section that a bot cannot take is not rejected")
	}
	if stream.ssrc != 1000 || stream.rtxSSRC != 1001 || stream.stream != "OTHER" || stream.track != "OTHER-video" || !stream.sends || stream.takes {
		t.Errorf("%+v", stream)
	}
}

func TestAnswerMirrorsTheOffer(t *testing.T) {
	o, err := parseOffer(fixture, param.VP9)
	if err != nil {
		t.Fatal(err)
	}
	sending := newSender(&o.sections[1], &o.sections[1].codecs[0], 500_000, 25)
	a := answer{
		session: 7, version: 1, ufrag: "botU", password: "botpassword", cname: "bot",
		fingerprint: param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)},
		senders:     map[string]*sender{"video_BBBBBB": sending}, takes: true,
	}
	text, err := a.text(o)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(text, "m=")
	if len(sections) != 6 || !strings.Contains(sections[0], "a=group:BUNDLE audio_AAAAAA video_BBBBBB video_DDDDDD\r\n") {
		t.Fatal(text)
	}
	for i, want := range [][]string{
		{"audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "a=mid:audio_AAAAAA", "a=inactive", "a=rtcp-mux", "a=rtcp-rsize"},
		{"video 9 UDP/TLS/RTP/SAVPF 96 97\r\n", "a=sendonly", "a=setup:active", "a=ice-ufrag:botU", "a=ice-pwd:botpassword",
			"a=fingerprint:sha-256 00:00", "a=rtcp-fb:96 nack pli", "a=fmtp:97 apt=96", "a=ssrc-group:FID ", "a=msid:bot bot-video"},
		{"audio 0 UDP/TLS/RTP/SAVPF 111\r\n", "a=mid:audio_CCCCCC"},
		{"video 9 UDP/TLS/RTP/SAVPF 96 97\r\n", "a=recvonly"},
		{"application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n", "a=mid:data"},
	} {
		for _, line := range want {
			if !strings.Contains(sections[i+1], line) {
				t.Errorf("section %d has no %q:\n%s", i, line, sections[i+1])
			}
		}
	}
	if strings.Contains(text, "VP9") || strings.Contains(text, "unknown") {
		t.Error("the answer takes what the bot does not speak")
	}
}

// many is a stream of a viewer's: the publisher's codec first, payload types as they come.
const many = `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-ufrag:srvU
a=ice-pwd:serverpasswordserverpass
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
m=video 9 UDP/TLS/RTP/SAVPF 41 35 102 96 97 45 120 103
c=IN IP4 0.0.0.0
a=mid:video_A
a=sendonly
a=rtpmap:41 H265/90000
a=fmtp:41 level-id=93;tx-mode=SRST
a=rtpmap:35 rtx/90000
a=fmtp:35 apt=41
a=rtpmap:102 h264/90000
a=fmtp:102 packetization-mode=1;profile-level-id=42e01f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
a=rtpmap:96 VP8/90000
a=rtpmap:97 VP9/90000
a=rtpmap:45 AV1/90000
a=rtpmap:120 ulpfec/90000
a=ssrc:1000 cname:OTHER
`

func TestPayloadTypesAreThoseOfTheOffer(t *testing.T) {
	o, err := parseOffer(many)
	if err != nil {
		t.Fatal(err)
	}
	s := &o.sections[0]
	r := newReceiver(s)
	for _, want := range []struct {
		pt    uint8
		rtx   bool
		codec param.Codec
	}{
		{41, false, param.H265}, {102, false, param.H264}, {96, false, param.VP8}, {97, false, param.VP9}, {45, false, param.AV1},
		{35, true, param.H265}, {103, true, param.H264},
		{35, false, 0}, {41, true, 0}, {120, false, 0}, {0, true, 0}, {98, false, 0},
	} {
		if got := r.codecOf(want.pt, want.rtx); got != want.codec {
			t.Errorf("payload type %d, RTX %v: %v, want %v", want.pt, want.rtx, got, want.codec)
		}
	}
	a := answer{senders: make(map[string]*sender), takes: true}
	text, err := a.text(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"m=video 9 UDP/TLS/RTP/SAVPF 41 35 102 103 96 97 45\r\n", "a=fmtp:35 apt=41\r\n", "a=fmtp:41 level-id=93;tx-mode=SRST\r\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("the answer has no %q:\n%s", line, text)
		}
	}
}

func TestCodecThatTheBotDoesNotSpeakIsLeftOutOrRejected(t *testing.T) {
	for _, c := range []struct {
		without []param.Codec
		line    string
	}{
		{[]param.Codec{param.H265}, "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97 45\r\n"},
		{videoCodecs, "m=video 0 UDP/TLS/RTP/SAVPF 41 35 102 96 97 45 120 103\r\n"},
	} {
		o, err := parseOffer(many, c.without...)
		if err != nil {
			t.Fatal(err)
		}
		a := answer{takes: true}
		if text, err := a.text(o); err != nil || !strings.Contains(text, c.line) {
			t.Errorf("without %v: no %q in\n%s%v", c.without, c.line, text, err)
		}
	}
}

func TestIncompleteOffersAreRefused(t *testing.T) {
	for _, without := range []string{"a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "v="} {
		if _, err := parseOffer(strings.Replace(fixture, without, "a=x", 1)); err == nil {
			t.Errorf("an offer without %s was taken", without)
		}
	}
	if _, err := parseOffer(""); err == nil {
		t.Error("nothing was taken as an offer")
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(fixture)
	f.Add(fixture[:700])
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffer(text)
		if err != nil {
			return
		}
		a := answer{senders: make(map[string]*sender), takes: true}
		for i := range o.sections {
			if s := &o.sections[i]; s.takes && !s.rejected {
				a.senders[s.mid] = newSender(s, &s.codecs[0], 100_000, 10)
			}
		}
		if _, err := a.text(o); err != nil {
			t.Fatal(err)
		}
	})
}
