//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"

	"tsubame/bench/harness"
)

// refusal is what the SDK's connect() rejects with.
type refusal struct {
	Name    string
	Code    int
	Reason  string
	Message string
}

func (c *client) tryToJoin(role string, o options) refusal {
	c.t.Helper()
	return eval[refusal](c.tab, fmt.Sprintf("rig.refused({url: %s, channel: %s, role: %s, options: %s})",
		jsString(c.scene.server.SignalingURL()), jsString(channelName(c.t)), jsString(role), jsValue(o)))
}

// Whatever the SDK can ask for and the server does not have, or has been told not to allow,
// is refused by a name that says so: who believes in it would wait for it.
func TestSDKRefusalsSayWhy(t *testing.T) {
	besideChurn(t)
	filters := []any{map[string]any{"action": "block", "rules": []any{[]any{
		map[string]any{"field": "connection_id", "operator": "is_in", "values": []string{"A"}}}}}}
	c := newScene(t).client(sharedChromium(t), "client", 1)
	for _, test := range []struct {
		o    options
		want string
	}{
		{options{"simulcast": true}, "SIMULCAST-NOT-SUPPORTED"},
		{options{"simulcastRid": "r1"}, "SIMULCAST-RID-NOT-SUPPORTED"},
		{options{"simulcastRequestRid": "r1"}, "SIMULCAST-REQUEST-RID-NOT-SUPPORTED"},
		{options{"spotlight": true}, "SPOTLIGHT-NOT-SUPPORTED"},
		{options{"spotlight": true, "simulcast": true, "spotlightNumber": 1}, "SPOTLIGHT-NOT-SUPPORTED"},
		{options{"spotlightNumber": 3}, "SPOTLIGHT-NUMBER-NOT-SUPPORTED"},
		{options{"spotlightFocusRid": "r1"}, "SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT"},
		{options{"spotlightUnfocusRid": "r0"}, "SPOTLIGHT-UNFOCUS-RID-WITHOUT-SPOTLIGHT"},
		{options{"dataChannelSignaling": true}, "DATA-CHANNEL-SIGNALING-NOT-SUPPORTED"},
		{options{"ignoreDisconnectWebSocket": true}, "IGNORE-DISCONNECT-WEBSOCKET-NOT-SUPPORTED"},
		{options{"dataChannels": []any{map[string]any{"label": "#a", "direction": "sendrecv"}}}, "DATA-CHANNELS-NOT-SUPPORTED"},
		{options{"forwardingFilters": filters}, "FORWARDING-FILTERS-NOT-SUPPORTED"},
		{options{"forwardingFilter": filters[0]}, "FORWARDING-FILTER-NOT-SUPPORTED"},
		{options{"audioStreamingLanguageCode": "ja-JP"}, "AUDIO-STREAMING-LANGUAGE-CODE-NOT-SUPPORTED"},
		{options{"bundleId": "b"}, "BUNDLE-ID-NOT-ALLOWED"},
		{options{"videoCodecType": "VP9", "videoVP9Params": map[string]any{"profile_id": 0}}, "VP9-PARAMS-NOT-ALLOWED"},
		{options{"videoCodecType": "AV1", "videoAV1Params": map[string]any{"profile": 0}}, "AV1-PARAMS-NOT-ALLOWED"},
		{options{"videoCodecType": "H264", "videoH264Params": map[string]any{"profile_level_id": "42e01f"}}, "H264-PARAMS-NOT-ALLOWED"},
		{options{"videoCodecType": "H265", "videoH265Params": map[string]any{"level_id": 93}}, "H265-PARAMS-NOT-ALLOWED"},
		{options{"videoCodecType": "VP10"}, "UNKNOWN-CODEC-TYPE"},
		{options{"audioCodecType": "PCMU"}, "UNKNOWN-CODEC-TYPE"},
		{options{"audioBitRate": 5}, "INVALID-AUDIO-FORMAT"},
		{options{"audioBitRate": 511}, "INVALID-AUDIO-FORMAT"},
		{options{"audioOpusParamsMinptime": 121}, "INVALID-AUDIO-FORMAT"},
		{options{"videoBitRate": 50001}, "INVALID-VIDEO-FORMAT"},
		{options{"clientId": ""}, "INVALID-CLIENT-ID"},
		{options{"clientId": strings.Repeat("c", 256)}, "INVALID-CLIENT-ID"},
	} {
		for _, role := range []string{"sendrecv", "recvonly"} {
			got := c.tryToJoin(role, test.o)
			if got.Name != "ConnectError" || got.Code != 4490 || got.Reason != test.want {
				t.Errorf("%s with %s: %+v and not %s", role, jsValue(test.o), got, test.want)
			}
		}
	}
	// Nothing of all that stands in the way of one that asks for what there is.
	if got := c.tryToJoin("recvonly", options{"clientId": "me"}); got.Name != "accepted" {
		t.Errorf("an ordinary connect: %+v", got)
	}
}

