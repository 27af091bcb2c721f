package sora

import "crypto/rand"

// IDLen is the length of connection and session ids. The header of DataChannel messages
// relies on it.
const IDLen = 26

// The Crockford alphabet: no I, L, O or U.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID returns a new connection or session id: a UUID of version 4 (RFC 9562 section 5.4)
// in 26 characters of base 32.
func NewID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails since Go 1.24: the program ends instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return encodeID(u)
}

// encodeID takes 5 bits a character from the most significant end; the last character
// carries 3 bits and two zeros.
func encodeID(u [16]byte) string {
	out := make([]byte, 0, IDLen)
	acc, bits := uint(0), 0
	for _, b := range u {
		acc = acc<<8 | uint(b)
		for bits += 8; bits >= 5; bits -= 5 {
			out = append(out, alphabet[acc>>(bits-5)&31])
		}
		acc &= 1<<bits - 1
	}
	return string(append(out, alphabet[acc<<(5-bits)&31]))
}
