package sora

import "strings"

// DecodeAnswer is Decode for the message that comes most often while clients join, and false
// for any other, faulty or not. It takes little stack.
func DecodeAnswer(frame []byte) (Message, bool) {
	if len(frame) > MaxFrame {
		return Message{}, false
	}
	return readAnswer(frame)
}

// readAnswer reads an answer of exactly the members type and sdp, in either order, whose text
// is ASCII with no other escapes than those of one character: what clients send, for each
// who joins their channel. Everything else, faulty or not, is left to the general way, which
// says the same of what both read and takes five times as long. It looks at each byte once,
// and makes room for what is there, not for what is promised.
func readAnswer(frame []byte) (m Message, ok bool) {
	r := answerReader{b: frame}
	r.punctuation('{')
	for n := 0; n < 2 && !r.failed; n++ {
		name := r.word()
		r.punctuation(':')
		switch {
		case string(name) == "type" && m.Type == 0:
			m.Type = typeNames[string(r.word())]
		case string(name) == "sdp" && m.SDP == "":
			m.SDP = r.text()
		default:
			return Message{}, false
		}
		if n == 0 {
			r.punctuation(',')
		}
	}
	r.punctuation('}')
	if r.failed || r.i != len(frame) || m.SDP == "" || m.Type != TypeAnswer && m.Type != TypeReAnswer && m.Type != TypeUpdate {
		return Message{}, false
	}
	return m, true
}

// answerReader reads tokens from b[i] on, and fails at the first that is not what is wanted.
type answerReader struct {
	b      []byte
	i      int
	failed bool
}

// punctuation takes one character, and the space on both sides.
func (r *answerReader) punctuation(c byte) {
	i := skipSpace(r.b, r.i)
	if i == len(r.b) || r.b[i] != c {
		r.failed = true
		return
	}
	r.i = skipSpace(r.b, i+1)
}

// longWord is longer than every name and type that is looked for.
const longWord = 16

// word takes a short string without escapes.
func (r *answerReader) word() []byte {
	if r.failed || r.i == len(r.b) || r.b[r.i] != '"' {
		r.failed = true
		return nil
	}
	from := r.i + 1
	to := plain(r.b[:min(from+longWord, len(r.b))], from)
	if to == len(r.b) || r.b[to] != '"' {
		r.failed = true
		return nil
	}
	r.i = to + 1
	return r.b[from:to]
}

// unescaped is what stands behind the backslash of an escape of one character; 0: none.
var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// text takes a string.
func (r *answerReader) text() string {
	if r.failed || r.i == len(r.b) || r.b[r.i] != '"' {
		r.failed = true
		return ""
	}
	var out strings.Builder
	out.Grow(len(r.b) - r.i)
	for i := r.i + 1; ; {
		end := plain(r.b, i)
		out.Write(r.b[i:end])
		if end == len(r.b) {
			break
		}
		if r.b[end] == '"' {
			r.i = end + 1
			return out.String()
		}
		if r.b[end] != '\\' || end+1 == len(r.b) || unescaped[r.b[end+1]] == 0 {
			break
		}
		out.WriteByte(unescaped[r.b[end+1]])
		i = end + 2
	}
	r.failed = true
	return ""
}
