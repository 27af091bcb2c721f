package sora

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// seeds has every message in the shapes that clients send it, and some that nobody should.
var seeds = []string{
	connectOfEverything,
	`{"type":"connect","role":"sendrecv","channel_id":"c","audio":{"opus_params":{"stereo":true}},"metadata":[1,"\u00e9"]}`,
	`{"type":"connect","role":"recvonly","channel_id":"c","metadata":null,"signaling_notify_metadata":"\ud83d\ude00"}`,
	`{"type":"connect","role":"sendonly","channel_id":"c","simulcast":{"quality":"low"},"multistream":false,"e2ee":true}`,
	`{"type":"connect","role":"sendonly","channel_id":"c","client_id":"i","bundle_id":"b","multistream":true,"spotlight_number":3,` +
		`"video":{"codec_type":"VP8","bit_rate":1500,"vp9_params":{"profile_id":0}},"data_channels":[{"label":"#x"}],` +
		`"forwarding_filters":[{}],"forwarding_filter":{}, "signaling_notify_metadata" : {"k": [1, 2] } }`,
	`{"type":"connect","role":"other","channel_id":"c","video":{"bit_rate":"x","h264_params":1},"data_channels":{}}`,
	`{"type":"connect","role":"recvonly","channel_id":"c","audio":false,"video":true,"audio":true}`,
	`{"type":"connect","role":"recvonly","channel_id":"c","video":{"bit_rate":1e9},"audio":7,"simulcast":"yes","client_id":5}`,
	`{"metadata":{"metadata":1},"type":"connect","role":"recvonly","channel_id":"\ud800"}`,
	`{"m\u0065tadata":{"a":-0.0},"type":"connect","role":"recvonly","channel_id":"a\/b\u0301","forwarding_filters":[{"m\u0065tadata":[] }]}`,
	`{"type":"answer","sdp":"v=0\r\n"}`, `{"type":"re-answer","sdp":"v=0\r\n"}`, `{"type":"update","sdp":"v=0\r\n"}`,
	`{"type":"candidate","candidate":"candidate:1 1 udp 2130706431 10.0.0.1 9 typ host","sdpMid":"audio_x","sdpMLineIndex":0,"usernameFragment":null}`,
	`{"type":"candidate","candidate":"candidate:1 1 udp 2130706431 10.0.0.1 9 typ host"}`, `{"type":"candidate","candidate":null}`,
	`{"type":"pong"}`, `{"type":"pong","stats":[{"id":"x","type":"codec","timestamp":1.5}, [], "]"] }`, `{"stats":[1],"type":"pong","stats":[2]}`,
	`{"type":"disconnect","reason":"NO-ERROR"}`, `{"type":"disconnect"}`,
	`[[[[`, `{"a":"\"}`, `{"a":"\\","type":"pong"}`, "{\"type\":\"pong\",\"a\":\"\xff\"}", `{"type":"pong","n":-0e+00}`, ` {} `, `{"":{"":""}}`,
}

func FuzzDecode(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || len(e.Reason) > 123 || len(e.Detail) > 2*maxText {
				t.Fatalf("bad error %#v", err)
			}
			return
		}
		if !json.Valid(frame) {
			t.Fatalf("accepted what encoding/json refuses: %q", frame)
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal(frame, &top); err != nil {
			t.Fatalf("accepted what is no object to encoding/json: %v", err)
		}
		compareMessage(t, m, top)
	})
}

// compareMessage checks a message against what encoding/json reads of it.
func compareMessage(t *testing.T, m Message, top map[string]json.RawMessage) {
	compareText(t, "type", m.Type.String(), top)
	switch m.Type {
	case TypeAnswer, TypeReAnswer, TypeUpdate:
		compareText(t, "sdp", m.SDP, top)
	case TypeCandidate:
		compareText(t, "candidate", m.Candidate.Candidate, top)
		compareText(t, "sdpMid", m.Candidate.SDPMid, top)
		compareText(t, "usernameFragment", m.Candidate.UsernameFragment, top)
	case TypePong:
		if raw := top["stats"]; string(raw) != "null" && !m.StatsTooLarge {
			compareRaw(t, m.Stats, raw)
		}
	case TypeConnect:
		c := m.Connect
		compareText(t, "channel_id", c.ChannelID, top)
		compareText(t, "client_id", c.ClientID, top)
		compareText(t, "bundle_id", c.BundleID, top)
		compareRaw(t, c.Metadata, top["metadata"])
		compareRaw(t, c.NotifyMetadata, top["signaling_notify_metadata"])
		if c.ForwardingFilter != nil {
			compareFilters(t, []ForwardingFilter{*c.ForwardingFilter}, "["+string(top["forwarding_filter"])+"]")
		}
		if len(c.ForwardingFilters) > 0 {
			compareFilters(t, c.ForwardingFilters, string(top["forwarding_filters"]))
		}
		passedOn(t, c)
	}
}

