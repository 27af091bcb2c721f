// Package peer is what the clients of the benchmarks and of the tests have in common: the
// certificate that all of a process show, and the client's side of a DTLS handshake, which
// costs goroutines for as long as it lasts and none after it. It opens no socket and reads no
// clock; whoever uses it carries the datagrams. A Handshaker's methods may be called from any
// goroutine; what it hands to Send is the library's again when Send returns.
package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"tsubame/media/dtls"
	"tsubame/media/param"
)

// ErrBadFingerprint says that the server showed another certificate than its SDP names.
var ErrBadFingerprint = errors.New("peer: the server's certificate is not the one in its SDP")

// certificate is the one that all peers of a process show.
var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// Fingerprint is what an answer says of the certificate.
func Fingerprint() (param.Fingerprint, error) {
	c, err := certificate()
	if err != nil {
		return param.Fingerprint{}, err
	}
	sum := sha256.Sum256(c.Certificate[0])
	return param.Fingerprint{Algorithm: "sha-256", Value: sum[:]}, nil
}

// Keys are what a handshake comes to: the profile, and the master keys and salts (RFC 5764
// section 4.2). Local ones protect what the client sends.
type Keys struct {
	Profile               srtp.ProtectionProfile
	LocalKey, LocalSalt   []byte
	RemoteKey, RemoteSalt []byte
}

// Handshaker is the DTLS client of a peer. Its goroutines live while the handshake does:
// after it the session is parked as bytes, and woken when a record comes or when it has
// to say close_notify, so that thousands of peers cost no idle goroutines. The exported
// fields are set before Run and not changed then.
type Handshaker struct {
	Send         func([]byte) // takes a datagram for the server
	MTU          int          // of the handshake's datagrams; 0: the library's
	Profiles     []piondtls.SRTPProtectionProfile
	Fingerprints []param.Fingerprint // of the server's certificate; one has to match
	Closed       func()              // is called when the server has ended the session

	mu    sync.Mutex
	wire  *wire
	state *piondtls.State // parked; nil while a connection lives
	woken bool            // wire is that of a resumed connection that reads
	ended bool
	gone  chan struct{} // closed when a resumed connection has ended
}

// options are the client's.
func (h *Handshaker) options(c tls.Certificate) []piondtls.ClientOption {
	all := []piondtls.ClientOption{
		piondtls.WithCertificates(c),
		piondtls.WithInsecureSkipVerify(true), // WebRTC verifies the fingerprint instead
		piondtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !dtls.Matches(raw[0], h.Fingerprints) {
				return ErrBadFingerprint
			}
			return nil
		}),
		piondtls.WithSRTPProtectionProfiles(h.Profiles...),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		piondtls.WithFlightInterval(50 * time.Millisecond),
	}
	if h.MTU > 0 {
		all = append(all, piondtls.WithMTU(h.MTU))
	}
	return all
}

// Run does the handshake; it returns when the keys are known and the session is parked.
func (h *Handshaker) Run(ctx context.Context) (Keys, error) {
	c, err := certificate()
	if err != nil {
		return Keys{}, err
	}
	w := newWire(h.Send)
	h.mu.Lock()
	h.wire = w
	if h.ended {
		w.hangUp()
	}
	h.mu.Unlock()
	conn, err := piondtls.ClientWithOptions(w, wireAddr{}, h.options(c)...)
	if err != nil {
		return Keys{}, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return Keys{}, fmt.Errorf("peer: DTLS: %w", err)
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	state, err := h.park(w, conn)
	if err != nil {
		return Keys{}, err
	}
	if !ok {
		return Keys{}, errors.New("peer: DTLS: the server chose no SRTP profile")
	}
	return export(srtp.ProtectionProfile(profile), state)
}

// park frees the connection without a word to the server and keeps its state, which goes
// on from the next record number.
func (h *Handshaker) park(w *wire, conn *piondtls.Conn) (*piondtls.State, error) {
	w.mute()
	w.hangUp()
	drain(conn) // its reader has ended now
	byServer := w.isClosed()
	state, ok := conn.ConnectionState()
	_ = conn.Close()
	if !ok {
		return nil, errors.New("peer: DTLS: no state after the handshake")
	}
	h.mu.Lock()
	h.wire, h.state = nil, &state
	byServer = byServer && !h.ended
	h.ended = h.ended || byServer
	h.mu.Unlock()
	if byServer {
		h.Closed() // close_notify came right behind Finished
	}
	for len(w.in) > 0 { // what came meanwhile
		h.Feed(<-w.in)
	}
	return &state, nil
}

// drain reads until the connection has ended.
func drain(conn *piondtls.Conn) {
	var b [2048]byte
	for {
		if _, err := conn.Read(b[:]); errors.Is(err, io.EOF) {
			return
		}
	}
}

// export derives the client's SRTP keys (RFC 5764 section 4.2).
func export(profile srtp.ProtectionProfile, state *piondtls.State) (Keys, error) {
	keyLen, err := profile.KeyLen()
	if err != nil {
		return Keys{}, err
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		return Keys{}, err
	}
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(keyLen+saltLen))
	if err != nil {
		return Keys{}, err
	}
	k := Keys{Profile: profile}
	k.LocalKey, m = m[:keyLen], m[keyLen:]
	k.RemoteKey, m = m[:keyLen], m[keyLen:]
	k.LocalSalt, k.RemoteSalt = m[:saltLen], m[saltLen:]
	return k, nil
}

