package sora

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestSecretsAreBlankedForTheLog(t *testing.T) {
	for in, want := range map[string]string{
		`{"type":"connect","metadata":{"access_token":"hush","a":1},"b":2}`:                  `{"type":"connect","metadata":{"access_token":"***","a":1},"b":2}`,
		`{"metadata": { "Access_Token" : {"deep":["hush"]} , "a":"access_token"}}`:           `{"metadata": { "Access_Token" : "***" , "a":"access_token"}}`,
		`{"a":[{"password":1},{"x":{"\u0074oken":null}}]}`:                                   `{"a":[{"password":"***"},{"x":{"\u0074oken":"***"}}]}`,
		`{"config":{"iceServers":[{"urls":["turn:h"],"username":"u","credential":"hush"}]}}`: `{"config":{"iceServers":[{"urls":["turn:h"],"username":"u","credential":"***"}]}}`,
		`{"sdp":"a=ice-ufrag:u\r\na=ice-pwd:hush+/9\r\na=ice-lite\r\na=ice-pwd:hush\r\n"}`:   `{"sdp":"a=ice-ufrag:u\r\na=ice-pwd:***\r\na=ice-lite\r\na=ice-pwd:***\r\n"}`,
		`{"sdp":"a=ice-pwd:hush\u000D\u000ax","b":"a=ice-pwd:hush"}`:                         `{"sdp":"a=ice-pwd:***\u000D\u000ax","b":"a=ice-pwd:***"}`,
		`{"sdp":"a=ice-pwd:hu\u0073h\nx"}`:                                                   `{"sdp":"a=ice-pwd:***\nx"}`,
		`{"metadata":"{\"access_token\":\"hush\"}","b":"[1]"}`:                               `{"metadata":"***","b":"[1]"}`,
		`{"a":["{token"]}`: `{"a":["***"]}`, `{"a":"a token"}`: `{"a":"a token"}`, `{"{token":1}`: `{"{token":1}`,
		`{"type":"pong"}`: `{"type":"pong"}`, `"token"`: `"token"`, `{}`: `{}`,
	} {
		if got := string(AppendBlanked(nil, []byte(in))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := string(AppendBlanked([]byte("x"), []byte("[1]"))); got != "x[1]" {
		t.Errorf("got %s", got)
	}
}

func TestTheAccessTokenIsAMemberOfTheMetadata(t *testing.T) {
	for metadata, want := range map[string]string{
		`{"access_token":"t.o.k"}`: "t.o.k", `{"a":1,"access\u005ftoken" : "t\u002eo"}`: "t.o", `{"access_token":5}`: "", `{"access_token":null}`: "",
		`{"x":{"access_token":"t"}}`: "", `"access_token"`: "", `null`: "", ``: "", `{"access_token":""}`: "",
	} {
		c := Connect{Metadata: []byte(metadata)}
		if got := c.AccessToken(); got != want {
			t.Errorf("%s: %q", metadata, got)
		}
	}
}

// Row SIG-10.
func TestMetadataIsBounded(t *testing.T) {
	mustDecode(t, connectWith(`"metadata":"`+strings.Repeat("x", MaxMetadata-2)+`"`))
	if got := reasonOf(t, connectWith(`"metadata":"`+strings.Repeat("x", MaxMetadata-1)+`"`)); got != ReasonMetadataTooLarge {
		t.Errorf("reason %q", got)
	}
}

func FuzzAppendBlanked(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`{"a":{"token":{"b":[1,"}"]}, "credential" :"x"},"sdp":"a=ice-pwd:x\r\n"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		if !json.Valid(message) {
			return
		}
		out := AppendBlanked(nil, message)
		var in, blanked any
		if json.Unmarshal(message, &in) != nil {
			return // a number that is no float64
		}
		if err := json.Unmarshal(out, &blanked); err != nil {
			t.Fatalf("%s became %s: %v", message, out, err)
		}
		if got := blank(in); !reflect.DeepEqual(got, blank(blanked)) {
			t.Fatalf("%s became %s", message, out)
		}
	})
}

// blank is the slow and obvious version, but for SDP.
func blank(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if v[name] = blank(member); isSecret([]byte(name)) {
				v[name] = "***"
			}
		}
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	case string:
		for _, name := range secretNames {
			if strings.Contains(strings.ToLower(v), name) {
				return "***"
			}
		}
		if strings.Contains(v, "a=ice-pwd:") {
			return ""
		}
	}
	return v
}

// Whoever sends one long password does not make the server look for its end for long.
func BenchmarkAppendBlanked(b *testing.B) {
	for name, message := range map[string]string{
		"offer":    `{"type":"offer","sdp":` + string(AppendString(nil, browserSDP(100))) + `}`,
		"password": `{"type":"answer","sdp":"a=ice-pwd:` + strings.Repeat("x", MaxFrame-100) + `"}`,
		"escapes":  `{"type":"answer","sdp":"a=ice-pwd:` + strings.Repeat(`\u0078`, MaxFrame/6-100) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			var room []byte
			for b.Loop() {
				room = AppendBlanked(room[:0], []byte(message))
			}
		})
	}
}
