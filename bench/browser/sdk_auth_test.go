//go:build browser

package browser

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"tsubame/bench/harness"
	"tsubame/bench/webhooks"
)

// application is one that answers the auth webhook of a scene, and gets its events.
func application(t *testing.T, script webhooks.Script) *webhooks.Application {
	t.Helper()
	app, err := webhooks.Start(webhooks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	app.On("/auth", script)
	app.On("/event", webhooks.Always(webhooks.Empty()))
	return app
}

// askedScene is a scene whose server asks an application.
func askedScene(t *testing.T, script webhooks.Script, more map[string]string) (*scene, *webhooks.Application) {
	t.Helper()
	app := application(t, script)
	config := map[string]string{"auth_webhook_url": app.URL("/auth"), "event_webhook_url": app.URL("/event")}
	maps.Copy(config, more)
	return newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: config}), app
}

// ask is what joins and refusals of these tests are made of: like joinScript, with metadata.
func (c *client) ask(role string, metadata any, o options) string {
	return fmt.Sprintf("{url: %s, channel: %s, role: %s, pattern: %d, options: %s, wish: %s, metadata: %s}",
		jsString(c.scene.server.SignalingURL()), jsString(channelName(c.t)), jsString(role), c.pattern, jsValue(o), jsValue(small), jsValue(metadata))
}

// joinSaying joins with metadata. sends is the codec that the client's video has to be in.
func (c *client) joinSaying(role string, metadata any, o options, sends string) {
	c.t.Helper()
	c.codec = sends
	c.id = eval[string](c.tab, "rig.join("+c.ask(role, metadata, o)+")")
	c.requireID()
}

// requireRefused holds what the SDK's connect() rejects with.
func (c *client) requireRefused(metadata any, want string) {
	c.t.Helper()
	got := eval[refusal](c.tab, "rig.refused("+c.ask("recvonly", metadata, options{})+")")
	if got.Name != "ConnectError" || got.Code != 4490 || got.Reason != want {
		c.t.Errorf("%s with %s: %+v and not %s", c.name, jsValue(metadata), got, want)
	}
}

// granted is what the SDK has been told about its connection.
type granted struct {
	Client, Bundle string
	Metadata       any
}

// What the application refuses, the SDK's connect() rejects with its reason.
func TestSDKSeesWhyTheApplicationRefused(t *testing.T) {
	besideChurn(t)
	answers := map[string]webhooks.Answer{
		"reason":  webhooks.Refuse("PLEASE-CONTACT-US"),
		"none":    webhooks.OK(map[string]any{"allowed": false}),
		"broken":  webhooks.Status(500, ""),
		"invalid": webhooks.Raw(200, "application/json", "{"),
		"yes":     webhooks.Allow(nil),
	}
	s, _ := askedScene(t, func(r *webhooks.Request) webhooks.Answer {
		name, _ := r.Body["metadata"].(map[string]any)["answer"].(string)
		return answers[name]
	}, nil)
	c := s.client(sharedChromium(t), "client", 1)
	saying := func(answer string) any { return map[string]any{"answer": answer} }
	c.requireRefused(saying("reason"), "PLEASE-CONTACT-US")
	c.requireRefused(saying("none"), "AUTHENTICATION-FAILURE")
	c.requireRefused(saying("broken"), "AUTHENTICATION-INTERNAL-ERROR")
	c.requireRefused(saying("invalid"), "AUTHENTICATION-INTERNAL-ERROR")
	c.joinSaying("sendonly", saying("yes"), options{"videoCodecType": "VP8"}, "VP8")
	c.leave()
}

