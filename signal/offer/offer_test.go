package offer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"tsubame/media/param"
)

func TestFirstOfferOfAPublisher(t *testing.T) {
	s := New(testConfig())
	audio, video := s.MIDs()
	text := s.Offer()
	want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(`v=0
o=- SESSION 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE AUDIO VIDEO
a=msid-semantic: WMS *
a=ice-lite
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host
a=candidate:2 1 udp 2130706175 192.0.2.2 3478 typ host
a=end-of-candidates
a=ice-ufrag:srvU
a=ice-pwd:serverpasswordserverpass
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
a=setup:actpass
a=mid:AUDIO
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
b=TIAS:500000
b=AS:500
a=ice-ufrag:srvU
a=ice-pwd:serverpasswordserverpass
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
a=setup:actpass
a=mid:VIDEO
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:7 urn:3gpp:video-orientation
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
`, "AUDIO", audio), "VIDEO", video), "\n", "\r\n")
	want = strings.Replace(want, "SESSION", fmt.Sprint(s.sessionID), 1)
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if !strings.HasPrefix(audio, "audio_") || !strings.HasPrefix(video, "video_") || len(audio) != 12 {
		t.Errorf("mids %q %q", audio, video)
	}
	parseOffer(t, text)
}

func TestOpusParametersReachTheFmtp(t *testing.T) {
	for want, a := range map[string]OwnAudio{
		"minptime=10;useinbandfec=1":          {},
		"minptime=10;useinbandfec=1;usedtx=1": {UseDTX: "1"},
		"minptime=20;useinbandfec=0;stereo=0;sprop-stereo=1;usedtx=0;maxplaybackrate=16000;maxaveragebitrate=64000": {
			MinPTime: 20, UseInbandFEC: "0", Stereo: "0", SpropStereo: "1", UseDTX: "0", MaxPlaybackRate: 16000, Bitrate: 64000},
	} {
		cfg := testConfig()
		cfg.Audio = &a
		if text := New(cfg).Offer(); !strings.Contains(text, "a=fmtp:111 "+want+"\r\n") {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestAudioBitrateAndPacketTimeAreInTheSDP(t *testing.T) {
	cfg := testConfig()
	cfg.Audio = &OwnAudio{Bitrate: 64_000, PTime: 40}
	text := New(cfg).Offer()
	for _, want := range []string{"b=TIAS:64000\r\nb=AS:64\r\n", "a=ptime:40\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestViewerOfAnEmptyChannelGetsAPlaceholder(t *testing.T) {
	for _, video := range []bool{false, true} {
		cfg := testConfig()
		cfg.Audio, cfg.Video, cfg.PlaceholderVideo = nil, nil, video
		s := New(cfg)
		d := parseOffer(t, s.Offer())
		if len(d.MediaDescriptions) != 1 {
			t.Fatalf("%d sections", len(d.MediaDescriptions))
		}
		m := d.MediaDescriptions[0]
		if kind := map[bool]string{false: "audio", true: "video"}[video]; m.MediaName.Media != kind || m.MediaName.Port.Value != 9 {
			t.Errorf("section is %v", m.MediaName)
		}
		if got := attribute(m, "msid"); got != "default "+attribute(m, "mid") {
			t.Errorf("msid %q", got)
		}
		if a, v := s.MIDs(); a != "" || v != "" {
			t.Errorf("mids %q %q of a client that does not send", a, v)
		}
	}
}

func TestRemotePublisherHasAPairOfSections(t *testing.T) {
	s := New(testConfig())
	s.SetRemote("ALICE", pair(1))
	text, a := new(peer).exchange(t, s)
	d := parseOffer(t, text)
	if len(d.MediaDescriptions) != 4 {
		t.Fatalf("%d sections", len(d.MediaDescriptions))
	}
	for i, kind := range []string{"audio", "video"} {
		m := d.MediaDescriptions[2+i]
		if m.MediaName.Media != kind || attribute(m, "msid") != "ALICE ALICE-"+kind {
			t.Errorf("section %d: %v, msid %q", 2+i, m.MediaName, attribute(m, "msid"))
		}
		if _, ok := m.Attribute("sendonly"); !ok {
			t.Errorf("section %d is not sendonly", 2+i)
		}
	}
	if len(a.Subscribe) != 2 {
		t.Fatalf("subscriptions %+v", a.Subscribe)
	}
	audio, video := a.Subscribe[0], a.Subscribe[1]
	ssrcLine := fmt.Sprintf("a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:ALICE\r\na=ssrc:%d msid:ALICE ALICE-video\r\n",
		video.SSRC, video.RTXSSRC, video.SSRC, video.SSRC)
	if !strings.Contains(text, ssrcLine) {
		t.Errorf("%q is not in\n%s", ssrcLine, text)
	}
	want := param.Subscribe{Track: param.TrackID{Index: 3}, Kind: param.Video, Codec: param.VP8,
		MID: attribute(d.MediaDescriptions[3], "mid"), SSRC: video.SSRC, RTXSSRC: video.RTXSSRC, PayloadType: 96, RTXType: 97,
		ClockRate: 90000, CNAME: "ALICE",
		Extensions:  param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, VideoOrientation: 7},
		Feedback:    param.Feedback{NACK: true, PLI: true, FIR: true, TransportCC: true, REMB: true},
		ReducedSize: true}
	if video != want {
		t.Errorf("got  %+v\nwant %+v", video, want)
	}
	if audio.Kind != param.Audio || audio.RTXSSRC != 0 || audio.RTXType != 0 || audio.ClockRate != 48000 || audio.Extensions.AudioLevel != 1 {
		t.Errorf("audio %+v", audio)
	}
	if video.SSRC == 0 || video.RTXSSRC == 0 || video.SSRC == video.RTXSSRC || video.SSRC == audio.SSRC {
		t.Errorf("SSRCs %d %d %d", audio.SSRC, video.SSRC, video.RTXSSRC)
	}
}

func ports(d *sdp.SessionDescription) (out []int) {
	for _, m := range d.MediaDescriptions {
		out = append(out, m.MediaName.Port.Value)
	}
	return out
}

// The life of a viewer in a channel where publishers join, leave, join, join, leave and
// leave.
func TestSectionsOfLeaversAreReleasedAndReused(t *testing.T) {
	cfg := testConfig()
	cfg.Audio, cfg.Video = nil, nil
	s := New(cfg)
	p := new(peer)
	step := func(wantPorts []int, wantSubscriptions int) *sdp.SessionDescription {
		t.Helper()
		if !s.Changed() {
			t.Fatal("nothing to offer")
		}
		text, a := p.exchange(t, s)
		d := parseOffer(t, text)
		if got := ports(d); !slices.Equal(got, wantPorts) {
			t.Errorf("ports %v, want %v", got, wantPorts)
		}
		if len(a.Subscribe) != wantSubscriptions {
			t.Errorf("%d subscriptions, want %d", len(a.Subscribe), wantSubscriptions)
		}
		seen := map[string]bool{}
		for _, m := range d.MediaDescriptions {
			id := attribute(m, "msid")
			if id != "" && seen[id] {
				t.Errorf("msid %q twice", id)
			}
			seen[id] = true
		}
		if s.Changed() {
			t.Error("still something to offer")
		}
		return d
	}
	step([]int{9}, 0)
	s.SetRemote("A", pair(1))
	first := step([]int{9, 9, 9}, 2)
	if drop := s.SetRemote("A", nil); len(drop) != 2 {
		t.Errorf("SSRCs to stop: %v", drop)
	}
	gone := step([]int{9, 0, 0}, 0)
	if group := gone.Attributes[0].Value; group != "BUNDLE "+attribute(gone.MediaDescriptions[0], "mid") {
		t.Errorf("BUNDLE group %q names released sections", group)
	}
	s.SetRemote("B", pair(2))
	reused := step([]int{9, 9, 9}, 2)
	if a, b := attribute(first.MediaDescriptions[1], "mid"), attribute(reused.MediaDescriptions[1], "mid"); a != b {
		t.Errorf("mid %q became %q", a, b)
	}
	if attribute(reused.MediaDescriptions[1], "msid") != "B B-audio" {
		t.Errorf("msid %q", attribute(reused.MediaDescriptions[1], "msid"))
	}
	s.SetRemote("C", pair(3))
	step([]int{9, 9, 9, 9, 9}, 2)
	s.SetRemote("B", nil)
	step([]int{9, 0, 0, 9, 9}, 0)
	s.SetRemote("C", nil)
	step([]int{9, 0, 0, 0, 0}, 0)
}

func TestAStreamNeverTakesALiveSection(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	s.SetRemote("A", pair(1))
	p.exchange(t, s)
	// A leaves and B joins before anything was offered: the track ids of A's transceivers
	// are fixed, so B needs others.
	s.SetRemote("A", nil)
	s.SetRemote("B", pair(2))
	text, _ := p.exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 0, 0, 9, 9}) {
		t.Errorf("ports %v", got)
	}
	s.SetRemote("C", pair(3))
	text, _ = p.exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 9, 9, 9, 9}) {
		t.Errorf("ports %v", got)
	}
}

