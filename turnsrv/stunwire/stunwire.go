// Package stunwire writes and signs STUN messages (RFC 8489) for those who read them
// themselves: the ICE agent and the TURN server. It has what both need, byte by byte, and no
// opinion about what a message means or which of them are welcome. Its functions append to what
// they are given and keep nothing; a MAC is scratch space for one goroutine. Nothing here
// allocates if there is room behind dst.
package stunwire

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// Sizes and constants of the format (RFC 8489 section 5).
const (
	HeaderLen      = 20
	AttrHeaderLen  = 4
	IntegrityLen   = 20 // of MESSAGE-INTEGRITY, as FingerprintLen without its head
	FingerprintLen = 4
	MagicCookie    = 0x2112A442

	ClassMask = 0x0110 // the two class bits of a message type; the other twelve are the method

	Family4, Family6 = 1, 2 // of addresses
)

const fingerprintXOR = 0x5354554e // RFC 8489 section 14.7

// AppendHeader appends a header whose length is not right yet; SetLength makes it so.
func AppendHeader(dst []byte, typ uint16, tx *[12]byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, MagicCookie)
	return append(dst, tx[:]...)
}

// AppendAttr appends the head of an attribute whose value has n bytes.
func AppendAttr(dst []byte, typ stun.AttrType, n int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(typ))
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

// AddressLen is the length of the value of an address attribute.
func AddressLen(a flow.Addr) int {
	if a.Is4() {
		return 4 + 4
	}
	return 4 + 16
}

// AppendAddress appends a XOR-...-ADDRESS (RFC 8489 section 14.2) to the message that starts at
// offset start of dst: an IPv6 address is masked by the transaction id.
func AppendAddress(dst []byte, start int, typ stun.AttrType, a flow.Addr, port uint16) []byte {
	ip, family := a[:], byte(Family6)
	if a.Is4() {
		ip, family = a[12:], Family4
	}
	mask := dst[start+4 : start+HeaderLen]
	dst = AppendAttr(dst, typ, 4+len(ip))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, port^(MagicCookie>>16))
	for i, b := range ip {
		dst = append(dst, b^mask[i])
	}
	return dst
}

// SetLength writes the length that msg will have with extra bytes more.
func SetLength(msg []byte, extra int) {
	binary.BigEndian.PutUint16(msg[2:], uint16(len(msg)-HeaderLen+extra))
}

// AppendFingerprint ends the message that starts at offset start of dst.
func AppendFingerprint(dst []byte, start int) []byte {
	SetLength(dst[start:], AttrHeaderLen+FingerprintLen)
	crc := Fingerprint(dst[start:])
	dst = AppendAttr(dst, stun.AttrFingerprint, FingerprintLen)
	return binary.BigEndian.AppendUint32(dst, crc)
}

// Fingerprint is the value of FINGERPRINT behind the bytes b (RFC 8489 section 14.7).
func Fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintXOR }
