//go:build browser

package browser

import (
	"testing"

	"tsubame/bench/harness"
)

// firstFrame is when a page that joins was connected and had decoded its first picture, in
// milliseconds of its clock; 0: not yet.
type firstFrame struct {
	Connected float64 // DTLS was done
	Decoded   float64 // as the statistics tell, which takes them some milliseconds
}

// watchFirstFrame makes a page look for it at its next peer connection.
const watchFirstFrame = `(() => {
  const first = globalThis.first = { Connected: 0, Decoded: 0 };
  const before = probe.peers.length;
  const tick = () => new Promise((done) => setTimeout(done, 1));
  (async () => {
    let pc, video;
    while (!first.Connected) {
      await tick();
      pc = probe.peers.slice(before).findLast((p) => p.connectionState !== "closed" && p.remoteDescription);
      const state = pc?.getReceivers().find((r) => r.track.kind === "video")?.transport?.state;
      if (state === "connected") first.Connected = performance.now();
    }
    while (!(video?.framesDecoded > 0)) {
      await tick();
      video = [...(await pc.getStats()).values()].find((s) => s.type === "inbound-rtp" && s.kind === "video");
    }
    first.Decoded = performance.now();
  })();
  return true;
})()`

// With the key frame cache a viewer who comes late begins with a key frame that was made before:
// the publisher is asked for none. He is sent what came after it as well, and shows it in fast
// motion: soon the others see nothing newer. How soon the first picture is there, bench/calls holds.
func TestSDKLateViewerBeginsWithTheCachedKeyFrame(t *testing.T) {
	besideChurn(t)
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{
		"keyframe_cache": "4194304", "keyframe_cache_age": "1 min",
	}})
	b := sharedChromium(t)
	publisher, early, late := s.client(b, "publisher", 4), s.client(b, "early viewer", 0), s.client(b, "late viewer", 0)
	for _, codec := range []string{"VP8", "H264"} {
		publisher.joinWith("sendonly", options{"videoCodecType": codec, "audio": false}, small)
		early.joinWith("recvonly", nil, wish{})
		eventually(t, arriveTimeout, codec+": the key frame is three seconds old", func() (bool, any) {
			v := early.figures().Remote[publisher.id].Video
			return v != nil && v.FramesDecoded > 45, v
		})
		before, asked := s.server.Counters(), publisher.figures().Sent.Video.PLIs
		eval[bool](late.tab, watchFirstFrame)
		late.joinWith("recvonly", nil, wish{})
		late.requireVideoFrom(publisher)
		requireTogether(t, publisher, early, late)
		after, first := s.server.Counters(), eval[firstFrame](late.tab, "first")
		if n := after["replays"] - before["replays"]; n != 1 {
			t.Errorf("%s: %d replays", codec, n)
		}
		// A browser that the machine has no time for may ask by itself, and is not denied it.
		asking := after["pli_in"] - before["pli_in"]
		if n := publisher.figures().Sent.Video.PLIs - asked; n > int(asking) || after["pli_out"]-before["pli_out"] > asking {
			t.Errorf("%s: the publisher got %d PLIs, the server sent %d, and viewers asked for %d",
				codec, n, after["pli_out"]-before["pli_out"], asking)
		}
		if v := late.figures().Remote[publisher.id].Video; v.KeyFrames == 0 {
			t.Errorf("%s: the late viewer has decoded no key frame: %+v", codec, v)
		}
		t.Logf("%s: the first picture %.0f ms after DTLS, of %d packets at once", codec, first.Decoded-first.Connected,
			after["replayed_packets"]-before["replayed_packets"])
		for _, c := range []*client{late, early, publisher} {
			c.leave()
		}
	}
}

// requireTogether waits until two viewers see the same of a publisher, but for half a second, in
// which both pictures were read.
func requireTogether(t *testing.T, publisher, a, b *client) {
	t.Helper()
	const apart, numbers = 15 / 2, 1 << 12 // of small's frames; of the pattern's counter
	frame := func(c *client) int {
		if p := c.report().Remote[publisher.id].Picture; p != nil && p.Readable {
			return p.Frame
		}
		return -1
	}
	eventually(t, arriveTimeout, "the late viewer sees what the others do", func() (bool, any) {
		first, second, third := frame(a), frame(b), frame(a)
		if first < 0 || second < 0 || third < 0 {
			return false, "a picture that cannot be read"
		}
		behind, ahead := (first-second+numbers)%numbers, (second-third+numbers)%numbers
		return min(behind, numbers-behind) <= apart || min(ahead, numbers-ahead) <= apart, []int{first, second, third}
	})
}
