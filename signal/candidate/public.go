package candidate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v3"
)

// Query is how Public asks. The zero value is the default.
type Query struct {
	Attempts int           // requests in all; 0: 5
	Wait     time.Duration // for the first answer, doubled with each attempt; 0: 250 ms
}

// maxReply is the longest reply that is read, in bytes.
const maxReply = 1500

// maxReads is how many datagrams and errors one attempt looks at.
const maxReads = 16

// ErrNoReply says that the STUN server did not answer.
var ErrNoReply = errors.New("candidate: the STUN server did not answer")

// Public asks a STUN server (RFC 8489) for the IPv4 address that this machine has towards
// it. uri is stun:HOST:PORT. It returns by the end of ctx, or when the last attempt has not
// been answered: after about 8 s by default.
func (q Query) Public(ctx context.Context, uri string) (netip.Addr, error) {
	host, ok := strings.CutPrefix(uri, "stun:")
	if !ok {
		return netip.Addr{}, fmt.Errorf("candidate: %q is not stun:HOST:PORT", uri)
	}
	if q.Attempts == 0 {
		q.Attempts = 5
	}
	if q.Wait == 0 {
		q.Wait = 250 * time.Millisecond
	}
	var d net.Dialer
	// A connected socket takes datagrams from the server only.
	conn, err := d.DialContext(ctx, "udp4", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("candidate: %s: %w", uri, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("candidate: %w", err)
	}
	a, err := q.ask(conn, request)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("candidate: %s: %w", uri, err)
	}
	return a, nil
}

// ask sends the request until it is answered; every attempt has the same transaction id
// (RFC 8489 section 6.2.1).
func (q Query) ask(conn net.Conn, request *stun.Message) (netip.Addr, error) {
	last := ErrNoReply
	buffer := make([]byte, maxReply)
	for attempt := range q.Attempts {
		// An error of the last datagram (port unreachable) is reported by the next call.
		if _, err := conn.Write(request.Raw); err != nil {
			last = err
		}
		if err := conn.SetReadDeadline(time.Now().Add(q.Wait << attempt)); err != nil {
			return netip.Addr{}, err
		}
		for range maxReads {
			n, err := conn.Read(buffer)
			if errors.Is(err, net.ErrClosed) {
				return netip.Addr{}, err
			}
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				break
			}
			if err != nil {
				// Port unreachable, say. The server may be about to start.
				last = err
				continue
			}
			a, err := parseReply(buffer[:n], request.TransactionID)
			if err == nil {
				return a, nil
			}
			last = err
		}
	}
	return netip.Addr{}, last
}

// parseReply reads a Binding success response to our request.
func parseReply(b []byte, id [stun.TransactionIDSize]byte) (netip.Addr, error) {
	if !stun.IsMessage(b) {
		return netip.Addr{}, errors.New("not a STUN message")
	}
	// pion/stun keeps views of Raw, which must not be the socket's buffer.
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if err := m.Decode(); err != nil {
		return netip.Addr{}, err
	}
	if m.TransactionID != id {
		return netip.Addr{}, errors.New("another transaction")
	}
	if m.Type != stun.BindingSuccess {
		return netip.Addr{}, fmt.Errorf("refused: %v", m.Type)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil {
		return netip.Addr{}, err
	}
	a, ok := netip.AddrFromSlice(mapped.IP)
	a = a.Unmap()
	if !ok || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return netip.Addr{}, fmt.Errorf("%v is not a usable IPv4 address", mapped.IP)
	}
	return a, nil
}
