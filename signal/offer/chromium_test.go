package offer

import (
	"os"
	"strings"
	"testing"

	"tsubame/media/param"
)

// What Chromium 156 answered to the first offer of a publisher.
func TestAnswerOfChromium(t *testing.T) {
	data, err := os.ReadFile("testdata/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	s := New(testConfig())
	audio, video := s.MIDs()
	s.Offer()
	a, err := s.Answer(strings.NewReplacer("\n", "\r\n", "AUDIO", audio, "VIDEO", video).Replace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if a.Remote.Ufrag != "oNwp" || len(a.Remote.Fingerprints) != 1 || len(a.Publish) != 2 {
		t.Fatalf("got %+v", a)
	}
	p := a.Publish[1]
	if p.SSRC != 2948853817 || p.RTXSSRC != 3582263408 || p.PayloadType != 96 || p.RTXType != 97 ||
		p.Extensions != (param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, VideoOrientation: 7}) ||
		p.Feedback != (param.Feedback{NACK: true, PLI: true, FIR: true, TransportCC: true, REMB: true}) {
		t.Errorf("video %+v", p)
	}
	if p := a.Publish[0]; p.SSRC != 651973590 || p.PayloadType != 111 || !p.Feedback.TransportCC || p.Extensions.AudioLevel != 1 {
		t.Errorf("audio %+v", p)
	}
}
