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
	red.requireWhole(blue.id)
	// The statistics of Chromium tell nothing of redundancy but what it takes: Opus of 80 bytes a
	// packet (32 kbps) becomes 160 and some.
	size := func(c, from *client) float64 {
		a := c.report().Remote[from.id].Audio
		return float64(a.Bytes) / float64(a.Packets)
	}
	for _, from := range []*client{red, blue} {
		sent := from.report().Sent.Audio
		with, plain := float64(sent.Bytes)/float64(sent.Packets), size(fox, from)
		t.Logf("%s sends %.0f bytes a packet, of which firefox gets %.0f", from.name, with, plain)
		if with < 1.2*plain { // probes, which have no payload, are among its packets
			t.Errorf("%s sends without redundancy", from.name)
		}
	}
	if with, plain := size(blue, red), size(fox, red); with < 1.6*plain {
		t.Errorf("blue gets %.0f bytes a packet, firefox %.0f of the same", with, plain)
	}
	if red, blue := size(red, fox), size(blue, fox); red < 100 || blue < 100 {
		t.Errorf("of firefox's packets red and blue get %.0f and %.0f bytes each", red, blue)
	}
	n := s.server.Counters()
	if n["red_in"] < 100 || n["red_out"] < n["red_in"] || n["drop_red"]+n["drop_red_type"]+n["drop_payload_type"] != 0 {
		t.Errorf("%d packets came with redundancy, %d went out with it; dropped: %d, %d, %d",
			n["red_in"], n["red_out"], n["drop_red"], n["drop_red_type"], n["drop_payload_type"])
	}
}
