package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"go.uber.org/goleak"

	"tsubame/media/param"
)

// wire is a client's end of DTLS: what it writes is for the rig to deliver, what it reads the
// rig has been sent.
type wire struct {
	net.PacketConn // for the methods that the library does not call
	in, out        chan []byte
	done           chan struct{}
	close          func()
	mu             sync.Mutex
	expired        chan struct{}
}

func newWire() *wire {
	w := &wire{in: make(chan []byte, 64), out: make(chan []byte, 64), done: make(chan struct{}), expired: make(chan struct{})}
	w.close = sync.OnceFunc(func() { close(w.done) })
	return w
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	w.mu.Lock()
	expired := w.expired
	w.mu.Unlock()
	select {
	case d := <-w.in:
		return copy(b, d), &net.UDPAddr{}, nil
	case <-w.done:
		return 0, nil, net.ErrClosed
	case <-expired:
		return 0, nil, timeout{}
	}
}

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case w.out <- append([]byte(nil), b...):
	default: // lost
	}
	return len(b), nil
}

// SetReadDeadline knows a time in the past, which interrupts reading, and any other.
func (w *wire) SetReadDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !at.IsZero() && at.Before(time.Now()) {
		close(w.expired)
	}
	w.expired = make(chan struct{})
	return nil
}

func (w *wire) SetDeadline(at time.Time) error   { return w.SetReadDeadline(at) }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (w *wire) Close() error                     { w.close(); return nil }

type timeout struct{}

func (timeout) Error() string   { return "timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// certificate is that of all clients of these tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// handshake takes the peer through a DTLS handshake with a client of the library, and
// returns that.
func (p *peer) handshake() *piondtls.Conn {
	p.r.t.Helper()
	return p.handshakeOver(newWire())
}

func (p *peer) handshakeOver(w *wire) *piondtls.Conn {
	p.r.t.Helper()
	client, err := piondtls.ClientWithOptions(w, &net.UDPAddr{}, piondtls.WithCertificates(certificate()),
		piondtls.WithInsecureSkipVerify(true), piondtls.WithSRTPProtectionProfiles(piondtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		p.r.t.Fatal(err)
	}
	sum := sha256.Sum256(certificate().Certificate[0])
	p.c.SetRemote(param.Remote{Fingerprints: []param.Fingerprint{{Algorithm: "sha-256", Value: sum[:]}}})
	ended := make(chan error, 1)
	go func() { ended <- client.Handshake() }()
	for end := time.Now().Add(20 * time.Second); len(p.events) == 0 || len(ended) == 0; runtime.Gosched() {
		p.carry(w)
		if time.Now().After(end) {
			p.r.t.Fatal("no handshake within 20 s")
		}
	}
	if err := <-ended; err != nil {
		p.r.t.Fatal(err)
	}
	return client
}

// carry brings records both ways.
func (p *peer) carry(w *wire) {
	select {
	case b := <-w.out:
		p.r.deliver(p.shard, p.key, b)
	default:
	}
	p.r.settle()
	for _, d := range p.r.take() {
		if d.key == p.key && d.bytes[0] >= 20 && d.bytes[0] <= 63 {
			w.in <- d.bytes
		}
	}
}

// A thousand peers join, publish, watch and leave, some of them with real handshakes, in all
// the ways that there are to leave.
func TestThousandJoinsAndLeavesLeaveNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := newCall(t, 2, []int{1}, frameByFrame)
	level := c.p.arena.Outstanding()
	for i := range 1000 {
		k := pathOf(i)
		p := c.open(i%2, k)
		p.c.Subscribe(videoOut(c.track, 5000))
		var client *piondtls.Conn
		if i%50 == 0 {
			c.deliver(p.shard, k, p.check(true))
			client = p.handshake()
		} else {
			p.establish()
		}
		if i%3 == 0 {
			spec := videoIn
			id := p.publish(spec)
			c.viewers[0].c.Subscribe(videoOut(id, 10000+2*uint32(i)))
			c.settle()
			if client == nil {
				c.deliver(p.shard, k, p.rtp(1000, 1, 3000, vp8(true, 1)))
			}
		}
		if i%4 == 0 {
			c.deliver(1-p.shard, pathOf(i+2000), p.check(false)) // roams
			c.settle()
		}
		c.frame(true)
		c.settle()
		switch {
		case client != nil && i%100 == 0:
			_ = client.Close() // close_notify
			p.c.Closed(0)
		case i%5 == 0:
			p.c.Closed(0)
		default:
			p.c.Close()
		}
		c.settle()
		if client != nil {
			_ = client.Close()
		}
		c.viewers[0].c.Unsubscribe(10000 + 2*uint32(i))
		c.settle()
		c.now = c.now.Add(lingerTime)
		c.advance(2 * time.Millisecond)
		c.take()
		c.deliver(0, c.pub.key, c.pub.check(true))
		c.deliver(1, c.viewers[0].key, c.viewers[0].check(true))
	}
	c.now = c.now.Add(2 * time.Second)
	c.advance(sweepInterval)
	for i, s := range c.p.shards {
		if s.flows.len() != 1 || len(s.foreign.paths) != 0 || len(s.foreign.of) != 0 {
			t.Errorf("shard %d: %d flows, %d others' paths", i, s.flows.len(), len(s.foreign.paths))
		}
	}
	if n := c.p.arena.Outstanding(); n != level {
		t.Errorf("%d buffers are out, %d were before", n, level)
	}
	if free := c.p.free.Free(); free != len(c.p.slots)-2 {
		t.Errorf("%d connections free", free)
	}
	if free := c.p.tracks.Free(); free != c.p.tracks.Len()-1 {
		t.Errorf("%d tracks free", free)
	}
	c.finish()
	c.p.dtls.Wait()
}
