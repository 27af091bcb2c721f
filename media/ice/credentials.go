package ice

import "crypto/rand"

// Lengths of our credentials. Each character carries 6 bits, all of them random but the
// index: 48 bits of ufrag and 144 of password, where RFC 8445 section 5.3 asks for 24 and 128.
const (
	indexLen    = 4
	ufragLen    = indexLen + 8
	passwordLen = 24

	// MaxIndex is the largest index that a ufrag can carry.
	MaxIndex = 1<<24 - 1
)

// iceChars is the alphabet of ice-char (RFC 8839 section 5.4); there are just 64.
const iceChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// iceValue is the inverse of iceChars; 0xff where there is none.
var iceValue = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range len(iceChars) {
		v[iceChars[i]] = byte(i)
	}
	return v
}()

// Credentials are one generation of our short-term credentials for one connection.
type Credentials struct {
	Ufrag    string
	Password string
}

// NewCredentials draws credentials whose ufrag carries index, by which a check finds its
// connection without a search. Any goroutine may call it. It panics if index is above MaxIndex.
func NewCredentials(index uint32) Credentials {
	if index > MaxIndex {
		panic("ice: index does not fit a ufrag")
	}
	var raw [ufragLen + passwordLen]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	for i, b := range raw {
		raw[i] = iceChars[b&63]
	}
	for i := range indexLen {
		raw[i] = iceChars[index>>(6*(indexLen-1-i))&63]
	}
	return Credentials{Ufrag: string(raw[:ufragLen]), Password: string(raw[ufragLen:])}
}

// DecodeIndex returns the index that one of our ufrags carries. It says false to what cannot
// be ours; what it accepts need not be: the whole ufrag still has to be compared.
func DecodeIndex(ufrag []byte) (uint32, bool) {
	if len(ufrag) != ufragLen {
		return 0, false
	}
	var index uint32
	for _, ch := range ufrag[:indexLen] {
		v := iceValue[ch]
		if v == 0xff {
			return 0, false
		}
		index = index<<6 | uint32(v)
	}
	return index, true
}
