package turnsrv

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// Sizes and constants of the STUN wire format (RFC 8489 section 5).
const (
	headerLen      = 20
	attrHeaderLen  = 4
	integrityLen   = 20
	fingerprintLen = 4
	magicCookie    = 0x2112A442
	fingerprintXOR = 0x5354554e // RFC 8489 section 14.7

	classMask       = 0x0110 // the two class bits; the other twelve are the method
	classRequest    = 0x0000
	classIndication = 0x0010
	classSuccess    = 0x0100
	classError      = 0x0110

	family4, family6 = 1, 2

	// Methods, as they stand in a message type of class request: all of ours are below 16, so
	// that their bits are not split by the class's.
	methodBinding          = uint16(stun.MethodBinding)
	methodAllocate         = uint16(stun.MethodAllocate)
	methodRefresh          = uint16(stun.MethodRefresh)
	methodSend             = uint16(stun.MethodSend)
	methodData             = uint16(stun.MethodData)
	methodCreatePermission = uint16(stun.MethodCreatePermission)
	methodChannelBind      = uint16(stun.MethodChannelBind)

	typeDataIndication = methodData | classIndication

	// Attributes of RFC 8656 that pion/stun has no names for.
	attrAdditionalAddressFamily = stun.AttrType(0x8000)
	attrAddressErrorCode        = stun.AttrType(0x8001)
)

// appendHeader appends a header whose length is not right yet; setLength makes it so.
func appendHeader(dst []byte, typ uint16, tx *[12]byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, magicCookie)
	return append(dst, tx[:]...)
}

// appendAttr appends the head of an attribute whose value has n bytes.
func appendAttr(dst []byte, typ stun.AttrType, n int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(typ))
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

// appendText appends an attribute with padding.
func appendText(dst []byte, typ stun.AttrType, v string) []byte {
	dst = append(appendAttr(dst, typ, len(v)), v...)
	for range Padded(len(v)) - len(v) {
		dst = append(dst, 0)
	}
	return dst
}

// addressLen is the length of the value of an address attribute.
func addressLen(a flow.Addr) int {
	if a.Is4() {
		return 4 + 4
	}
	return 4 + 16
}

// appendAddress appends a XOR-...-ADDRESS (RFC 8489 section 14.2) to dst, which has to begin
// with the message's header: an IPv6 address is masked by the transaction id.
func appendAddress(dst []byte, typ stun.AttrType, a flow.Addr, port uint16) []byte {
	ip, family := a[:], byte(family6)
	if a.Is4() {
		ip, family = a[12:], family4
	}
	mask := dst[4:headerLen]
	dst = appendAttr(dst, typ, 4+len(ip))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, port^(magicCookie>>16))
	for i, b := range ip {
		dst = append(dst, b^mask[i])
	}
	return dst
}

// setLength writes the length that msg will have with extra bytes more.
func setLength(msg []byte, extra int) {
	binary.BigEndian.PutUint16(msg[2:], uint16(len(msg)-headerLen+extra))
}

// appendFingerprint ends the message msg.
func appendFingerprint(msg []byte) []byte {
	setLength(msg, attrHeaderLen+fingerprintLen)
	crc := fingerprint(msg)
	msg = appendAttr(msg, stun.AttrFingerprint, fingerprintLen)
	return binary.BigEndian.AppendUint32(msg, crc)
}

// fingerprint is the value of FINGERPRINT behind the bytes b (RFC 8489 section 14.7).
func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintXOR }
