package session

import (
	"reflect"
	"testing"

	"tsubame/signal/sora"
)

// What a connect may ask for and not get: the members, the reason.
var refused = []struct{ members, reason string }{
	{`"multistream":false`, "MULTISTREAM-FALSE-NOT-SUPPORTED"},
	{`"simulcast":true`, "SIMULCAST-NOT-SUPPORTED"},
	{`"simulcast_multicodec":true`, "SIMULCAST-MULTICODEC-NOT-SUPPORTED"},
	{`"simulcast_rid":"r1"`, "SIMULCAST-RID-NOT-SUPPORTED"},
	{`"simulcast_request_rid":"r1"`, "SIMULCAST-REQUEST-RID-NOT-SUPPORTED"},
	{`"spotlight":true`, "SPOTLIGHT-NOT-SUPPORTED"},
	{`"spotlight":true,"spotlight_focus_rid":"r1"`, "SPOTLIGHT-NOT-SUPPORTED"},
	{`"spotlight_number":1`, "SPOTLIGHT-NUMBER-NOT-SUPPORTED"},
	{`"spotlight_focus_rid":"r1"`, "SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT"},
	{`"spotlight_unfocus_rid":"none"`, "SPOTLIGHT-UNFOCUS-RID-WITHOUT-SPOTLIGHT"},
	{`"data_channel_signaling":true`, "DATA-CHANNEL-SIGNALING-NOT-SUPPORTED"},
	{`"ignore_disconnect_websocket":true`, "IGNORE-DISCONNECT-WEBSOCKET-NOT-SUPPORTED"},
	{`"data_channels":[{"label":"#a","direction":"sendrecv"}]`, "DATA-CHANNELS-NOT-SUPPORTED"},
	{`"forwarding_filter":{"rules":[[{"field":"kind","operator":"is_in","values":["audio"]}]]}`, "FORWARDING-FILTER-NOT-SUPPORTED"},
	{`"forwarding_filters":[{"rules":[[{"field":"kind","operator":"is_in","values":["audio"]}]]}]`, "FORWARDING-FILTERS-NOT-SUPPORTED"},
	{`"audio_streaming_language_code":"ja-JP"`, "AUDIO-STREAMING-LANGUAGE-CODE-NOT-SUPPORTED"},

	{`"client_id":"me"`, "CLIENT-ID-NOT-ALLOWED"},
	{`"bundle_id":"b"`, "BUNDLE-ID-NOT-ALLOWED"},
	{`"audio":{"opus_params":{"usedtx":true}}`, "OPUS-PARAMS-NOT-ALLOWED"},
	{`"video":{"vp9_params":{"profile_id":0}}`, "VP9-PARAMS-NOT-ALLOWED"},
	{`"video":{"av1_params":{"profile":0}}`, "AV1-PARAMS-NOT-ALLOWED"},
	{`"video":{"h264_params":{"profile_level_id":"42e01f"}}`, "H264-PARAMS-NOT-ALLOWED"},
	{`"video":{"h265_params":{"level_id":93}}`, "H265-PARAMS-NOT-ALLOWED"},
	{`"video":{"codec_type":"VP8","h264_params":{}}`, "H264-PARAMS-NOT-ALLOWED"},

	{`"audio":{"codec_type":"PCMU"}`, "UNKNOWN-CODEC-TYPE"},
	{`"audio":{"codec_type":"LYRA"}`, "UNKNOWN-CODEC-TYPE"},
	{`"audio":{"codec_type":"opus"}`, "UNKNOWN-CODEC-TYPE"},
	{`"video":{"codec_type":"H263"}`, "UNKNOWN-CODEC-TYPE"},
	{`"video":{"codec_type":"vp8"}`, "UNKNOWN-CODEC-TYPE"},
	{`"video":{"codec_type":"OPUS"}`, "UNKNOWN-CODEC-TYPE"},
}

func strictConfig() *Config {
	cfg := testConfig()
	cfg.Allow = Allow{VP8: true, VP9: true, AV1: true, H264: true, H265: true}
	return cfg
}

func connectWith(role, members string) string {
	return `client: {"type":"connect","role":"` + role + `","channel_id":"room",` + members + "}\n"
}

// Viewers are refused like publishers: what a connect says holds for whoever says it.
func TestWhatDoesNotExistOrIsNotAllowedIsRefusedByName(t *testing.T) {
	for _, r := range refused {
		for _, role := range []string{"sendrecv", "sendonly", "recvonly"} {
			play(t, strictConfig(), connectWith(role, r.members)+"\tserver: close 4490 "+r.reason)
		}
	}
}

func TestBFramesNeedTheirOwnPermission(t *testing.T) {
	cfg := strictConfig()
	cfg.Allow.H264Params, cfg.Allow.H265Params = true, true
	for _, codec := range []string{"H264", "H265"} {
		params := `"video":{"h264_params":{"b_frame":true}}`
		if codec == "H265" {
			params = `"video":{"h265_params":{"b_frame":true}}`
		}
		play(t, cfg, connectWith("sendonly", params)+"\tserver: close 4490 "+codec+"-B-FRAME-NOT-ALLOWED")
		allowed := *cfg
		allowed.Allow.H264BFrame, allowed.Allow.H265BFrame = true, true
		play(t, &allowed, connectWith("sendonly", params)+"\tmedia: open")
	}
	// Frames without B-frames are what there is anyway.
	play(t, cfg, connectWith("sendonly", `"video":{"codec_type":"H264","h264_params":{"b_frame":false}}`)+"\tmedia: open")
}

