package sora

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// scanLimits walks once over a message, without allocating, and reports whether its nesting
// is within bounds and it has at most limit values. It runs before any parser does, so that
// a bomb costs one pass over at most MaxFrame bytes. It does not validate.
func scanLimits(b []byte, limit int) bool {
	depth, values := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return false
			}
			// The first member has no comma in front of it.
			values++
		case '}', ']':
			depth--
		case ',':
			values++
		}
		if values > limit {
			return false
		}
	}
	return true
}

// skipString returns the index after the string that starts at b[i], or len(b) if it does
// not end.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// The functions below take valid JSON.

// surrogatesPaired reports whether every \u escape of half a character has its other half
// behind it.
func surrogatesPaired(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return true
		}
		b = b[i:]
		switch {
		case isSurrogate(b, "89aAbB"):
			if !isSurrogate(b[6:], "cCdDeEfF") {
				return false
			}
			b = b[12:]
		case isSurrogate(b, "cCdDeEfF"):
			return false
		default:
			// A \u of four ordinary digits, or an escape of one character.
			b = b[2:]
		}
	}
}

// isSurrogate reports whether b starts with \ud and one of the digits of its half.
func isSurrogate(b []byte, half string) bool {
	return len(b) >= 6 && b[0] == '\\' && b[1] == 'u' && b[2]|0x20 == 'd' && strings.IndexByte(half, b[3]) >= 0
}

// rawMembers are the members of a message that are kept as they were sent; nil: absent.
// fastjson writes some strings back in Go's syntax instead of JSON's, so what is passed on
// to other clients has to be the original text.
type rawMembers struct {
	metadata, notify, filter, filters, stats []byte
	statsAt                                  int // where stats begins
}

// findRaw takes the text of an object.
func findRaw(b []byte) rawMembers {
	var r rawMembers
	for name, value := range members(b) {
		switch string(name) {
		case "metadata":
			r.metadata = value
		case "signaling_notify_metadata":
			r.notify = value
		case "forwarding_filter":
			r.filter = value
		case "forwarding_filters":
			r.filters = value
		case "stats":
			// What is left of the capacity tells where a part of b begins.
			r.stats, r.statsAt = value, cap(b)-cap(value)
		}
	}
	return r
}

// member returns the text of an object's member, or nil.
func member(b []byte, name string) []byte {
	for key, value := range members(b) {
		if string(key) == name {
			return value
		}
	}
	return nil
}

// members iterates over the names and texts of an object's members; over none if b is no
// object. The texts are parts of b.
func members(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, text []byte) bool) {
		if !isObject(b) {
			return
		}
		i := skipSpace(b, skipSpace(b, 0)+1)
		for i < len(b) && b[i] == '"' {
			end := skipString(b, i)
			name := unquote(b[i:end])
			i = skipSpace(b, skipSpace(b, end)+1) // behind the colon
			end = skipValue(b, i)
			if !yield(name, b[i:end]) {
				return
			}
			i = skipSpace(b, skipSpace(b, end)+1) // behind the comma
		}
	}
}

// elements iterates over the texts of an array's elements; over none if b is no array.
func elements(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(b, 0)
		if i >= len(b) || b[i] != '[' {
			return
		}
		i = skipSpace(b, i+1)
		for i < len(b) && b[i] != ']' {
			end := skipValue(b, i)
			if !yield(b[i:end]) {
				return
			}
			if i = skipSpace(b, end); i < len(b) && b[i] == ',' {
				i = skipSpace(b, i+1)
			}
		}
	}
}

// unquote returns what a string says. A name that is written with escapes is the same name.
func unquote(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b[1 : len(b)-1]
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	return []byte(s)
}

// skipValue returns the index after the value that starts at b[i].
func skipValue(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return trimSpace(b, i)
			}
			depth--
		case ',':
			if depth == 0 {
				return trimSpace(b, i)
			}
		}
	}
	return i
}

// depth returns how deep arrays and objects are nested.
func depth(b []byte) int {
	now, most := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			now++
			most = max(most, now)
		case '}', ']':
			now--
		}
	}
	return most
}

func isObject(b []byte) bool {
	i := skipSpace(b, 0)
	return i < len(b) && b[i] == '{'
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// trimSpace returns where the space in front of b[i] begins.
func trimSpace(b []byte, i int) int {
	for i > 0 && isSpace(b[i-1]) {
		i--
	}
	return i
}