func TestAPublisherThatLeavesDuringTheOfferIsNotSubscribed(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	s.SetRemote("A", pair(1))
	o := s.Offer()
	if drop := s.SetRemote("A", nil); len(drop) != 0 {
		t.Errorf("SSRCs to stop: %v", drop)
	}
	a, err := s.Answer(p.Answer(o))
	if err != nil || len(a.Subscribe) != 0 {
		t.Fatalf("error %v, subscriptions %v", err, a.Subscribe)
	}
	if !s.Changed() {
		t.Error("the client still has to be told")
	}
	text, _ := p.exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 0, 0}) {
		t.Errorf("ports %v", got)
	}
}

func TestARepublishedTrackMovesToAnotherSection(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	s.SetRemote("A", pair(1))
	p.exchange(t, s)
	if drop := s.SetRemote("A", []Track{audioTrack(2), videoTrack(99)}); len(drop) != 1 {
		t.Errorf("SSRCs to stop: %v", drop)
	}
	text, a := p.exchange(t, s)
	if got := ports(parseOffer(t, text)); !slices.Equal(got, []int{9, 9, 9, 0, 9}) {
		t.Errorf("ports %v", got)
	}
	if len(a.Subscribe) != 1 || a.Subscribe[0].Track.Index != 99 {
		t.Errorf("subscriptions %+v", a.Subscribe)
	}
}

