package hooks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tsubame/signal/channel"
)

// Whatever an application answers and a client sends, a line is one JSON object.
func FuzzLinesAreJSON(f *testing.F) {
	for _, answer := range []string{``, `{}`, `{"allowed":true,"metadata":{"access_token":"x"}}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", "<html>\n", `[[[[`,
		strings.Repeat("é", maxUnreadable), strings.Repeat("[", 5000) + strings.Repeat("]", 5000)} {
		f.Add([]byte(answer), "http://a/\x00", "status: 500")
	}
	f.Fuzz(func(t *testing.T, answer []byte, url, reason string) {
		l := line{id: "ID", at: time.Now(), url: url, req: []byte(`{}`), res: answer, reason: reason}
		for _, b := range [][]byte{l.appendTo(nil), appendSignaling(nil, time.Now(), channel.FromClient, url, reason, answer)} {
			if !json.Valid(b) {
				t.Errorf("%s", b)
			}
		}
		if b := l.appendTo(nil); !utf8.Valid(b) {
			t.Errorf("%q", b)
		}
	})
}
