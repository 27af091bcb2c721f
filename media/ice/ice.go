// Package ice answers ICE connectivity checks as an ICE-lite agent (RFC 8445 sections 2.5
// and 7.3) and decides by them where a connection's packets go.
//
// It has two halves. A Codec turns a datagram into a Request and writes the answer; there is
// one per shard goroutine, which alone may call it, and a Request points into the datagram it
// was read from. An Agent is the state of one connection: its validated paths, the selected
// one, consent (RFC 7675) and the generation of its credentials; the shard goroutine that owns
// the connection calls it. Neither opens sockets, reads a clock, sends a check of its own,
// keeps a peer's candidates, or allocates per packet: lite agents only ever answer.
package ice

import "errors"

// Why Parse refused a datagram. They are classes to count by, and never wrapped.
var (
	// ErrMalformed: not a STUN message, or one whose lengths, order of attributes or values
	// break RFC 8489.
	ErrMalformed = errors.New("ice: malformed STUN message")
	// ErrNotRequest: a response or an indication. A lite agent asks for no responses, and
	// the indications that ICE knows are keepalives, which want no answer.
	ErrNotRequest = errors.New("ice: not a request")
	// ErrNotBinding: a method other than Binding.
	ErrNotBinding = errors.New("ice: not a Binding")
	// ErrFingerprint: FINGERPRINT is absent, not the last attribute, or wrong.
	ErrFingerprint = errors.New("ice: no valid FINGERPRINT")
	// ErrNoIntegrity: no MESSAGE-INTEGRITY.
	ErrNoIntegrity = errors.New("ice: no MESSAGE-INTEGRITY")
	// ErrNoUsername: no USERNAME.
	ErrNoUsername = errors.New("ice: no USERNAME")
	// ErrUnknownAttribute: an attribute that must be understood and is not. The Request that
	// comes with it is complete, so that the caller can answer 420 once Verify has shown that
	// the peer holds our credentials, and drop it otherwise.
	ErrUnknownAttribute = errors.New("ice: unknown comprehension-required attribute")
)

// STUN error codes that this package's answers use (RFC 8489 section 14.8, RFC 8445 section 7.3.1.1).
const (
	CodeUnauthenticated  = 401
	CodeUnknownAttribute = 420
	CodeRoleConflict     = 487
)