func TestVersionRisesAndSectionsNeverShrink(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	for i := range 20 {
		if i%3 == 2 {
			s.SetRemote("A", nil)
		} else {
			s.SetRemote("A", pair(uint32(i)))
		}
		before := len(s.sections)
		text, _ := p.exchange(t, s)
		d := parseOffer(t, text)
		if d.Origin.SessionVersion != uint64(i+1) || len(d.MediaDescriptions) < before {
			t.Fatalf("version %d, %d sections after %d", d.Origin.SessionVersion, len(d.MediaDescriptions), before)
		}
	}
}

func TestSectionsAreBounded(t *testing.T) {
	s := New(testConfig())
	p := new(peer)
	for i := range uint32(400) {
		s.SetRemote(fmt.Sprint("P", i), pair(i))
	}
	text, a := p.exchange(t, s)
	if n := strings.Count(text, "m="); n != MaxSections || len(a.Subscribe) != MaxSections-2 {
		t.Fatalf("%d sections, %d subscriptions", n, len(a.Subscribe))
	}
	if s.Changed() {
		t.Error("there is no room for more, so nothing to offer")
	}
	// The first to leave makes room for one that waits.
	s.SetRemote("P0", nil)
	p.exchange(t, s)
	if !s.Changed() {
		t.Error("a waiting stream was forgotten")
	}
	if _, a := p.exchange(t, s); len(a.Subscribe) != 2 || a.Subscribe[0].CNAME != "P255" {
		t.Errorf("subscriptions %+v", a.Subscribe)
	}
}

func TestSSRCsAreNeverUsedAgain(t *testing.T) {
	s := New(testConfig())
	seen := map[uint32]bool{}
	for range 100_000 {
		n := s.ssrc()
		if n == 0 || seen[n] {
			t.Fatalf("SSRC %d", n)
		}
		seen[n] = true
	}
}

func TestASecondOfferBeforeTheAnswerIsAProgrammersError(t *testing.T) {
	s := New(testConfig())
	s.Offer()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Offer()
}
