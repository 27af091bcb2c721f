package session

// Close codes.
const (
	CodeNormal = 1000 // every orderly end
	CodeError  = 4490 // whatever refuses or aborts a session
)

// Close reasons. The first group comes with CodeNormal. Names that clients know of are the
// protocol's; messages that cannot be decoded add those of package sora, answers those of
// package offer.
const (
	ReasonDisconnect  = "TYPE-DISCONNECT"  // the client asked for it
	ReasonPeerClosed  = "PEER-CLOSED"      // the client closed its DTLS association
	ReasonShutdown    = "SHUTDOWN"         // the server ends
	ReasonVanished    = "VANISHED"         // the transport was gone: never on the wire
	ReasonMediaClosed = "MEDIA-CLOSED"     // media was closed at our own request
	ReasonLifetime    = "LIFETIME-EXPIRED" // the connection has lasted as long as it may

	ReasonConnectTimeout     = "CONNECT-WAIT-TIMEOUT-ERROR"
	ReasonAnswerTimeout      = "ANSWER-TIMEOUT-ERROR"
	ReasonCreatedTimeout     = "CONNECTION-CREATED-WAIT-TIMEOUT-ERROR"
	ReasonPongTimeout        = "PONG-TIMEOUT-ERROR"
	ReasonUnknownCodec       = "UNKNOWN-CODEC-TYPE"
	ReasonBadFingerprint     = "BAD-FINGERPRINT"
	ReasonUnexpectedMessage  = "UNEXPECTED-MESSAGE" // not in this state
	ReasonTooManyMessages    = "TOO-MANY-MESSAGES"  // faster than any client
	ReasonServerFull         = "SERVER-FULL"        // no room for the connection or a track
	ReasonServerBusy         = "SERVER-BUSY"        // the server did not keep up
	ReasonSlowReader         = "SLOW-READER"        // the client did not read what it was sent
	ReasonConsentLost        = "CONSENT-LOST"       // no valid check for 30 s
	ReasonBundleIDNotAllowed = "BUNDLE-ID-NOT-ALLOWED"
	ReasonDTLSFailed         = "DTLS-FAILED" // the handshake

	// Whoever authenticates gives a reason of its own, of at most maxDenied bytes, or none.
	ReasonDenied          = "AUTHENTICATION-DENIED"         // stands for all of them where they are counted
	ReasonAuthFailure     = "AUTHENTICATION-FAILURE"        // it said no, and not why
	ReasonAuthError       = "AUTHENTICATION-INTERNAL-ERROR" // it could not be asked
	ReasonSessionError    = "SESSION-WEBHOOK-ERROR"         // what holds for the channel could not be asked
	ReasonConnectionLimit = "CONNECTION-LIMIT"              // the session has as many connections as it may
)

// denials are the reasons of Denied that are our own, those of package token among them.
var denials = map[string]bool{
	ReasonAuthFailure: true, ReasonAuthError: true, ReasonServerBusy: true, ReasonShutdown: true,
	"TOKEN-REQUIRED": true, "TOKEN-INVALID": true, "TOKEN-EXPIRED": true, "TOKEN-NOT-YET-VALID": true,
	"TOKEN-WRONG-CHANNEL": true, "TOKEN-WRONG-ROLE": true,
}

// What is worth a line of log, though nothing ends over it. Each comes a few times in a
// session at most, but for the last two, which come with a network that goes and comes.
const (
	EventTrackRefused = "own track refused" // the client's answer declined what it was to send
	EventStatsDropped = "statistics dropped"
	EventNoRelay      = "no relay for a client that is to use it only"
	EventRestart      = "ice restart offered"
	EventLapsed       = "consent lapsed" // nothing is sent until the client is heard again
)

// What ends media by itself.
const (
	MediaConsentLost    = "consent-lost"
	MediaDTLSClosed     = "dtls-closed"
	MediaBadFingerprint = "bad-fingerprint"
	MediaDTLSFailed     = "dtls-failed"
	MediaRequested      = "requested"
)
