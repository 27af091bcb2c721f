package ice

import (
	"bytes"
	"encoding/binary"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

// Sizes of the STUN wire format (RFC 8489 section 5) and the limits that we set.
const (
	headerLen     = stunwire.HeaderLen
	attrHeaderLen = stunwire.AttrHeaderLen

	typeRequest = 0x0001 // Binding request
	typeSuccess = 0x0101
	typeError   = 0x0111
	classMask   = stunwire.ClassMask

	// maxRequest bounds what one check may cost us in hashing. Browsers' checks are below
	// 200 bytes; more than a path MTU cannot be one.
	maxRequest = 1500
	// maxUsername and maxUfrag are the limits of RFC 8489 section 14.3 and RFC 8839 section 5.4.
	maxUsername = 513
	maxUfrag    = 256
	// maxUnknown is how many unknown attributes a 420 names. A peer that sends more learns
	// of the rest when it has removed these.
	maxUnknown = 4
)

// Request is one Binding request. Its slices point into the datagram it was parsed from and
// are valid until that is overwritten.
type Request struct {
	TxID        [12]byte
	LocalUfrag  []byte // the part of USERNAME before the colon: ours
	RemoteUfrag []byte // the part after it: the peer's

	UseCandidate bool
	Controlled   bool   // carries ICE-CONTROLLED: always a role conflict with a lite agent
	Controlling  bool   // carries ICE-CONTROLLING
	TieBreaker   uint64 // of whichever of the two was there
	Priority     uint32 // 0: absent

	// Generation counts the connection's ICE restarts. It is not on the wire: whoever found
	// the credentials by LocalUfrag and verified the request fills it in for the Agent.
	Generation uint32

	// Mapped is the peer's transport address as the answer has to name it: that of its flow or,
	// of a check that came through a relay, the relayed one. The caller fills it in too.
	Mapped flow.Key

	size       int // of the whole datagram
	unknown    [maxUnknown]uint16
	numUnknown int
}

// seen has a bit for each attribute that may come only once.
type seen uint8

const (
	seenUsername seen = 1 << iota
	seenPriority
	seenUseCandidate
	seenRole
	seenIntegrity
)

// Parse reads a Binding request and checks its FINGERPRINT, but not its integrity: find the
// password by LocalUfrag, then call Verify. It allocates nothing, whatever the outcome. The
// errors are the Err variables of this package; with ErrUnknownAttribute the Request is valid.
//
// We read the bytes ourselves because pion/stun's decoder copies the message, formats its
// errors with allocations and lets pass much of what has to be refused here; tests hold the
// two against each other.
func (c *Codec) Parse(datagram []byte) (Request, error) {
	c.msg, c.mi = nil, 0
	if err := checkHeader(datagram); err != nil {
		return Request{}, err
	}
	req := Request{size: len(datagram)}
	copy(req.TxID[:], datagram[8:headerLen])
	mi, err := req.readAttributes(datagram)
	if err != nil {
		return Request{}, err
	}
	c.msg, c.mi = datagram, mi
	if req.numUnknown > 0 {
		return req, ErrUnknownAttribute
	}
	return req, nil
}

// checkHeader accepts a Binding request whose length field tells the truth.
func checkHeader(b []byte) error {
	if len(b) < headerLen || len(b) > maxRequest || b[0]&0xc0 != 0 {
		return ErrMalformed
	}
	if binary.BigEndian.Uint32(b[4:]) != stunwire.MagicCookie {
		return ErrMalformed
	}
	// Attributes are padded to four bytes. Bytes after the message are refused as well: over
	// UDP a datagram is one message, and nobody would have checked the rest.
	if n := int(binary.BigEndian.Uint16(b[2:])); n%4 != 0 || n != len(b)-headerLen {
		return ErrMalformed
	}
	switch t := binary.BigEndian.Uint16(b); {
	case t&^classMask != typeRequest:
		return ErrNotBinding
	case t != typeRequest:
		return ErrNotRequest
	}
	return nil
}

// readAttributes walks the attributes of message b, whose header is good, and returns the
// offset of MESSAGE-INTEGRITY.
func (r *Request) readAttributes(b []byte) (mi int, err error) {
	var got seen
	// Offsets and length are multiples of four, so where one byte is left, four are.
	for off := headerLen; off < len(b); {
		typ := binary.BigEndian.Uint16(b[off:])
		n := int(binary.BigEndian.Uint16(b[off+2:]))
		end := off + attrHeaderLen + n
		next := off + attrHeaderLen + (n+3)&^3
		if next > len(b) {
			return 0, ErrMalformed
		}
		if stun.AttrType(typ) == stun.AttrFingerprint {
			return mi, r.finish(b, off, got)
		}
		// RFC 8489 section 14.5 has agents ignore what follows the integrity but FINGERPRINT;
		// nothing honest sends such a thing in a check, so it is refused.
		if got&seenIntegrity != 0 {
			return 0, ErrMalformed
		}
		bit, err := r.readAttribute(stun.AttrType(typ), b[off+attrHeaderLen:end])
		if err != nil || got&bit != 0 {
			return 0, ErrMalformed
		}
		if got |= bit; bit == seenIntegrity {
			mi = off
		}
		off = next
	}
	return 0, ErrFingerprint
}

// readAttribute takes over one attribute and returns the bit of those that may come once.
// Repeated attributes that we do not read are no concern of ours.
func (r *Request) readAttribute(typ stun.AttrType, v []byte) (seen, error) {
	switch typ {
	case stun.AttrUsername:
		return seenUsername, r.readUsername(v)
	case stun.AttrPriority:
		if len(v) != 4 {
			return 0, ErrMalformed
		}
		r.Priority = binary.BigEndian.Uint32(v)
		return seenPriority, nil
	case stun.AttrUseCandidate:
		if len(v) != 0 {
			return 0, ErrMalformed
		}
		r.UseCandidate = true
		return seenUseCandidate, nil
	case stun.AttrICEControlled, stun.AttrICEControlling:
		if len(v) != 8 {
			return 0, ErrMalformed
		}
		r.Controlled = typ == stun.AttrICEControlled
		r.Controlling = !r.Controlled
		r.TieBreaker = binary.BigEndian.Uint64(v)
		return seenRole, nil
	case stun.AttrMessageIntegrity:
		if len(v) != stunwire.IntegrityLen {
			return 0, ErrMalformed
		}
		return seenIntegrity, nil
	}
	if typ.Required() && !ignorable(typ) {
		r.addUnknown(uint16(typ))
	}
	return 0, nil
}

// ignorable reports whether typ is an attribute that RFC 5389 defines and a Binding request
// has no use for: known, unexpected, and so ignored (RFC 8489 section 6.3).
func ignorable(typ stun.AttrType) bool {
	switch typ {
	case stun.AttrMappedAddress, stun.AttrErrorCode, stun.AttrUnknownAttributes,
		stun.AttrRealm, stun.AttrNonce, stun.AttrXORMappedAddress:
		return true
	}
	return false
}

// addUnknown notes an attribute for the 420, once.
func (r *Request) addUnknown(typ uint16) {
	for _, u := range r.unknown[:r.numUnknown] {
		if u == typ {
			return
		}
	}
	if r.numUnknown < maxUnknown {
		r.unknown[r.numUnknown] = typ
		r.numUnknown++
	}
}

// readUsername splits USERNAME, which is our ufrag, a colon and the peer's (RFC 8445 section 7.2.2).
func (r *Request) readUsername(v []byte) error {
	colon := bytes.IndexByte(v, ':')
	if len(v) > maxUsername || colon < 1 || colon > maxUfrag {
		return ErrMalformed
	}
	if n := len(v) - colon - 1; n < 1 || n > maxUfrag {
		return ErrMalformed
	}
	r.LocalUfrag, r.RemoteUfrag = v[:colon], v[colon+1:]
	return nil
}

// finish checks FINGERPRINT at offset off, that it ends the message, and that what a check
// needs was there.
func (r *Request) finish(b []byte, off int, got seen) error {
	if int(binary.BigEndian.Uint16(b[off+2:])) != stunwire.FingerprintLen || off+attrHeaderLen+stunwire.FingerprintLen != len(b) {
		return ErrFingerprint
	}
	if binary.BigEndian.Uint32(b[off+attrHeaderLen:]) != stunwire.Fingerprint(b[:off]) {
		return ErrFingerprint
	}
	switch {
	case got&seenIntegrity == 0:
		return ErrNoIntegrity
	case got&seenUsername == 0:
		return ErrNoUsername
	}
	return nil
}
