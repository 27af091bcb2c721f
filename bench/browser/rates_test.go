//go:build browser

package browser

import (
	"fmt"
	"testing"
	"time"
)

// What a client asks for of audio is what its encoder is told.
func TestSDKAudioBitRateIsWhatWasAskedFor(t *testing.T) {
	s, b := newScene(t), sharedChromium(t)
	publisher := s.client(b, "publisher", 1)
	for _, kbps := range []int{8, 16, 32, 64, 96, 128} {
		publisher.joinWith("sendonly", options{"video": false, "audioBitRate": kbps}, wish{})
		eventually(t, arriveTimeout, fmt.Sprintf("the encoder's target is %d kbps", kbps), func() (bool, any) {
			a := publisher.report().Sent.Audio
			return a != nil && a.Target == float64(kbps*1000), a
		})
		publisher.leave()
	}
}

// The browser's own estimate must soon reach what signaling asked for. That needs
// the server's feedback on every packet: with receiver reports alone the browser
// raises its estimate by 8 % a second, and takes some 15 s from where it begins
// (300 kbit/s). The picture has noise in it, so that the encoder has use for all of it.
func TestSDKVideoBitRateReachesWhatWasAskedFor(t *testing.T) {
	const (
		kbps = 1200
		soon = 8 * time.Second
	)
	s, b := newScene(t), sharedChromium(t)
	publisher := s.client(b, "publisher", 1)
	for _, codec := range []string{"VP8", "VP9"} {
		publisher.joinWith("sendonly", options{"videoCodecType": codec, "videoBitRate": kbps}, wish{Noise: true})
		eventually(t, soon, codec+": the encoder's target reaches 80 % of 1200 kbps", func() (bool, any) {
			v := publisher.report().Sent.Video
			return v != nil && v.Target >= 0.8*kbps*1000, v
		})
		publisher.requireSends(kbps)
		publisher.leave()
	}
}

// A low rate is kept, however much the picture has in it.
func TestSDKVideoBitRateIsABound(t *testing.T) {
	s, b := newScene(t), sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 3), s.client(b, "viewer", 0)
	viewer.joinWith("recvonly", nil, wish{})
	for _, codec := range []string{"VP8", "VP9"} {
		publisher.joinWith("sendonly", options{"videoCodecType": codec, "videoBitRate": 300},
			wish{Noise: true, FPS: 15, Width: 960, Height: 528})
		viewer.requireAudio(publisher.id)
		publisher.requireSends(300)
		publisher.leave()
	}
}

// requireSends waits until a publisher sends nearly as much video as it was told to, over
// a few seconds: what the encoder makes of its target swings around it. All the time it
// must not send more, and its target is bounded exactly.
func (c *client) requireSends(kbps float64) {
	c.t.Helper()
	const window = 4 * time.Second
	first := c.report().Sent.Video
	eventually(c.t, arriveTimeout, fmt.Sprintf("%s sends most of %.0f kbps", c.name, kbps), func() (bool, any) {
		now := c.report().Sent.Video
		if now.Target > kbps*1000 {
			c.t.Fatalf("%s: the encoder's target is %.0f bit/s, above the %.0f kbps that were asked for", c.name, now.Target, kbps)
		}
		took := now.At - first.At
		if took < float64(window.Milliseconds()) {
			return false, now
		}
		rate := float64(now.Bytes-first.Bytes) * 8 / took // bits in a millisecond are kbps
		if rate > 1.2*kbps {
			c.t.Fatalf("%s sends %.0f kbps, %.0f were asked for: %+v, then %+v", c.name, rate, kbps, first, now)
		}
		c.t.Logf("%s sends %.0f kbps, %.0f were asked for", c.name, rate, kbps)
		first = now
		return rate > 0.6*kbps, now
	})
}
