package sora

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// fields reads the members of one object and reports what is wrong to its decoder. A member
// that is null counts as absent.
type fields struct {
	d *decoder
	v *fastjson.Value
	// Of an object inside the message: the reason for whatever is wrong in it, and its place
	// for the detail. Empty at the top level, where every member has its own reason.
	reason, path string
}

// in returns the reader of an object inside this one.
func (f fields) in(v *fastjson.Value, reason, path string) fields {
	return fields{d: f.d, v: v, reason: reason, path: path}
}

// invalid refuses the message because of the named member.
func (f fields) invalid(name string) {
	if f.reason != "" {
		f.d.fail(f.reason, f.path+"."+name)
		return
	}
	f.d.fail("INVALID-"+strings.ToUpper(strings.ReplaceAll(name, "_", "-")), "")
}

// get returns a member, or nil if it is absent or null.
func (f fields) get(name string) *fastjson.Value {
	v := f.v.Get(name)
	if v == nil || v.Type() == fastjson.TypeNull {
		return nil
	}
	return v
}

// object returns nil for an absent member and for one that is no object, which is a fault.
func (f fields) object(name string) *fastjson.Value {
	v := f.get(name)
	if v == nil || v.Type() == fastjson.TypeObject {
		return v
	}
	f.invalid(name)
	return nil
}

// array returns the elements of an array of at most limit.
func (f fields) array(name string, limit int) []*fastjson.Value {
	v := f.get(name)
	if v == nil {
		return nil
	}
	a, err := v.Array()
	if err != nil || len(a) > limit {
		f.invalid(name)
		return nil
	}
	return a
}

// bytes returns a string as the parser holds it; it is valid until the decoder's next
// message.
func (f fields) bytes(name string) []byte {
	v := f.get(name)
	if v == nil {
		return nil
	}
	b, err := v.StringBytes()
	if err != nil {
		f.invalid(name)
	}
	return b
}

func (f fields) str(name string) string { return string(f.bytes(name)) }

// text reads a descriptive text.
func (f fields) text(name string) string { return cut(f.bytes(name)) }

// bounded reads a string of at most limit bytes.
func (f fields) bounded(name string, limit int) string {
	b := f.bytes(name)
	if len(b) > limit {
		f.invalid(name)
		return ""
	}
	return string(b)
}

// word reads a string that has to be one of the given words; empty: absent.
func (f fields) word(name string, words ...string) string {
	if f.get(name) == nil {
		return ""
	}
	b := f.bytes(name)
	for _, w := range words {
		if string(b) == w {
			return w
		}
	}
	f.invalid(name)
	return ""
}

// id reads a channel, client or bundle id, or another name that is not empty when it is
// given. See isName for what is accepted.
func (f fields) id(name string) string {
	if f.get(name) == nil {
		return ""
	}
	b := f.bytes(name)
	if !isName(b) {
		f.invalid(name)
		return ""
	}
	return string(b)
}

// name reads a name that may be empty.
func (f fields) name(name string) string {
	if len(f.bytes(name)) == 0 {
		return ""
	}
	return f.id(name)
}

func (f fields) boolean(name string, absent bool) bool {
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

func (f fields) flag(name string) Flag {
	switch {
	case f.get(name) == nil:
		return Unset
	case f.boolean(name, false):
		return True
	}
	return False
}

// number reads an integer in decimal digits: 1.0 and 1e2, which no client writes, are
// refused.
func (f fields) number(name string, low, high, absent int) int {
	v := f.get(name)
	if v == nil {
		return absent
	}
	n, err := v.Int()
	if err != nil || n < low || n > high {
		f.invalid(name)
		return absent
	}
	return n
}

// integer returns 0 for an absent member; low is at least 1.
func (f fields) integer(name string, low, high int) int { return f.number(name, low, high, 0) }

// isName reports whether b is acceptable as an id or a name: 1 to maxID bytes of UTF-8
// without characters that change how a log or a page reads. That leaves path separators, two
// dots, look-alikes and whatever else people call their rooms; ids are compared byte by
// byte, without normalising, and serve as nothing but map keys, JSON strings and quoted text
// in logs: never as a path, a label of a metric or a format.
func isName(b []byte) bool {
	return len(b) > 0 && len(b) <= maxID && isPrintable(b)
}

func isPrintable(b []byte) bool {
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || deceptive(r) {
			return false
		}
		i += n
	}
	return true
}

// deceptive matches control characters, line separators, characters that turn the direction
// of text around, byte order marks and code points that are no characters. The joiners that
// emoji, Persian and Indic scripts need are none of these.
func deceptive(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' ||
		unicode.In(r, unicode.Bidi_Control, unicode.Noncharacter_Code_Point)
}

// cut shortens a descriptive text to maxText bytes without splitting a character.
func cut(b []byte) string {
	if len(b) <= maxText {
		return string(b)
	}
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n--
	}
	return string(b[:n])
}
