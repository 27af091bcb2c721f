package sora

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func readObject(t *testing.T, text string) *Object {
	t.Helper()
	o, err := ReadObject([]byte(text), 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func TestObjectIsReadByTheRulesOfDecode(t *testing.T) {
	for text, reason := range map[string]string{
		``: ReasonInvalidJSON, `[]`: ReasonInvalidJSON, `{"a":1,}`: ReasonInvalidJSON, "{\"a\":\"\xff\"}": ReasonInvalidJSON, `{"a":"\udc00"}`: ReasonInvalidJSON,
		`{"a":1,"a":2}`: ReasonDuplicateKey, `{"a":[{"b":1,"b":2}]}`: ReasonDuplicateKey, `{"a":[1e400]}`: ReasonNumberRange,
		`{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`: ReasonTooComplex,
		`{"a":[` + strings.Repeat("0,", maxTree) + `0]}`:                  ReasonTooComplex,
	} {
		o, err := ReadObject([]byte(text), 1<<20)
		if e, ok := err.(*Error); o != nil || !ok || e.Reason != reason {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	if _, err := ReadObject([]byte(`{"a":1}`), 7); err != nil {
		t.Error(err)
	}
	if _, err := ReadObject([]byte(`{"a":1}`), 6); err == nil {
		t.Error("the limit does not hold")
	}
}

func TestMembersOfAnObject(t *testing.T) {
	o := readObject(t, `{"on":true,"off":false,"n":7,"s":"","i\u0064":"x","raw": [1, {"a":null}],"nil":null}`)
	if o.Flag("on") != True || o.Flag("off") != False || o.Flag("none") != Unset || o.Flag("nil") != Unset {
		t.Error("Flag")
	}
	if o.Integer("n", 1, 7) != 7 || o.Integer("none", 1, 7) != 0 || o.String("s") != "" || o.ID("id") != "x" || o.ID("none") != "" {
		t.Error("Integer, String or ID")
	}
	if string(o.Raw("raw")) != `[1, {"a":null}]` || o.Raw("nil") != nil || o.Raw("none") != nil {
		t.Error("Raw")
	}
	if o.Has("nil") || !o.Has("off") || !o.Off("off") || !o.Off("nil") || o.Off("s") {
		t.Error("Has or Off")
	}
	if names := o.Members(); !reflect.DeepEqual(names, []string{"on", "off", "n", "s", "id", "raw"}) {
		t.Errorf("%q", names)
	}
	if f := o.Fault(); f != "" {
		t.Error(f)
	}
}

func TestFaultNamesTheFirstWrongMember(t *testing.T) {
	o := readObject(t, `{"a":1,"b":"x","s":""}`)
	if o.Flag("a") != Unset && o.Integer("b", 1, 2) != 0 {
		t.Error("a wrong member has a value")
	}
	if o.Fault() != "a" {
		t.Error(o.Fault())
	}
	for name, read := range map[string]func(*Object){
		"a": func(o *Object) { o.String("a") }, "b": func(o *Object) { o.Integer("b", 1, 2) }, "s": func(o *Object) { o.ID("s") },
		"audio.bit_rate":                     func(o *Object) { o.Audio() },
		"video_h264_params.profile_level_id": func(o *Object) { o.Video() },
		"c":                                  func(o *Object) { o.Refuse("c") },
	} {
		o := readObject(t, `{"a":1,"b":"x","s":"","audio":{"bit_rate":1},"video_h264_params":{"profile_level_id":""}}`)
		if read(o); o.Fault() != name {
			t.Errorf("%q, want %s", o.Fault(), name)
		}
	}
}

func TestWhatClientsAreShownIsBounded(t *testing.T) {
	o := readObject(t, `{"deep":`+strings.Repeat("[", 25)+strings.Repeat("]", 25)+`,"long":"`+strings.Repeat("x", MaxNotifyMetadata-1)+`","fits":`+
		strings.Repeat("[", 24)+strings.Repeat("]", 24)+`,"long_fits":"`+strings.Repeat("x", MaxNotifyMetadata-2)+`"}`)
	if o.RawForClients("fits") == nil || o.RawForClients("long_fits") == nil || o.Fault() != "" {
		t.Error(o.Fault())
	}
	for _, name := range []string{"deep", "long"} {
		if o.RawForClients(name) != nil || o.Fault() == "" {
			t.Error(name)
		}
		o.d.err = nil
	}
}

func TestAnObjectInOneLine(t *testing.T) {
	o := readObject(t, "\n{ \"a\":\r\n\"\\n\u2028\" }\t")
	if got := string(o.Line()); got != "{ \"a\":\"\\n\u2028\" }" {
		t.Errorf("%q", got)
	}
}

// FuzzObject compares what is read with encoding/json.
func FuzzObject(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{`{"audio_bit_rate":7,"video_vp9_params":{}}`, `{"audio":{"codec_type":"OPUS"},"audio_opus_params":{"ptime":20}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ReadObject(text, 1<<16)
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil || !json.Valid(o.Line()) {
			t.Fatalf("%v: %q", err, text)
		}
		there := 0
		for name, raw := range want {
			if string(raw) == "null" {
				continue
			}
			there++
			if got := o.Raw(name); string(got) != string(raw) {
				t.Fatalf("%q: %q, encoding/json reads %q", name, got, raw)
			}
			if n, err := strconv.Atoi(string(raw)); err == nil && n > 0 && n < 1000 && o.Integer(name, 1, 1000) != n {
				t.Fatalf("%q: not %d", name, n)
			}
		}
		if names := o.Members(); len(names) != there {
			t.Fatalf("%q, encoding/json has %d", names, there)
		}
		if _, a := o.Audio(); a.BitRate < 0 || a.BitRate > 510 || a.CodecType != "" && a.CodecType != "OPUS" && o.Fault() == "" {
			t.Fatalf("%+v", a)
		}
		if _, v := o.Video(); v.BitRate < 0 || v.BitRate > 50000 {
			t.Fatalf("%+v", v)
		}
	})
}
