package load

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestReofferIsRead(t *testing.T) {
	text := `{"type":"re-offer","sdp":"v=0\r\ns=\"-\"\r\n","mid":{}}`
	if sdp, ok := peekReoffer([]byte(text)); !ok || sdp != "v=0\r\ns=\"-\"\r\n" {
		t.Errorf("%q, %v", sdp, ok)
	}
	for _, other := range []string{
		``, `{}`, `{"type":"offer","sdp":"v=0"}`, `{"type":"re-offer"}`, `{"type":"re-offer","sdp":"v=0`,
		`{"type":"re-offer","sdp":"v=0\`, `{"type":"re-offer","sdp":"\u0041"}`, `{"sdp":"v=0","type":"re-offer"}`,
	} {
		if sdp, ok := peekReoffer([]byte(other)); ok {
			t.Errorf("%s is a re-offer of %q", other, sdp)
		}
	}
}

func FuzzPeekReoffer(f *testing.F) {
	f.Add([]byte(`{"type":"re-offer","sdp":"v=0\r\n\/\\\"","mid":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		sdp, ok := peekReoffer(text)
		var m struct {
			Type string          `json:"type"`
			SDP  json.RawMessage `json:"sdp"`
		}
		// Whoever repeats a member, or nests one of that name, is no server.
		if !ok || json.Unmarshal(text, &m) != nil || m.Type != "re-offer" {
			return
		}
		if again, ok := peekReoffer(appendAnswer(nil, "re-offer", sdp)); !ok || again != sdp {
			t.Errorf("%q is written and read as %q", sdp, again)
		}
	})
}

func FuzzAppendAnswer(f *testing.F) {
	f.Add("v=0\r\na=\"\\\x01")
	f.Fuzz(func(t *testing.T, sdp string) {
		var m map[string]string
		if err := json.Unmarshal(appendAnswer(nil, "answer", sdp), &m); err != nil {
			t.Fatalf("%q: %v", sdp, err)
		}
		if utf8.ValidString(sdp) && (m["sdp"] != sdp || m["type"] != "answer") {
			t.Errorf("%q is written as %q", sdp, m)
		}
	})
}
