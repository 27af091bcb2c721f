package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// requireHeaders holds a request to section 1.1 of the documentation of webhooks.
func requireHeaders(t *testing.T, r *Request, want map[string]string) {
	t.Helper()
	if r.Method != "POST" || r.Proto != "HTTP/1.1" || r.Header.Get("content-type") != "application/json" {
		t.Errorf("%s: %s %s, %s", r.Path, r.Method, r.Proto, r.Header.Get("content-type"))
	}
	for _, name := range []string{"sora-connection-id", "sora-session-id", "sora-session-webhook-type", "sora-event-webhook-type", "authorization", "cookie"} {
		if got := r.Header.Get(name); got != want[name] {
			t.Errorf("%s: header %s is %q, want %q", r.Path, name, got, want[name])
		}
	}
}

// Everything that a client says reaches the application, in the members of the documentation.
func TestAuthRequestTellsWhatTheClientSaid(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), settings{"signaling_vp9_params": "true"})
	metadata := map[string]any{"name": "å", "n": 1.5, "list": []any{nil, true, map[string]any{}}}
	first := w.join(w.peer("room", bot.SendRecv, map[string]any{
		"client_id": "the client", "bundle_id": "the bundle", "metadata": metadata, "signaling_notify_metadata": "not for the application",
		"audio":       map[string]any{"codec_type": "OPUS", "bit_rate": 64},
		"video":       map[string]any{"codec_type": "VP9", "bit_rate": 300, "vp9_params": map[string]any{"profile_id": 0}},
		"sora_client": "Sora Go SDK 2025.1.0 (abc1234)", "libwebrtc": "Shiguredo-build M140", "environment": "a machine",
	}))
	second := w.enter("room", bot.RecvOnly)
	w.enter("room", bot.SendOnly)
	requests := w.want(3, auth, nil)
	seen := map[string]bool{}
	for i := range requests {
		r := &requests[i]
		require(t, "the request", authRequest, r.Body)
		requireHeaders(t, r, map[string]string{"sora-connection-id": r.Text("connection_id")})
		if seen[r.Text("id")] {
			t.Errorf("id %s is not of one webhook only", r.Text("id"))
		}
		seen[r.Text("id")] = true
		if age := r.Arrived.Sub(moment(t, r.Body, "timestamp")); age < -time.Second || age > patience {
			t.Errorf("the timestamp is %v old", age)
		}
		requireValues(t, "request", r.Body, values{"channel_id": "room", "simulcast": false, "spotlight": false,
			"data_channel_signaling": false, "ignore_disconnect_websocket": false, "signaling_notify_metadata": nil})
	}
	requireValues(t, "the first", requests[0].Body, values{
		"role": "sendrecv", "connection_id": first.ID(), "client_id": "the client", "bundle_id": "the bundle",
		"metadata": metadata, "auth_metadata": metadata,
		"audio": true, "audio_codec_type": "OPUS", "audio_bit_rate": 64,
		"video": true, "video_codec_type": "VP9", "video_bit_rate": 300, "video_vp9_params": map[string]any{"profile_id": 0},
		"sora_client": map[string]any{
			"type": "Sora Go SDK", "version": "2025.1.0", "commit_short": "abc1234", "libwebrtc": "Shiguredo-build M140", "environment": "a machine",
		},
		"channel_connections": 0, "channel_sendrecv_connections": 0, "channel_sendonly_connections": 0, "channel_recvonly_connections": 0,
	})
	requireValues(t, "the second", requests[1].Body, values{
		"role": "recvonly", "connection_id": second.ID(), "client_id": nil, "bundle_id": nil, "metadata": nil, "auth_metadata": nil,
		"audio": true, "video": false, "video_codec_type": nil, "sora_client": map[string]any{"raw": "tsubame bot"},
		"channel_connections": 1, "channel_sendrecv_connections": 1, "channel_sendonly_connections": 0, "channel_recvonly_connections": 0,
	})
	requireValues(t, "the third", requests[2].Body, values{
		"role": "sendonly", "channel_connections": 2, "channel_sendrecv_connections": 1, "channel_sendonly_connections": 0, "channel_recvonly_connections": 1,
	})
	// They came one after the other: one connection is enough.
	if requests[2].Conn != requests[0].Conn || requests[2].Nth != 3 {
		t.Errorf("connections are not used again: %d and %d", requests[0].Conn, requests[2].Conn)
	}
}

// verdict is an answer of an application, and what it has to lead to.
type verdict struct {
	name   string
	answer Answer
	reason string // of the close; empty: the client gets in
	logged string // how the reason in auth_webhook_error.jsonl begins; empty: it is in auth_webhook.jsonl
}

