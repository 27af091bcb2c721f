package offer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

func TestAnswerOfAPublisher(t *testing.T) {
	s := New(testConfig())
	audio, video := s.MIDs()
	_, a := new(peer).exchange(t, s)
	if !a.RemoteChanged || a.Remote.Ufrag != offertest.Ufrag || a.Remote.Password != offertest.Password ||
		len(a.Remote.Fingerprints) != 1 || a.Remote.Fingerprints[0].Value[31] != 0xcd {
		t.Errorf("remote %+v", a.Remote)
	}
	want := []param.Publish{
		{Kind: param.Audio, Codec: param.Opus, MID: audio, SSRC: 1000, PayloadType: 111, ClockRate: 48000,
			Extensions: param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, AudioLevel: 1},
			Feedback:   param.Feedback{TransportCC: true}, ReducedSize: true},
		{Kind: param.Video, Codec: param.VP8, MID: video, SSRC: 1010, RTXSSRC: 1011, PayloadType: 96, RTXType: 97, ClockRate: 90000,
			Extensions:  param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, VideoOrientation: 7},
			Feedback:    param.Feedback{NACK: true, PLI: true, FIR: true, TransportCC: true, REMB: true},
			ReducedSize: true, MaxBitrate: 500_000},
	}
	if !slices.Equal(a.Publish, want) {
		t.Errorf("got  %+v\nwant %+v", a.Publish, want)
	}
}

func TestASecondAnswerKeepsTheRemote(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	p.exchange(t, s)
	s.SetRemote("A", pair(1))
	if _, a := p.exchange(t, s); a.RemoteChanged || len(a.Publish) != 2 {
		t.Errorf("got %+v", a)
	}
}

// without drops lines with one of the prefixes.
func without(lines []string, prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(l, p) })
	})
}

func TestAnAnswererMayDropFeaturesAndRenumberPayloads(t *testing.T) {
	s := New(testConfig())
	s.SetRemote("A", []Track{videoTrack(1)})
	p := &peer{offertest.Peer{Edit: func(mid string, lines []string) []string {
		if !strings.HasPrefix(mid, "video") {
			return lines
		}
		lines = without(lines, "a=extmap:3", "a=rtcp-fb:96 nack", "a=rtcp-rsize", "a=rtpmap:97", "a=fmtp:97")
		for i, l := range lines {
			l = strings.ReplaceAll(l, "SAVPF 96 97", "SAVPF 120")
			l = strings.ReplaceAll(l, ":96 ", ":120 ")
			lines[i] = strings.Replace(l, "a=extmap:7 ", "a=extmap:9 ", 1)
		}
		return lines
	}}}
	_, a := p.exchange(t, s)
	pub, sub := a.Publish[1], a.Subscribe[0]
	if pub.PayloadType != 96 || pub.RTXType != 0 || pub.RTXSSRC != 0 || pub.ReducedSize {
		t.Errorf("publish %+v", pub)
	}
	if sub.PayloadType != 120 || sub.RTXType != 0 || sub.RTXSSRC != 0 || sub.SSRC == 0 {
		t.Errorf("subscribe %+v", sub)
	}
	want := param.Feedback{FIR: true, TransportCC: true, REMB: true}
	if pub.Feedback != want || sub.Feedback != want {
		t.Errorf("feedback %+v, %+v", pub.Feedback, sub.Feedback)
	}
	if e := (param.Extensions{MID: 4, AbsSendTime: 2}); sub.Extensions != e {
		t.Errorf("extensions %+v, want %+v: a renumbered one counts as declined", sub.Extensions, e)
	}
}

func TestFeedbackForAllPayloadTypes(t *testing.T) {
	s := New(testConfig())
	p := &peer{offertest.Peer{Edit: func(mid string, lines []string) []string {
		return append(without(lines, "a=rtcp-fb"), "a=rtcp-fb:* nack pli", "a=rtcp-fb:* transport-cc")
	}}}
	_, a := p.exchange(t, s)
	if want := (param.Feedback{PLI: true, TransportCC: true}); a.Publish[1].Feedback != want {
		t.Errorf("video %+v", a.Publish[1].Feedback)
	}
	if want := (param.Feedback{TransportCC: true}); a.Publish[0].Feedback != want {
		t.Errorf("audio %+v: PLI was not offered for it", a.Publish[0].Feedback)
	}
}

