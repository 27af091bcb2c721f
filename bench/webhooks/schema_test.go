package webhooks

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// check says what is wrong with a value; empty: nothing.
type check func(v any) string

// schema is the members that an object has, and no other. A name that ends in ? may be missing.
type schema map[string]check

// wrong lists what is wrong with an object.
func (s schema) wrong(path string, v any) (all []string) {
	o, ok := v.(map[string]any)
	if !ok {
		return []string{path + " is no object"}
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		bare, optional := strings.CutSuffix(name, "?")
		got, there := o[bare]
		if !there {
			if !optional {
				all = append(all, fmt.Sprintf("%s has no %s", path, bare))
			}
			continue
		}
		if text := s[name](got); text != "" {
			all = append(all, fmt.Sprintf("%s.%s: %s", path, bare, text))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if s[name] == nil && s[name+"?"] == nil {
			all = append(all, fmt.Sprintf("%s has %s, which is not documented", path, name))
		}
	}
	return all
}

// with returns the members of both.
func (s schema) with(more schema) schema {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

// require holds an object to a schema.
func require(t *testing.T, what string, s schema, v any) {
	t.Helper()
	for _, text := range s.wrong(what, v) {
		t.Error(text)
	}
	if t.Failed() {
		text, _ := json.Marshal(v)
		t.Logf("%s: %s", what, text)
	}
}

// at returns the member at a path such as data.created_time; nil: there is none.
func at(o map[string]any, path string) any {
	name, rest, more := strings.Cut(path, ".")
	if inner, ok := o[name].(map[string]any); ok && more {
		return at(inner, rest)
	}
	if more {
		return nil
	}
	return o[name]
}

// values are members by their paths, with Go values; nil: the member must not be there.
type values map[string]any

// requireValues holds members of an object to values.
func requireValues(t *testing.T, what string, o map[string]any, want values) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got := at(o, path); !same(got, want[path]) {
			t.Errorf("%s: %s is %v, want %v", what, path, got, want[path])
		}
	}
}

// same compares a decoded value with a Go value.
func same(got, want any) bool {
	if want == nil {
		return got == nil
	}
	text, err := json.Marshal(want)
	if err != nil {
		panic(err)
	}
	return reflect.DeepEqual(got, Object([]byte(`{"v":` + string(text) + `}`))["v"])
}

func text(v any) string {
	if s, ok := v.(string); !ok || s == "" {
		return fmt.Sprintf("%v is no text", v)
	}
	return ""
}

func boolean(v any) string {
	if _, ok := v.(bool); !ok {
		return fmt.Sprintf("%v is no boolean", v)
	}
	return ""
}

func integer(v any) string {
	if n, ok := v.(json.Number); ok {
		if _, err := n.Int64(); err == nil {
			return ""
		}
	}
	return fmt.Sprintf("%v is no integer", v)
}

func anything(any) string { return "" }

