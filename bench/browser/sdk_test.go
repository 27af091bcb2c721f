//go:build browser

package browser

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
)

// scene is a server and a site with the SDK, for one test.
type scene struct {
	t      *testing.T
	server *harness.Server
	site   *httptest.Server
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneWith(t, harness.Options{Args: []string{"-dev"}})
}

func newSceneWith(t *testing.T, o harness.Options, except ...string) *scene {
	t.Helper()
	return &scene{t: t, server: startServerWith(t, o, except...), site: startSite(t)}
}

// client is one tab with the SDK in it.
type client struct {
	*tab
	scene   *scene
	id      string
	pattern int
	codec   string // of its video since the last join
}

// defaultCodec is what the server has a client send that asks for no codec.
const defaultCodec = "VP9"

// client opens a tab whose pattern has the given number; it joins nothing yet.
func (s *scene) client(b browser, name string, pattern int) *client {
	s.t.Helper()
	c := &client{tab: b.open(s.t, name, s.site.URL+"/sdk.html"), scene: s, pattern: pattern}
	c.requireLoaded()
	if v := eval[string](c.tab, "rig.version()"); v != "2026.1.0" {
		s.t.Fatalf("SDK version %s", v)
	}
	return c
}

// options are those of the SDK, by the names that it has for them. Without audio or
// video: true.
type options map[string]any

// wish says what a client's own media are; without anything the pattern of
// signal/web and its tone.
type wish struct {
	FPS    int   `json:"fps,omitempty"`
	Width  int   `json:"width,omitempty"`
	Height int   `json:"height,omitempty"`
	Noise  bool  `json:"noise,omitempty"`
	Screen bool  `json:"screen,omitempty"` // a shared screen in its place
	Stereo bool  `json:"stereo,omitempty"`
	Video  *bool `json:"video,omitempty"` // false: no track, whatever signaling asked for
	Audio  *bool `json:"audio,omitempty"`
}

// small is a picture of which two processors can encode and decode many.
var small = wish{FPS: 15, Width: 320, Height: 180}

// join connects with role, sends VP8 and waits until the SDK says "connected".
func (c *client) join(role string) string {
	c.t.Helper()
	return c.joinWith(role, options{"videoCodecType": "VP8"}, wish{})
}

func (c *client) joinWith(role string, o options, w wish) string {
	c.t.Helper()
	c.id = eval[string](c.tab, c.joinScript(role, o, w))
	c.requireID()
	return c.id
}

func (c *client) requireID() {
	c.t.Helper()
	if len(c.id) != 26 {
		c.t.Fatalf("%s: connection id %q", c.name, c.id)
	}
}

// joinScript is the expression that joins; its value promises the connection id.
func (c *client) joinScript(role string, o options, w wish) string {
	if o == nil {
		o = options{}
	}
	c.codec = defaultCodec
	if codec, ok := o["videoCodecType"].(string); ok {
		c.codec = codec
	}
	return fmt.Sprintf("rig.join({url: %s, channel: %s, role: %s, pattern: %d, options: %s, wish: %s})",
		jsString(c.scene.server.SignalingURL()), jsString(channelName(c.t)), jsString(role), c.pattern, jsValue(o), jsValue(w))
}

// closing is what the SDK says when a connection has ended.
type closing struct {
	Type   string
	Title  string
	Code   int
	Reason string
}

// leave disconnects and checks that the server closed it in the orderly way.
func (c *client) leave() {
	c.t.Helper()
	c.requireOrderly(eval[closing](c.tab, "rig.leave()"))
}

func (c *client) requireOrderly(end closing) {
	c.t.Helper()
	if end.Type != "normal" || end.Code != 1000 || end.Reason != "TYPE-DISCONNECT" {
		c.t.Errorf("%s: disconnected with %+v", c.name, end)
	}
}

// requireArrivesFrom waits until c sees and hears the other.
func (c *client) requireArrivesFrom(other *client) {
	c.t.Helper()
	c.requireVideoFrom(other)
	c.requireAudio(other.id)
}

// requireVideoFrom waits until c sees all the others.
func (c *client) requireVideoFrom(others ...*client) {
	c.t.Helper()
	all := make([]shown, len(others))
	for i, other := range others {
		all[i] = shown{other.codec, other.id, other.pattern}
	}
	c.requireVideos(all...)
}

// ids are the connection ids of clients.
func ids(clients []*client) []string {
	all := make([]string, len(clients))
	for i, c := range clients {
		all[i] = c.id
	}
	return all
}

// without returns the others.
func without(clients []*client, c *client) []*client {
	return slices.DeleteFunc(slices.Clone(clients), func(other *client) bool { return other == c })
}

// reload loads the page anew, as a person does: nothing is said to the server. What
// went wrong until then is looked at first, because the page forgets it.
func (c *client) reload() {
	c.t.Helper()
	c.requireNoErrors()
	c.do("reload", chromedp.Navigate(c.scene.site.URL+"/sdk.html"))
	c.requireLoaded()
}

func (c *client) requireLoaded() {
	c.t.Helper()
	eventually(c.t, callTimeout, c.name+" loads the SDK", func() (bool, any) {
		return eval[bool](c.tab, "typeof rig === 'object'"), eval[[]string](c.tab, "globalThis.probe?.errors ?? []")
	})
}

// encoders are the codecs that the browser can send video in, by our names.
func (tb *tab) encoders() map[string]bool {
	tb.t.Helper()
	found := map[string]bool{}
	for _, name := range eval[[]string](tb, `RTCRtpSender.getCapabilities("video").codecs.map((codec) => codec.mimeType)`) {
		found[strings.ToUpper(strings.TrimPrefix(name, "video/"))] = true
	}
	return found
}