func TestCredentialsAtTheSessionLevel(t *testing.T) {
	s := New(testConfig())
	p := &peer{offertest.Peer{
		Edit: func(mid string, lines []string) []string { return without(lines, "a=ice-", "a=fingerprint") },
		Session: func(lines []string) []string {
			return append(lines, "a=ice-ufrag:"+offertest.Ufrag, "a=ice-pwd:"+offertest.Password,
				"a=fingerprint:sha-1 00:01", "a=fingerprint:SHA-256 "+strings.ToLower(fingerprintText(testFingerprint(0xef))[8:]))
		},
	}}
	_, a := p.exchange(t, s)
	if len(a.Remote.Fingerprints) != 1 || a.Remote.Fingerprints[0].Algorithm != "sha-256" || a.Remote.Fingerprints[0].Value[0] != 0xef {
		t.Errorf("remote %+v", a.Remote)
	}
}

func TestSSRCsNeedNotBeSignalled(t *testing.T) {
	s := New(testConfig())
	p := &peer{offertest.Peer{Edit: func(mid string, lines []string) []string { return without(lines, "a=ssrc") }}}
	_, a := p.exchange(t, s)
	if len(a.Publish) != 2 || a.Publish[1].SSRC != 0 || a.Publish[1].RTXSSRC != 0 || a.Publish[1].RTXType != 97 {
		t.Errorf("got %+v", a.Publish)
	}
}

func TestAPublisherMayStartAndStopSending(t *testing.T) {
	s := New(testConfig())
	_, video := s.MIDs()
	p := &peer{offertest.Peer{Still: map[string]bool{video: true}}}
	if _, a := p.exchange(t, s); len(a.Publish) != 1 || a.Publish[0].Kind != param.Audio {
		t.Errorf("got %+v", a.Publish)
	}
	s.SetRemote("A", pair(1))
	p.Still = nil
	if _, a := p.exchange(t, s); len(a.Publish) != 2 {
		t.Errorf("got %+v", a.Publish)
	}
}

func TestAViewerMayStopAndStartReceiving(t *testing.T) {
	s := New(testConfig())
	s.SetRemote("A", pair(1))
	p := new(peer)
	_, a := p.exchange(t, s)
	video := a.Subscribe[1]
	p.Still = map[string]bool{video.MID: true}
	s.SetRemote("B", pair(2))
	if _, a := p.exchange(t, s); !slices.Equal(a.Unsubscribe, []uint32{video.SSRC}) || len(a.Subscribe) != 2 {
		t.Errorf("got %+v", a)
	}
	p.Still = nil
	s.SetRemote("B", nil)
	if _, a := p.exchange(t, s); len(a.Unsubscribe) != 0 || len(a.Subscribe) != 1 || a.Subscribe[0].SSRC != video.SSRC {
		t.Errorf("got %+v", a)
	}
}

func TestADeclinedStreamIsNotOfferedAgain(t *testing.T) {
	s := New(testConfig())
	s.SetRemote("A", pair(1))
	o := s.Offer()
	mid := attribute(parseOffer(t, o).MediaDescriptions[3], "mid")
	a, err := s.Answer((&offertest.Peer{Decline: map[string]bool{mid: true}}).Answer(o))
	if err != nil || len(a.Subscribe) != 1 {
		t.Fatalf("error %v, subscriptions %+v", err, a.Subscribe)
	}
	if s.Changed() || !s.Offered("A") {
		t.Error("the declined stream would be offered again")
	}
	// Its section is free for another publisher's video.
	s.SetRemote("B", []Track{videoTrack(9)})
	text, a := new(peer).exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 9, 9}) || len(a.Subscribe) != 1 {
		t.Errorf("ports %v, subscriptions %+v", got, a.Subscribe)
	}
}

func TestADeclinedOwnSectionStaysDeclined(t *testing.T) {
	s := New(testConfig())
	audio, _ := s.MIDs()
	o := s.Offer()
	a, err := s.Answer((&offertest.Peer{Decline: map[string]bool{audio: true}}).Answer(o))
	if err != nil || len(a.Publish) != 1 || a.Publish[0].Kind != param.Video {
		t.Fatalf("error %v, publications %+v", err, a.Publish)
	}
	s.SetRemote("A", pair(1))
	text, _ := new(peer).exchange(t, s)
	d := parseOffer(t, text)
	if got := ports(d); !slices.Equal(got, []int{0, 9, 9, 9}) {
		t.Errorf("ports %v", got)
	}
	if _, ok := d.MediaDescriptions[1].Attribute("candidate"); !ok {
		t.Error("the tagged section has no candidates")
	}
}

// An official SDK rewrites port 0 to 9 for Firefox, so released sections can come back as
// if they were in use.
func TestAReleasedSectionAnsweredAliveStaysReleased(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	s.SetRemote("A", pair(1))
	p.exchange(t, s)
	s.SetRemote("A", nil)
	o := s.Offer()
	answer := strings.ReplaceAll(p.Answer(o), " 0 UDP", " 9 UDP")
	a, err := s.Answer(answer)
	if err != nil || len(a.Subscribe) != 0 {
		t.Fatalf("error %v, %+v", err, a)
	}
	s.SetRemote("B", pair(2))
	text, _ := p.exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 9, 9}) {
		t.Errorf("ports %v", got)
	}
}

