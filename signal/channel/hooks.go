package channel

import (
	"context"

	"tsubame/signal/webhook"
)

// Hooks is what an application is asked and told. No method blocks or calls back from
// within itself: answers come from another goroutine, once each, failures included. What is
// handed over belongs to the hooks from then on; they fill in webhook.Common, but for Type.
//
// Events of one channel arrive at the application in the order of these calls, which is that
// in which they happened: its session and its connections are told of by the channel's own
// goroutine. Only connection.failed comes from the goroutine of the session that failed.
type Hooks interface {
	// Authenticate asks whether a client may connect. token is what the client has shown: the
	// access_token of its metadata, or that of the request's Authorization header; empty:
	// none. ctx ends when the client has gone: nobody waits for the answer any more, but done
	// is called all the same.
	Authenticate(ctx context.Context, r *webhook.AuthRequest, token string, done func(Verdict))
	// SessionCreated asks what holds for the session of a channel; an error: nobody may join.
	// It may have a method CloseReason that says what those are told who wait; if it has none,
	// or an empty one, SESSION-WEBHOOK-ERROR.
	SessionCreated(e *webhook.SessionEvent, done func(*webhook.SessionAnswer, error))
	// Session tells session.updated and session.destroyed.
	Session(e *webhook.SessionEvent)
	// Connection tells connection.created, connection.updated, connection.destroyed and
	// connection.failed.
	Connection(e *webhook.ConnectionEvent)
	// Stats passes on the statistics that a client sent; export: to the exporter too.
	Stats(e *webhook.StatsEvent, export bool)
	// Ended and SessionEnded write the last word about a connection that had been
	// established, and about a session.
	Ended(l *webhook.ConnectionLog)
	SessionEnded(l *webhook.SessionLog)
	// Signaling logs a message, but for its secrets, which are still in it. The message is not
	// handed over: it is the caller's again, and nobody changes it meanwhile.
	// Config.LogSignaling switches it on.
	Signaling(d Direction, channelID, connectionID string, message []byte)
}

// Verdict is the answer to Hooks.Authenticate.
type Verdict struct {
	Answer *webhook.AuthAnswer // nil: the client is refused
	Reason string              // the close reason then
	Detail string              // for the log; empty: none
}

// Direction is where a message goes.
type Direction uint8

// The directions.
const (
	FromClient Direction = iota + 1
	ToClient
)

// String returns the direction as logs name it.
func (d Direction) String() string {
	if d == FromClient {
		return "recv"
	}
	return "send"
}
