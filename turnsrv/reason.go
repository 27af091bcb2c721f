package turnsrv

import "tsubame/netio/count"

// Reason says what became of a message. Each has a counter.
type Reason uint8

// The reasons: first what was done, then what was refused with an answer, then what was dropped.
const (
	Bound        Reason = iota // Binding answered
	Allocated                  // an allocation was made
	Repeated                   // an Allocate came again and had the same success again
	Refreshed                  // an allocation lives longer
	Released                   // an allocation ended by a Refresh with lifetime 0
	Permitted                  // permissions were made or refreshed
	ChannelBound               // a channel was bound or refreshed
	Relayed                    // an indication's data is handed out

	Challenged        // 401: no credentials
	Unauthorised      // 401: unknown username, wrong realm or wrong integrity
	StaleNonce        // 438: nonce expired, forged, or of another address
	BadRequest        // 400
	Forbidden         // 403: a peer that is not ours
	UnknownAttribute  // 420
	NoSuchAllocation  // 437: a request that needs an allocation, without one
	AllocationExists  // 437: a second Allocate on the same flow
	FamilyUnsupported // 440: we have no address of that family
	WrongCredentials  // 441: another connection's
	NotUDP            // 442: a relayed transport that is not UDP
	FamilyMismatch    // 443: a peer of a family that the allocation lacks
	Quota             // 486: the connection has all allocations that it may have, and uses them
	Capacity          // 508: this server has; or a port that was asked for is not to be had

	Malformed      // not STUN as RFC 8489 has it, or too large
	BadFingerprint // FINGERPRINT is wrong
	Unexpected     // a method or class that nobody may send us, or a carrier without TURN
	Limited        // a source that has proven nothing was told enough
	Amplifying     // the answer would be more than three times the request
	Unallocated    // data without an allocation
	Unpermitted    // data to a peer without permission
	ForeignPeer    // data to a peer that is not ours
	BadChannelData // ChannelData whose length lies, or that is empty
	UnboundChannel // ChannelData on a channel that is not bound

	NumReasons = iota
)

var reasonNames = [NumReasons]string{
	Bound: "binding", Allocated: "allocate", Repeated: "allocate_again", Refreshed: "refresh",
	Released: "release", Permitted: "create_permission", ChannelBound: "channel_bind", Relayed: "indication",
	Challenged: "challenge", Unauthorised: "unauthorised", StaleNonce: "stale_nonce", BadRequest: "bad_request",
	Forbidden: "forbidden", UnknownAttribute: "unknown_attribute", NoSuchAllocation: "no_allocation",
	AllocationExists: "allocation_exists", FamilyUnsupported: "family_unsupported",
	WrongCredentials: "wrong_credentials", NotUDP: "not_udp", FamilyMismatch: "family_mismatch",
	Quota: "quota", Capacity: "capacity",
	Malformed: "malformed", BadFingerprint: "fingerprint", Unexpected: "unexpected", Limited: "limited",
	Amplifying: "amplifying", Unallocated: "unallocated", Unpermitted: "unpermitted",
	ForeignPeer: "foreign_peer", BadChannelData: "bad_channel_data", UnboundChannel: "unbound_channel",
}

// String returns the name for a counter's label: lower case, words joined by underscores.
func (r Reason) String() string { return reasonNames[r] }

// Counters are written by the server's goroutine; any goroutine may load them.
type Counters struct {
	Reasons     [NumReasons]count.Word // messages, by what became of them
	ChannelData count.Word             // ChannelData handed out
	Allocations count.Word             // a gauge: allocations now
	Evicted     count.Word             // that gave way to others of their connection
}
