//go:build browser

package browser

import (
	"fmt"
	"net/http/httptest"
	"testing"

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
	return &scene{t: t, server: startServer(t), site: startSite(t)}
}

// client is one tab with the SDK in it.
type client struct {
	*tab
	scene   *scene
	id      string
	pattern int
}

// client opens a tab whose pattern has the given number; it joins nothing yet.
func (s *scene) client(b browser, name string, pattern int) *client {
	s.t.Helper()
	c := &client{tab: b.open(s.t, name, s.site.URL+"/sdk.html"), scene: s, pattern: pattern}
	eventually(s.t, callTimeout, name+" loads the SDK", func() (bool, any) {
		return eval[bool](c.tab, "typeof rig === 'object'"), eval[[]string](c.tab, "probe.errors")
	})
	if v := eval[string](c.tab, "rig.version()"); v != "2026.1.0" {
		s.t.Fatalf("SDK version %s", v)
	}
	return c
}

const vp8Options = `{audio: true, video: true, videoCodecType: "VP8"}`

// join connects with role and waits until the SDK says "connected".
func (c *client) join(role string) string {
	c.t.Helper()
	return c.joinWith(role, vp8Options)
}

func (c *client) joinWith(role, options string) string {
	c.t.Helper()
	c.id = eval[string](c.tab, fmt.Sprintf("rig.join({url: %s, channel: %s, role: %s, pattern: %d, options: %s})",
		jsString(c.scene.server.SignalingURL()), jsString(channelName(c.t)), jsString(role), c.pattern, options))
	if len(c.id) != 26 {
		c.t.Fatalf("%s: connection id %q", c.name, c.id)
	}
	return c.id
}

// leave disconnects and checks that the server closed it in the orderly way.
func (c *client) leave() {
	c.t.Helper()
	type closing struct {
		Type   string
		Title  string
		Code   int
		Reason string
	}
	end := eval[closing](c.tab, "rig.leave()")
	if end.Type != "normal" || end.Code != 1000 || end.Reason != "TYPE-DISCONNECT" {
		c.t.Errorf("%s: disconnected with %+v", c.name, end)
	}
}

// requireArrivesFrom waits until c sees and hears the other.
func (c *client) requireArrivesFrom(other *client) {
	c.t.Helper()
	c.requireArrives(other.id, other.pattern)
}
