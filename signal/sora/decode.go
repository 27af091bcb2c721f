package sora

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// decoders holds idle decoders. A decoder keeps the memory of its largest message, so the
// ones that met a large message are left to the garbage collector.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

const keepDecoderBelow = 64 << 10

// Decode reads one message of a client. The error is always an *Error, whose Reason is fit
// for a close frame. A message of more than MaxFrame bytes is refused unseen.
func Decode(frame []byte) (Message, error) {
	if m, ok := DecodeAnswer(frame); ok {
		return m, nil
	}
	if len(frame) > MaxFrame {
		return Message{}, &Error{Reason: ReasonTooComplex}
	}
	return decodeAny(frame)
}

// decodeAny reads any message of at most MaxFrame bytes.
func decodeAny(frame []byte) (Message, error) {
	if !scanLimits(frame, maxValues) {
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
	// Half a surrogate pair is no character (RFC 8259 section 8.2): readers disagree about
	// what it is, and some of those to whom metadata goes refuse the whole message.
	if !surrogatesPaired(frame) {
		return Message{}, &Error{Reason: ReasonInvalidJSON, Detail: "unpaired surrogate"}
	}
	d := decoders.Get().(*decoder)
	m, err := d.decode(frame)
	if d.large {
		return m, err
	}
	d.err, d.raw = nil, rawMembers{}
	decoders.Put(d)
	return m, err
}

// decoder is the state of one Decode.
type decoder struct {
	parser  fastjson.Parser
	raw     rawMembers
	reduced []byte
	keys    [][]byte
	large   bool
	err     *Error // the first fault
}

func (d *decoder) fail(reason, detail string) {
	if d.err == nil {
		d.err = &Error{Reason: reason, Detail: detail}
	}
}

func (d *decoder) decode(frame []byte) (Message, error) {
	m, err := d.message(frame)
	switch {
	case err != nil:
		return Message{}, err
	case d.err != nil:
		return Message{}, d.err
	}
	return m, nil
}

func (d *decoder) message(frame []byte) (Message, error) {
	v, err := d.parse(frame)
	if err != nil {
		return Message{}, err
	}
	d.refuseDuplicates(v)
	name := v.Get("type")
	if name == nil || name.Type() != fastjson.TypeString {
		return Message{}, &Error{Reason: ReasonMissingType}
	}
	t, ok := typeNames[string(name.GetStringBytes())]
	if !ok {
		return Message{}, &Error{Reason: ReasonUnknownType, Detail: cut(name.GetStringBytes())}
	}
	m, f := Message{Type: t}, fields{d: d, v: v}
	switch t {
	case TypeConnect:
		m.Connect = f.connect()
		d.walk(v)
	case TypeAnswer, TypeReAnswer, TypeUpdate:
		if m.SDP = f.str("sdp"); m.SDP == "" {
			f.invalid("sdp")
		}
	case TypeCandidate:
		m.Candidate = f.candidate()
	case TypePong:
		f.stats(&m)
	case TypeDisconnect:
		m.Reason = f.text("reason")
	}
	return m, nil
}

// parse builds the tree of a message, except for an array of statistics: it is passed on as
// it came, and would be most of the tree.
func (d *decoder) parse(frame []byte) (*fastjson.Value, error) {
	if !isObject(frame) {
		return nil, &Error{Reason: ReasonMissingType, Detail: "not an object"}
	}
	d.raw = findRaw(frame)
	if s := d.raw.stats; len(s) > 0 && s[0] == '[' {
		start := d.raw.statsAt
		d.reduced = append(append(append(d.reduced[:0], frame[:start]...), "[]"...), frame[start+len(s):]...)
		frame = d.reduced
	}
	if len(frame) > maxTree && !scanLimits(frame, maxTree) {
		return nil, &Error{Reason: ReasonTooComplex}
	}
	d.large = len(frame) >= keepDecoderBelow
	v, err := d.parser.ParseBytes(frame)
	if err != nil {
		return nil, &Error{Reason: ReasonInvalidJSON}
	}
	return v, nil
}

// candidate reads either shape: all of RTCIceCandidate's members or only the text. Nothing
// of it is of use to an ICE-lite server, which learns addresses from connectivity checks.
func (f fields) candidate() *Candidate {
	return &Candidate{
		Candidate:        f.bounded("candidate", maxCandidate),
		SDPMid:           f.bounded("sdpMid", maxCandidate),
		SDPMLineIndex:    f.number("sdpMLineIndex", 0, 65535, -1),
		UsernameFragment: f.bounded("usernameFragment", maxCandidate),
	}
}

func (f fields) stats(m *Message) {
	s := f.get("stats")
	switch {
	case s == nil:
	case s.Type() != fastjson.TypeArray:
		f.invalid("stats")
	case len(f.d.raw.stats) > MaxStats:
		m.StatsTooLarge = true
	default:
		m.Stats = bytes.Clone(f.d.raw.stats)
	}
}

// refuseDuplicates refuses an object that has a member twice: readers of JSON disagree
// about which one counts.
func (d *decoder) refuseDuplicates(v *fastjson.Value) {
	o := v.GetObject()
	if o.Len() > maxMembers {
		d.fail(ReasonTooComplex, "")
		return
	}
	if name, found := d.duplicate(o); found {
		d.fail(ReasonDuplicateKey, cut(name))
	}
}

// duplicate returns a name that an object has twice. It sorts the names, since a map would
// cost an allocation for every object.
func (d *decoder) duplicate(o *fastjson.Object) (name []byte, found bool) {
	d.keys = d.keys[:0]
	o.Visit(func(key []byte, _ *fastjson.Value) { d.keys = append(d.keys, key) })
	slices.SortFunc(d.keys, bytes.Compare)
	for i := 1; i < len(d.keys); i++ {
		if bytes.Equal(d.keys[i-1], d.keys[i]) {
			return d.keys[i], true
		}
	}
	return nil, false
}

// walk looks at everything below v, whose depth is bounded, for what others who read it
// again may stumble over: names that come twice and numbers that are none to them. Neither
// is quoted, as it may be a part of metadata.
func (d *decoder) walk(v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeObject:
		o := v.GetObject()
		if _, found := d.duplicate(o); found {
			d.fail(ReasonDuplicateKey, "")
		}
		o.Visit(func(_ []byte, member *fastjson.Value) { d.walk(member) })
	case fastjson.TypeArray:
		for _, element := range v.GetArray() {
			d.walk(element)
		}
	case fastjson.TypeNumber:
		if n, err := v.Float64(); err != nil || n-n != 0 {
			d.fail(ReasonNumberRange, "")
		}
	}
}
