package turnsrv

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

const (
	// maxRequest bounds what one request may cost us in hashing. Those of libwebrtc, pion and
	// coturn stay below 250 bytes. Indications carry datagrams and have no such bound.
	maxRequest = 1500
	// maxUnknown is how many unknown attributes a 420 names. A client that sends more learns
	// of the rest when it has removed these.
	maxUnknown = 4
)

// attributes is a set of the attributes that we read.
type attributes uint16

const (
	hasUsername attributes = 1 << iota
	hasRealm
	hasNonce
	hasIntegrity
	hasLifetime
	hasChannel
	hasTransport
	hasFamily
	hasAdditional
	hasEvenPort
	hasToken
	hasPeer
	hasData
)

// message is one request or indication. Its slices point into the datagram.
type message struct {
	b     []byte
	typ   uint16
	tx    [12]byte
	found attributes
	bad   bool // an attribute that we read has a length that it cannot have
	end   int  // where what we read ends: at MESSAGE-INTEGRITY, if it is there

	username, realm, nonce, data []byte

	peer       peerAddress // the first XOR-PEER-ADDRESS; CreatePermission may have more
	lifetime   uint32      // seconds
	channel    uint16
	transport  byte
	family     byte
	additional byte
	evenPort   byte

	fingerprint bool // was there, and was right: the answer has one too
	unknown     [maxUnknown]uint16
	numUnknown  int
}

// peerAddress is the value of a XOR-PEER-ADDRESS. addr alone cannot tell an IPv4 address from
// the IPv6 address that maps it, so the family is as it was on the wire.
type peerAddress struct {
	addr   flow.Addr
	port   uint16
	family byte
}

func (m *message) has(a attributes) bool { return m.found&a == a }
func (m *message) method() uint16        { return m.typ &^ classMask }
func (m *message) class() uint16         { return m.typ & classMask }

// Is reports whether b, which a demultiplexer takes for STUN by its first byte, is for Handle:
// requests and indications of every method but Binding, and Binding requests without USERNAME,
// which no ICE check is (RFC 8445 section 7.2.2). It looks at the type, and of a Binding request
// at the attributes' types; it promises nothing about the rest.
func Is(b []byte) bool {
	if !isSTUN(b) {
		return false
	}
	typ := binary.BigEndian.Uint16(b)
	if class := typ & classMask; class != classRequest && class != classIndication {
		return false
	}
	if typ&^classMask != methodBinding {
		return true
	}
	if typ != methodBinding {
		return false
	}
	for off := headerLen; off < len(b); {
		typ, _, next, ok := attributeAt(b, off)
		if !ok || typ == stun.AttrUsername {
			return false // what is broken is left to ICE to count
		}
		off = next
	}
	return true
}

