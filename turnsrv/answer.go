package turnsrv

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/turnsrv/stunwire"
)

// amplification is how many times the request an answer may be that goes to an address which
// has proven nothing. Once would be better, but RFC 8489 has a challenge carry realm and nonce.
const amplification = 3

// exchange is one message and what its answer needs.
type exchange struct {
	message
	now mono.Time
	k   flow.Key
	out []byte

	proven bool     // credentials were shown
	key    [16]byte // and then the answer is signed with this
}

// refusal is an error response. challenge adds realm and nonce.
type refusal struct {
	code      stun.ErrorCode
	reason    Reason
	challenge bool
}

// All that we refuse with.
var (
	stunBadRequest       = refusal{code: stun.CodeBadRequest, reason: BadRequest}
	stunChallenge        = refusal{code: stun.CodeUnauthorized, reason: Challenged, challenge: true}
	stunUnauthorised     = refusal{code: stun.CodeUnauthorized, reason: Unauthorised, challenge: true}
	stunStaleNonce       = refusal{code: stun.CodeStaleNonce, reason: StaleNonce, challenge: true}
	stunUnknownAttribute = refusal{code: stun.CodeUnknownAttribute, reason: UnknownAttribute}

	turnForbidden         = refusal{code: stun.CodeForbidden, reason: Forbidden}
	turnNoAllocation      = refusal{code: stun.CodeAllocMismatch, reason: NoSuchAllocation}
	turnAllocationExists  = refusal{code: stun.CodeAllocMismatch, reason: AllocationExists}
	turnFamilyUnsupported = refusal{code: stun.CodeAddrFamilyNotSupported, reason: FamilyUnsupported}
	turnWrongCredentials  = refusal{code: stun.CodeWrongCredentials, reason: WrongCredentials}
	turnNotUDP            = refusal{code: stun.CodeUnsupportedTransProto, reason: NotUDP}
	turnFamilyMismatch    = refusal{code: stun.CodePeerAddrFamilyMismatch, reason: FamilyMismatch}
	turnQuota             = refusal{code: stun.CodeAllocQuotaReached, reason: Quota}
	turnCapacity          = refusal{code: stun.CodeInsufficientCapacity, reason: Capacity}
)

// refuse answers with an error. Who has shown no credentials has an allowance of them.
func (s *Server) refuse(x *exchange, r refusal) Result {
	if !x.proven && !s.sources.allow(x.now, x.k, x.method()) {
		return drop(Limited)
	}
	b := stunwire.AppendHeader(x.out[:0], x.method()|classError, &x.tx)
	b = appendError(b, stun.AttrErrorCode, 0, r.code)
	if r.code == stun.CodeUnknownAttribute {
		b = appendUnknown(b, x.unknown[:x.numUnknown])
	}
	if r.challenge {
		b = appendText(b, stun.AttrRealm, s.cfg.Realm)
		b = append(stunwire.AppendAttr(b, stun.AttrNonce, nonceLen), s.nonces.make(x.now, x.k)...)
	}
	return s.reply(x, b, r.reason)
}

// success begins a success response.
func (x *exchange) success() []byte {
	return stunwire.AppendHeader(x.out[:0], x.method()|classSuccess, &x.tx)
}

// mapped appends the client's address as we see it.
func (x *exchange) mapped(b []byte) []byte {
	return stunwire.AppendAddress(b, 0, stun.AttrXORMappedAddress, x.k.Remote, x.k.Port)
}

// reply ends the answer b. SOFTWARE goes to who has shown credentials only, reason phrases to
// nobody (row ICE-06). FINGERPRINT is there if the request had one (RFC 8489 section 7).
func (s *Server) reply(x *exchange, b []byte, r Reason) Result {
	if x.proven {
		if s.cfg.Software != "" {
			b = appendText(b, stun.AttrSoftware, s.cfg.Software)
		}
		b = stunwire.AppendIntegrity(&s.mac, b, 0, x.key[:])
	}
	if x.fingerprint {
		b = stunwire.AppendFingerprint(b, 0)
	}
	stunwire.SetLength(b, 0)
	// Whoever is at the other end of a stream has proven that he is.
	if !x.proven && !x.k.Via.IsStream() && len(b) > amplification*len(x.b) {
		return drop(Amplifying)
	}
	return Result{Outcome: Reply, Reason: r, Size: len(b)}
}

// appendError appends ERROR-CODE (RFC 8489 section 14.8), or with a family ADDRESS-ERROR-CODE
// (RFC 8656 section 18.12), without a reason phrase.
func appendError(b []byte, typ stun.AttrType, family byte, code stun.ErrorCode) []byte {
	return append(stunwire.AppendAttr(b, typ, 4), family, 0, byte(code/100), byte(code%100))
}

// appendUnknown appends UNKNOWN-ATTRIBUTES (RFC 8489 section 14.9).
func appendUnknown(b []byte, types []uint16) []byte {
	b = stunwire.AppendAttr(b, stun.AttrUnknownAttributes, 2*len(types))
	for _, typ := range types {
		b = binary.BigEndian.AppendUint16(b, typ)
	}
	if len(types)%2 != 0 {
		b = append(b, 0, 0)
	}
	return b
}

// appendLifetime appends LIFETIME.
func appendLifetime(b []byte, seconds uint32) []byte {
	return binary.BigEndian.AppendUint32(stunwire.AppendAttr(b, stun.AttrLifetime, 4), seconds)
}