// Feed takes a datagram of DTLS records from the server.
func (h *Handshaker) Feed(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wire == nil {
		// Nothing but an alert is worth waking for: a last flight that comes again, because
		// ours had to be repeated, has done what it was for.
		const alert = 21
		if h.state == nil || h.ended || b[0] != alert {
			return
		}
		h.wake()
	}
	if h.wire != nil {
		h.wire.push(append([]byte(nil), b...))
	}
}

// wake makes a connection of the parked state, once; the caller holds the lock.
func (h *Handshaker) wake() {
	state := h.state
	h.state = nil
	w := newWire(h.Send)
	conn, err := piondtls.ResumeWithOptions(state, w, wireAddr{})
	if err != nil {
		return
	}
	h.wire, h.gone = w, make(chan struct{})
	go h.resumed(conn)
}

// resumed reads on a resumed connection until the server or the peer ends it.
func (h *Handshaker) resumed(conn *piondtls.Conn) {
	defer close(h.gone)
	// There is nothing to exchange, but only after it can close_notify be said.
	err := conn.Handshake()
	h.mu.Lock()
	h.woken = true
	ended := h.ended
	h.mu.Unlock()
	if err == nil && !ended {
		drain(conn)
	}
	_ = conn.Close() // says close_notify unless the server has
	h.mu.Lock()
	byUs := h.ended
	h.ended = true
	h.mu.Unlock()
	if !byUs {
		h.Closed()
	}
}

// End ends the session; with goodbye it says close_notify, and has when it returns.
func (h *Handshaker) End(goodbye bool) {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return
	}
	h.ended = true
	if goodbye && h.wire == nil && h.state != nil {
		h.wake()
	}
	if h.wire != nil {
		if !goodbye {
			h.wire.mute()
		}
		if h.woken || h.gone == nil { // else resumed sees ended
			h.wire.hangUp()
		}
	}
	gone := h.gone
	h.mu.Unlock()
	if gone != nil {
		<-gone
	}
}

// wire is the packet connection between the DTLS library and the peer's socket.
type wire struct {
	in   chan []byte
	send func([]byte)

	hung   chan struct{}
	hangUp func()

	mu      sync.Mutex
	muted   bool
	closed  bool
	expired chan struct{} // closed while the read deadline is in the past
}

func newWire(send func([]byte)) *wire {
	w := &wire{in: make(chan []byte, 32), send: send, hung: make(chan struct{}), expired: make(chan struct{})}
	w.hangUp = sync.OnceFunc(func() { close(w.hung) })
	return w
}

// push queues a datagram, or drops it if nobody reads.
func (w *wire) push(b []byte) {
	select {
	case w.in <- b:
	default:
	}
}

// mute makes the wire swallow what is written.
func (w *wire) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.muted = true
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	w.mu.Lock()
	expired := w.expired
	w.mu.Unlock()
	select {
	case datagram := <-w.in:
		return copy(b, datagram), wireAddr{}, nil
	case <-w.hung:
		return 0, nil, io.EOF
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.mu.Lock()
	muted := w.muted
	w.mu.Unlock()
	if !muted {
		w.send(b)
	}
	return len(b), nil
}

// Close is called by the library when the server ends the session, and when the peer does.
func (w *wire) Close() error {
	w.mu.Lock()
	w.muted, w.closed = true, true
	w.mu.Unlock()
	w.hangUp()
	return nil
}

func (w *wire) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// SetReadDeadline knows the two deadlines that the library sets: long ago, and none.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	expired := false
	select {
	case <-w.expired:
		expired = true
	default:
	}
	switch {
	case t.IsZero() && expired:
		w.expired = make(chan struct{})
	case !t.IsZero() && !expired:
		close(w.expired)
	}
	return nil
}

func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) SetDeadline(t time.Time) error    { return w.SetReadDeadline(t) }
func (w *wire) LocalAddr() net.Addr              { return wireAddr{} }

type wireAddr struct{}

func (wireAddr) Network() string { return "wire" }
func (wireAddr) String() string  { return "wire" }