const (
	failure  = "AUTHENTICATION-FAILURE"
	internal = "AUTHENTICATION-INTERNAL-ERROR"
)

var verdicts = []verdict{
	{"refused with a reason", Refuse("PLEASE-CONTACT-US"), "PLEASE-CONTACT-US", ""},
	{"refused with a reason of a hundred bytes", Refuse(strings.Repeat("R", 100)), strings.Repeat("R", 100), ""},
	{"refused with more than that", Refuse(strings.Repeat("R", 99) + "ありがとう"), strings.Repeat("R", 99), ""},
	{"refused without a reason", OK(map[string]any{"allowed": false}), failure, "no-reason"},
	{"refused with an empty reason", Refuse(""), failure, "no-reason"},
	{"without allowed", OK(map[string]any{"reason": "X"}), internal, "no-allowed"},
	{"allowed is a text", OK(map[string]any{"allowed": "true"}), internal, ""}, // either name is as good
	{"no object", OK([]any{true}), internal, "bad-json"},
	{"no JSON", Raw(200, "application/json", "allowed"), internal, "bad-json"},
	{"truncated JSON", Raw(200, "application/json", `{"allowed":tr`), internal, "bad-json"},
	{"more than JSON", Raw(200, "application/json", `{"allowed":true}{"allowed":false,"reason":"X"}`), internal, "bad-json"},
	{"an empty body", Raw(200, "application/json", ""), internal, "bad-json"},
	{"no content", Empty(), internal, "bad-json"},
	{"an error", Status(500, "oops"), internal, "status"},
	{"an error that says yes", Raw(503, "application/json", `{"allowed":true}`), internal, "status"},
	{"not found", Status(404, ""), internal, "status"},
	{"moved", Redirect(301, "/open"), internal, "redirect"},
	{"see there", Redirect(303, "/open"), internal, "redirect"},
	{"ask there", Redirect(307, "/open"), internal, "redirect"},
	{"ask there for ever", Redirect(308, "/open"), internal, "redirect"},
	{"huge", Huge(1 << 20), internal, "oversized"},
	{"no HTTP", Wire("SSH-2.0-OpenSSH_9.9\r\n\r\n"), internal, "bad-http"},
	{"hung up", Hangup(), internal, "closed"},
	{"shorter than it says", LongLength(`{"allowed":true}`), internal, "closed"},
	{"longer than it says", ShortLength(`{"allowed":true}`, 1), internal, "bad-json"},
	{"never", Dead(), internal, "timeout"},
	{"without an end", Trickle(20 * time.Millisecond), internal, "timeout"},

	{"late", Slow(300*time.Millisecond, Allow(nil)), "", ""},
	{"of another type", Raw(200, "text/html; charset=shift_jis", `{"allowed":true}`), "", ""},
	{"of no type", Raw(201, "", " {\"allowed\" : true}\n"), "", ""},
	{"with what nobody knows", Allow(map[string]any{"nobody_knows": map[string]any{"deep": []any{1}}, "allow": false}), "", ""},
	{"with what it may not choose", Allow(map[string]any{"connection_id": "MINE", "channel_id": "other"}), "", ""},
	{"with a reason all the same", Allow(map[string]any{"reason": "X"}), "", ""},
	{"with all that there is", Allow(everything), "", ""},
}

