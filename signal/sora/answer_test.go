package sora

import (
	"reflect"
	"strings"
	"testing"
)

// What clients send is read the short way, and says what it says the long way.
func TestAnswersAreReadTheShortWay(t *testing.T) {
	sdp := string(AppendString(nil, browserSDP(3)))
	for name, frame := range map[string]string{
		"as JavaScript writes it": `{"type":"answer","sdp":` + sdp + `}`,
		"sorted":                  `{"sdp":` + sdp + `,"type":"re-answer"}`,
		"with space":              " {\n\t\"type\" : \"update\" ,\r\n \"sdp\" : " + sdp + " }\n",
		"every escape":            `{"type":"re-answer","sdp":"\"\\\/\b\f\n\r\tx"}`,
	} {
		m, ok := readAnswer([]byte(frame))
		want, err := decodeAny([]byte(frame))
		if !ok || err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: %t, error %v\n%+v\n%+v", name, ok, err, m, want)
		}
	}
}

// Whatever is unusual is left to the general way, whose verdict counts.
func TestWhatIsUnusualIsReadTheLongWay(t *testing.T) {
	for name, frame := range map[string]string{
		"empty":               "",
		"another type":        `{"type":"pong","sdp":"x"}`,
		"an unknown type":     `{"type":"offer","sdp":"x"}`,
		"no SDP":              `{"type":"answer"}`,
		"an empty SDP":        `{"type":"answer","sdp":""}`,
		"SDP that is null":    `{"type":"answer","sdp":null}`,
		"one more member":     `{"type":"answer","sdp":"x","a":1}`,
		"type twice":          `{"type":"answer","type":"answer"}`,
		"SDP twice":           `{"sdp":"x","sdp":"x"}`,
		"a comma at the end":  `{"type":"answer","sdp":"x",}`,
		"something behind":    `{"type":"answer","sdp":"x"}}`,
		"no end":              `{"type":"answer","sdp":"x"`,
		"a string open":       `{"type":"answer","sdp":"x`,
		"an escape open":      `{"type":"answer","sdp":"x\`,
		"no such escape":      `{"type":"answer","sdp":"\x"}`,
		"a control character": "{\"type\":\"answer\",\"sdp\":\"a\tb\"}",
		"no ASCII":            `{"type":"answer","sdp":"ä"}`,
		"not UTF-8":           "{\"type\":\"answer\",\"sdp\":\"\xff\"}",
		"four digits":         `{"type":"answer","sdp":"\u0041"}`,
		"a name with escapes": `{"t\u0079pe":"answer","sdp":"x"}`,
		"a long name":         `{"` + strings.Repeat("t", 1000) + `":"answer","sdp":"x"}`,
		"no colon":            `{"type" "answer","sdp":"x"}`,
	} {
		if m, ok := readAnswer([]byte(frame)); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestALongAnswerIsReadByNeitherWay(t *testing.T) {
	frame := []byte(`{"type":"answer","sdp":"` + strings.Repeat("x", MaxFrame) + `"}`)
	if _, ok := DecodeAnswer(frame); ok {
		t.Error("it is read")
	}
	if _, err := Decode(frame); err == nil {
		t.Error("it is accepted")
	}
}

func TestEveryTruncationOfAnAnswerIsRefused(t *testing.T) {
	whole := []byte(` {"type":"answer","sdp":"v=0\r\nx"} `)
	for i := range len(whole) - 2 {
		if m, ok := readAnswer(whole[:i]); ok {
			t.Fatalf("the first %d bytes: %+v", i, m)
		}
	}
}

// Each kind of byte at each place among eight that are looked at together.
func TestPlainStopsAtTheFirstByteThatIsNot(t *testing.T) {
	for at := range 24 {
		for c := range 256 {
			b := []byte(strings.Repeat("a", 24))
			b[at] = byte(c)
			want := len(b)
			if c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
				want = at
			}
			for _, from := range []int{0, at / 2, at} {
				if got, text := plain(b, from), plain(string(b), from); got != want || text != want {
					t.Fatalf("byte %#x at %d, from %d: %d and %d", c, at, from, got, text)
				}
			}
			for other := range at { // nor does one behind it matter
				b[23-other] = byte(c)
			}
			if want < 24 && plain(b, 0) > want {
				t.Fatalf("byte %#x at %d was passed over", c, at)
			}
		}
	}
}

// FuzzReadAnswer holds the short way to the long one.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`{"sdp":"\"\\\/\b\f\n\r\t","type":"update"}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, ok := readAnswer(frame)
		if !ok {
			return
		}
		if want, err := decodeAny(frame); err != nil || !reflect.DeepEqual(m, want) {
			t.Fatalf("%q: %+v, the long way %+v, %v", frame, m, want, err)
		}
	})
}