func TestFaultyAnswersAreRefusedAndChangeNothing(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	cut := func(text string, from string) string { return text[:strings.LastIndex(text, from)] }
	for name, c := range map[string]struct {
		change func(string) string
		reason string
	}{
		"empty":                {func(string) string { return "" }, ReasonInvalidSDP},
		"not SDP":              {func(string) string { return "hello" }, ReasonInvalidSDP},
		"a section less":       {func(s string) string { return cut(s, "m=") }, ReasonInvalidSDP},
		"a section more":       {func(s string) string { return s + s[strings.LastIndex(s, "m="):] }, ReasonInvalidSDP},
		"another kind":         {replace("m=audio", "m=video"), ReasonInvalidSDP},
		"an application":       {replace("m=audio", "m=application"), ReasonInvalidSDP},
		"another mid":          {replace("a=mid:audio_", "a=mid:audix_"), ReasonInvalidSDP},
		"swapped mids":         {func(s string) string { return swap(s, "a=mid:audio_", "a=mid:video_") }, ReasonInvalidSDP},
		"no mid":               {replace("a=mid:", "a=dim:"), ReasonInvalidSDP},
		"no BUNDLE":            {replace("a=group:", "a=gruop:"), ReasonInvalidSDP},
		"unknown mid bundled":  {replace("BUNDLE ", "BUNDLE x "), ReasonInvalidSDP},
		"no rtcp-mux":          {replace("a=rtcp-mux", "a=x"), ReasonInvalidSDP},
		"passive":              {replace("setup:active", "setup:passive"), ReasonInvalidSDP},
		"plain RTP":            {replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), ReasonInvalidSDP},
		"everything rejected":  {replace(" 9 UDP", " 0 UDP"), ReasonNoCommonCodec},
		"no ufrag":             {replace("a=ice-ufrag", "a=x"), ReasonInvalidSDP},
		"short ufrag":          {replace("a=ice-ufrag:"+offertest.Ufrag, "a=ice-ufrag:abc"), ReasonInvalidSDP},
		"short password":       {replace(offertest.Password, "short"), ReasonInvalidSDP},
		"odd password":         {replace(offertest.Password, "peerpassword\x00peerpassword"), ReasonInvalidSDP},
		"no fingerprint":       {replace("a=fingerprint", "a=x"), ReasonBadFingerprint},
		"weak hash only":       {replace("sha-256", "sha-1"), ReasonBadFingerprint},
		"short fingerprint":    {replace("CD:CD:CD", "CD:CD"), ReasonInvalidSDP},
		"malformed hex":        {replace("CD:CD:CD", "CD:CX:CD"), ReasonInvalidSDP},
		"malformed separators": {replace("CD:CD:CD", "CD-CD:CD"), ReasonInvalidSDP},
		"one SSRC twice":       {replace("a=ssrc:1000", "a=ssrc:1010"), ReasonInvalidSDP},
	} {
		s := New(testConfig())
		good := new(peer).Answer(s.Offer())
		changed := c.change(good)
		if changed == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		_, err := s.Answer(changed)
		var e *Error
		if !errors.As(err, &e) || e.Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
		if _, err := s.Answer(good); err != nil {
			t.Errorf("%s: the good answer afterwards: %v", name, err)
		}
	}
}

func swap(s, a, b string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, a, "\x00"), b, a), "\x00", b)
}

func TestAChangedFingerprintIsRefused(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	p.exchange(t, s)
	s.SetRemote("A", pair(1))
	_, err := s.Answer(strings.ReplaceAll(p.Answer(s.Offer()), "CD:CD", "CE:CE"))
	if err == nil || !strings.Contains(err.Error(), "fingerprint changed") {
		t.Errorf("error %v", err)
	}
}

func TestAnAnswerWithoutAnOfferIsRefused(t *testing.T) {
	s := New(testConfig())
	o := s.Offer()
	answer := new(peer).Answer(o)
	if _, err := s.Answer(answer); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Answer(answer); err == nil {
		t.Error("a second answer was accepted")
	}
}

func TestEveryTruncationOfAnAnswerIsHandled(t *testing.T) {
	cfg := testConfig()
	cfg.Video = nil
	s := New(cfg)
	whole := new(peer).Answer(s.Offer())
	// The answer is complete once RTCP is multiplexed; what follows is optional.
	complete := strings.Index(whole, "a=rtcp-rsize")
	for i := range complete - 2 {
		if _, err := s.Answer(whole[:i]); err == nil {
			t.Fatalf("the first %d bytes were accepted:\n%s", i, whole[:i])
		}
	}
}

