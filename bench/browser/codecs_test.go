//go:build browser

package browser

import "testing"

// videoCodecs are those that the Chromium of the tests must be able to send, so that
// none of them can drop out of the tests unnoticed.
var videoCodecs = []string{"VP8", "VP9", "AV1", "H264"}

func TestChromiumEncodesWhatTheTestsNeed(t *testing.T) {
	found := sharedChromium(t).open(t, "capabilities", startSite(t).URL+"/sdk.html").encoders()
	for _, codec := range videoCodecs {
		if !found[codec] {
			t.Errorf("this Chromium does not encode %s, only %v", codec, found)
		}
	}
}

func TestSDKCodecVP8(t *testing.T)  { bothWays(t, options{"videoCodecType": "VP8"}, "VP8") }
func TestSDKCodecVP9(t *testing.T)  { bothWays(t, options{"videoCodecType": "VP9"}, "VP9") }
func TestSDKCodecAV1(t *testing.T)  { bothWays(t, options{"videoCodecType": "AV1"}, "AV1") }
func TestSDKCodecH264(t *testing.T) { bothWays(t, options{"videoCodecType": "H264"}, "H264") }

// Who asks for no codec is told to send VP9.
func TestSDKCodecByDefault(t *testing.T) { bothWays(t, options{}, "VP9") }

// bothWays has two clients see each other in one codec, and a third that comes late and
// gets a key frame, at which the picture freezes at nobody's.
func bothWays(t *testing.T, o options, codec string) {
	s, b := newScene(t), sharedChromium(t)
	red, blue, late := s.client(b, "red", 0), s.client(b, "blue", 5), s.client(b, "late viewer", 0)
	red.joinWith("sendrecv", o, small)
	blue.joinWith("sendrecv", o, small)
	red.requireVideoIn(codec, blue.id, blue.pattern)
	blue.requireVideoIn(codec, red.id, red.pattern)
	red.requireAudio(blue.id)
	blue.requireAudio(red.id)
	for _, c := range []*client{red, blue} {
		if sent := c.report().Sent.Video; sent == nil || sent.Codec != "video/"+codec {
			t.Errorf("%s sends %+v and not %s", c.name, sent, codec)
		}
	}
	eventually(t, arriveTimeout, "the key frames of the start are forty frames old", func() (bool, any) {
		a, b := red.report().Remote[blue.id].Video, blue.report().Remote[red.id].Video
		return a.FramesDecoded > 40 && b.FramesDecoded > 40, []*media{a, b}
	})
	undisturbed := 0
	for try := 1; ; try++ {
		frozen, stalls := red.freezes()+blue.freezes(), watchStalls()
		joinLate(t, late, o, red, blue)
		frozen = red.freezes() + blue.freezes() + late.freezes() - frozen
		stall := stalls.longest()
		if frozen == 0 {
			return
		}
		// A machine that does something else for a fifth of a second freezes pictures too. It
		// does not do that each time, and when it does, others wait for a processor as well.
		t.Logf("pictures froze %d times at the %d. late join; this process waited %v for a processor", frozen, try, stall)
		if stall < starved {
			undisturbed++
		}
		if undisturbed == attempts {
			t.Fatalf("pictures froze at each of %d late joins, in %d of which the machine had processors enough", try, undisturbed)
		}
		if try == 4*attempts {
			t.Logf("the machine had no processor for its browsers in %d of %d late joins", try-undisturbed, try)
			return
		}
		late.leave()
	}
}

// joinLate has a viewer join when the key frames of the publishers are long gone.
func joinLate(t *testing.T, late *client, o options, publishers ...*client) {
	t.Helper()
	before := map[string]int{}
	for _, c := range publishers {
		before[c.id] = c.report().Sent.Video.PLIs
	}
	late.joinWith("recvonly", o, wish{})
	late.requireVideoFrom(publishers...)
	for _, c := range publishers {
		if v := late.report().Remote[c.id].Video; v.KeyFrames == 0 {
			t.Errorf("the late viewer has decoded no key frame of %s: %+v", c.name, v)
		}
		if now := c.report().Sent.Video.PLIs; now == before[c.id] {
			t.Errorf("%s was not asked for a key frame: %d PLIs before and after", c.name, now)
		}
	}
}