// everything is what section 2.3 of the documentation lists, but for what changes media. What
// belongs to features that the server does not have is no error.
var everything = map[string]any{
	"client_id": "c", "bundle_id": "b", "audio": true, "audio_codec_type": "OPUS", "audio_bit_rate": 64,
	"audio_opus_params": map[string]any{"channels": 2, "maxplaybackrate": 16000, "minptime": 10, "ptime": 20, "stereo": true,
		"sprop_stereo": true, "useinbandfec": true, "usedtx": true},
	"audio_lyra_params": map[string]any{"version": "1.3.0", "bitrate": 3200, "usedtx": false},
	"video":             map[string]any{"codec_type": "VP8", "bit_rate": 100}, "video_codec_type": "VP8", "video_bit_rate": 200,
	"video_vp9_params": map[string]any{"profile_id": 0}, "video_av1_params": map[string]any{"profile": 0},
	"video_h264_params": map[string]any{"profile_level_id": "42e01f"}, "video_h265_params": map[string]any{"level_id": 93},
	"simulcast": false, "simulcast_rid": "r0", "simulcast_request_rid": "r1",
	"simulcast_encodings":  []any{map[string]any{"rid": "r0", "active": true, "scaleResolutionDownBy": 2.0, "maxBitrate": 100000, "maxFramerate": 10}},
	"simulcast_multicodec": false, "simulcast_codecs": []any{"VP8"}, "spotlight": false, "spotlight_number": 3,
	"spotlight_focus_rid": "r1", "spotlight_unfocus_rid": "none", "spotlight_encodings": []any{},
	"data_channel_signaling": false, "ignore_disconnect_websocket": false,
	"data_channels":    []any{map[string]any{"label": "#a", "direction": "sendrecv"}},
	"signaling_notify": true, "signaling_notify_metadata": map[string]any{"a": 1}, "signaling_notify_metadata_ext": map[string]any{"b": 2},
	"signaling_notify_ice_connection_state": false, "metadata": map[string]any{"c": 3}, "event_metadata": map[string]any{"d": 4},
	"rtc_stats": true, "user_agent_stats": true, "stats_exporter": false, "recording_block": true,
	"audio_streaming_language_code": "ja-JP",
	"forwarding_filter":             map[string]any{"action": "block", "rules": []any{}},
	"forwarding_filters":            []any{}, "rpc_methods": []any{"2025.2.0/RequestSimulcastRid"},
	"connection_lifetime": 3600, "cluster_affinity": true,
	"rtp_packet_loss_simulator_incoming": 0, "rtp_packet_loss_simulator_outgoing": 0, "h264_profile_level_id": "42e01f",
}

// What an application may do wrong leads to what is documented: the close reason for the
// client, and a line for the operator. The application that one client waits for never
// matters to another.
//
// Row HTTP-06.
// Row AUTH-07.
func TestEveryVerdictOfTheApplication(t *testing.T) {
	t.Parallel()
	app := willing(t)
	byChannel := map[string]Answer{}
	for i, v := range verdicts {
		byChannel[fmt.Sprint("c", i)] = v.answer
	}
	app.On(auth, func(r *Request) Answer { return byChannel[r.Text("channel_id")] })
	app.On("/open", Always(Allow(nil)))
	w := start(t, app, settings{"webhook_response_timeout": "4 s"})
	bots := make([]*bot.Bot, len(verdicts))
	for i := range verdicts {
		bots[i] = w.dial(w.peer(fmt.Sprint("c", i), bot.RecvOnly, nil))
	}
	for i, v := range verdicts {
		t.Run(v.name, func(t *testing.T) { w.requireVerdict(t, v, fmt.Sprint("c", i), bots[i]) })
	}
	if r := app.Requests("/open"); len(r) != 0 {
		t.Errorf("a redirect was followed %d times", len(r))
	}
	// Nothing is asked twice, but what a connection that had been idle did not answer at all.
	for i := range verdicts {
		r := app.Find(match(auth, map[string]string{"channel_id": fmt.Sprint("c", i)}))
		for j := range r {
			if r[j].Text("id") != r[0].Text("id") || len(r) > 1 && verdicts[i].name != "hung up" {
				t.Errorf("%s: asked %d times", verdicts[i].name, len(r))
			}
		}
	}
}

func (w *world) requireVerdict(t *testing.T, v verdict, channel string, b *bot.Bot) {
	t.Helper()
	w = &world{Server: w.Server, t: t, app: w.app, logs: w.logs}
	request := w.one(auth, map[string]string{"channel_id": channel})
	allowed := v.reason == ""
	file, layout := "auth_webhook.jsonl", schema{"id": identifier, "timestamp": timestamp, "url?": is(w.app.URL(auth)), "req": anything, "res?": anything}
	if allowed {
		if err := b.WaitConnected(within(t)); err != nil {
			t.Fatal(err)
		}
		if b.ID() != request.Text("connection_id") {
			t.Errorf("the connection is %s, and %s was asked for", b.ID(), request.Text("connection_id"))
		}
	} else {
		if code, reason := closed(t, b); code != 4490 || reason != v.reason {
			t.Errorf("closed with %d %s, want 4490 %s", code, reason, v.reason)
		}
		failed := w.one(event, map[string]string{"channel_id": channel, "type": "connection.failed"})
		require(t, "connection.failed", connectionFailed, failed.Body)
		requireValues(t, "connection.failed", failed.Body, values{"connection_id": request.Text("connection_id"), "role": "recvonly",
			"session_id": nil, "event_metadata": nil, "data.channel_connections": 0})
	}
	if v.reason == internal || v.reason == failure {
		file = "auth_webhook_error.jsonl"
		layout = layout.with(schema{"reason": text})
	}
	line := w.line(file, having("req.channel_id", channel))
	require(t, file, layout, line)
	requireValues(t, file, line, values{"req": request.Body, "id": request.Text("id")})
	if reason, _ := line["reason"].(string); !strings.HasPrefix(reason, v.logged) {
		t.Errorf("%s: the reason is %q, want %s", file, reason, v.logged)
	}
}