// The application has the client send VP8 where it asked for VP9, at its rate, under another
// name, and hands it metadata; others see it all.
func TestSDKFollowsWhatTheApplicationHandsOut(t *testing.T) {
	besideChurn(t)
	const kbps = 150
	given := map[string]any{"room": "å", "list": []any{1.5, nil, true}}
	s, app := askedScene(t, func(r *webhooks.Request) webhooks.Answer {
		if r.Text("role") == "recvonly" {
			return webhooks.Allow(nil)
		}
		return webhooks.Allow(map[string]any{
			"video_codec_type": "VP8", "video_bit_rate": kbps, "client_id": "from the application", "bundle_id": "its bundle",
			"metadata": given, "signaling_notify_metadata": "of the application",
		})
	}, nil)
	b := sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 4), s.client(b, "viewer", 0)
	viewer.joinSaying("recvonly", nil, options{}, "")
	publisher.joinSaying("sendonly", "mine", options{
		"videoCodecType": "VP9", "videoBitRate": 2000, "clientId": "from the client", "signalingNotifyMetadata": "for the others",
	}, "VP8")
	viewer.requireVideoFrom(publisher)
	eventually(t, arriveTimeout, "the encoder has a target of its own", func() (bool, any) {
		v := publisher.report().Sent.Video
		return v != nil && v.Target > 0 && v.Target <= kbps*1000, v
	})
	if sent := publisher.report().Sent; sent.Video.Codec != "video/VP8" || sent.Audio == nil {
		t.Errorf("the publisher sends %+v", sent)
	}
	if sdp := eval[string](publisher.tab, "rig.offered()"); !strings.Contains(sdp, fmt.Sprintf("b=AS:%d\r\n", kbps)) || strings.Contains(sdp, "VP9") {
		t.Errorf("the offer is not of VP8 at %d kbps:\n%s", kbps, sdp)
	}
	if got := eval[granted](publisher.tab, "rig.granted()"); !reflect.DeepEqual(got, granted{"from the application", "its bundle", given}) {
		t.Errorf("the client is told %+v", got)
	}
	requests := app.Requests("/auth")
	if r := requests[len(requests)-1]; r.Body["metadata"] != "mine" || r.Text("client_id") != "from the client" {
		t.Errorf("the application was asked %s", r.Raw)
	}
	if n := eval[map[string]any](viewer.tab, fmt.Sprintf("rig.notifies().find((n) => n.connection_id === %s)", jsString(publisher.id))); n["client_id"] != "from the application" ||
		n["bundle_id"] != "its bundle" || n["authz_metadata"] != "of the application" || n["authn_metadata"] != "for the others" {
		t.Errorf("the viewer is told %s", jsValue(n))
	}
	publisher.leave()
	viewer.leave()
}

// What the application switches off the client does not send, though it asked to.
func TestSDKSendsOnlyWhatTheApplicationLeaves(t *testing.T) {
	besideChurn(t)
	s, _ := askedScene(t, func(r *webhooks.Request) webhooks.Answer {
		kind, ok := r.Body["metadata"].(string)
		if !ok {
			return webhooks.Allow(nil)
		}
		return webhooks.Allow(map[string]any{kind: false})
	}, nil)
	b := sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 4), s.client(b, "viewer", 0)
	viewer.joinSaying("recvonly", nil, options{}, "")
	publisher.joinSaying("sendonly", "audio", options{"videoCodecType": "VP8"}, "VP8")
	viewer.requireVideoFrom(publisher)
	if r := publisher.report().Sent; r.Audio != nil && r.Audio.Packets > 0 {
		t.Errorf("without audio the client sends %+v", r.Audio)
	}
	if r := viewer.report().Remote[publisher.id]; r.Audio != nil {
		t.Errorf("the viewer is sent %+v", r.Audio)
	}
	publisher.leave()

	publisher.joinSaying("sendonly", "video", options{"videoCodecType": "VP8"}, "")
	viewer.requireAudio(publisher.id)
	if r := publisher.report().Sent; r.Video != nil && r.Video.Packets > 0 {
		t.Errorf("without video the client sends %+v", r.Video)
	}
	if r := viewer.report().Remote[publisher.id]; r.Video != nil {
		t.Errorf("the viewer is sent %+v", r.Video)
	}
	publisher.leave()
	viewer.leave()
}

// A connection that the application gives a lifetime ends in an orderly way when it is over.
func TestSDKConnectionEndsWithItsLifetime(t *testing.T) {
	besideChurn(t)
	s, _ := askedScene(t, webhooks.Always(webhooks.Allow(map[string]any{"connection_lifetime": 2})), nil)
	c := s.client(sharedChromium(t), "client", 1)
	c.joinSaying("sendonly", nil, options{"videoCodecType": "VP8"}, "VP8")
	eventually(t, arriveTimeout, "the connection ends", func() (bool, any) {
		end := eval[*closing](c.tab, "rig.disconnected()")
		return end != nil && end.Type == "normal" && end.Code == 1000 && end.Reason == "LIFETIME-EXPIRED", end
	})
}

// Media go through TURN over TCP for whom the application says so, at the address and by the
// name that it hands out, also where that address is none that the server knows of.
func TestSDKGoesTheWayThatTheApplicationHandsOut(t *testing.T) {
	besideChurn(t)
	ways := map[string]map[string]any{
		"known":   {"ipv4_address": "127.0.0.1", "turn_tcp_only": true},
		"unknown": {"ipv4_address": "192.0.2.7", "turn_tcp_only": true, "turn_fqdn": "localhost"},
	}
	s, _ := askedScene(t, func(r *webhooks.Request) webhooks.Answer { return webhooks.Allow(ways[r.Text("client_id")]) }, nil)
	b := sharedChromium(t)
	known, unknown := s.client(b, "known", 4), s.client(b, "unknown", 2)
	for _, c := range []*client{known, unknown} {
		c.joinSaying("sendrecv", nil, options{"videoCodecType": "VP8", "clientId": c.name}, "VP8")
		c.requirePair("relay", "tcp")
	}
	known.requireVideoFrom(unknown)
	unknown.requireVideoFrom(known)
	unknown.leave()
	known.leave()
}
