package entry

import "encoding/binary"

// Kind is what a connection speaks.
type Kind uint8

// The kinds.
const (
	Unknown Kind = iota // nothing that we speak
	TLS                 // a record that begins a ClientHello (RFC 8446 section 5.1)
	TURN                // a STUN request (RFC 8489 section 5), unframed
	ICETCP              // a STUN Binding request in a frame (RFC 4571, RFC 6544 section 3)
	HTTP                // a request line of HTTP/1 (RFC 9112 section 3)
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"unknown", "TLS", "TURN", "ICE-TCP", "HTTP"}[k]
}

// verdict is what a matcher says of the bytes so far.
type verdict uint8

const (
	no verdict = iota
	maybe
	yes
)

// Classify tells from the first bytes of a stream, of which it looks at no more than
// SniffBytes, what it is. enough is false while more bytes are needed; once it is true, more
// bytes do not change the answer, and with SniffBytes of them it always is. ChannelData is
// Unknown: no stream has an allocation before its first request (RFC 8656 section 12), and so
// is a PROXY header, whose peers are asked for it before anything is classified.
//
// It may be called from any goroutine.
func Classify(first []byte) (kind Kind, enough bool) {
	first = first[:min(len(first), SniffBytes)]
	open := false
	// The kinds exclude each other by their bytes, so that their order does not decide.
	for _, m := range [...]struct {
		kind  Kind
		match func([]byte) verdict
	}{{TLS, matchTLS}, {TURN, matchTURN}, {ICETCP, matchICETCP}, {HTTP, matchHTTP}} {
		switch m.match(first) {
		case yes:
			return m.kind, true
		case maybe:
			open = true
		}
	}
	return Unknown, !open
}

// prefix compares as much of want as there is of b.
func prefix(b []byte, want string) verdict {
	n := min(len(b), len(want))
	switch {
	case string(b[:n]) != want[:n]:
		return no
	case n < len(want):
		return maybe
	}
	return yes
}

// matchTLS: handshake record 22, version 3.x, a length that is not zero nor above 2^14, and
// the message client_hello.
func matchTLS(b []byte) verdict {
	if v := prefix(b, "\x16\x03"); v != yes {
		return v
	}
	if len(b) > 2 && b[2] > 4 {
		return no
	}
	if len(b) > 4 {
		if n := binary.BigEndian.Uint16(b[3:]); n == 0 || n > 1<<14 {
			return no
		}
	}
	if len(b) > 5 {
		if b[5] != 1 {
			return no
		}
		return yes
	}
	return maybe
}

const magicCookie = "\x21\x12\xa4\x42"

// matchTURN: two zero bits, class request, a length in words, the magic cookie.
func matchTURN(b []byte) verdict {
	// Bits 4 and 8 of the type are the class, zero in requests (RFC 8489 section 5).
	if len(b) > 0 && b[0]&0b1100_0001 != 0 || len(b) > 1 && b[1]&0b0001_0000 != 0 || len(b) > 3 && b[3]&3 != 0 {
		return no
	}
	if len(b) < 4 {
		return maybe
	}
	return prefix(b[4:], magicCookie)
}

// Bounds of the first frame of ICE-TCP: a STUN message's header, and more than any check has.
const (
	minFrame = 20
	maxFrame = 2048
)

// matchICETCP: a length, and a Binding request of just that length.
func matchICETCP(b []byte) verdict {
	if len(b) > 0 && b[0] > maxFrame>>8 {
		return no
	}
	if len(b) < 2 {
		return maybe
	}
	frame := int(binary.BigEndian.Uint16(b))
	if frame < minFrame || frame > maxFrame || frame%4 != 0 {
		return no
	}
	if v := prefix(b[2:], "\x00\x01"); v != yes {
		return v
	}
	if len(b) < 6 {
		return maybe
	}
	if int(binary.BigEndian.Uint16(b[4:])) != frame-minFrame {
		return no
	}
	return prefix(b[6:], magicCookie)
}

// methods are what our HTTP server has handlers for. CONNECT and TRACE are not: nobody is to
// take us for a proxy.
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS "}

// matchHTTP: a method, a space, and what begins a path, an absolute URI or an asterisk.
func matchHTTP(b []byte) verdict {
	best := no
	for _, m := range methods {
		v := prefix(b, m)
		if v == yes {
			if len(b) == len(m) {
				return maybe
			}
			if b[len(m)] <= ' ' {
				return no
			}
		}
		best = max(best, v)
	}
	return best
}