// Without a URL everybody gets in, and the line is written all the same.
func TestWithoutAnAuthWebhookEverybodyGetsIn(t *testing.T) {
	t.Parallel()
	w := start(t, nil, nil)
	b := w.join(w.peer("room", bot.SendRecv, map[string]any{"metadata": map[string]any{"a": 1}}))
	line := w.line("auth_webhook.jsonl", having("req.channel_id", "room"))
	require(t, "the line", schema{"id": identifier, "timestamp": timestamp, "req": object(authRequest)}, line)
	requireValues(t, "the line", line, values{"req.connection_id": b.ID(), "req.metadata": map[string]any{"a": 1}})
}

// What the application hands out overrides what the client asked for.
func TestApplicationHandsOutSettings(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(auth, func(r *Request) Answer {
		switch r.Text("client_id") {
		case "handed":
			return Allow(map[string]any{
				"client_id": "from the application", "bundle_id": "a bundle", "video_codec_type": "VP8", "video_bit_rate": 123, "audio": false,
				"metadata": map[string]any{"hello": "client"}, "event_metadata": map[string]any{"hello": "application"},
				"signaling_notify_metadata": map[string]any{"authz": 1},
			})
		case "quiet":
			return Allow(map[string]any{"signaling_notify": false})
		case "short":
			return Allow(map[string]any{"connection_lifetime": 1})
		}
		return Allow(nil)
	})
	w := start(t, app, nil)
	cfg := w.peer("room", bot.SendRecv, map[string]any{
		"client_id": "handed", "metadata": map[string]any{"mine": 1}, "signaling_notify_metadata": map[string]any{"authn": 1},
		"video": map[string]any{"codec_type": "VP9", "bit_rate": 500},
	})
	cfg.Video = true
	quiet := w.join(w.peer("room", bot.RecvOnly, map[string]any{"client_id": "quiet"}))
	viewer := w.enter("room", bot.RecvOnly)
	handed := w.join(cfg)
	offer := Object(handed.OfferMessage())
	requireValues(t, "the offer", offer, values{
		"client_id": "from the application", "bundle_id": "a bundle", "metadata": map[string]any{"hello": "client"},
		"video": true, "video_codec_type": "VP8", "video_bit_rate": 123, "audio": false,
	})
	sdp, _ := offer["sdp"].(string)
	if !strings.Contains(sdp, "VP8") || strings.Contains(sdp, "VP9") || !strings.Contains(sdp, "b=TIAS:123000") {
		t.Errorf("the offer is not of VP8 with 123 kbit/s: %s", sdp)
	}
	requireOnlyVideo(t, handed)
	id := handed.ID()
	told, err := viewer.WaitNotify(within(t), func(n bot.Notify) bool { return n.ConnectionID == id })
	if err != nil {
		t.Fatal(err)
	}
	requireValues(t, "the notification", Object(told.Raw), values{
		"event_type": "connection.created", "client_id": "from the application", "bundle_id": "a bundle",
		"authn_metadata": map[string]any{"authn": 1}, "authz_metadata": map[string]any{"authz": 1}, "event_metadata": nil,
	})
	created := w.one(event, map[string]string{"type": "connection.created", "connection_id": handed.ID()})
	requireValues(t, "connection.created", created.Body, values{
		"client_id": "from the application", "bundle_id": "a bundle", "event_metadata": map[string]any{"hello": "application"},
		"data.audio": false, "data.video": true, "data.video_codec_type": "VP8", "data.video_bit_rate": 123,
	})
	short := w.dial(w.peer("room", bot.RecvOnly, map[string]any{"client_id": "short"}))
	if code, reason := closed(t, short); code != 1000 || reason != "LIFETIME-EXPIRED" {
		t.Errorf("after a connection_lifetime of 1 s: %d %s", code, reason)
	}
	if n := quiet.Notifies(); len(n) != 0 {
		t.Errorf("with signaling_notify false %d notifications came, as %s", len(n), n[0].Raw)
	}
}

// requireOnlyVideo waits until a bot sends, and holds that it sends video alone.
func requireOnlyVideo(t *testing.T, b *bot.Bot) {
	t.Helper()
	eventually(t, "the bot sends", func() (bool, any) {
		s := b.Stats().Sending
		return len(s) == 1 && s[0].Packets > 0 && s[0].Kind.String() == "video", s
	})
}
