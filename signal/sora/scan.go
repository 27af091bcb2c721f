package sora

// scanLimits walks once over a message, without allocating, and reports whether its
// nesting and its number of values are within bounds. It runs before any parser does, so
// that a bomb costs one pass over at most MaxFrame bytes. It does not validate.
func scanLimits(b []byte) bool {
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
		if values > maxValues {
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

// rawMember returns the bytes of a member's value at the top level of a valid JSON object,
// or nil. fastjson writes some strings back in Go's syntax instead of JSON's, so what is
// passed on to other clients has to be the original text.
func rawMember(b []byte, name string) []byte {
	depth, start := 0, -1
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := skipString(b, i)
			if depth == 1 && start < 0 && string(b[i:end]) == `"`+name+`"` {
				if c := skipSpace(b, end); c < len(b) && b[c] == ':' {
					start = skipSpace(b, c+1)
					end = start
				}
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 && start >= 0 {
				return trimSpace(b[start:i])
			}
		case ',':
			if depth == 1 && start >= 0 {
				return trimSpace(b[start:i])
			}
		}
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