// The SDK's messaging connection is one of DataChannels alone.
func TestSDKRefusesMessagingForNow(t *testing.T) {
	besideChurn(t)
	c := newScene(t).client(sharedChromium(t), "client", 1)
	got := c.tryToJoin("messaging", options{"dataChannels": []any{map[string]any{"label": "#a", "direction": "sendrecv"}}})
	if got.Code != 4490 || got.Reason != "DATA-CHANNEL-SIGNALING-NOT-SUPPORTED" {
		t.Errorf("messaging: %+v", got)
	}
}

// What configuration allows reaches the offer.
func TestSDKCodecParametersThatAreAllowed(t *testing.T) {
	besideChurn(t)
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{
		"signaling_vp9_params": "true", "signaling_av1_params": "true", "signaling_h264_params": "true", "signaling_bundle_id": "true",
	}})
	publisher, viewer := s.client(sharedChromium(t), "publisher", 1), s.client(sharedChromium(t), "viewer", 0)
	viewer.joinWith("recvonly", nil, wish{})
	for _, test := range []struct {
		o    options
		want string
	}{
		{options{"videoCodecType": "VP9", "videoVP9Params": map[string]any{"profile_id": 0}}, "profile-id=0"},
		{options{"videoCodecType": "AV1", "videoAV1Params": map[string]any{"profile": 0}}, "profile=0"},
		{options{"videoCodecType": "H264", "videoH264Params": map[string]any{"profile_level_id": "42e01f"}}, "profile-level-id=42e01f"},
	} {
		test.o["bundleId"] = "mine"
		publisher.joinWith("sendonly", test.o, small)
		if offer := eval[string](publisher.tab, "rig.offered()"); !strings.Contains(offer, test.want) {
			t.Errorf("%s: no %s in\n%s", jsValue(test.o), test.want, offer)
		}
		viewer.requireVideoFrom(publisher)
		publisher.leave()
	}
}

// Connections of one bundle do not see each other, and are not told of each other.
func TestSDKBundle(t *testing.T) {
	besideChurn(t)
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{"signaling_bundle_id": "true"}})
	b := sharedChromium(t)
	screen, camera, other := s.client(b, "screen", 2), s.client(b, "camera", 5), s.client(b, "other", 7)
	screen.joinWith("sendrecv", options{"videoCodecType": "VP8", "bundleId": "one"}, small)
	camera.joinWith("sendrecv", options{"videoCodecType": "VP8", "bundleId": "one"}, small)
	other.joinWith("sendrecv", options{"videoCodecType": "VP8", "bundleId": "two"}, small)
	other.requireVideoFrom(screen, camera)
	screen.requireVideoFrom(other)
	camera.requireVideoFrom(other)
	screen.requireOnly(other.id)
	camera.requireOnly(other.id)
	for _, n := range eval[[]notify](screen.tab, "rig.notifies()") {
		if n.ConnectionID == camera.id {
			t.Errorf("one of the bundle is told %s of another", n.EventType)
		}
	}
}
