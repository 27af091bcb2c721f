package sora

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// Object reads the members of a JSON object that is no message of a client, such as what an
// application answers to a webhook, by the rules of Decode: what is refused there because
// readers disagree about it, or because others are sent it, is refused here. A member that is
// null counts as absent. Methods that meet a wrong type or value return what they return for
// an absent member, and Fault names it. What they return is a copy.
type Object struct {
	d    decoder
	v    *fastjson.Value
	text []byte
}

// ReadObject reads text, which has to be an object of at most limit bytes. The error is always
// an *Error. The object refers to text.
func ReadObject(text []byte, limit int) (*Object, error) {
	if len(text) > limit || !scanLimits(text, maxTree) {
		return nil, &Error{Reason: ReasonTooComplex}
	}
	if !utf8.Valid(text) {
		return nil, &Error{Reason: ReasonInvalidJSON, Detail: "not UTF-8"}
	}
	if !json.Valid(text) {
		return nil, &Error{Reason: ReasonInvalidJSON}
	}
	if !surrogatesPaired(text) {
		return nil, &Error{Reason: ReasonInvalidJSON, Detail: "unpaired surrogate"}
	}
	if !isObject(text) {
		return nil, &Error{Reason: ReasonInvalidJSON, Detail: "not an object"}
	}
	o := &Object{text: text}
	v, err := o.d.parser.ParseBytes(text)
	if err != nil {
		return nil, &Error{Reason: ReasonInvalidJSON}
	}
	o.v = v
	o.d.refuseDuplicates(v)
	o.d.walk(v)
	if o.d.err != nil {
		return nil, o.d.err
	}
	return o, nil
}

// Fault returns the first member that was read and is wrong, as in audio.bit_rate; empty: none.
func (o *Object) Fault() string {
	if o.d.err == nil {
		return ""
	}
	// The path of a member at the top begins with the dot.
	return strings.TrimPrefix(o.d.err.Detail, ".")
}

// Refuse says that a member is wrong.
func (o *Object) Refuse(name string) { o.fields().invalid(name) }

func (o *Object) fields() fields { return fields{d: &o.d, v: o.v, reason: reasonInvalidMember} }

// reasonInvalidMember is never told: Fault says it all.
const reasonInvalidMember = "INVALID-MEMBER"

// Members returns the names of all members that are not null, in order of the object.
func (o *Object) Members() []string {
	var names []string
	o.v.GetObject().Visit(func(name []byte, v *fastjson.Value) {
		if v.Type() != fastjson.TypeNull {
			names = append(names, string(name))
		}
	})
	return names
}

// Has reports whether a member is there.
func (o *Object) Has(name string) bool { return o.fields().get(name) != nil }

// Off reports whether a member is absent or false.
func (o *Object) Off(name string) bool {
	v := o.fields().get(name)
	return v == nil || v.Type() == fastjson.TypeFalse
}

// Flag reads a boolean.
func (o *Object) Flag(name string) Flag { return o.fields().flag(name) }

// Integer reads an integer of low, which is at least 1, to high; 0: absent.
func (o *Object) Integer(name string, low, high int) int { return o.fields().integer(name, low, high) }

// String reads a string of any length.
func (o *Object) String(name string) string { return o.fields().str(name) }

// ID reads a string that is fit to be an id, a name or an address: 1 to 255 bytes. See isName.
func (o *Object) ID(name string) string { return o.fields().id(name) }

// Raw returns a member as it was written; nil: absent.
func (o *Object) Raw(name string) []byte {
	if !o.Has(name) {
		return nil
	}
	return bytes.Clone(member(o.text, name))
}

// RawForClients is Raw for what clients are shown; one that they may not be able to read is
// refused.
func (o *Object) RawForClients(name string) []byte {
	raw := o.Raw(name)
	if len(raw) > MaxNotifyMetadata || depth(raw) > maxNotifyDepth {
		o.Refuse(name)
		return nil
	}
	return raw
}

// Audio reads what there is of audio: a boolean or an object as in connect, and the members
// audio_codec_type, audio_bit_rate and audio_opus_params, which go before those of the object.
// Enabled of what it returns means nothing; on does.
func (o *Object) Audio() (on Flag, a Audio) {
	both := [2]Audio{}
	on = o.bothForms("audio", []string{"codec_type", "bit_rate", "opus_params"}, func(i int, f fields) string {
		both[i] = f.audio()
		return both[i].CodecType
	}, "OPUS")
	a = both[1]
	if a.CodecType == "" {
		a.CodecType = both[0].CodecType
	}
	if a.BitRate == 0 {
		a.BitRate = both[0].BitRate
	}
	if a.Opus == (OpusParams{}) {
		a.Opus = both[0].Opus
	}
	return on, a
}

// Video is Audio for video, with video_vp9_params, video_av1_params, video_h264_params and
// video_h265_params.
func (o *Object) Video() (on Flag, v Video) {
	both := [2]Video{}
	names := []string{"codec_type", "bit_rate", "vp9_params", "av1_params", "h264_params", "h265_params"}
	on = o.bothForms("video", names, func(i int, f fields) string {
		both[i] = f.video()
		return both[i].CodecType
	}, "VP8", "VP9", "AV1", "H264", "H265")
	v = both[1]
	if v.CodecType == "" {
		v.CodecType = both[0].CodecType
	}
	if v.BitRate == 0 {
		v.BitRate = both[0].BitRate
	}
	if v.VP9 == nil {
		v.VP9 = both[0].VP9
	}
	if v.AV1 == nil {
		v.AV1 = both[0].AV1
	}
	if v.H264 == nil {
		v.H264 = both[0].H264
	}
	if v.H265 == nil {
		v.H265 = both[0].H265
	}
	return on, v
}

// bothForms reads audio or video in the form of connect, as 0, and as 1 the members whose names
// begin with its own, of which it makes an object of that form. read returns the codec type,
// which has to be one of codecs.
func (o *Object) bothForms(kind string, names []string, read func(i int, f fields) string, codecs ...string) Flag {
	var arena fastjson.Arena
	inner := arena.NewObject()
	for _, name := range names {
		if v := o.fields().get(kind + "_" + name); v != nil {
			inner.Set(name, v)
		}
	}
	flat := arena.NewObject()
	flat.Set(kind, inner)
	for i, v := range []*fastjson.Value{o.v, flat} {
		var d decoder
		codec := read(i, fields{d: &d, v: v})
		if d.err == nil && codec != "" && !slices.Contains(codecs, codec) {
			d.fail(reasonInvalidMember, kind+".codec_type")
		}
		if d.err == nil {
			continue
		}
		name := d.err.Detail
		if i == 1 {
			name = strings.Replace(name, ".", "_", 1)
		}
		o.d.fail(reasonInvalidMember, name)
	}
	switch {
	case !o.Has(kind):
		return Unset
	case o.Off(kind):
		return False
	}
	return True
}

// Line returns the object as it was written, in one line: line ends, which can only stand
// between its tokens, are left out, as is the space around it.
func (o *Object) Line() []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, bytes.TrimSpace(o.text))
}
