package turnsrv

import (
	"github.com/pion/stun/v3"

	"tsubame/turnsrv/stunwire"
)

// Sizes and constants of the STUN wire format (RFC 8489 section 5).
const (
	headerLen     = stunwire.HeaderLen
	attrHeaderLen = stunwire.AttrHeaderLen
	classMask     = stunwire.ClassMask

	classRequest    = 0x0000
	classIndication = 0x0010
	classSuccess    = 0x0100
	classError      = 0x0110

	family4, family6 = stunwire.Family4, stunwire.Family6

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

// appendText appends an attribute with padding.
func appendText(dst []byte, typ stun.AttrType, v string) []byte {
	dst = append(stunwire.AppendAttr(dst, typ, len(v)), v...)
	for range Padded(len(v)) - len(v) {
		dst = append(dst, 0)
	}
	return dst
}
