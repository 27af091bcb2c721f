//go:build browser

package browser

import (
	"strings"
	"testing"

	"tsubame/bench/harness"
)

// redAndOpus is how an m-line of audio begins in which redundancy comes first; the transport
// protocol is behind the port.
const redAndOpus = " UDP/TLS/RTP/SAVPF 63 111"

// requireRED holds what a client's first section of audio says of redundancy, in our offer and in
// its answer.
func (c *client) requireRED(takes bool) {
	c.t.Helper()
	for which, script := range map[string]string{"offer": "rig.offered()", "answer": "rig.answered()"} {
		sdp := audioSection(eval[string](c.tab, script))
		line, _, _ := strings.Cut(sdp, "\r\n")
		want := takes || which == "offer"
		if strings.Contains(line, redAndOpus) != want || strings.Contains(sdp, "a=fmtp:63 111/111") != want {
			c.t.Errorf("%s: redundancy is %v in the %s: m=audio%s", c.name, !want, which, line)
		}
	}
}

// requireWhole waits for two seconds of a connection's sound in which nothing had to be made up.
func (c *client) requireWhole(id string) {
	c.t.Helper()
	const window = 2 * 48000
	first := c.report().Remote[id].Audio
	eventually(c.t, arriveTimeout, c.name+" hears "+id+" for two seconds without a gap", func() (bool, any) {
		now := c.report().Remote[id].Audio
		if now.Concealed != first.Concealed {
			first = now
		}
		return now.Samples-first.Samples >= window, now
	})
}

// With opus_red Chromium sends its sound with redundancy, and is sent others' with it; Firefox,
// which has none, is sent plain Opus, and its own reaches Chromium with redundancy.
func TestSDKRedundantAudio(t *testing.T) {
	besideChurn(t, inFirefox)
	s, b := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{"opus_red": "true"}}), sharedChromium(t)
	red, blue, fox := s.client(b, "red", 1), s.client(b, "blue", 5), s.client(theFirefox(t), "firefox", 3)
	all := []*client{red, blue, fox}
	for _, c := range all {
		c.joinWith("sendrecv", options{"video": false}, wish{})
	}
	for _, c := range all {
		c.requireRED(c != fox)
		for _, from := range all {
			if c != from {
				c.requireAudio(from.id)
			}
		}
	}
	for _, c := range []*client{red, blue} {
		if sent := c.report().Sent.Audio; sent == nil || sent.Codec != "audio/red" {
			t.Errorf("%s sends %+v", c.name, sent)
		}
		for _, from := range all {
			if c == from {
				continue
			}
			eventually(t, arriveTimeout, c.name+" gets redundancy from "+from.name, func() (bool, any) {
				a := c.report().Remote[from.id].Audio
				return a.Redundant > 50, a
			})
		}
	}
	red.requireWhole(blue.id)
	fox.requireAudio(red.id)
	for _, from := range []*client{red, blue} {
		if a := fox.report().Remote[from.id].Audio; a.Codec != "audio/opus" || a.Redundant != 0 {
			t.Errorf("firefox receives %+v from %s", a, from.name)
		}
	}
	n := s.server.Counters()
	if n["red_in"] < 100 || n["red_out"] < n["red_in"] || n["drop_red"]+n["drop_red_type"]+n["drop_payload_type"] != 0 {
		t.Errorf("%d packets came with redundancy, %d went out with it; dropped: %d, %d, %d",
			n["red_in"], n["red_out"], n["drop_red"], n["drop_red_type"], n["drop_payload_type"])
	}
}
