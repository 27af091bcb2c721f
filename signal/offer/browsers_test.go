package offer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tsubame/media/param"
)

// The answers below have the shape in which Chromium and Firefox write theirs: where they put
// the transport, how they order formats, what they say of a section that they reject.

const chromiumHead = `v=0
o=- 97953608926154977 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE BUNDLED
a=msid-semantic: WMS
`

const chromiumTransport = `c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:oNwp
a=ice-pwd:yXvmikvw1pXaxfTBlPoDWnS3
a=ice-options:trickle
a=fingerprint:sha-256 DB:E2:48:CE:FD:0C:60:3C:C3:76:B5:4B:49:9E:AA:9F:39:E7:FB:E3:F7:55:8C:FE:B1:67:CC:66:BF:31:29:93
a=setup:active
`

const firefoxHead = `v=0
o=mozilla...THIS_IS_SDPARTA-99.0 6341742318375613265 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 DB:E2:48:CE:FD:0C:60:3C:C3:76:B5:4B:49:9E:AA:9F:39:E7:FB:E3:F7:55:8C:FE:B1:67:CC:66:BF:31:29:93
a=group:BUNDLE BUNDLED
a=ice-options:trickle
a=msid-semantic:WMS *
`

const firefoxTransport = `c=IN IP4 0.0.0.0
a=ice-pwd:c1a3bd4f2a7f4a7cbb0a1f3a5b8e2d90
a=ice-ufrag:2b1f9c3d
a=setup:active
`

const (
	chromiumAudio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\n" + chromiumTransport + "a=mid:MID0\na=inactive\na=rtcp-mux\na=rtcp-rsize\na=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n"
	firefoxAudio  = "m=audio 9 UDP/TLS/RTP/SAVPF 111\n" + firefoxTransport + "a=inactive\na=mid:MID0\na=rtcp-mux\na=rtcp-rsize\na=fmtp:111 maxplaybackrate=48000;stereo=1;useinbandfec=1\na=rtpmap:111 opus/48000/2\n"
)

// twoCodecAnswers are for a placeholder and one section for H.264 that had VP8 before: its
// list is 102 103 96 97.
var twoCodecAnswers = map[string]struct {
	answer  string
	pt, rtx uint8 // 0: the stream is not taken
	bundled bool
}{
	"Chromium, its own order": {chromiumHead + chromiumAudio + "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\n" + chromiumTransport + `a=mid:MID1
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
a=rtcp-fb:102 nack pli
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
`, 102, 103, true},
	"Chromium without H.264": {chromiumHead + chromiumAudio + "m=video 9 UDP/TLS/RTP/SAVPF 96 97\n" + chromiumTransport + `a=mid:MID1
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
`, 0, 0, true},
	"Chromium rejects": {chromiumHead + chromiumAudio + `m=video 0 UDP/TLS/RTP/SAVPF 102 103
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=mid:MID1
a=inactive
`, 0, 0, false},
	"Firefox": {firefoxHead + firefoxAudio + "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97\n" + firefoxTransport + `a=recvonly
a=fmtp:102 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
a=fmtp:96 max-fs=12288;max-fr=60
a=fmtp:103 apt=102
a=fmtp:97 apt=96
a=mid:MID1
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:102 H264/90000
a=rtpmap:103 rtx/90000
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
`, 102, 103, true},
	"Firefox without H.264": {firefoxHead + firefoxAudio + "m=video 9 UDP/TLS/RTP/SAVPF 96\n" + firefoxTransport + `a=recvonly
a=fmtp:96 max-fs=12288;max-fr=60
a=mid:MID1
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
`, 0, 0, true},
	"Firefox rejects": {firefoxHead + firefoxAudio + `m=video 0 UDP/TLS/RTP/SAVPF 102
c=IN IP4 0.0.0.0
a=inactive
a=mid:MID1
a=rtpmap:102 H264/90000
`, 0, 0, false},
}

// withTwoCodecs is a viewer to whom such a section is offered.
func withTwoCodecs(firefox bool) *State {
	s, p := viewer(), new(peer)
	p.Edit = func(_ string, lines []string) []string { return browserCredentials(lines, firefox) }
	for _, tracks := range [][]Track{{codecTrack(1, param.VP8, "")}, nil} {
		s.SetRemote("A", tracks)
		if _, err := s.Answer(p.Answer(s.Offer())); err != nil {
			panic(err)
		}
	}
	s.SetRemote("B", []Track{codecTrack(2, param.H264, "")})
	s.Offer()
	return s
}

