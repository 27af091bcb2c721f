package sora

import (
	"encoding/json"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// parsers holds idle parsers. A parser keeps the memory of its largest message, so the
// ones that met a large message are left to the garbage collector.
var parsers sync.Pool

const keepParserBelow = 64 << 10

// Decode reads one message of a client. The error is always an *Error, whose Reason is fit
// for a close frame. A message of more than MaxFrame bytes is refused unseen.
func Decode(frame []byte) (Message, error) {
	if len(frame) > MaxFrame || !scanLimits(frame) {
		return Message{}, &Error{Reason: ReasonTooComplex}
	}
	if !utf8.Valid(frame) {
		return Message{}, &Error{Reason: ReasonInvalidJSON, Detail: "not UTF-8"}
	}
	// fastjson's parser is lenient about escapes and control characters, and its validator
	// lets a control character pass in a string that has an escape.
	if !json.Valid(frame) {
		return Message{}, &Error{Reason: ReasonInvalidJSON}
	}
	p, _ := parsers.Get().(*fastjson.Parser)
	if p == nil {
		p = new(fastjson.Parser)
	}
	m, err := decode(p, frame)
	if len(frame) < keepParserBelow {
		parsers.Put(p)
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

func decode(p *fastjson.Parser, frame []byte) (Message, error) {
	v, err := p.ParseBytes(frame)
	if err != nil {
		return Message{}, &Error{Reason: ReasonInvalidJSON}
	}
	if v.Type() != fastjson.TypeObject {
		return Message{}, &Error{Reason: ReasonMissingType, Detail: "not an object"}
	}
	f := fields{v: v}
	f.refuseDuplicates()
	name := v.Get("type")
	if name == nil || name.Type() != fastjson.TypeString {
		return Message{}, &Error{Reason: ReasonMissingType}
	}
	t, ok := typeNames[string(name.GetStringBytes())]
	if !ok {
		return Message{}, &Error{Reason: ReasonUnknownType, Detail: cut(string(name.GetStringBytes()))}
	}
	m := Message{Type: t}
	switch t {
	case TypeConnect:
		m.Connect = f.connect(frame)
	case TypeAnswer, TypeReAnswer, TypeUpdate:
		m.SDP = f.str("sdp")
		if m.SDP == "" {
			f.invalid("sdp")
		}
	case TypeCandidate:
		// The content is of no use to an ICE-lite server, which learns addresses from
		// connectivity checks; its types still have to be right.
		m.Candidate = &Candidate{Candidate: f.str("candidate"), SDPMLineIndex: -1}
	case TypePong:
		if s := v.Get("stats"); s != nil && s.Type() != fastjson.TypeArray && s.Type() != fastjson.TypeNull {
			f.invalid("stats")
		}
		m.Stats = clone(rawMember(frame, "stats"))
	case TypeDisconnect:
		m.Reason = cut(f.str("reason"))
	}
	return m, f.result()
}

// fields reads members of an object and remembers the first that was wrong.
type fields struct {
	v   *fastjson.Value
	err *Error
}

func (f *fields) result() error {
	if f.err == nil {
		return nil
	}
	return f.err
}

func (f *fields) fail(reason, detail string) {
	if f.err == nil {
		f.err = &Error{Reason: reason, Detail: detail}
	}
}

// invalid refuses the message because of the named member.
func (f *fields) invalid(name string) {
	f.fail("INVALID-"+strings.ToUpper(strings.ReplaceAll(name, "_", "-")), "")
}

// get returns a member, or nil if it is absent or null.
func (f *fields) get(name string) *fastjson.Value {
	v := f.v.Get(name)
	if v == nil || v.Type() == fastjson.TypeNull {
		return nil
	}
	return v
}

// refuseDuplicates refuses a message that has a member twice at the top level: readers of
// JSON disagree about which one counts.
func (f *fields) refuseDuplicates() {
	o := f.v.GetObject()
	if o.Len() > maxMembers {
		f.fail(ReasonTooComplex, "")
		return
	}
	seen := make(map[string]struct{}, o.Len())
	o.Visit(func(key []byte, _ *fastjson.Value) {
		if _, dup := seen[string(key)]; dup {
			f.fail(ReasonDuplicateKey, cut(string(key)))
		}
		seen[string(key)] = struct{}{}
	})
}

// maxMembers is the most members of a message's top level; connect has about 30.
const maxMembers = 256

func (f *fields) str(name string) string {
	v := f.get(name)
	if v == nil {
		return ""
	}
	b, err := v.StringBytes()
	if err != nil {
		f.invalid(name)
	}
	return string(b)
}

func (f *fields) boolean(name string, absent bool) bool {
	v := f.get(name)
	if v == nil {
		return absent
	}
	b, err := v.Bool()
	if err != nil {
		f.invalid(name)
	}
	return b
}

func (f *fields) flag(name string) Flag {
	switch {
	case f.get(name) == nil:
		return Unset
	case f.boolean(name, false):
		return True
	}
	return False
}

// integer returns 0 for an absent member; low is at least 1.
func (f *fields) integer(name string, low, high int) int {
	v := f.get(name)
	if v == nil {
		return 0
	}
	n, err := v.Int()
	if err != nil || n < low || n > high {
		f.invalid(name)
		return 0
	}
	return n
}

// id reads a channel, client or bundle id.
func (f *fields) id(name string) string {
	if f.get(name) == nil {
		return ""
	}
	s := f.str(name)
	if s == "" || len(s) > maxID || !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
		f.invalid(name)
	}
	return s
}

// isControl matches the C0 and C1 control characters and DEL, which have no business in a
// name and could deceive whoever reads a log.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// cut shortens a descriptive text to maxText bytes without splitting a character.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}
