//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tone of pattern 0 has these two notes when it is stereo (pattern.js).
const (
	leftNote  = 220
	rightNote = 330
)

// apart and alike are by how much, in dB, two notes of the same level differ on one side
// if only one of them is there, and if both are.
const (
	apart = 20
	alike = 10
)

// requireSides waits until the notes of a connection arrive as ok has them. The levels are
// [left, right][leftNote, rightNote] in dB.
func (c *client) requireSides(what, id string, ok func(left, right [2]float64) bool) {
	c.t.Helper()
	expression := fmt.Sprintf("rig.levels(%s, [%d, %d])", jsString(id), leftNote, rightNote)
	eventually(c.t, arriveTimeout, what, func() (bool, any) {
		levels := eval[[][2]float64](c.tab, expression)
		const audible = -80
		if len(levels) != 2 || max(levels[0][0], levels[0][1]) < audible {
			return false, levels
		}
		return ok(levels[0], levels[1]), levels
	})
}

func twoSides(left, right [2]float64) bool {
	return left[0]-left[1] > apart && right[1]-right[0] > apart
}

func oneSide(left, right [2]float64) bool {
	return left[0]-left[1] < alike && left[1]-left[0] < alike && right[0]-right[1] < alike && right[1]-right[0] < alike
}

// Two channels arrive as two, and as one if the publisher was told to send one. (The SDK
// has Chromium decode both only with forceStereoOutput.)
func TestSDKStereo(t *testing.T) {
	s, b := newScene(t), sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 0), s.client(b, "viewer", 0)
	viewer.joinWith("recvonly", options{"video": false, "forceStereoOutput": true}, wish{})
	sendTwo := func(o options) {
		o["video"] = false
		publisher.joinWith("sendonly", o, wish{Stereo: true})
	}

	sendTwo(options{"audioOpusParamsStereo": true, "audioOpusParamsSpropStereo": true})
	publisher.requireFmtp("offer", "stereo=1", "sprop-stereo=1")
	viewer.requireSides("two notes on two sides", publisher.id, twoSides)
	publisher.leave()

	sendTwo(options{"audioOpusParamsStereo": false, "audioOpusParamsSpropStereo": false})
	publisher.requireFmtp("offer", "stereo=0", "sprop-stereo=0")
	viewer.requireSides("both notes on both sides", publisher.id, oneSide)
	publisher.leave()

	// Stereo again: the viewer's section is used a third time.
	sendTwo(options{"audioOpusParamsStereo": true})
	viewer.requireSides("two notes on two sides", publisher.id, twoSides)
}

// Whoever sends with Opus parameters of its own hears others who have not: two formats of one
// codec, under two payload types.
func TestSDKOpusParametersBesideOthers(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	fancy, plain := s.client(b, "fancy", 1), s.client(b, "plain", 6)
	fancy.joinWith("sendrecv", options{"video": false, "audioOpusParamsStereo": true, "audioOpusParamsUsedtx": true}, wish{})
	plain.joinWith("sendrecv", options{"video": false}, wish{})
	fancy.requireAudio(plain.id)
	plain.requireAudio(fancy.id)
	plain.leave()
	fancy.requireOnly()
	plain.joinWith("sendrecv", options{"video": false}, wish{})
	fancy.requireAudio(plain.id)
}

// audioSection returns the first section of audio of an SDP.
func audioSection(sdp string) string {
	_, section, _ := strings.Cut(sdp, "m=audio")
	section, _, _ = strings.Cut(section, "\r\nm=")
	return section
}

// fmtp returns the parameters of Opus in the first section of audio of an SDP.
func fmtp(t *testing.T, sdp string) []string {
	t.Helper()
	section := audioSection(sdp)
	_, rest, ok := strings.Cut(section, " opus/48000/2")
	if !ok {
		t.Fatalf("no opus/48000/2 in\n%s", sdp)
	}
	before := section[:len(section)-len(rest)-len(" opus/48000/2")]
	payloadType := before[strings.LastIndexByte(before, ':')+1:]
	_, line, _ := strings.Cut(section, "a=fmtp:"+payloadType+" ")
	line, _, _ = strings.Cut(line, "\r\n")
	return strings.Split(line, ";")
}

// requireFmtp checks that Opus has all these parameters in our offer, or in the client's
// answer to it.
func (c *client) requireFmtp(which string, want ...string) {
	c.t.Helper()
	script := map[string]string{"offer": "rig.offered()", "answer": "rig.answered()"}[which]
	sdp := eval[string](c.tab, script)
	got := "|" + strings.Join(fmtp(c.t, sdp), "|") + "|"
	for _, w := range want {
		if !strings.Contains(got, "|"+w+"|") {
			c.t.Errorf("%s: the %s's fmtp lacks %s: %s", c.name, which, w, got)
		}
	}
}

