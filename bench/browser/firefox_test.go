//go:build browser

package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// Firefox and Chromium meet in each codec that both of them send.

func TestFirefoxWithChromiumInVP8(t *testing.T) { foxAndChrome(t, "VP8") }
func TestFirefoxWithChromiumInVP9(t *testing.T) { foxAndChrome(t, "VP9") }
func TestFirefoxWithChromiumInAV1(t *testing.T) { foxAndChrome(t, "AV1") }

func foxAndChrome(t *testing.T, codec string) {
	besideChurn(t, inFirefox)
	s := newScene(t)
	fox, chrome := s.client(theFirefox(t), "firefox", 1), s.client(sharedChromium(t), "chromium", 5)
	o := options{"videoCodecType": codec}
	chrome.joinWith("sendrecv", o, small)
	fox.joinWith("sendrecv", o, small)
	chrome.requireArrivesFrom(fox)
	fox.requireArrivesFrom(chrome)
	fox.requireOnly(chrome.id)
	if sent := fox.report().Sent.Video; sent == nil || sent.Codec != "video/"+codec {
		t.Errorf("firefox sends %+v and not %s", sent, codec)
	}
	fox.leave()
	chrome.requireOnly()
	chrome.leave()
}

// Publishers come and go while Firefox stays, and then Firefox does: sections are
// released, offered with port 0 and used again. The SDK changes that to port 9 for
// Firefox, which must not find a fault with it, nor lose what goes on.
func TestFirefoxWhileOthersComeAndGo(t *testing.T) {
	besideChurn(t, inFirefox)
	s, b := newScene(t), sharedChromium(t)
	fox := s.client(theFirefox(t), "firefox", 1)
	one, two := s.client(b, "one", 3), s.client(b, "two", 6)
	send := func(c *client, codec string) {
		c.joinWith("sendrecv", options{"videoCodecType": codec}, small)
	}
	send(fox, "VP8")
	send(one, "VP8")
	fox.requireArrivesFrom(one)
	one.requireArrivesFrom(fox)
	sections := eval[int](fox.tab, countSections)

	one.leave()
	fox.requireOnly()
	fox.requireUndisturbed()
	send(one, "VP9")
	fox.requireArrivesFrom(one)
	if now := eval[int](fox.tab, countSections); now != sections {
		t.Errorf("firefox had %d sections of video, and has %d after a publisher was replaced", sections, now)
	}

	send(two, "VP8")
	fox.requireOnly(one.id, two.id)
	fox.requireArrivesFrom(two)
	one.leave()
	fox.requireOnly(two.id)
	// Who stays is not disturbed by the section that is free now.
	fox.requireArrivesFrom(two)
	two.requireArrivesFrom(fox)

	fox.leave()
	two.requireOnly()
	send(fox, "VP8")
	fox.requireArrivesFrom(two)
	two.requireArrivesFrom(fox)
}

// This Firefox has no H.264: it does not get such a picture, it gets the sound, and
// everything of everybody else. The section serves the next codec.
func TestFirefoxBesideAPublisherOfH264(t *testing.T) {
	besideChurn(t, inFirefox)
	s, b := newScene(t), sharedChromium(t)
	fox := s.client(theFirefox(t), "firefox", 1)
	if codecs := fox.encoders(); codecs["H264"] {
		t.Fatalf("this Firefox has H264 (%v): the test needs a codec that it does not have", codecs)
	}
	h264, other := s.client(b, "H264", 3), s.client(b, "VP8", 6)
	h264.joinWith("sendrecv", options{"videoCodecType": "H264"}, small)
	fox.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	other.joinWith("sendonly", options{"videoCodecType": "VP8"}, small)
	h264.requireArrivesFrom(fox)
	fox.requireArrivesFrom(other)
	fox.requireAudio(h264.id)
	fox.requireNothingOf("video", h264.id)

	h264.leave()
	fox.requireOnly(other.id)
	fox.requireUndisturbed()
	h264.joinWith("sendrecv", options{"videoCodecType": "AV1"}, small)
	fox.requireArrivesFrom(h264)
	fox.requireArrivesFrom(other)
}