// Row SIG-06.
func TestSDPBombsAreRefusedInBoundedTime(t *testing.T) {
	s := New(testConfig())
	good := new(peer).Answer(s.Offer())
	media := good[strings.Index(good, "m="):]
	head := good[:strings.Index(good, "m=")]
	audio, _ := s.MIDs()
	start := time.Now()
	for name, bomb := range map[string]string{
		"10,000 m-lines":        head + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", 10_000),
		"a line of 1 MB":        head + "a=" + strings.Repeat("x", 1_000_000) + "\r\n" + strings.Replace(media, "a=mid", "a=x", 1),
		"more than 1 MiB":       good + strings.Repeat("a=x\r\n", 250_000),
		"100,000 attributes":    good + strings.Repeat("a=x\r\n", 100_000),
		"duplicate mids":        strings.Replace(good, "a=mid:video_", "a=mid:"+audio+"\r\na=mid:x", 1),
		"BUNDLE of 10,000":      strings.Replace(good, "BUNDLE", "BUNDLE"+strings.Repeat(" x", 10_000), 1),
		"10,000 payload types":  strings.Replace(good, "SAVPF 111", "SAVPF"+strings.Repeat(" 0", 10_000), 1),
		"SCTP with a huge port": strings.Replace(good, media, "m=application 99999999999999999999 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:99999999999\r\n", 1),
	} {
		if _, err := s.Answer(bomb); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	// 1,000 rids and 1,000 SSRCs do no harm.
	noise := good
	for i := range 400 {
		noise += fmt.Sprintf("a=ssrc:%d cname:x\r\n", i+5000) + fmt.Sprintf("a=rid:r%d send\r\n", i)
	}
	if a, err := s.Answer(noise); err != nil || len(a.Publish) != 2 {
		t.Errorf("rids and SSRCs: %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

// Row SIG-06.
func TestTooManySectionsAreRefusedBeforeTheyAreParsed(t *testing.T) {
	s := New(testConfig())
	good := new(peer).Answer(s.Offer())
	for _, end := range []string{"\r\n", "\n", "\r"} {
		bomb := good[:strings.Index(good, "m=")] + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111"+end, 10_000)
		if n := testing.AllocsPerRun(20, func() { s.Answer(bomb) }); n > 10 {
			t.Errorf("lines end with %q: %v allocations", end, n)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	s := New(testConfig())
	f.Add(new(peer).Answer(s.Offer()))
	four := New(testConfig())
	four.SetRemote("A", pair(1))
	f.Add(new(peer).Answer(four.Offer()))
	two := withTwoCodecs(false)
	for _, c := range twoCodecAnswers {
		f.Add(filled(c.answer, two, c.bundled))
	}
	mid := videoOnly(param.H264).sections[0].mid
	for name, c := range publishedByBrowsers {
		f.Add(c.answer(strings.HasPrefix(name, "Firefox"), mid))
	}
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 0 x 0\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := New(testConfig())
		s.SetRemote("A", pair(1))
		s.Offer()
		checkAnswer(t, s, text)
		s = New(testConfig())
		s.Offer()
		checkAnswer(t, s, text)
		checkAnswer(t, withTwoCodecs(false), text)
		checkAnswer(t, videoOnly(param.H264), text)
	})
}

// checkAnswer holds what is accepted to what media relies on.
func checkAnswer(t *testing.T, s *State, text string) {
	t.Helper()
	a, err := s.Answer(text)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Reason == "" {
			t.Fatalf("bad error %#v", err)
		}
		if !s.Outstanding() {
			t.Fatal("a refused answer took the offer away")
		}
		return
	}
	if a.Remote.Ufrag == "" || a.Remote.Password == "" || len(a.Remote.Fingerprints) == 0 {
		t.Fatalf("remote %+v", a.Remote)
	}
	if len(a.Publish) > 2 || len(a.Subscribe) > 2 || len(a.Unsubscribe) != 0 {
		t.Fatalf("got %+v", a)
	}
	for _, p := range a.Publish {
		if len(p.MID) > 16 || p.PayloadType > 127 || p.ClockRate == 0 || p.SSRC == 0 && p.RTXSSRC != 0 {
			t.Fatalf("publish %+v", p)
		}
	}
	for _, p := range a.Subscribe {
		if p.SSRC == 0 || p.PayloadType > 127 || p.RTXType > 127 || p.RTXType == 0 != (p.RTXSSRC == 0) {
			t.Fatalf("subscribe %+v", p)
		}
	}
	s.Offer()
}