func TestCodecsThatAreOffAreRefusedToWhoeverSends(t *testing.T) {
	for codec, off := range map[string]func(*Allow){
		"VP8": func(a *Allow) { a.VP8 = false }, "VP9": func(a *Allow) { a.VP9 = false }, "AV1": func(a *Allow) { a.AV1 = false },
		"H264": func(a *Allow) { a.H264 = false }, "H265": func(a *Allow) { a.H265 = false },
	} {
		cfg := strictConfig()
		video := `"video":{"codec_type":"` + codec + `"}`
		for _, role := range []string{"sendrecv", "sendonly", "recvonly"} {
			play(t, cfg, connectWith(role, video)+"\tmedia: open")
		}
		off(&cfg.Allow)
		for _, role := range []string{"sendrecv", "sendonly"} {
			play(t, cfg, connectWith(role, video)+"\tserver: close 4490 UNKNOWN-CODEC-TYPE")
		}
		play(t, cfg, connectWith("recvonly", video)+"\tmedia: open")
	}
}

// Whoever names no codec is refused for the server's own choice only if it sends video.
func TestADefaultThatIsOffIsRefusedToWhoeverSendsVideo(t *testing.T) {
	cfg := strictConfig()
	cfg.Allow.VP8 = false
	play(t, cfg, connectWith("sendonly", `"video":true`)+"\tserver: close 4490 UNKNOWN-CODEC-TYPE")
	play(t, cfg, connectWith("sendonly", `"video":false`)+"\tmedia: open")
	play(t, cfg, connectWith("recvonly", `"video":true`)+"\tmedia: open")
}

// What asks for nothing that is missing is no reason to refuse.
func TestWhatMeansNothingIsAccepted(t *testing.T) {
	for _, members := range []string{
		`"simulcast":false`, `"simulcast_multicodec":false`, `"simulcast_request_rid":"none"`, `"spotlight":false`,
		`"data_channel_signaling":false`, `"ignore_disconnect_websocket":false`, `"data_channels":[]`, `"forwarding_filters":[]`,
		`"multistream":true`, `"redirect":true`, `"e2ee":true`, `"sdp":"v=0"`, `"metadata":{"token":"x"}`,
		`"audio":{"codec_type":"OPUS"}`, `"audio":{"opus_params":{}}`, `"video":{"codec_type":"VP8"}`,
		`"spotlight_focus_rid":null`, `"some_new_member":[1]`,
	} {
		play(t, strictConfig(), connectWith("sendrecv", members)+"\tmedia: open")
	}
}

// The table above has every reason that there is.
func TestEveryRefusalIsInATest(t *testing.T) {
	tested := map[string]bool{"H264-B-FRAME-NOT-ALLOWED": true, "H265-B-FRAME-NOT-ALLOWED": true}
	for _, r := range refused {
		tested[r.reason] = true
	}
	for _, r := range refusals {
		if !tested[r.reason] {
			t.Errorf("%s", r.reason)
		}
		if len(r.reason) > 123 {
			t.Errorf("%s does not fit into a close frame", r.reason)
		}
	}
}

// A member that clients may send either has an effect, or is refused, or is listed here
// with what becomes of it.
func TestNoMemberOfConnectIsIgnoredSilently(t *testing.T) {
	taken := map[string]string{
		"Role": "which sections are offered", "ChannelID": "which channel is joined", "ClientID": "a layer", "BundleID": "a layer",
		"Metadata": "for the authentication webhook", "NotifyMetadata": "a layer", "Audio": "a layer", "Video": "a layer",
		"SoraClient": "the log, and the name of re-offers", "Libwebrtc": "the log", "Environment": "the log",
		"Redirect": "means nothing to a server that never redirects", "E2EE": "of old clients; means nothing any more",
		"SimulcastQuality": "comes with Simulcast only, which is refused",
	}
	ofRefusals := map[string]*sora.Connect{
		"Multistream": {}, "Simulcast": {Multistream: true, Simulcast: true},
		"SimulcastMulticodec":       {Multistream: true, SimulcastMulticodec: true},
		"SimulcastRID":              {Multistream: true, SimulcastRID: "r0"},
		"SimulcastRequestRID":       {Multistream: true, SimulcastRequestRID: "r0"},
		"Spotlight":                 {Multistream: true, Spotlight: true},
		"SpotlightNumber":           {Multistream: true, SpotlightNumber: 3},
		"SpotlightFocusRID":         {Multistream: true, SpotlightFocusRID: "r0"},
		"SpotlightUnfocusRID":       {Multistream: true, SpotlightUnfocusRID: "r0"},
		"DataChannelSignaling":      {Multistream: true, DataChannelSignaling: sora.True},
		"IgnoreDisconnectWebSocket": {Multistream: true, IgnoreDisconnectWebSocket: sora.True},
		"DataChannels":              {Multistream: true, DataChannels: make([]sora.DataChannel, 1)},
		"ForwardingFilter":          {Multistream: true, ForwardingFilter: &sora.ForwardingFilter{}},
		"ForwardingFilters":         {Multistream: true, ForwardingFilters: make([]sora.ForwardingFilter, 1)},
		"AudioStreamingLanguage":    {Multistream: true, AudioStreamingLanguage: "ja-JP"},
	}
	allow := strictConfig().Allow
	for _, f := range reflect.VisibleFields(reflect.TypeFor[sora.Connect]()) {
		c, refusable := ofRefusals[f.Name]
		switch {
		case refusable && refuse(c, &allow) == "":
			t.Errorf("%s is not refused", f.Name)
		case !refusable && taken[f.Name] == "":
			t.Errorf("nobody says what becomes of %s", f.Name)
		}
	}
}
