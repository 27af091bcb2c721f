//go:build browser

package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// As people have it: nothing may sound before they have touched the page. The picture
// plays all the same, the page says what is missing, and a click anywhere mends it.
func TestPageSoundsAfterTheFirstTouch(t *testing.T) {
	s := startServer(t)
	b := ownChromium(t, chromedp.Flag("autoplay-policy", "document-user-activation-required"))
	sender := b.open(t, "sender", pageURL(t, s, "source=test&pattern=3&role=sendonly"))
	sender.requireState("live")
	watcher := b.open(t, "watcher", pageURL(t, s, "role=recvonly"))
	watcher.requireState("live")
	id := sender.connectionID()
	watcher.requireVideo(id, 3)
	type sound struct {
		Hint  string
		Muted bool
		Shown string
	}
	read := func() sound {
		return eval[sound](watcher, `({
			hint: document.querySelector("#hint:not([hidden])")?.textContent ?? "",
			muted: document.querySelector(".tile video").muted,
			shown: document.querySelector(".tile .sound").textContent,
		})`)
	}
	if got := read(); !strings.Contains(got.Hint, "until you click") || !got.Muted || got.Shown != "Muted" {
		t.Errorf("before the first touch: %+v", got)
	}
	isOn := func() (bool, any) {
		got := read()
		return got.Hint == "" && !got.Muted && got.Shown == "Sound on", got
	}
	watcher.do("a click", chromedp.MouseClickXY(5, 300))
	eventually(t, arriveTimeout, "the sound is on", isOn)
	sender.do("a click", chromedp.MouseClickXY(5, 300))
	watcher.requireAudio(id)
}

// The first touch may be of the very button that turns the sound on.
func TestPageSoundButtonAsTheFirstTouch(t *testing.T) {
	s := startServer(t)
	openPage(t, s, "sender", "source=test&pattern=3&role=sendonly")
	b := ownChromium(t, chromedp.Flag("autoplay-policy", "document-user-activation-required"))
	for name, press := range map[string]chromedp.Action[chromedp.Void]{
		"mouse":    chromedp.Click(`.tile .sound`),
		"keyboard": chromedp.SendKeys(`.tile .sound`, "\r"),
	} {
		watcher := b.open(t, name, pageURL(t, s, "role=recvonly"))
		muted := func(want bool) {
			eventually(t, arriveTimeout, name+": the sound changes", func() (bool, any) {
				got := eval[*bool](watcher, `document.querySelector(".tile video")?.muted ?? null`)
				return got != nil && *got == want, got
			})
		}
		muted(true)
		watcher.do(name, press)
		muted(false)
		watcher.do(name, press)
		muted(true)
	}
}
