package turnsrv

import "encoding/binary"

// Is reports whether b, which a demultiplexer takes for STUN by its first byte, is for Handle:
// requests and indications of every method but Binding, and Binding requests without USERNAME,
// which no ICE check is (RFC 8445 section 7.2.2). It looks at the type, and of a Binding request
// at the attributes' types; it promises nothing about the rest.
func Is(b []byte) bool {
	if len(b) < headerLen || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return false
	}
	return false
}
