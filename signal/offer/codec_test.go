package offer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

// viewer returns the state of a client that sends nothing.
func viewer() *State {
	cfg := testConfig()
	cfg.Audio, cfg.Video = nil, nil
	return New(cfg)
}

func codecTrack(n uint32, c param.Codec, params string) Track {
	return Track{Kind: param.Video, Codec: c, Params: params, ID: param.TrackID{Index: n}}
}

// lacking is a browser without some codecs.
func lacking(names ...string) *offertest.Browser {
	return &offertest.Browser{Supports: func(name, _ string) bool { return !slices.Contains(names, name) }}
}

// trade runs one offer and its answer and returns both with the sections as the browser
// sees them.
func trade(t *testing.T, s *State, b *offertest.Browser) (string, Answer) {
	t.Helper()
	o := s.Offer()
	text, err := b.Answer(o)
	if err != nil {
		t.Fatalf("%v\n%s", err, o)
	}
	a, err := s.Answer(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return o, a
}

func TestEveryCodecIsOfferedInItsUsualForm(t *testing.T) {
	for c, want := range map[param.Codec]string{
		param.VP8: "SAVPF 96 97\r\n|a=rtpmap:96 VP8/90000\r\n|a=fmtp:97 apt=96\r\n",
		param.VP9: "SAVPF 98 99\r\n|a=rtpmap:98 VP9/90000\r\n|a=fmtp:98 profile-id=0\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n",
		param.AV1: "SAVPF 100 101\r\n|a=rtpmap:100 AV1/90000\r\n|a=fmtp:100 level-idx=5;profile=0;tier=0\r\n|a=fmtp:101 apt=100\r\n",
		param.H264: "SAVPF 102 103\r\n|a=rtpmap:102 H264/90000\r\n|" +
			"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n|a=fmtp:103 apt=102\r\n",
		param.H265: "SAVPF 104 105\r\n|a=rtpmap:104 H265/90000\r\n|" +
			"a=fmtp:104 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST\r\n|a=fmtp:105 apt=104\r\n",
	} {
		cfg := testConfig()
		cfg.Video.Codec = c
		text := New(cfg).Offer()
		for _, part := range strings.Split(want, "|") {
			if !strings.Contains(text, part) {
				t.Errorf("%v: %q is not in\n%s", c, part, text)
			}
		}
	}
}

func TestPublishersOfDifferentCodecsInOneChannel(t *testing.T) {
	s := viewer()
	for i, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		s.SetRemote(c.String(), []Track{codecTrack(uint32(i), c, "")})
	}
	_, a := trade(t, s, &offertest.Browser{})
	var got []string
	for _, sub := range a.Subscribe {
		got = append(got, fmt.Sprint(sub.CNAME, " ", sub.Codec, " ", sub.PayloadType, " ", sub.RTXType))
	}
	want := []string{"VP8 VP8 96 97", "VP9 VP9 98 99", "AV1 AV1 100 101", "H264 H264 102 103", "H265 H265 104 105"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAPublishersParametersHaveANumberOfTheirOwn(t *testing.T) {
	s := viewer()
	s.SetRemote("A", []Track{codecTrack(1, param.VP9, "")})
	s.SetRemote("B", []Track{codecTrack(2, param.VP9, VP9Params(2))})
	s.SetRemote("C", []Track{codecTrack(3, param.VP9, "PROFILE-ID=2")})
	o, a := trade(t, s, &offertest.Browser{})
	if a.Subscribe[0].PayloadType != 98 || a.Subscribe[1].PayloadType != 106 || a.Subscribe[2].PayloadType != 106 || a.Subscribe[1].RTXType != 107 {
		t.Errorf("got %+v", a.Subscribe)
	}
	if !strings.Contains(o, "a=fmtp:106 profile-id=2\r\n") {
		t.Errorf("no profile 2 in\n%s", o)
	}
}

func TestOwnOpusParametersDoNotSpeakForOthers(t *testing.T) {
	cfg := testConfig()
	cfg.Audio.Stereo = "1"
	s := New(cfg)
	s.SetRemote("A", []Track{audioTrack(1)})
	o, a := trade(t, s, &offertest.Browser{})
	if a.Publish[0].PayloadType != 111 || a.Subscribe[0].PayloadType != 109 ||
		!strings.Contains(o, "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n") || !strings.Contains(o, "a=fmtp:109 minptime=10;useinbandfec=1\r\n") {
		t.Errorf("got %+v\n%s", a, o)
	}
}

// Sections that are released are reused by streams of their own codecs first, then by any,
// and their lists of formats grow.
func TestASectionPrefersACodecThatItHasHad(t *testing.T) {
	s, b := viewer(), &offertest.Browser{}
	s.SetRemote("A", []Track{codecTrack(1, param.VP8, "")})
	s.SetRemote("B", []Track{codecTrack(2, param.AV1, "")})
	trade(t, s, b)
	s.SetRemote("A", nil)
	s.SetRemote("B", nil)
	trade(t, s, b)
	s.SetRemote("C", []Track{codecTrack(3, param.AV1, "")})
	o, _ := trade(t, s, b)
	if got := ports(parseOffer(t, o)); !slices.Equal(got, []int{9, 0, 9}) {
		t.Errorf("ports %v: AV1 did not take AV1's section", got)
	}
	s.SetRemote("D", []Track{codecTrack(4, param.H264, "")})
	s.SetRemote("E", []Track{codecTrack(5, param.H264, "")})
	o, a := trade(t, s, b)
	var lists []string
	for _, m := range parseOffer(t, o).MediaDescriptions {
		lists = append(lists, strings.Join(m.MediaName.Formats, " "))
	}
	if want := []string{"111", "102 103 96 97", "100 101", "102 103"}; !slices.Equal(lists, want) {
		t.Errorf("lists %q, want %q", lists, want)
	}
	if len(a.Subscribe) != 2 || a.Subscribe[0].PayloadType != 102 || a.Subscribe[0].RTXType != 103 {
		t.Errorf("got %+v", a.Subscribe)
	}
}

func TestAListOfFormatsIsBounded(t *testing.T) {
	s, b := viewer(), &offertest.Browser{}
	for i := range 7 {
		s.SetRemote("A", []Track{codecTrack(uint32(i), param.H264, H264Params(fmt.Sprintf("42e0%02x", i+20)))})
		trade(t, s, b)
		s.SetRemote("A", nil)
		trade(t, s, b)
	}
	if n := len(s.sections); n != 3 || len(s.sections[1].formats) != maxFormats || len(s.sections[2].formats) != 2 {
		t.Errorf("%d sections with %d and %d formats", n, len(s.sections[1].formats), len(s.sections[2].formats))
	}
	// One that is full still serves its own.
	s.SetRemote("B", []Track{codecTrack(100, param.H264, H264Params("42e014"))})
	o, _ := trade(t, s, b)
	if got := ports(parseOffer(t, o)); !slices.Equal(got, []int{9, 9, 0}) {
		t.Errorf("ports %v", got)
	}
}

// The answer of a connection whose every section has its longest list is not too long.
func TestTheLongestAnswerIsAccepted(t *testing.T) {
	s, b := viewer(), &offertest.Browser{}
	for round, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		for i := range uint32(MaxSections / 2) {
			s.SetRemote(fmt.Sprintf("PUBLISHEROFTWENTYSIX%06d", i), []Track{audioTrack(2 * i), codecTrack(2*i+1+uint32(round)<<16, c, "")})
		}
		_, a := trade(t, s, b)
		if len(a.Subscribe) < MaxSections/2-1 {
			t.Fatalf("round %d: %d subscriptions", round, len(a.Subscribe))
		}
		if round < 4 {
			for i := range uint32(MaxSections / 2) {
				s.SetRemote(fmt.Sprintf("PUBLISHEROFTWENTYSIX%06d", i), []Track{audioTrack(2 * i)})
			}
			trade(t, s, b)
		}
	}
}

func TestAStreamWithoutANumberLeftIsNotOffered(t *testing.T) {
	s, b := viewer(), &offertest.Browser{}
	for i := range uint32(30) {
		s.SetRemote(fmt.Sprint("P", i), []Track{codecTrack(i, param.H264, H264Params(fmt.Sprintf("42e0%02x", i+40)))})
	}
	_, a := trade(t, s, b)
	if len(a.Subscribe) != 24 || s.Changed() || !s.Offered("P29") {
		t.Fatalf("%d subscriptions, changed %t", len(a.Subscribe), s.Changed())
	}
	for _, sub := range a.Subscribe {
		if pt := sub.PayloadType; pt < 35 || pt > 63 && pt < 96 || pt > 127 {
			t.Errorf("payload type %d", pt)
		}
	}
	// A number never changes its meaning, so leaving does not help; usual forms have theirs.
	s.SetRemote("P0", nil)
	s.SetRemote("X", []Track{codecTrack(100, param.H265, "")})
	if _, a := trade(t, s, b); len(a.Subscribe) != 1 || a.Subscribe[0].PayloadType != 104 {
		t.Errorf("got %+v", a.Subscribe)
	}
	if s.Changed() {
		t.Error("a stream without a number would be offered")
	}
	// One of a form that has a number is as good as any.
	s.SetRemote("Y", []Track{codecTrack(101, param.H264, H264Params("42e028"))})
	if _, a := trade(t, s, b); len(a.Subscribe) != 1 {
		t.Errorf("got %+v", a.Subscribe)
	}
}

func TestAViewerWithoutTheCodecDoesNotTakeTheStream(t *testing.T) {
	s, b := viewer(), lacking("H264")
	s.SetRemote("A", []Track{audioTrack(1), codecTrack(2, param.H264, "")})
	// Nothing else is in the list: port 0.
	if _, a := trade(t, s, b); len(a.Subscribe) != 1 || a.Subscribe[0].Kind != param.Audio {
		t.Fatalf("got %+v", a)
	}
	if s.Changed() || !s.Offered("A") {
		t.Error("it would be offered again")
	}
	s.SetRemote("B", []Track{codecTrack(3, param.VP8, "")})
	if _, a := trade(t, s, b); len(a.Subscribe) != 1 || a.Subscribe[0].Codec != param.VP8 {
		t.Fatalf("got %+v", a)
	}
	s.SetRemote("B", nil)
	trade(t, s, b)
	// Now VP8 is in the list as well: the section is accepted without H.264.
	s.SetRemote("C", []Track{codecTrack(4, param.H264, "")})
	if _, a := trade(t, s, b); len(a.Subscribe) != 0 {
		t.Fatalf("got %+v", a)
	}
	if !s.Changed() || !s.Offered("C") {
		t.Error("the section has to be released")
	}
	o, a := trade(t, s, b)
	if got := ports(parseOffer(t, o)); !slices.Equal(got, []int{9, 9, 0}) || len(a.Subscribe) != 0 || s.Changed() {
		t.Errorf("ports %v, %+v", got, a)
	}
}

func TestAPublisherWithoutTheCodecDoesNotPublish(t *testing.T) {
	cfg := testConfig()
	cfg.Video.Codec = param.H265
	s, b := New(cfg), lacking("H265")
	_, a := trade(t, s, b)
	if len(a.Publish) != 1 || a.Publish[0].Kind != param.Audio || !slices.Equal(a.Refused, []param.Kind{param.Video}) {
		t.Fatalf("got %+v", a)
	}
	s.SetRemote("A", pair(1))
	if _, a := trade(t, s, b); len(a.Refused) != 0 || len(a.Publish) != 1 {
		t.Errorf("got %+v: it is said once", a)
	}
}

// An answer may accept a section under another codec than was asked for.
func TestAnOwnSectionWithoutItsCodecIsRefused(t *testing.T) {
	for _, replace := range [][2]string{{"VP8/90000", "VP9/90000"}, {"VP8/90000", "VP8/8000"}} {
		s := New(testConfig())
		a, err := s.Answer(strings.ReplaceAll(new(peer).Answer(s.Offer()), replace[0], replace[1]))
		if err != nil || len(a.Publish) != 1 || !slices.Equal(a.Refused, []param.Kind{param.Video}) {
			t.Fatalf("%v: error %v, %+v", replace, err, a)
		}
		// The section stays, and a later answer may take the codec.
		s.SetRemote("A", pair(1))
		if _, a := new(peer).exchange(t, s); len(a.Publish) != 2 || len(a.Refused) != 0 {
			t.Errorf("got %+v", a)
		}
	}
}

func TestTwoStreamsOfAKindHaveDifferentTrackIDs(t *testing.T) {
	s, b := viewer(), &offertest.Browser{}
	s.SetRemote("A", []Track{videoTrack(1), videoTrack(2)})
	o, _ := trade(t, s, b)
	if !strings.Contains(o, "a=msid:A A-video\r\n") || !strings.Contains(o, "a=msid:A A-video-2\r\n") {
		t.Errorf("got\n%s", o)
	}
	s.SetRemote("A", []Track{videoTrack(2), videoTrack(3)})
	if o, _ = trade(t, s, b); strings.Count(o, "a=msid:A A-video\r\n") != 1 {
		t.Errorf("got\n%s", o)
	}
}

func TestAnswersAreMatchedByProfile(t *testing.T) {
	h264 := H264Params("")
	for _, c := range []struct {
		codec             param.Codec
		offered, answered string
		want              bool
	}{
		{param.VP8, "", "max-fs=12288;max-fr=60", true},
		{param.VP9, "profile-id=0", "", true},
		{param.VP9, "profile-id=0", "max-fs=12288;max-fr=60", true},
		{param.VP9, "profile-id=2", "profile-id=0", false},
		{param.VP9, "profile-id=2", " Profile-Id = 2 ", true},
		{param.AV1, AV1Params(0, 5, 0), "", true},
		{param.AV1, AV1Params(0, 5, 0), "level-idx=19;profile=0;tier=1", true},
		{param.AV1, AV1Params(1, 5, 0), "level-idx=5;profile=0;tier=0", false},
		{param.H264, h264, "profile-level-id=42e034;packetization-mode=1", true},
		{param.H264, h264, "profile-level-id=42C01F;packetization-mode=1", true},
		{param.H264, h264, "profile-level-id=42f01f;packetization-mode=1", true},
		{param.H264, h264, "profile-level-id=4d801f;packetization-mode=1", true},
		{param.H264, h264, "packetization-mode=1", true},
		{param.H264, h264, "profile-level-id=42e01f", false},
		{param.H264, h264, "profile-level-id=42e01f;packetization-mode=0", false},
		{param.H264, h264, "profile-level-id=42001f;packetization-mode=1", false},
		{param.H264, h264, "profile-level-id=4d001f;packetization-mode=1", false},
		{param.H264, h264, "profile-level-id=64001f;packetization-mode=1", false},
		{param.H264, h264, "profile-level-id=zz;packetization-mode=1", false},
		{param.H264, H264Params("640c1f"), "profile-level-id=64001f;packetization-mode=1", false},
		{param.H264, H264Params("f4001f"), "profile-level-id=f40028;packetization-mode=1", true},
		{param.H265, H265Params(93, 1, 0, "SRST"), "level-id=156;profile-id=1;tier-flag=1;tx-mode=SRST", true},
		{param.H265, H265Params(93, 1, 0, "SRST"), "", true},
		{param.H265, H265Params(93, 2, 0, "SRST"), "profile-id=1", false},
		{param.H265, H265Params(93, 1, 0, "MRST"), "profile-id=1;tx-mode=SRST", false},
	} {
		if got := encodingOf(c.codec).accepts(c.offered, c.answered); got != c.want {
			t.Errorf("%v: offered %q, answered %q: %t", c.codec, c.offered, c.answered, got)
		}
	}
}

func TestParameterTexts(t *testing.T) {
	for _, c := range [][2]string{
		{VP9Params(2), "profile-id=2"},
		{AV1Params(0, 5, 1), "level-idx=5;profile=0;tier=1"},
		{AV1Params(1, -1, -1), "profile=1"},
		{AV1Params(-1, -1, -1), ""},
		{H264Params("640028"), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640028"},
		{H264Params("42e01f\r\na=x"), H264Params("")},
		{H264Params("zzzzzz"), H264Params("")},
		{H265Params(120, 2, 1, "MRST"), "level-id=120;profile-id=2;tier-flag=1;tx-mode=MRST"},
		{H265Params(-1, 1, -1, ""), "profile-id=1"},
		{H265Params(-1, -1, -1, "MRMT"), "tx-mode=MRMT"},
		{H265Params(-1, -1, -1, "x\r\n"), ""},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func FuzzFormatParameters(f *testing.F) {
	f.Add("profile-level-id=42e01f;packetization-mode=1")
	f.Add("level-idx=5; profile=0 ;tier=0;;=;x")
	f.Fuzz(func(t *testing.T, params string) {
		if key := canonical(params); canonical(key) != key {
			t.Fatalf("%q is not canonical: %q", key, canonical(key))
		}
		for i := range encodings {
			e := &encodings[i]
			e.accepts(e.usual, params)
			if !e.accepts(params, params) {
				t.Fatalf("%v: %q does not accept itself", e.codec, params)
			}
		}
	})
}
