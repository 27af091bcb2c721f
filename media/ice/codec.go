package ice

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// Codec reads checks and writes answers. The zero value is ready. It is scratch space for one
// goroutine; nothing of a connection stays in it but the view of the datagram last parsed.
type Codec struct {
	msg []byte // the datagram just parsed, nil if it was refused
	mi  int    // offset of its MESSAGE-INTEGRITY

	inner, outer hash.Hash
	pad          [sha1.BlockSize]byte
	head         [headerLen]byte
	sum          [integrityLen]byte
}

// Verify reports whether the MESSAGE-INTEGRITY of the datagram just parsed was made with
// password. It takes the same time wherever the two values differ. The datagram must not have
// been changed since Parse; after a Parse that failed the answer is no.
func (c *Codec) Verify(password string) bool {
	if c.msg == nil {
		return false
	}
	// The HMAC covers the header with a length that ends at the integrity itself
	// (RFC 8489 section 14.5), as if FINGERPRINT had not been appended yet.
	copy(c.head[:], c.msg[:headerLen])
	binary.BigEndian.PutUint16(c.head[2:], uint16(c.mi+attrHeaderLen+integrityLen-headerLen))
	want := c.hmac(password, c.head[:], c.msg[headerLen:c.mi])
	got := c.msg[c.mi+attrHeaderLen : c.mi+attrHeaderLen+integrityLen]
	return subtle.ConstantTimeCompare(want, got) == 1
}

// AppendSuccess appends the success response to req: the peer's address as we saw it, signed
// with our password. That is 64 bytes for IPv4 and 76 for IPv6; with so much room in dst
// nothing is allocated.
func (c *Codec) AppendSuccess(dst []byte, req *Request, mapped flow.Key, password string) []byte {
	start := len(dst)
	dst = appendHeader(dst, typeSuccess, req)
	dst = appendMapped(dst, req, mapped)
	dst = c.appendIntegrity(dst, start, password)
	return appendFingerprint(dst, start)
}

// AppendError appends an error response without a reason phrase. An empty password leaves it
// unsigned, for peers that have shown no credentials: those answers are 36 bytes, and a request
// that passed Parse is longer. A 420 names the attributes that were not understood.
func (c *Codec) AppendError(dst []byte, req *Request, code int, password string) []byte {
	start := len(dst)
	dst = appendHeader(dst, typeError, req)
	dst = appendAttr(dst, stun.AttrErrorCode, 4)
	dst = append(dst, 0, 0, byte(code/100), byte(code%100))
	if code == CodeUnknownAttribute {
		dst = appendUnknown(dst, req)
	}
	if password != "" {
		dst = c.appendIntegrity(dst, start, password)
	}
	dst = appendFingerprint(dst, start)
	if password == "" && len(dst)-start > req.size {
		return dst[:start] // never amplify towards an address that nobody has proven
	}
	return dst
}

// appendHeader appends a header whose length is not right yet; setLength makes it so.
func appendHeader(dst []byte, typ uint16, req *Request) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, magicCookie)
	return append(dst, req.TxID[:]...)
}

// appendAttr appends the head of an attribute whose value has n bytes.
func appendAttr(dst []byte, typ stun.AttrType, n int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(typ))
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

// appendMapped appends XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
func appendMapped(dst []byte, req *Request, k flow.Key) []byte {
	const family4, family6 = 1, 2
	ip, family := k.Remote[:], byte(family6)
	if k.Is4() {
		ip, family = k.Remote[12:], family4
	}
	dst = appendAttr(dst, stun.AttrXORMappedAddress, 4+len(ip))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, k.Port^(magicCookie>>16))
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], magicCookie)
	copy(mask[4:], req.TxID[:])
	for i, b := range ip {
		dst = append(dst, b^mask[i])
	}
	return dst
}

// appendUnknown appends UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
func appendUnknown(dst []byte, req *Request) []byte {
	dst = appendAttr(dst, stun.AttrUnknownAttributes, 2*req.numUnknown)
	for _, typ := range req.unknown[:req.numUnknown] {
		dst = binary.BigEndian.AppendUint16(dst, typ)
	}
	if req.numUnknown%2 != 0 {
		dst = append(dst, 0, 0)
	}
	return dst
}

// appendIntegrity signs the message that starts at offset start of dst.
func (c *Codec) appendIntegrity(dst []byte, start int, password string) []byte {
	setLength(dst[start:], attrHeaderLen+integrityLen)
	sum := c.hmac(password, dst[start:], nil)
	dst = appendAttr(dst, stun.AttrMessageIntegrity, integrityLen)
	return append(dst, sum...)
}

// appendFingerprint ends the message that starts at offset start of dst.
func appendFingerprint(dst []byte, start int) []byte {
	setLength(dst[start:], attrHeaderLen+fingerprintLen)
	crc := fingerprint(dst[start:])
	dst = appendAttr(dst, stun.AttrFingerprint, fingerprintLen)
	return binary.BigEndian.AppendUint32(dst, crc)
}

// setLength writes the length that msg will have with extra bytes more.
func setLength(msg []byte, extra int) {
	binary.BigEndian.PutUint16(msg[2:], uint16(len(msg)-headerLen+extra))
}

// hmac returns HMAC-SHA1 (RFC 2104) of a followed by b. The result is valid until the next
// call. crypto/hmac allocates for every key, and each connection has one of its own. The key
// is set up anew each time because that is the faster way: with SHA extensions, hashing the two
// padded key blocks costs less than restoring two saved states of crypto/sha1 (600 ns against
// 800 ns for a check and its answer), and it needs no memory per connection. Only a password
// longer than 64 bytes, which ours are not, costs an allocation.
func (c *Codec) hmac(password string, a, b []byte) []byte {
	if c.inner == nil {
		c.inner, c.outer = sha1.New(), sha1.New()
	}
	c.pad = [sha1.BlockSize]byte{}
	if len(password) <= sha1.BlockSize {
		copy(c.pad[:], password)
	} else {
		c.inner.Reset()
		c.inner.Write([]byte(password))
		c.inner.Sum(c.pad[:0])
	}
	c.xorPad(0x36)
	c.inner.Reset()
	c.inner.Write(c.pad[:])
	c.inner.Write(a)
	c.inner.Write(b)
	c.inner.Sum(c.sum[:0])

	c.xorPad(0x36 ^ 0x5c)
	c.outer.Reset()
	c.outer.Write(c.pad[:])
	c.outer.Write(c.sum[:])
	return c.outer.Sum(c.sum[:0])
}

func (c *Codec) xorPad(x byte) {
	for i := range c.pad {
		c.pad[i] ^= x
	}
}