func compareText(t *testing.T, name, got string, top map[string]json.RawMessage) {
	var want string
	if raw := top[name]; raw != nil {
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if got != want {
		t.Fatalf("%s: %q, encoding/json reads %q", name, got, want)
	}
}

func compareRaw(t *testing.T, got []byte, want json.RawMessage) {
	if !bytes.Equal(got, want) || got == nil != (want == nil) {
		t.Fatalf("kept %q, encoding/json reads %q", got, want)
	}
}

func compareFilters(t *testing.T, got []ForwardingFilter, text string) {
	var want []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &want); err != nil || len(got) != len(want) {
		t.Fatalf("%s: %v, %+v", text, err, got)
	}
	for i := range got {
		compareRaw(t, got[i].Metadata, want[i]["metadata"])
		compareText(t, "name", got[i].Name, want[i])
	}
}

// passedOn checks what others are sent because of a connect.
func passedOn(t *testing.T, c *Connect) {
	e := ConnectionEvent{EventType: EventCreated, Role: c.Role, ClientID: c.ClientID, BundleID: c.BundleID, AuthnMetadata: c.NotifyMetadata,
		Data: entries(Present{ClientID: c.ClientID, AuthnMetadata: c.NotifyMetadata})}
	var read struct {
		ClientID      string          `json:"client_id"`
		AuthnMetadata json.RawMessage `json:"authn_metadata"`
		Data          []struct {
			AuthnMetadata json.RawMessage `json:"authn_metadata"`
		}
	}
	b := e.Append(nil)
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	var whole any
	if err := json.Unmarshal(b, &whole); err != nil {
		t.Fatalf("a client cannot read %s: %v", b, err)
	}
	if read.ClientID != c.ClientID || !bytes.Equal(read.AuthnMetadata, c.NotifyMetadata) || !bytes.Equal(read.Data[0].AuthnMetadata, c.NotifyMetadata) {
		t.Fatalf("others read %+v of %+v", read, c)
	}
}

// FuzzMembers compares our walk over the text of an object or an array with encoding/json.
func FuzzMembers(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{`[]`, `[ 1 , [2] ,"]" ]`, `{"a" : 1 , "b" : {"c":[]} }`, `[{"a":1},{}]`, `1`, `"{"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || !utf8.Valid(text) || !surrogatesPaired(text) {
			return
		}
		var object map[string]json.RawMessage
		got := map[string]json.RawMessage{}
		for name, value := range members(text) {
			got[string(name)] = value
		}
		if json.Unmarshal(text, &object) != nil || object == nil {
			object = map[string]json.RawMessage{}
		}
		if !reflect.DeepEqual(got, object) {
			t.Fatalf("%s: members %q, encoding/json reads %q", text, got, object)
		}
		var array, elems []json.RawMessage
		for value := range elements(text) {
			elems = append(elems, value)
		}
		if json.Unmarshal(text, &array) != nil || len(array) == 0 {
			array = nil
		}
		if !reflect.DeepEqual(elems, array) {
			t.Fatalf("%s: elements %q, encoding/json reads %q", text, elems, array)
		}
	})
}

// FuzzSurrogates compares with encoding/json, which replaces half a character.
func FuzzSurrogates(f *testing.F) {
	for _, seed := range []string{`"\ud800"`, `"\ud83d\ude00"`, `"\\ud800"`, `"\uDC00\\"`, `"\u0041\n"`, `"\ufffd"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s string
		if !utf8.ValidString(text) || strings.Contains(strings.ToLower(text), `fffd`) || strings.ContainsRune(text, utf8.RuneError) ||
			json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		if got, want := surrogatesPaired([]byte(text)), !strings.ContainsRune(s, utf8.RuneError); got != want {
			t.Fatalf("%s: paired %v, want %v", text, got, want)
		}
	})
}
