package load

import "bytes"

// Messages with a new offer for each who joins a room are most of what a client reads and
// writes in a storm of joins. For these the few members that matter are read and written
// here, without a general decoder; what looks different in any way is left to that.

// peekReoffer returns the SDP of a re-offer. ok is false for everything else, and for a
// string with escapes that SDP has no use for.
func peekReoffer(text []byte) (sdp string, ok bool) {
	const head, key = `{"type":"re-offer"`, `"sdp":"`
	if !bytes.HasPrefix(text, []byte(head)) {
		return "", false
	}
	at := bytes.Index(text, []byte(key))
	if at < 0 {
		return "", false
	}
	return unquote(text[at+len(key):])
}

// unquote reads a JSON string up to its closing quotation mark.
func unquote(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return string(out), true
		case c < 0x20 || c >= 0x80:
			return "", false
		case c != '\\':
			out = append(out, c)
		case i+1 == len(b):
			return "", false
		default:
			i++
			switch b[i] {
			case 'r':
				out = append(out, '\r')
			case 'n':
				out = append(out, '\n')
			case '"', '\\', '/':
				out = append(out, b[i])
			default:
				return "", false
			}
		}
	}
	return "", false
}

// appendAnswer appends the message of an answer. kind is a word of ours.
func appendAnswer(dst []byte, kind, sdp string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","sdp":"`...)
	for i := range len(sdp) {
		switch c := sdp[i]; {
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, `"}`...)
}