func TestFirefoxWatchesTwoPublishers(t *testing.T) {
	besideChurn(t, inFirefox)
	s, b := newScene(t), sharedChromium(t)
	fox := s.client(theFirefox(t), "firefox", 0)
	one, two := s.client(b, "one", 2), s.client(b, "two", 7)
	one.joinWith("sendonly", options{"videoCodecType": "VP8"}, small)
	fox.join("recvonly")
	two.joinWith("sendonly", options{"videoCodecType": "VP9"}, small)
	fox.requireOnly(one.id, two.id)
	fox.requireArrivesFrom(one)
	fox.requireArrivesFrom(two)
	if r := fox.report(); r.Sent.Video != nil && r.Sent.Video.Packets > 0 || r.Sent.Audio != nil && r.Sent.Audio.Packets > 0 {
		t.Errorf("a recvonly client sends %+v", r.Sent)
	}
	one.leave()
	fox.requireOnly(two.id)
	two.leave()
	fox.requireOnly()
	fox.requireUndisturbed()
	one.joinWith("sendonly", options{"videoCodecType": "VP8"}, small)
	fox.requireArrivesFrom(one)
}

// Firefox makes a key frame when it is asked to, and as a viewer it asks for one.
func TestFirefoxAndALateViewer(t *testing.T) {
	besideChurn(t, inFirefox)
	s, b := newScene(t), sharedChromium(t)
	fox, chrome := s.client(theFirefox(t), "firefox", 4), s.client(b, "chromium", 5)
	lateFox, lateChrome := s.client(theFirefox(t), "late firefox", 0), s.client(b, "late chromium", 0)
	o := options{"videoCodecType": "VP8"}
	fox.joinWith("sendrecv", o, small)
	chrome.joinWith("sendrecv", o, small)
	eventually(t, arriveTimeout, "the key frames of the start are forty frames old", func() (bool, any) {
		a, b := fox.report().Remote[chrome.id].Video, chrome.report().Remote[fox.id].Video
		return a != nil && b != nil && a.FramesDecoded > 40 && b.FramesDecoded > 40, []*media{a, b}
	})
	joinLate(t, lateChrome, o, fox, chrome)
	lateChrome.requireAudio(fox.id)
	joinLate(t, lateFox, o, fox, chrome)
	lateFox.requireAudio(chrome.id)
	lateFox.requireAudio(fox.id)
	// Nobody of those who were there has lost anything.
	fox.requireArrivesFrom(chrome)
	chrome.requireArrivesFrom(fox)
}

// The server's own page works in both.
func TestFirefoxWithTheServersPage(t *testing.T) {
	besideChurn(t, inFirefox)
	s := startServer(t)
	fox := theFirefox(t).open(t, "firefox", pageURL(t, s, "source=test&pattern=1"))
	fox.requireState("live")
	chrome := openPage(t, s, "chromium", "source=test&pattern=5")
	fox.requireArrives(chrome.connectionID(), 5)
	chrome.requireArrives(fox.connectionID(), 1)
	fox.requireOnly(chrome.connectionID())

	// The page takes the offer as it is, released sections too.
	chrome.do("leave", chromedp.Click(`#leave`))
	fox.requireOnly()
	fox.requireUndisturbed()
	chrome.do("connect", chromedp.Click(`#connect`))
	chrome.requireState("live")
	fox.requireArrives(chrome.connectionID(), 5)

	fox.run(`document.querySelector("#leave").click()`)
	fox.requireState("idle")
	chrome.requireOnly()
	fox.run(`document.querySelector("#connect").click()`)
	fox.requireState("live")
	fox.requireArrives(chrome.connectionID(), 5)
	chrome.requireArrives(fox.connectionID(), 1)
}

// requireUndisturbed looks for two seconds whether the connection stays as it is. A
// section that is taken for one with a transport of its own shows at once: Firefox is
// connecting again, and gives up when no candidates come for it.
func (tb *tab) requireUndisturbed() {
	tb.t.Helper()
	looks := 0
	eventually(tb.t, callTimeout, tb.name+" stays connected", func() (bool, any) {
		r := tb.report()
		if r.State != "connected" {
			tb.t.Fatalf("%s is %q: %v", tb.name, r.State, r.Errors)
		}
		looks++
		return looks == 20, r.State
	})
}
