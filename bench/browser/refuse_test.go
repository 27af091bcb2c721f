//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"tsubame/signal/web"
)

// stubborn serves the page with a signaling that does one thing only, to see what
// the page makes of servers that a test cannot have otherwise.
func stubborn(t *testing.T, behave func(ctx context.Context, c *websocket.Conn)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.HandleFunc("/signaling", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // the page has gone
		}
		defer c.CloseNow()
		behave(r.Context(), c)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/?source=test&auto=1&codec=VP8&channel=" + channelName(t)
}

func (tb *tab) requireAlert(timeout time.Duration, want string) {
	tb.t.Helper()
	eventually(tb.t, timeout, tb.name+" shows "+want, func() (bool, any) {
		text := eval[string](tb, `document.querySelector("#alert:not([hidden])")?.textContent ?? ""`)
		return strings.Contains(text, want), text
	})
}

func TestPageConnectsAsTheProtocolSays(t *testing.T) {
	besideChurn(t)
	messages := make(chan string, 8)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			messages <- string(b)
			if strings.Contains(string(b), `"connect"`) {
				// The context ends with the page; a failure shows as a missing pong.
				_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"ping","stats":true}`))
				_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"something-new"}`))
				_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`))
			}
		}
	})
	tb := sharedChromium(t).open(t, "page", url)
	var connect struct {
		Type, Role  string
		ChannelID   string `json:"channel_id"`
		Audio, Sora any
		Video       map[string]string
	}
	next := func() string {
		select {
		case m := <-messages:
			return m
		case <-time.After(callTimeout):
			t.Fatal("the page sends nothing")
			return ""
		}
	}
	if err := json.Unmarshal([]byte(next()), &connect); err != nil {
		t.Fatal(err)
	}
	if connect.Type != "connect" || connect.Role != "sendrecv" || connect.ChannelID != channelName(t) ||
		connect.Audio != true || connect.Video["codec_type"] != "VP8" {
		t.Errorf("connect: %+v", connect)
	}
	if pong := next(); pong != `{"type":"pong","stats":[]}` {
		t.Errorf("to a ping that asks for statistics: %s", pong)
	}
	if pong := next(); pong != `{"type":"pong"}` {
		t.Errorf("to a ping: %s", pong)
	}
	tb.do("leave", chromedp.Click(`#leave`))
	if bye := next(); bye != `{"type":"disconnect","reason":"NO-ERROR"}` {
		t.Errorf("leaving: %s", bye)
	}
}

func TestPageShowsWhyItWasRefused(t *testing.T) {
	besideChurn(t)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		if _, _, err := c.Read(ctx); err == nil {
			_ = c.Close(4490, "AUTHENTICATION-FAILURE")
		}
	})
	tb := sharedChromium(t).open(t, "page", url)
	tb.requireAlert(arriveTimeout, "refused the call: AUTHENTICATION-FAILURE")
	tb.requireState("idle")
}

func TestPageShowsAnOfferThatItCannotRead(t *testing.T) {
	besideChurn(t)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		if _, _, err := c.Read(ctx); err == nil {
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"offer","sdp":"nonsense","connection_id":"C","config":{"iceServers":[]},"mid":{}}`))
			_, _, _ = c.Read(ctx) // until the page has gone
		}
	})
	tb := sharedChromium(t).open(t, "page", url)
	tb.requireAlert(arriveTimeout, "The call broke down")
	if errors := eval[[]string](tb, "probe.errors"); len(errors) != 1 || !strings.Contains(errors[0], "setRemoteDescription") {
		t.Errorf("errors: %q", errors)
	}
	tb.run("probe.errors.length = 0")
}

func TestPageGivesUpOnASilentServer(t *testing.T) {
	besideChurn(t)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) {
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	})
	tb := sharedChromium(t).open(t, "page", url)
	tb.requireAlert(15*time.Second+arriveTimeout, "No media connection within 15 seconds")
}

func TestPageSaysWhenDevicesAreForbidden(t *testing.T) {
	besideChurn(t)
	url := stubborn(t, func(ctx context.Context, c *websocket.Conn) { _, _, _ = c.Read(ctx) })
	url = strings.NewReplacer("source=test", "source=camera", "&auto=1", "").Replace(url)
	tb := sharedChromium(t).open(t, "page", url)
	tb.run(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"))`)
	tb.do("connect", chromedp.Click(`#connect`))
	tb.requireAlert(arriveTimeout, "choose the test pattern")
}