// freezes counts how often pictures have stood still at c's.
func (c *client) freezes() int {
	c.t.Helper()
	n := 0
	for _, r := range c.report().Remote {
		if r.Video != nil {
			n += r.Video.Freezes
		}
	}
	return n
}

// One channel, a publisher of each codec, who all see each other, and a viewer.
func TestSDKPublishersOfEveryCodecInOneChannel(t *testing.T) {
	s, b := newScene(t), sharedChromium(t)
	viewer := s.client(b, "viewer", 0)
	all := make([]*client, len(videoCodecs))
	for i, codec := range videoCodecs {
		all[i] = s.client(b, codec, i+1)
	}
	send := func(c *client, codec string) {
		c.joinWith("sendrecv", options{"videoCodecType": codec}, small)
	}
	// One of four is there when the viewer comes, the others are added to its session.
	send(all[0], videoCodecs[0])
	viewer.joinWith("recvonly", nil, wish{})
	for i := 1; i < len(all); i++ {
		send(all[i], videoCodecs[i])
	}
	look := func() {
		viewer.requireVideoFrom(all...)
		viewer.requireOnly(ids(all)...)
		for _, c := range all {
			c.requireVideoFrom(without(all, c)...)
		}
	}
	look()

	// One leaves, and one of another codec takes its section: its list of formats has to
	// have room for it.
	sections := eval[int](viewer.tab, countSections)
	for i, codec := range []string{"AV1", "H264"} {
		all[i].leave()
		send(all[i], codec)
		viewer.requireVideoFrom(all[i])
	}
	if now := eval[int](viewer.tab, countSections); now != sections {
		t.Errorf("the viewer had %d sections of video, and has %d after two publishers were replaced", sections, now)
	}
	look()
}

const countSections = `rig.offered().split("m=video").length - 1`

// Chromium has no encoder for H.265: it refuses the section, the call goes on with
// sound, and nobody else is the worse for it.
func TestSDKPublisherThatCannotEncodeWhatItAskedFor(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	asker, other, viewer := s.client(b, "asker", 1), s.client(b, "other", 4), s.client(b, "viewer", 0)
	if codecs := asker.encoders(); codecs["H265"] {
		t.Fatalf("this Chromium encodes H265 (%v): the test needs a codec that it does not encode", codecs)
	}
	viewer.join("recvonly")
	other.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	asker.joinWith("sendrecv", options{"videoCodecType": "H265"}, small)
	viewer.requireAudio(asker.id)
	other.requireAudio(asker.id)
	asker.requireArrivesFrom(other)
	viewer.requireArrivesFrom(other)
	viewer.requireNothingOf("video", asker.id)
	if v := asker.report().Sent.Video; v != nil && v.Packets > 0 {
		t.Errorf("the asker sends %+v", v)
	}
	// It is no stranger to renegotiation afterwards.
	other.leave()
	asker.requireOnly()
	other.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	asker.requireArrivesFrom(other)
	asker.leave()
	viewer.requireOnly(other.id)
}

// A client that sends nothing but video, in a codec that its browser lacks, is a viewer: its
// own section is refused, and what carries its call is the section of whoever it watches,
// also while nobody is there and when somebody comes back in another codec.
func TestSDKVideoOnlyWithoutItsCodecIsAViewer(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher, asker := s.client(b, "publisher", 2), s.client(b, "asker", 5)
	publisher.joinWith("sendonly", options{"audio": false, "videoCodecType": "AV1"}, small)
	asker.joinWith("sendrecv", options{"audio": false, "videoCodecType": "H265"}, small)
	asker.requireVideoIn("AV1", publisher.id, publisher.pattern)
	publisher.leave()
	asker.requireOnly()
	publisher.joinWith("sendonly", options{"audio": false, "videoCodecType": "H264"}, small)
	asker.requireVideoIn("H264", publisher.id, publisher.pattern)
	asker.leave()
}