// isSTUN reports whether b has a header whose length field tells the truth.
func isSTUN(b []byte) bool {
	if len(b) < headerLen || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != stunwire.MagicCookie {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	return n%4 == 0 && n == len(b)-headerLen
}

// attributeAt reads the attribute at offset off of b. next is where the one after it begins.
func attributeAt(b []byte, off int) (typ stun.AttrType, v []byte, next int, ok bool) {
	if off+attrHeaderLen > len(b) {
		return 0, nil, 0, false
	}
	typ = stun.AttrType(binary.BigEndian.Uint16(b[off:]))
	n := int(binary.BigEndian.Uint16(b[off+2:]))
	v = b[off+attrHeaderLen:]
	if Padded(n) > len(v) {
		return 0, nil, 0, false
	}
	return typ, v[:n], off + attrHeaderLen + Padded(n), true
}

// parse reads b into m. It reports false if b is not to be answered at all, and why.
func (m *message) parse(b []byte) (Reason, bool) {
	if !isSTUN(b) {
		return Malformed, false
	}
	m.b, m.typ, m.end = b, binary.BigEndian.Uint16(b), len(b)
	if m.class() == classRequest && len(b) > maxRequest {
		return Malformed, false
	}
	copy(m.tx[:], b[8:headerLen])
	for off := headerLen; off < len(b); {
		typ, v, next, ok := attributeAt(b, off)
		if !ok {
			return Malformed, false
		}
		switch {
		case typ == stun.AttrFingerprint:
			if len(v) != stunwire.FingerprintLen || next != len(b) || binary.BigEndian.Uint32(v) != stunwire.Fingerprint(b[:off]) {
				return BadFingerprint, false
			}
			m.fingerprint = true
		case m.has(hasIntegrity):
			// Nobody has signed it: to be ignored (RFC 8489 section 14.5).
		case typ == stun.AttrMessageIntegrity:
			if len(v) != stunwire.IntegrityLen {
				return Malformed, false
			}
			m.found |= hasIntegrity
			m.end = off
		default:
			if !m.read(typ, v) {
				return Malformed, false
			}
		}
		off = next
	}
	return 0, true
}

// read takes over one attribute. It reports false if one is repeated that may come only once:
// RFC 8489 section 14 would have us take the first; nothing honest sends two.
func (m *message) read(typ stun.AttrType, v []byte) bool {
	var a attributes
	switch typ {
	case stun.AttrUsername:
		a, m.username = hasUsername, v
	case stun.AttrRealm:
		a, m.realm = hasRealm, v
	case stun.AttrNonce:
		a, m.nonce = hasNonce, v
	case stun.AttrData:
		a, m.data = hasData, v
	case stun.AttrXORPeerAddress:
		return m.readPeer(v)
	case stun.AttrLifetime:
		if a = hasLifetime; m.sized(v, 4) {
			m.lifetime = binary.BigEndian.Uint32(v)
		}
	case stun.AttrChannelNumber:
		if a = hasChannel; m.sized(v, 4) {
			m.channel = binary.BigEndian.Uint16(v)
		}
	case stun.AttrRequestedTransport:
		a, m.transport = hasTransport, m.first(v, 4)
	case stun.AttrRequestedAddressFamily:
		a, m.family = hasFamily, m.first(v, 4)
	case attrAdditionalAddressFamily:
		a, m.additional = hasAdditional, m.first(v, 4)
	case stun.AttrEvenPort:
		a, m.evenPort = hasEvenPort, m.first(v, 1)
	case stun.AttrReservationToken:
		a = hasToken
		m.sized(v, 8)
	default:
		if typ.Required() && !ignorable(typ) {
			m.addUnknown(uint16(typ))
		}
		return true
	}
	repeated := m.has(a)
	m.found |= a
	return !repeated
}

// sized notes an attribute whose value has not n bytes.
func (m *message) sized(v []byte, n int) bool {
	if len(v) != n {
		m.bad = true
		return false
	}
	return true
}

// first returns the first of n bytes; the others are reserved.
func (m *message) first(v []byte, n int) byte {
	if !m.sized(v, n) {
		return 0
	}
	return v[0]
}

// readPeer takes over a XOR-PEER-ADDRESS. Only CreatePermission may have several, and reads
// the others itself.
func (m *message) readPeer(v []byte) bool {
	p, ok := decodePeer(v, m.b)
	if !ok {
		m.bad = true
	}
	if m.has(hasPeer) {
		return m.method() == methodCreatePermission
	}
	m.found |= hasPeer
	m.peer = p
	return true
}

// decodePeer reads the value of a XOR-PEER-ADDRESS of message b (RFC 8489 section 14.2).
func decodePeer(v, b []byte) (p peerAddress, ok bool) {
	if len(v) < 4 {
		return p, false
	}
	p.family = v[1]
	p.port = binary.BigEndian.Uint16(v[2:]) ^ (stunwire.MagicCookie >> 16)
	ip := p.addr[:]
	switch {
	case p.family == family4 && len(v) == 8:
		p.addr[10], p.addr[11] = 0xff, 0xff
		ip = p.addr[12:]
	case p.family == family6 && len(v) == 20:
	default:
		return p, false
	}
	for i := range ip {
		ip[i] = v[4+i] ^ b[4+i] // the magic cookie, and for IPv6 the transaction id
	}
	return p, true
}

// ignorable reports whether typ is an attribute that RFC 8489, 8656 or 8445 defines and that no
// request to us has a use for: known, unexpected, and so ignored (RFC 8489 section 6.3).
// DONT-FRAGMENT is not among them: who cannot do it has to say so (RFC 8656 section 7.2).
func ignorable(typ stun.AttrType) bool {
	switch typ {
	case stun.AttrMappedAddress, stun.AttrErrorCode, stun.AttrUnknownAttributes, stun.AttrXORMappedAddress,
		stun.AttrXORRelayedAddress, stun.AttrPriority, stun.AttrUseCandidate:
		return true
	}
	return false
}

// addUnknown notes an attribute for the 420, once.
func (m *message) addUnknown(typ uint16) {
	for _, u := range m.unknown[:m.numUnknown] {
		if u == typ {
			return
		}
	}
	if m.numUnknown < maxUnknown {
		m.unknown[m.numUnknown] = typ
		m.numUnknown++
	}
}
