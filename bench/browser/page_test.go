//go:build browser

package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
)

// pageURL is a link that joins the test's channel by itself, in VP8 unless the query
// names another codec.
func pageURL(t *testing.T, s *harness.Server, query string) string {
	if !strings.Contains("&"+query, "&codec=") {
		query += "&codec=VP8"
	}
	return s.URL() + "?channel=" + url.QueryEscape(channelName(t)) + "&auto=1&" + query
}

// openPage opens the server's own page and waits until it is in the call.
func openPage(t *testing.T, s *harness.Server, name, query string) *tab {
	t.Helper()
	tb := sharedChromium(t).open(t, name, pageURL(t, s, query))
	tb.requireState("live")
	return tb
}

func (tb *tab) requireState(want string) {
	tb.t.Helper()
	eventually(tb.t, arriveTimeout, tb.name+" is "+want, func() (bool, any) {
		state := eval[[]string](tb, `[document.body.dataset.state, document.querySelector("#alert").textContent, ...probe.errors]`)
		return state[0] == want, state
	})
}

func (tb *tab) connectionID() string {
	tb.t.Helper()
	return eval[string](tb, "document.body.dataset.connection")
}

func TestPageTwoTabsSeeAndHearEachOther(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	one := openPage(t, s, "one", "source=test&pattern=2")
	two := openPage(t, s, "two", "source=test&pattern=5")
	one.requireArrives(two.connectionID(), 5)
	two.requireArrives(one.connectionID(), 2)
	one.requireOnly(two.connectionID())

	two.do("leave", chromedp.Click(`#leave`))
	two.requireState("idle")
	one.requireOnly()

	// The form still holds the link's values: one click and the call goes on.
	two.do("connect", chromedp.Click(`#connect`))
	two.requireState("live")
	one.requireOnly(two.connectionID())
	one.requireArrives(two.connectionID(), 5)
}

func TestPageRoles(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	sender := openPage(t, s, "sender", "source=test&pattern=3&role=sendonly")
	watcher := openPage(t, s, "watcher", "role=recvonly")
	watcher.requireArrives(sender.connectionID(), 3)
	if r := watcher.report(); r.Sent.Video != nil || r.Sent.Audio != nil {
		t.Errorf("a watcher sends %+v", r.Sent)
	}
	if r := sender.report(); len(r.Remote) != 0 {
		t.Errorf("who only sends receives %+v", r.Remote)
	}
}

func TestPageSendsTheCamera(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	camera := lobby(t, pageURL(t, s, "source=camera")) // Chromium's fake devices
	camera.click("#connect")
	camera.requireState("live")
	watcher := openPage(t, s, "watcher", "role=recvonly")
	id := camera.connectionID()
	watcher.requireAudio(id)
	first := watcher.report().Remote[id]
	eventually(t, arriveTimeout, "frames of the camera are decoded", func() (bool, any) {
		now := watcher.report().Remote[id]
		return now.Video != nil && first.Video != nil && now.Video.FramesDecoded > first.Video.FramesDecoded+10, now
	})
}

func TestPageFallsBackToTheTestPatternWithoutDevices(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	watcher := openPage(t, s, "watcher", "role=recvonly")
	b := ownChromium(t)
	bare := b.open(t, "bare", s.URL()+"?channel="+url.QueryEscape(channelName(t))+"&pattern=6&codec=VP8")
	// A machine without devices: the browser finds nothing to give.
	bare.run(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"))`)
	bare.requireState("idle")
	bare.click("#connect")
	bare.requireState("live")
	hint := eval[string](bare, `document.querySelector("#hint:not([hidden])")?.textContent ?? ""`)
	if !strings.Contains(hint, "no microphone and no camera") {
		t.Errorf("the page says %q", hint)
	}
	watcher.requireArrives(bare.connectionID(), 6)
}

func TestPageMutesPictureAndSound(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	one := openPage(t, s, "one", "source=test&pattern=1&role=sendonly")
	two := openPage(t, s, "two", "role=recvonly")
	id := one.connectionID()
	two.requireArrives(id, 1)

	one.do("v", chromedp.KeyEvent("v"))
	eventually(t, arriveTimeout, "the picture is black", func() (bool, any) {
		p := two.report().Remote[id].Picture
		return p != nil && p.Mean < 24 && p.Band[0]+p.Band[1]+p.Band[2] < 3*24, p
	})
	if pressed := eval[string](one, `document.querySelector("#cam").getAttribute("aria-pressed")`); pressed != "true" {
		t.Errorf("the button says %q", pressed)
	}
	one.do("v", chromedp.KeyEvent("v"))
	two.requireVideo(id, 1)

	one.do("mute", chromedp.Click(`#mic`))
	eventually(t, arriveTimeout, "it is silent for two seconds", func() (bool, any) {
		from := two.report().Remote[id].Audio
		if from == nil {
			return false, nil
		}
		to := from
		eventually(t, arriveTimeout, "a hundred packets more", func() (bool, any) {
			to = two.report().Remote[id].Audio
			return to.Packets >= from.Packets+100, to
		})
		return to.Energy-from.Energy < 0.00002, fmt.Sprint(from.Energy, to.Energy)
	})
	one.do("unmute", chromedp.Click(`#mic`))
	two.requireAudio(id)
}

// A tab behind another one must not freeze for the others.
func TestPagePatternMovesOnInAHiddenTab(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	b := ownChromium(t)
	watcher := openPage(t, s, "watcher", "role=recvonly")
	hidden := b.open(t, "hidden", pageURL(t, s, "source=test&pattern=4"))
	hidden.requireState("live")
	ctx, cancel := chromedp.NewContext(hidden.ctx, chromedp.WithNewWindow(false))
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	eventually(t, arriveTimeout, "the tab is hidden", func() (bool, any) {
		state := eval[string](hidden, "document.visibilityState")
		return state == "hidden", state
	})
	watcher.requireArrives(hidden.connectionID(), 4)
}
