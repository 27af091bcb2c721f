package offer

import (
	"fmt"
	"strings"
	"testing"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

// redState is a connection with redundancy offered, which sends audio and receives one stream.
func redState(audio *OwnAudio) *State {
	cfg := testConfig()
	cfg.RED, cfg.Audio = true, audio
	s := New(cfg)
	s.SetRemote("P1", []Track{audioTrack(1)})
	return s
}

func answered(t *testing.T, s *State, b *offertest.Browser) Answer {
	t.Helper()
	text, err := b.Answer(s.Offer())
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Answer(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOpusIsOfferedWithRedundancyInFrontOfIt(t *testing.T) {
	text := redState(&OwnAudio{}).Offer()
	if n := strings.Count(text, "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"); n != 2 {
		t.Errorf("%d audio sections with it:\n%s", n, text)
	}
	for _, line := range []string{"a=rtpmap:63 red/48000/2\r\n", "a=fmtp:63 111/111\r\n"} {
		if n := strings.Count(text, line); n != 2 {
			t.Errorf("%q: %d times", line, n)
		}
	}
}

func TestNothingIsSaidOfRedundancyUnasked(t *testing.T) {
	cfg := testConfig()
	s := New(cfg)
	s.SetRemote("P1", []Track{audioTrack(1)})
	var b offertest.Browser
	text := s.Offer()
	if strings.Contains(text, "red/") {
		t.Error(text)
	}
	answer, err := b.Answer(text)
	if err != nil {
		t.Fatal(err)
	}
	// A client that puts it into its answer all the same gets plain Opus, and sends it.
	answer = strings.ReplaceAll(answer, "a=rtpmap:111 opus", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus")
	answer = strings.ReplaceAll(answer, "SAVPF 111", "SAVPF 63 111")
	a, err := s.Answer(answer)
	if err != nil || len(a.Publish) != 2 || a.Publish[0].REDType != 0 || len(a.Subscribe) != 1 || a.Subscribe[0].REDType != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBothWaysHaveRedundancyIfTheAnswerTakesIt(t *testing.T) {
	for _, without := range []bool{false, true} {
		s := redState(&OwnAudio{})
		a := answered(t, s, &offertest.Browser{NoRED: without})
		want := uint8(63)
		if without {
			want = 0
		}
		if p := a.Publish[0]; p.Kind != param.Audio || p.PayloadType != 111 || p.REDType != want {
			t.Errorf("without %v: %+v", without, p)
		}
		if sub := a.Subscribe[0]; sub.PayloadType != 111 || sub.REDType != want {
			t.Errorf("without %v: %+v", without, sub)
		}
		if p := a.Publish[1]; p.REDType != 0 {
			t.Errorf("video %+v", p)
		}
	}
}

// A client that asked for parameters of its own sends with one number, and gets what others send
// with another: RED of each names its own.
func TestEachFormOfOpusHasRedundancyOfItsOwn(t *testing.T) {
	s := redState(&OwnAudio{Stereo: "1"})
	var b offertest.Browser
	a := answered(t, s, &b)
	if p, sub := a.Publish[0], a.Subscribe[0]; p.PayloadType != 111 || p.REDType != 63 || sub.PayloadType != 109 || sub.REDType != 62 {
		t.Errorf("%+v, %+v", p, sub)
	}
	for _, r := range b.Sections {
		for _, f := range r.Formats {
			if f.Name == "opus" && f.RED == "" {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestRedundancyOfAnythingElseIsNone(t *testing.T) {
	for params, want := range map[string]uint8{
		"111/111": 63, "111/111/111": 63, " 111 / 111 ": 63,
		"": 0, "111": 0, "111/": 0, "/": 0, "111/110": 0, "110/110": 0, "111/111/0": 0, "63/63": 0, "x/x": 0,
	} {
		cfg := testConfig()
		cfg.RED, cfg.Video = true, nil
		s := New(cfg)
		var b offertest.Browser
		text, err := b.Answer(s.Offer())
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Answer(strings.Replace(text, "a=fmtp:63 111/111", "a=fmtp:63 "+params, 1))
		if err != nil || len(a.Publish) != 1 || a.Publish[0].PayloadType != 111 || a.Publish[0].REDType != want {
			t.Errorf("%q: %+v, %v", params, a.Publish, err)
		}
	}
}

// Its numbers stay its own, whatever else there is.
func TestNoOtherFormatGetsTheNumbersOfRedundancy(t *testing.T) {
	cfg := testConfig()
	cfg.RED = true
	s := New(cfg)
	var tracks []Track
	for i := range 24 {
		tracks = append(tracks, Track{Kind: param.Video, Codec: param.H264, Params: H264Params(fmt.Sprintf("6400%02x", 10+i)), ID: param.TrackID{Index: uint32(i), Gen: 1}})
	}
	s.SetRemote("P1", append(tracks, audioTrack(99)))
	var b offertest.Browser
	a := answered(t, s, &b) // which holds that a number has one meaning
	for _, sub := range a.Subscribe {
		for _, pt := range []uint8{sub.PayloadType, sub.RTXType} {
			if pt == redType || pt == otherREDType {
				t.Errorf("%+v", sub)
			}
		}
	}
	if n := len(a.Subscribe); n != 24 {
		t.Errorf("%d streams, want 23 formats of video and one of audio", n)
	}
}