var idPattern = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{26}$`)

// identifier is a UUID in Clockwork Base32.
func identifier(v any) string {
	if s, ok := v.(string); !ok || !idPattern.MatchString(s) {
		return fmt.Sprintf("%v is no identifier", v)
	}
	return ""
}

var timePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

// timestamp is RFC 3339 in UTC with microseconds.
func timestamp(v any) string {
	s, _ := v.(string)
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil || !timePattern.MatchString(s) {
		return fmt.Sprintf("%v is no timestamp with microseconds", v)
	}
	return ""
}

// is accepts one value.
func is(want any) check {
	return func(v any) string {
		if !same(v, want) {
			return fmt.Sprintf("%v, want %v", v, want)
		}
		return ""
	}
}

// among accepts one of these texts.
func among(names ...string) check {
	return func(v any) string {
		if s, ok := v.(string); !ok || !slices.Contains(names, s) {
			return fmt.Sprintf("%v is none of %v", v, names)
		}
		return ""
	}
}

// object accepts what a schema does.
func object(s schema) check {
	return func(v any) string { return strings.Join(s.wrong("", v), "; ") }
}

// list accepts an array of what each does.
func list(each check) check {
	return func(v any) string {
		all, ok := v.([]any)
		if !ok {
			return fmt.Sprintf("%v is no list", v)
		}
		var wrong []string
		for i, e := range all {
			if text := each(e); text != "" {
				wrong = append(wrong, fmt.Sprintf("[%d]: %s", i, text))
			}
		}
		return strings.Join(wrong, "; ")
	}
}

// moment reads a timestamp.
func moment(t *testing.T, o map[string]any, path string) time.Time {
	t.Helper()
	s, _ := at(o, path).(string)
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return at
}

// number reads an integer.
func number(t *testing.T, o map[string]any, path string) int64 {
	t.Helper()
	n, _ := at(o, path).(json.Number)
	i, err := n.Int64()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return i
}

// requireMoment holds that NAME_time and NAME_timestamp are one instant.
func requireMoment(t *testing.T, o map[string]any, name string) {
	t.Helper()
	if at := moment(t, o, name+"_timestamp"); at.Unix() != number(t, o, name+"_time") {
		t.Errorf("%s_time is %d, and %s_timestamp %v", name, number(t, o, name+"_time"), name, at)
	}
}

// The documented members of all that the server sends and writes.
var (
	media = schema{
		"audio": boolean, "audio_codec_type?": is("OPUS"), "audio_bit_rate?": integer,
		"video": boolean, "video_codec_type?": among("VP8", "VP9", "AV1", "H264", "H265"), "video_bit_rate?": integer,
		"video_vp9_params?": object(schema{"profile_id": integer}), "video_av1_params?": object(schema{"profile": integer}),
		"video_h264_params?": object(schema{"profile_level_id": text, "b_frame?": boolean}),
		"video_h265_params?": object(schema{"level_id": integer, "b_frame?": boolean}),
	}
	counts = schema{
		"channel_connections": integer, "channel_sendrecv_connections": integer,
		"channel_sendonly_connections": integer, "channel_recvonly_connections": integer,
	}
	role     = among("sendrecv", "sendonly", "recvonly")
	rid      = among("none", "r0", "r1", "r2")
	envelope = schema{
		"type": text, "id": identifier, "timestamp": timestamp, "version": text, "label": is("a label"), "node_name": is("node@127.0.0.1"),
	}
	soraClient = object(schema{
		"type?": text, "raw?": text, "version?": text, "commit_short?": text, "environment?": text, "libwebrtc?": text,
	})

	// authRequest is section 2.1 of the documentation of webhooks.
	authRequest = schema{
		"id": identifier, "timestamp": timestamp, "version": text, "label": is("a label"), "node_name": is("node@127.0.0.1"),
		"role": role, "channel_id": text, "client_id?": text, "bundle_id?": text, "connection_id": identifier,
		"multistream": is(true), "simulcast": boolean, "simulcast_rid?": rid, "simulcast_request_rid?": rid,
		"spotlight": boolean, "spotlight_number?": integer, "spotlight_focus_rid?": rid, "spotlight_unfocus_rid?": rid,
		"data_channel_signaling": boolean, "ignore_disconnect_websocket": boolean,
		"data_channels?": list(anything), "forwarding_filter?": anything, "forwarding_filters?": list(anything),
		"auth_metadata?": anything, "metadata?": anything, "whip?": is(true), "whep?": is(true),
		"sora_client?": soraClient, "e2ee": is(false),
	}.with(media).with(counts)

	// The session webhook, section 3.2.
	sessionCreated = envelope.with(schema{
		"channel_id": text, "session_id": identifier, "group_id?": text, "multistream": is(true), "spotlight": boolean,
		"created_time": integer, "created_timestamp": timestamp,
	})
	sessionUpdated = sessionCreated.with(schema{
		"max_connections": integer, "total_connections": integer, "session_metadata?": anything, "connections?": list(object(sessionConnection)),
	})
	sessionDestroyed  = sessionUpdated.with(schema{"destroyed_time": integer, "destroyed_timestamp": timestamp})
	sessionConnection = schema{
		"role": role, "client_id": text, "bundle_id": text, "connection_id": identifier, "simulcast": boolean,
		"connection_created_timestamp": timestamp, "connection_destroyed_timestamp?": timestamp, "event_metadata?": anything,
	}.with(media)

	// The event webhook, section 4.2.
	connectionEvent = envelope.with(schema{
		"log_written": is(true), "role": role, "channel_id": text, "session_id": identifier, "client_id": text, "bundle_id": text,
		"connection_id": identifier, "multistream": is(true), "simulcast": boolean, "spotlight": boolean, "event_metadata?": anything,
	})
	connectionData = schema{
		"minutes": integer, "turn_transport_type": among("udp", "tcp"), "created_time": integer, "created_timestamp": timestamp,
		"ice_connection_state": object(schema{"total_checking_duration_ms": integer, "total_disconnected_duration_ms": integer}),
		"total_received_bytes": integer, "total_sent_bytes": integer,
	}.with(media).with(counts)
	connectionCreated   = connectionEvent.with(schema{"data": object(connectionData)})
	connectionDestroyed = connectionEvent.with(schema{"data": object(connectionData.with(schema{
		"destroyed_time": integer, "destroyed_timestamp": timestamp,
		"reason?": text, "disconnect_api_reason?": anything, "type_disconnect_reason?": text,
	}))})
	connectionFailed = envelope.with(schema{
		"log_written": is(true), "role?": role, "channel_id?": text, "client_id?": text, "bundle_id?": text, "connection_id": identifier,
		"multistream": is(true), "simulcast": boolean, "spotlight": boolean,
		"data": object(counts.with(schema{"message": text, "total_received_bytes": integer, "total_sent_bytes": integer})),
	})

	// The statistics webhook, section 5.3.
	rtcStats = envelope.with(schema{
		"log_written": is(true), "role": role, "channel_id": text, "session_id": identifier, "client_id": text, "bundle_id": text,
		"connection_id": identifier, "rtc_stats": list(anything),
	})
)
