package ice

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

// Codec reads checks and writes answers. The zero value is ready. It is scratch space for one
// goroutine; nothing of a connection stays in it but the view of the datagram last parsed.
type Codec struct {
	msg []byte // the datagram just parsed, nil if it was refused
	mi  int    // offset of its MESSAGE-INTEGRITY

	mac stunwire.MAC
}

// Verify reports whether the MESSAGE-INTEGRITY of the datagram just parsed was made with
// password. It takes the same time wherever the two values differ. The datagram must not have
// been changed since Parse; after a Parse that failed the answer is no.
func (c *Codec) Verify(password string) bool {
	if c.msg == nil {
		return false
	}
	return stunwire.Verify(&c.mac, password, c.msg, c.mi)
}

// AppendSuccess appends the success response to req: the peer's address as we saw it, signed
// with our password. That is 64 bytes for IPv4 and 76 for IPv6; with so much room in dst
// nothing is allocated.
func (c *Codec) AppendSuccess(dst []byte, req *Request, mapped flow.Key, password string) []byte {
	start := len(dst)
	dst = stunwire.AppendHeader(dst, typeSuccess, &req.TxID)
	dst = stunwire.AppendAddress(dst, start, stun.AttrXORMappedAddress, mapped.Remote, mapped.Port)
	dst = stunwire.AppendIntegrity(&c.mac, dst, start, password)
	return stunwire.AppendFingerprint(dst, start)
}

// AppendError appends an error response without a reason phrase. An empty password leaves it
// unsigned, for peers that have shown no credentials: those answers are 36 bytes, and a request
// that passed Parse is longer. A 420 names the attributes that were not understood.
func (c *Codec) AppendError(dst []byte, req *Request, code int, password string) []byte {
	start := len(dst)
	dst = stunwire.AppendHeader(dst, typeError, &req.TxID)
	dst = stunwire.AppendAttr(dst, stun.AttrErrorCode, 4)
	dst = append(dst, 0, 0, byte(code/100), byte(code%100))
	if code == CodeUnknownAttribute {
		dst = appendUnknown(dst, req)
	}
	if password != "" {
		dst = stunwire.AppendIntegrity(&c.mac, dst, start, password)
	}
	dst = stunwire.AppendFingerprint(dst, start)
	if password == "" && len(dst)-start > req.size {
		return dst[:start] // never amplify towards an address that nobody has proven
	}
	return dst
}

// appendUnknown appends UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
func appendUnknown(dst []byte, req *Request) []byte {
	dst = stunwire.AppendAttr(dst, stun.AttrUnknownAttributes, 2*req.numUnknown)
	for _, typ := range req.unknown[:req.numUnknown] {
		dst = binary.BigEndian.AppendUint16(dst, typ)
	}
	if req.numUnknown%2 != 0 {
		dst = append(dst, 0, 0)
	}
	return dst
}
