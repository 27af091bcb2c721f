//go:build browser

package browser

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"tsubame/bench/harness"
	"tsubame/signal/offer"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

func navigate(url string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(url) }

func TestPageComesBackWhenTheServerIsBack(t *testing.T) {
	besideChurn(t)
	first := startServer(t)
	page, err := url.Parse(first.URL())
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{"signaling_port": page.Port(), "udp_port": strconv.Itoa(first.UDPPort())}
	one := openPage(t, first, "one", little+"&pattern=1")
	two := openPage(t, first, "two", little+"&pattern=2")
	one.requireVideo(two.connectionID(), 2)
	before := one.connectionID()
	track := eval[string](one, `document.querySelector("[data-connection=own] video").srcObject.getVideoTracks()[0].id`)

	// Each message stands there for a second only, until the next attempt: they are noted.
	one.run(`{ globalThis.titles = []; const title = document.querySelector("#waiting-title");
		new MutationObserver(() => titles.push(title.textContent)).observe(title, { childList: true }); }`)
	said := func(what string) {
		t.Helper()
		one.requireTrue("it says "+what, `titles.some((title) => title.includes(`+jsString(what)+`))`)
	}
	first.Kill()
	for _, tb := range []*tab{one, two} {
		tb.requireState("waiting")
	}
	said("The connection to the server was lost.")
	one.requireText("#countdown", "Trying again in")
	if n := len(one.report().Tiles); n != 0 {
		t.Errorf("%d tiles of others are left", n)
	}
	// The second attempt has found nobody there either.
	one.requireText("#waiting", "cannot be reached or is busy")
	two.click("#retry-cancel")
	two.requireState("idle")

	second := harness.Start(t, harness.Options{Args: []string{"-dev"}, Config: ports})
	one.run(`dispatchEvent(new Event("online"))`) // no need to wait for the countdown
	one.requireState("live")
	if one.text("#waiting") != "" || one.connectionID() == before {
		t.Errorf("back as %s with %q on the page", one.connectionID(), one.text("#waiting"))
	}
	if now := eval[string](one, `document.querySelector("[data-connection=own] video").srcObject.getVideoTracks()[0].id`); now != track {
		t.Error("the source was opened anew")
	}
	two.click("#connect")
	two.requireState("live")
	two.requireArrives(one.connectionID(), 1)

	// An orderly end of the server is something to come back from as well.
	second.Stop()
	said("SHUTDOWN")
	one.requireState("waiting")
	one.click("#leave")
	one.requireState("idle")
}

// Signaling gets through and media does not.
func TestPageSuspectsAFirewall(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	tb := lobby(t, strings.Replace(pageURL(t, s, little), "&auto=1", "", 1))
	// The ways to the server's ports, TCP among them, end nowhere, and the page's patience is short.
	tb.run(`{ const apply = RTCPeerConnection.prototype.setRemoteDescription;
		RTCPeerConnection.prototype.setRemoteDescription = function (d) {
			return apply.call(this, { type: d.type, sdp: globalThis.open ? d.sdp : d.sdp.replace(/^(a=candidate:.* (?:udp|tcp) \d+ \S+) \d+/gm, "$1 9") });
		};
		const after = setTimeout;
		globalThis.setTimeout = (f, ms, ...rest) => after(f, ms === 15000 && !globalThis.open ? 1500 : ms, ...rest);
		globalThis.open = false; }`)
	tb.click("#connect")
	tb.requireText("#alert", "No media connection within 15 seconds.")
	tb.requireText("#alert", "port "+strconv.Itoa(s.UDPPort())+". A firewall on the way may block UDP.")
	tb.requireState("idle")
	tb.run("globalThis.open = true")
	tb.click("#alert-action")
	tb.requireState("live")
}

