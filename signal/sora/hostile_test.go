package sora

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Row SIG-04.
func TestBombsAreRefusedBeforeParsing(t *testing.T) {
	for name, frame := range map[string]string{
		"depth":    strings.Repeat("[", 100_000),
		"objects":  strings.Repeat(`{"a":`, 100_000),
		"values":   `{"type":"pong","stats":[` + strings.Repeat("1,", 300_000) + `1]}`,
		"keys":     `{"type":"pong"` + strings.Repeat(`,"a":1`, 100_000) + `}`,
		"oversize": `"` + strings.Repeat("x", MaxFrame) + `"`,
	} {
		if got := reasonOf(t, frame); got != ReasonTooComplex {
			t.Errorf("%s: reason %q", name, got)
		}
		if len(frame) > MaxFrame {
			continue
		}
		b := []byte(frame)
		if n := testing.AllocsPerRun(10, func() { Decode(b) }); n > 8 {
			t.Errorf("%s: %v allocations to refuse it", name, n)
		}
	}
	if got := reasonOf(t, `{"type":"pong"`+manyMembers(maxMembers)+`}`); got != ReasonTooComplex {
		t.Errorf("too many members: reason %q", got)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String()
}

// Row SIG-04.
func TestNamesThatComeTwiceAreRefusedAtEveryDepth(t *testing.T) {
	for _, members := range []string{
		`"client_id":"a","client_id":"a"`, `"client_id":"a","client\u005fid":"b"`, `"x":1,"x":1`, `"":1,"":1`,
		`"audio":{"bit_rate":6,"bit_rate":7}`, `"video":{"vp9_params":{"profile_id":0,"profile_id":1}}`,
		`"metadata":{"access_token":1,"access_token":2}`, `"signaling_notify_metadata":[{"a":{"b":1,"\u0062":2}}]`,
		`"metadata":1,"m\u0065tadata":2`, `"unknown":{"a":1,"a":2}`,
		`"data_channels":[{"label":"#a","direction":"sendrecv","label":"#b"}]`,
	} {
		if got := reasonOf(t, connectWith(members)); got != ReasonDuplicateKey {
			t.Errorf("%s: reason %q", members, got)
		}
	}
	// Those of metadata may be secrets.
	if _, err := Decode([]byte(connectWith(`"metadata":{"secret":1,"secret":2}`))); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	// The same name in two objects is no duplicate, nor is another case of it.
	mustDecode(t, connectWith(`"metadata":{"a":{"a":1},"b":{"a":1},"A":1},"a":1`))
}

// Row SIG-04.
func TestHalfACharacterIsRefused(t *testing.T) {
	for _, s := range []string{`\ud800`, `\udc00`, `\uD83D`, `\ud83dx`, `\ud83d\u0041`, `\ud83d\ud83d\ude00`, `\ude00\ud83d`, `\\\udFFF`} {
		if got := reasonOf(t, connectWith(`"metadata":{"k":"`+s+`"}`)); got != ReasonInvalidJSON {
			t.Errorf("%s: reason %q", s, got)
		}
	}
	for _, s := range []string{`\ud83d\ude00`, `\uD83D\uDE00`, `\\ud800`, `\\\\udc00`, `\ud7ff\ue000`, `\u0041`} {
		mustDecode(t, connectWith(`"metadata":{"k":"`+s+`"}`))
	}
}

// Row SIG-04.
func TestValuesOfAMessageAreBounded(t *testing.T) {
	stats := func(n int) string { return `{"type":"pong","stats":[` + strings.Repeat("1,", n-3) + `1]}` }
	metadata := func(n int) string { return connectWith(`"metadata":[` + strings.Repeat("1,", n-5) + `1]`) }
	for name, c := range map[string]struct{ frame, want string }{
		"statistics":             {stats(maxValues), ""},
		"one statistic more":     {stats(maxValues + 1), ReasonTooComplex},
		"metadata":               {metadata(maxTree), ""},
		"one value of it more":   {metadata(maxTree + 1), ReasonTooComplex},
		"statistics in connect":  {connectWith(`"stats":[` + strings.Repeat("1,", maxTree) + `1]`), ""},
		"statistics in metadata": {connectWith(`"metadata":{"stats":[` + strings.Repeat("1,", maxTree) + `1]}`), ReasonTooComplex},
		"no array of statistics": {`{"type":"pong","stats":{"a":[` + strings.Repeat("1,", maxTree) + `1]}}`, ReasonTooComplex},
	} {
		if got := reasonOf(t, c.frame); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
}

// Row SIG-10.
func TestMetadataForOthersIsBounded(t *testing.T) {
	notify := func(value string) string { return connectWith(`"signaling_notify_metadata":` + value) }
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	for value, want := range map[string]string{
		text(MaxNotifyMetadata): "", text(MaxNotifyMetadata + 1): ReasonNotifyTooLarge,
		nested(maxNotifyDepth): "", nested(maxNotifyDepth + 1): ReasonNotifyTooDeep,
		`"` + strings.Repeat("[", 100) + `"`: "",
		`1e308`:                              "", `1e309`: ReasonNumberRange, `[-1e400]`: ReasonNumberRange,
		strings.Repeat("9", 400): ReasonNumberRange, strings.Repeat("9", 300): "", `1e-400`: "", `-0`: "", `18446744073709551616`: "",
	} {
		if got := reasonOf(t, notify(value)); got != want {
			t.Errorf("%.40s (%d bytes): reason %q, want %q", value, len(value), got, want)
		}
	}
	// The client's own secret is bounded by the frame only, but its numbers are checked too.
	if got := reasonOf(t, connectWith(`"metadata":{"a":[1e999]}`)); got != ReasonNumberRange {
		t.Errorf("metadata: reason %q", got)
	}
}

// Row SIG-11.
func TestIDsAreBounded(t *testing.T) {
	accepted := []string{
		"a", "../../etc/passwd", "..", ".", "/", `\`, "C:\\nul", "%s%n%d", "a b", " ", `"`, "'; drop table x", "<script>", "{}", "$(id)",
		"チャンネル", "e\u0301", "é", "раypal", "paypal", "ＡＢＣ", "\u00a0", "\u3000", "\U0001F468\u200D\U0001F469\u200D\U0001F467",
		"می\u200cخواهم", "\ufffd", "\ue000", strings.Repeat("x", 255), strings.Repeat("あ", 85),
	}
	refused := []string{
		"", "a\u0000b", "\u0000", "a\nb", "\r", "\t", "\u001b[31m", "\u007f", "\u0085", "\u009b", "\u2028", "\u2029", "\ufeff", "a\u202eb", "\u2066",
		"\u200e", "\u200f", "\u061c", "\uffff", "\ufdd0", "\U0010ffff",
		strings.Repeat("x", 256), strings.Repeat("あ", 86), strings.Repeat("x", 10<<10),
	}
	for _, member := range []string{"channel_id", "client_id", "bundle_id"} {
		frame := func(id string) string {
			b, err := json.Marshal(id)
			if err != nil {
				t.Fatal(err)
			}
			members := map[string]string{"channel_id": `"c"`}
			members[member] = string(b)
			text := `{"type":"connect","role":"sendrecv"`
			for name, value := range members {
				text += fmt.Sprintf(",%q:%s", name, value)
			}
			return text + "}"
		}
		for _, id := range accepted {
			c := mustDecode(t, frame(id)).Connect
			// Byte by byte, without normalising: look-alikes are different ids.
			if got := map[string]string{"channel_id": c.ChannelID, "client_id": c.ClientID, "bundle_id": c.BundleID}[member]; got != id {
				t.Errorf("%s %q became %q", member, id, got)
			}
		}
		reason := "INVALID-" + strings.ToUpper(strings.ReplaceAll(member, "_", "-"))
		for _, id := range refused {
			if got := reasonOf(t, frame(id)); got != reason {
				t.Errorf("%s %.20q: reason %q", member, id, got)
			}
		}
	}
}

// Row SIG-11.
func TestReasonsAndDetailsAreFitForALogAndACloseFrame(t *testing.T) {
	for _, frame := range []string{`{"type":"` + strings.Repeat("x", 5000) + `"}`, connectWith(`"` + strings.Repeat("あ", 999) + `":1,"` + strings.Repeat("あ", 999) + `":1`)} {
		_, err := Decode([]byte(frame))
		e, ok := err.(*Error)
		if !ok || len(e.Reason) > 123 || len(e.Detail) > maxText || strings.ContainsFunc(e.Reason, func(r rune) bool { return r != '-' && (r < 'A' || r > 'Z') }) {
			t.Errorf("%.40s: %+v", frame, err)
		}
	}
}
