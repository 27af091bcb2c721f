package entry

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"
)

// Protocols of ALPN.
const (
	alpnHTTP = "http/1.1"
	alpnTURN = "stun.turn"          // RFC 7443 section 3.1
	alpnSTUN = "stun.nat-discovery" // and section 3.2: Binding requests alone
	alpnACME = "acme-tls/1"         // RFC 8737
)

var (
	errBusy      = errors.New("too many handshakes")
	errTooLong   = errors.New("ClientHello too long")
	errElsewhere = errors.New("a name of somebody else")
)

func (e *Entry) configureTLS() {
	e.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// No h2: nearly every connection becomes a WebSocket, which has it for itself. Who
		// offers nothing of this is refused with the alert no_application_protocol. Our order
		// decides: no client of HTTP offers TURN, but coturn's offers http/1.1 as well.
		NextProtos:         []string{alpnTURN, alpnSTUN, alpnHTTP},
		GetConfigForClient: e.hello,
		GetCertificate:     e.certs.choose,
	}
	if e.cfg.GetCertificate != nil {
		e.tls.NextProtos = append(e.tls.NextProtos, alpnACME)
	}
	e.refuse = &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
}

// helloConn is what crypto/tls reads from and writes to. Until the ClientHello is understood
// it keeps what it has read, to be passed on if that is for somebody else.
type helloConn struct {
	*conn
	stage helloStage
	read  []byte // in stage reading
	slot  bool   // one of MaxHandshakes is taken
}

type helloStage uint8

const (
	reading   helloStage = iota // the ClientHello
	ours                        // nothing is kept
	elsewhere                   // nothing is written: it is not us who answers
)

// Read implements net.Conn.
func (h *helloConn) Read(b []byte) (int, error) {
	if h.stage != reading {
		// We have sent what we had to compute and wait for the client.
		h.freeSlot()
		return h.conn.Read(b)
	}
	room := maxHello - len(h.read)
	if room == 0 {
		return 0, errTooLong
	}
	n, err := h.conn.Read(b[:min(len(b), room)])
	h.read = append(h.read, b[:n]...)
	return n, err
}

// Write implements net.Conn.
func (h *helloConn) Write(b []byte) (int, error) {
	if h.stage == elsewhere {
		return len(b), nil // crypto/tls's alert
	}
	return h.conn.Write(b)
}

// takeSlot waits for one of MaxHandshakes.
func (h *helloConn) takeSlot() bool {
	t := time.NewTimer(h.entry.cfg.QueueTimeout)
	defer t.Stop()
	select {
	case h.entry.slots <- struct{}{}:
		h.slot = true
		return true
	case <-h.entry.ctx.Done():
	case <-t.C:
	}
	return false
}

func (h *helloConn) freeSlot() {
	if h.slot {
		<-h.entry.slots
		h.slot = false
	}
}

// hello decides by the ClientHello, on the goroutine of its connection.
func (e *Entry) hello(info *tls.ClientHelloInfo) (*tls.Config, error) {
	h := info.Conn.(*helloConn)
	name := strings.ToLower(info.ServerName)
	if !e.certs.knows(name) {
		if e.cfg.Passthrough != "" && len(name) <= maxName {
			h.stage = elsewhere
			return nil, errElsewhere
		}
		h.stage, h.read = ours, nil
		e.counts.inc(tlsNameRefused)
		return e.refuse, nil
	}
	h.stage, h.read = ours, nil
	if !h.takeSlot() {
		e.counts.inc(tlsBusy)
		return nil, errBusy
	}
	return nil, nil
}

// serveTLS ends TLS, or passes it on, and serves what is inside; true: HTTP's server has it.
func (e *Entry) serveTLS(c *conn) bool {
	c.within(e.cfg.HandshakeTimeout)
	h := &helloConn{conn: c}
	t := tls.Server(h, e.tls)
	err := t.HandshakeContext(context.Background())
	h.freeSlot()
	if errors.Is(err, errElsewhere) {
		e.passThrough(c, h.read)
		return false
	}
	if err != nil {
		e.counts.inc(tlsFailed)
		e.cfg.Log.Debug("TLS handshake", "remote", c.remote, "err", err)
		return false
	}
	e.counts.inc(tlsStreams)
	switch t.ConnectionState().NegotiatedProtocol {
	case alpnHTTP:
		if e.giveHTTP(c, t, nil) {
			return true
		}
	case alpnTURN, alpnSTUN:
		e.stream(c, t, TURN, nil)
	case alpnACME:
		e.counts.inc(acmeChallenges) // the handshake was the answer
	default:
		return e.serveInside(c, t)
	}
	t.Close()
	return false
}

// serveInside finds out what is inside TLS whose client did not say.
func (e *Entry) serveInside(c *conn, t *tls.Conn) bool {
	switch kind, first := e.sniff(c, t); kind {
	case HTTP:
		if e.giveHTTP(c, t, first) {
			return true
		}
	case TURN, ICETCP:
		e.stream(c, t, kind, first)
	case TLS:
		e.counts.inc(unknownProtocol) // TLS inside TLS
	}
	t.Close()
	return false
}