func TestAnswersOfBrowsersToASectionWithTwoCodecs(t *testing.T) {
	for name, c := range twoCodecAnswers {
		s := withTwoCodecs(strings.HasPrefix(name, "Firefox"))
		a, err := s.Answer(filled(c.answer, s, c.bundled))
		if err != nil || a.RemoteChanged {
			t.Errorf("%s: error %v, transport changed %t", name, err, a.RemoteChanged)
			continue
		}
		if c.pt == 0 {
			if len(a.Subscribe) != 0 || !s.Offered("B") || s.Changed() != c.bundled {
				t.Errorf("%s: %+v, changed %t", name, a, s.Changed())
			}
			continue
		}
		if len(a.Subscribe) != 1 || a.Subscribe[0].PayloadType != c.pt || a.Subscribe[0].RTXType != c.rtx || !a.Subscribe[0].Feedback.PLI {
			t.Errorf("%s: %+v", name, a.Subscribe)
		}
	}
}

// browserCredentials puts a browser's transport into the answer of a Peer.
func browserCredentials(lines []string, firefox bool) []string {
	text := chromiumTransport
	if firefox {
		text = firefoxTransport + "a=fingerprint" + strings.Split(strings.Split(firefoxHead, "a=fingerprint")[1], "\n")[0] + "\n"
	}
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "a=mid:") })
	out := append([]string{lines[0]}, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	return append(out, lines[at:]...)
}

// filled puts the mids of a connection into an answer, and all or the first into its group.
func filled(text string, s *State, all bool) string {
	a, b := s.sections[0].mid, s.sections[1].mid
	bundled := a
	if all {
		bundled += " " + b
	}
	return strings.NewReplacer("\n", "\r\n", "BUNDLED", bundled, "MID0", a, "MID1", b).Replace(text)
}

// published is what a publisher's browser says of a codec.
type published struct {
	codec param.Codec
	lines string // of the codec alone
	types string // its payload types
}

// answer is to an offer of one section, which is for video.
func (c published) answer(firefox bool, mid string) string {
	head, transport := chromiumHead, chromiumTransport
	if firefox {
		head, transport = firefoxHead, firefoxTransport
	}
	text := head + "m=video 9 UDP/TLS/RTP/SAVPF " + c.types + "\n" + transport + "a=sendonly\na=mid:MID0\na=rtcp-mux\na=rtcp-rsize\n" + c.lines +
		"a=ssrc-group:FID 2948853817 3582263408\na=ssrc:2948853817 cname:x\na=ssrc:3582263408 cname:x\n"
	return strings.NewReplacer("\n", "\r\n", "BUNDLED", mid, "MID0", mid).Replace(text)
}

// videoOnly is a publisher to whom the one section for its video is offered.
func videoOnly(c param.Codec) *State {
	cfg := testConfig()
	cfg.Audio, cfg.Video = nil, &OwnVideo{Codec: c}
	s := New(cfg)
	s.Offer()
	return s
}

var publishedByBrowsers = map[string]published{
	"Chromium VP9":  {param.VP9, "a=rtpmap:98 VP9/90000\na=fmtp:98 profile-id=0\na=rtpmap:99 rtx/90000\na=fmtp:99 apt=98\n", "98 99"},
	"Chromium AV1":  {param.AV1, "a=rtpmap:100 AV1/90000\na=fmtp:100 level-idx=5;profile=0;tier=0\na=rtpmap:101 rtx/90000\na=fmtp:101 apt=100\n", "100 101"},
	"Chromium H264": {param.H264, "a=rtpmap:102 H264/90000\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\na=rtpmap:103 rtx/90000\na=fmtp:103 apt=102\n", "102 103"},
	"Chromium H265": {param.H265, "a=rtpmap:104 H265/90000\na=fmtp:104 level-id=156;profile-id=1;tier-flag=0;tx-mode=SRST\na=rtpmap:105 rtx/90000\na=fmtp:105 apt=104\n", "104 105"},
	"Firefox VP8":   {param.VP8, "a=fmtp:96 max-fs=12288;max-fr=60\na=fmtp:97 apt=96\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\n", "96 97"},
	"Firefox VP9":   {param.VP9, "a=fmtp:98 max-fs=12288;max-fr=60\na=fmtp:99 apt=98\na=rtpmap:98 VP9/90000\na=rtpmap:99 rtx/90000\n", "98 99"},
	"Firefox AV1":   {param.AV1, "a=fmtp:100 profile=0;level-idx=5;tier=0\na=fmtp:101 apt=100\na=rtpmap:100 AV1/90000\na=rtpmap:101 rtx/90000\n", "100 101"},
	"Firefox H264":  {param.H264, "a=fmtp:102 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1\na=fmtp:103 apt=102\na=rtpmap:102 H264/90000\na=rtpmap:103 rtx/90000\n", "102 103"},
}