// One page, one server that refuses with whatever the channel's name says.
func TestPageExplainsEveryRefusal(t *testing.T) {
	besideChurn(t)
	link := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		_, b, err := c.Read(ctx)
		if err != nil {
			return
		}
		m, err := sora.Decode(b)
		if err != nil {
			t.Errorf("connect: %v", err)
			return
		}
		code, reason, _ := strings.Cut(m.Connect.ChannelID, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Errorf("code %q", code)
		}
		_ = c.Close(websocket.StatusCode(n), reason)
	})
	base, _, _ := strings.Cut(link, "?")
	tb := lobby(t, base+"?"+little+"&role=recvonly")
	for _, c := range []struct{ channel, title, advice string }{
		{"4490 " + session.ReasonUnknownCodec, "The server refused the call: UNKNOWN-CODEC-TYPE", "Choose another one"},
		{"4490 AUTHENTICATION-FAILURE", "refused the call: AUTHENTICATION-FAILURE", "wants to know who you are"},
		{"4490 VP9-PARAMS-NOT-ALLOWED", "refused the call: VP9-PARAMS-NOT-ALLOWED", "configuration forbids this: vp9 params"},
		{"4490 SPOTLIGHT-NOT-SUPPORTED", "refused the call: SPOTLIGHT-NOT-SUPPORTED", "does not have this: spotlight"},
		{"4490 SOMETHING-ELSE", "refused the call: SOMETHING-ELSE", "no further explanation"},
		{"1000 DISCONNECTED-API", "The server ended the call: DISCONNECTED-API", "Somebody who runs the server"},
	} {
		tb.pick("channel", c.channel)
		tb.click("#connect")
		tb.requireText("#alert", c.title)
		tb.requireText("#alert", c.advice)
		tb.requireState("idle")
	}
	for _, channel := range []string{"1000 " + session.ReasonShutdown, "4490 " + session.ReasonPongTimeout,
		"4490 " + session.ReasonConsentLost, "4490 " + session.ReasonServerBusy, "1001 "} {
		tb.pick("channel", channel)
		tb.click("#connect")
		tb.requireState("waiting")
		code, reason, _ := strings.Cut(channel, " ")
		tb.requireText("#waiting-title", cmp.Or(reason, "code "+code))
		tb.click("#retry-cancel")
		tb.requireState("idle")
	}
}

// The words for every reason that the server has are written.
func TestPageHasWordsForEveryReasonOfTheServer(t *testing.T) {
	besideChurn(t)
	base, _ := recorder(t)
	tb := lobby(t, base)
	for _, reason := range []string{
		session.ReasonConnectTimeout, session.ReasonAnswerTimeout, session.ReasonCreatedTimeout, session.ReasonPongTimeout,
		session.ReasonUnknownCodec, session.ReasonBadFingerprint, session.ReasonUnexpectedMessage, session.ReasonTooManyMessages,
		session.ReasonServerFull, session.ReasonServerBusy, session.ReasonSlowReader, session.ReasonConsentLost,
		session.ReasonDTLSFailed, session.ReasonBundleIDNotAllowed, session.ReasonShutdown, session.ReasonPeerClosed,
		offer.ReasonNoCommonCodec, offer.ReasonInvalidSDP, "INVALID-CHANNEL-ID", "INVALID-SPOTLIGHT-NUMBER", "SIMULCAST-NOT-SUPPORTED",
	} {
		text := eval[string](tb, `import("/reasons.js").then((m) => m.explain({ how: "closed", code: 4490, reason: `+jsString(reason)+` }).text)`)
		if text == "" || strings.Contains(text, "no further explanation") {
			t.Errorf("%s: %q", reason, text)
		}
	}
}

func TestPageWaitsLongerEachTimeButNotForEver(t *testing.T) {
	besideChurn(t)
	base, _ := recorder(t)
	tb := lobby(t, base)
	for attempt, seconds := range []float64{1, 2, 4, 8, 15, 15, 15} {
		delays := eval[[]float64](tb, `import("/retry.js").then((m) => [0, 0.5, 0.999].map((r) => m.delayMs(`+strconv.Itoa(attempt)+`, r)))`)
		if delays[1] != seconds*1000 || delays[0] < seconds*490 || delays[2] > seconds*1510 || delays[0] >= delays[2] {
			t.Errorf("attempt %d: %v ms", attempt, delays)
		}
	}
}