// refuseFmtp checks that Opus does not have a parameter.
func (c *client) refuseFmtp(unwanted ...string) {
	c.t.Helper()
	got := "|" + strings.Join(fmtp(c.t, eval[string](c.tab, "rig.offered()")), "|")
	for _, u := range unwanted {
		if strings.Contains(got, "|"+u) {
			c.t.Errorf("%s: the offer's fmtp has %s, which nobody asked for: %s", c.name, u, got)
		}
	}
}

func TestSDKOpusParametersInTheOffer(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher := s.client(b, "publisher", 2)
	publisher.joinWith("sendonly", options{"video": false}, wish{})
	publisher.refuseFmtp("usedtx", "maxplaybackrate", "stereo=0", "sprop-stereo=0", "ptime")
	// The SDK's way to stereo needs it in every answer.
	publisher.requireFmtp("answer", "minptime=10")
	publisher.leave()

	publisher.joinWith("sendonly", options{
		"video": false, "audioOpusParamsMaxplaybackrate": 16000, "audioOpusParamsMinptime": 20,
		"audioOpusParamsPtime": 40, "audioOpusParamsUseinbandfec": true, "audioOpusParamsUsedtx": true,
	}, wish{})
	publisher.requireFmtp("offer", "maxplaybackrate=16000", "minptime=20", "useinbandfec=1", "usedtx=1")
	// How long a packet is stands in a line of its own (RFC 8866 section 6.4).
	if offer := eval[string](publisher.tab, "rig.offered()"); !strings.Contains(audioSection(offer), "\r\na=ptime:40\r\n") {
		t.Errorf("no a=ptime:40 in\n%s", offer)
	}
	if rate := publisher.audioRate(2 * time.Second); rate < 20 || rate > 30 {
		t.Errorf("%.1f packets of 40 ms in a second", rate)
	}
	publisher.leave()

	publisher.joinWith("sendonly", options{"video": false, "audioOpusParamsUseinbandfec": false, "audioOpusParamsUsedtx": false}, wish{})
	publisher.requireFmtp("offer", "useinbandfec=0")
	publisher.refuseFmtp("usedtx=1")
}

// audioRate measures how many packets of audio a client sends in a second.
func (c *client) audioRate(over time.Duration) float64 {
	c.t.Helper()
	first := c.report().Sent.Audio
	last := first
	eventually(c.t, over+callTimeout, c.name+" sends sound for a while", func() (bool, any) {
		last = c.report().Sent.Audio
		return last.At-first.At >= float64(over.Milliseconds()), nil
	})
	return float64(last.Packets-first.Packets) * 1000 / (last.At - first.At)
}

// With discontinuous transmission silence costs next to nothing; without it a packet of
// 20 ms follows another. The sound comes back.
func TestSDKDiscontinuousTransmission(t *testing.T) {
	const (
		while = 3 * time.Second
		few   = 15 // packets a second: DTX makes 2.5 of silence
		many  = 30 // there are 50 where no packet is left out; a busy machine misses a few
	)
	s, b := newScene(t), sharedChromium(t)
	saving, plain, viewer := s.client(b, "saving", 1), s.client(b, "plain", 4), s.client(b, "viewer", 0)
	saving.joinWith("sendonly", options{"video": false, "audioOpusParamsUsedtx": true}, wish{})
	plain.joinWith("sendonly", options{"video": false}, wish{})
	viewer.joinWith("recvonly", options{"video": false}, wish{})
	viewer.requireAudio(saving.id)
	viewer.requireAudio(plain.id)
	for _, c := range []*client{saving, plain} {
		c.run(`rig.setEnabled("audio", false)`)
	}
	eventually(t, arriveTimeout, "silence costs little with DTX", func() (bool, any) {
		rate := saving.audioRate(while)
		return rate < few, rate // once the encoder believes in the silence
	})
	if rate := plain.audioRate(while); rate < many {
		t.Errorf("without DTX there are %.1f packets of silence in a second", rate)
	}
	for _, c := range []*client{saving, plain} {
		c.run(`rig.setEnabled("audio", true)`)
	}
	viewer.requireAudio(saving.id)
	viewer.requireAudio(plain.id)
	if rate := saving.audioRate(while); rate < many {
		t.Errorf("with DTX there are %.1f packets of sound in a second", rate)
	}
}