func TestBrowsersPublishEachCodec(t *testing.T) {
	for name, c := range publishedByBrowsers {
		s := videoOnly(c.codec)
		a, err := s.Answer(c.answer(strings.HasPrefix(name, "Firefox"), s.sections[0].mid))
		if err != nil || len(a.Publish) != 1 || len(a.Refused) != 0 {
			t.Errorf("%s: error %v, %+v", name, err, a)
			continue
		}
		e := encodingOf(c.codec)
		if p := a.Publish[0]; p.Codec != c.codec || p.PayloadType != e.pt || p.RTXType != e.rtx || p.SSRC != 2948853817 || p.RTXSSRC != 3582263408 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A browser without the codec of its only section rejects that, and says nothing of a
// transport.
func TestAClientWithoutAnyOfTheCodecsIsToldSo(t *testing.T) {
	for name, answer := range map[string]string{
		"Chromium": chromiumHead + "m=video 0 UDP/TLS/RTP/SAVPF 104 105\nc=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\na=mid:MID0\na=inactive\n",
		"Firefox":  firefoxHead + "m=video 0 UDP/TLS/RTP/SAVPF 120\nc=IN IP4 0.0.0.0\na=inactive\na=mid:MID0\na=rtpmap:120 H265/90000\n",
	} {
		s := videoOnly(param.H265)
		_, err := s.Answer(strings.NewReplacer("\n", "\r\n", " BUNDLED", "", "MID0", s.sections[0].mid).Replace(answer))
		var e *Error
		if !errors.As(err, &e) || e.Reason != ReasonNoCommonCodec {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With other streams there is a transport all the same, wherever the first section that is
// taken may be.
func TestWhoeverRejectsTheFirstSectionsStillLearnsTheCandidates(t *testing.T) {
	cfg := testConfig()
	cfg.Audio, cfg.Video = nil, &OwnVideo{Codec: param.H265}
	s, b := New(cfg), lacking("H265", "H264")
	s.SetRemote("A", []Track{codecTrack(1, param.H264, "")})
	s.SetRemote("B", pair(1))
	s.SetRemote("C", pair(2))
	o, a := trade(t, s, b)
	if len(a.Subscribe) != 4 || len(a.Publish) != 0 {
		t.Errorf("got %+v", a)
	}
	with := func(offer string) (out []bool) {
		for _, m := range parseOffer(t, offer).MediaDescriptions {
			out = append(out, attribute(m, "candidate") != "")
		}
		return out
	}
	// Whoever rejects Opus has no browser's codecs at all.
	if got := with(o); !slices.Equal(got, []bool{true, true, true, false, false, false}) {
		t.Errorf("candidates in %v", got)
	}
	s.SetRemote("C", nil)
	o, _ = trade(t, s, b)
	if got := with(o); !slices.Equal(got, []bool{false, false, true, false, false, false}) {
		t.Errorf("after the answer: candidates in %v", got)
	}
}

// The section on which the transport of the group rests outlives its stream.
func TestTheFirstSectionThatIsTakenIsNeverReleased(t *testing.T) {
	for _, early := range []bool{false, true} { // the publisher leaves before the answer
		cfg := testConfig()
		cfg.Audio, cfg.Video = nil, &OwnVideo{Codec: param.H265}
		s, b := New(cfg), lacking("H265")
		s.SetRemote("A", []Track{videoTrack(1)})
		if early {
			text, err := b.Answer(s.Offer())
			s.SetRemote("A", nil)
			if _, err2 := s.Answer(text); err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
		} else {
			trade(t, s, b)
			s.SetRemote("A", nil)
		}
		for n := range uint32(2) {
			if !s.Changed() {
				t.Fatal("nothing to offer")
			}
			o, _ := trade(t, s, b)
			d := parseOffer(t, o)
			if got := ports(d)[:2]; !slices.Equal(got, []int{0, 9}) {
				t.Errorf("ports %v", got)
			}
			if _, ok := d.MediaDescriptions[1].Attribute("inactive"); !ok || s.Changed() {
				t.Errorf("changed %t, offer\n%s", s.Changed(), o)
			}
			s.SetRemote("B", []Track{videoTrack(2 + n)})
		}
	}
}

func TestFirefoxThatRejectsTheFirstSectionIsToldSo(t *testing.T) {
	s := videoOnly(param.H264)
	s.outstanding = false
	s.SetRemote("A", []Track{audioTrack(1)})
	s.Offer()
	answer := firefoxHead + "m=video 0 UDP/TLS/RTP/SAVPF 120\nc=IN IP4 0.0.0.0\na=inactive\na=mid:MID0\na=rtpmap:120 VP8/90000\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\n" + firefoxTransport + "a=recvonly\na=mid:MID1\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n"
	a, b := s.sections[0].mid, s.sections[1].mid
	_, err := s.Answer(strings.NewReplacer("\n", "\r\n", "BUNDLED", b, "MID0", a, "MID1", b).Replace(answer))
	var e *Error
	if !errors.As(err, &e) || e.Reason != ReasonNoCommonCodec {
		t.Errorf("error %v", err)
	}
}
