package hooks

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"tsubame/signal/session"
)

// The names of failures, as they stand in logs and, with underscores, in counters.
const (
	failRefused     = "refused"     // nobody listens
	failUnreachable = "unreachable" // no way to the address
	failName        = "dns"         // the host's name has no address
	failTimeout     = "timeout"     // no whole answer in time
	failTLS         = "tls"         // a certificate or handshake that will not do, ours or theirs
	failClosed      = "closed"      // the connection ended before the answer did
	failHTTP        = "bad-http"    // an answer that is no HTTP/1.1
	failRedirect    = "redirect"    // 3xx; never followed
	failStatus      = "status"      // any other status than 2xx
	failOversized   = "oversized"   // an answer of more than maxAnswer
	failJSON        = "bad-json"    // an answer that cannot be read
	failAllowed     = "no-allowed"  // an answer of the auth webhook without allowed
	failReason      = "no-reason"   // allowed: false without reason
	failCancelled   = "cancelled"   // whoever asked has gone
	failShutdown    = "shutdown"    // the server ends
	failBusy        = "busy"        // too many wait already; nothing was sent
	failDropped     = "dropped"     // the queue is full; nothing was sent
	failLost        = "lost"        // the server ended before it was sent
)

// failures are all of them, in the order of their counters.
var failures = [...]string{failRefused, failUnreachable, failName, failTimeout, failTLS, failClosed, failHTTP, failRedirect,
	failStatus, failOversized, failJSON, failAllowed, failReason, failCancelled, failShutdown, failBusy, failDropped, failLost}

const numFailures = len(failures)

// failure is why a webhook failed.
type failure struct {
	name   string // one of the constants
	detail string // for logs; may be empty
	answer []byte // what came with it, if anything; at most maxAnswer
}

// Error implements error: the name, and what is known beyond it.
func (f *failure) Error() string {
	if f.detail == "" {
		return f.name
	}
	return f.name + ": " + f.detail
}

// CloseReason is what a client is told whose question was not sent because there is no room,
// or no time left; empty: nothing of the sort.
func (f *failure) CloseReason() string {
	switch f.name {
	case failBusy:
		return session.ReasonServerBusy
	case failShutdown:
		return session.ReasonShutdown
	}
	return ""
}

// errShutdown is the cause of contexts that end because the server does.
var errShutdown = errors.New("the server ends")

// classify names an error of the transport, or of reading the answer's body. ctx is the
// caller's, without the timeout.
func classify(ctx context.Context, err error) *failure {
	f := &failure{detail: err.Error()}
	var (
		name   *net.DNSError
		op     *net.OpError
		record tls.RecordHeaderError
		wait   net.Error
	)
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errShutdown):
		f.name = failShutdown
	case ctx.Err() != nil:
		f.name = failCancelled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		f.name = failTimeout
	case errors.As(err, &name):
		f.name = failName
	case errors.Is(err, syscall.ECONNREFUSED):
		f.name = failRefused
	// An alert is an OpError of its own kind; most other errors of crypto/tls have no type.
	case errors.As(err, &record), errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"),
		strings.Contains(f.detail, "tls: "), strings.Contains(f.detail, "x509: "),
		strings.Contains(f.detail, "server gave HTTP response to HTTPS client"):
		f.name = failTLS
	case closed(err):
		f.name = failClosed
	case op != nil:
		f.name = failUnreachable
	default:
		f.name = failHTTP
	}
	return f
}

// closed reports whether the peer has closed the connection instead of answering.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection") ||
		strings.Contains(err.Error(), "http2: client connection lost") || strings.Contains(err.Error(), "GOAWAY")
}
