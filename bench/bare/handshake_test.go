package bare

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/media/dtls"
)

func TestMain(m *testing.M) {
	ServeHandshakes()
	os.Exit(m.Run())
}

func TestHandshakesAreMeasured(t *testing.T) {
	cfg := HandshakeConfig{Rounds: 3, PerRound: 20, Parallel: 4}
	c, err := Handshake(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c.Handshakes != 60 || c.PerHandshake <= 0 || c.Best > c.PerHandshake || c.PerHandshake > c.Worst || c.Datagrams < 2*c.Handshakes {
		t.Errorf("%v", c)
	}
	t.Log(c)
}

// ourServer puts media/dtls behind a socket.
type ourServer struct {
	socket *net.UDPConn
	peer   netip.AddrPort
	sent   int // by the endpoint's goroutines, before done
	done   chan error
}

func (s *ourServer) Records(_ uint64, b []byte) {
	s.sent++
	_, _ = s.socket.WriteToUDPAddrPort(b, s.peer)
}
func (s *ourServer) Done(_ uint64, _ dtls.Result, err error) { s.done <- err }
func (s *ourServer) Closed(uint64)                           {}

// read feeds one endpoint with all that comes.
func (s *ourServer) read(t *testing.T, server *dtls.Server) {
	var e *dtls.Endpoint
	var b [2048]byte
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(b[:])
		if err != nil {
			if e != nil {
				e.Close()
			}
			return
		}
		if e == nil {
			s.peer = from
			if e, err = server.Start(1, from.Addr(), s); err != nil {
				t.Error(err)
				return
			}
		}
		e.Feed(b[:n])
	}
}

// The floor is that of our server if the same is negotiated in as many datagrams.
func TestSameIsNegotiatedAsByOurServer(t *testing.T) {
	certificate, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	server, err := dtls.NewServer(dtls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ours := &ourServer{socket: socket, done: make(chan error, 1)}
	read := make(chan struct{})
	go func() { ours.read(t, server); close(read) }()
	got, err := shakeHand(socket.LocalAddr().String(), clientOptions(certificate))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ours.done; err != nil {
		t.Fatal(err)
	}
	sent := ours.sent
	_ = socket.Close()
	<-read
	server.Wait()

	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	go s.read()
	want, err := shakeHand(s.socket.LocalAddr().String(), clientOptions(certificate))
	if err != nil {
		t.Fatal(err)
	}
	s.await()
	_ = s.socket.Close()
	if s.handshakes.Load() != 1 || s.datagrams.Load() != 2 || sent != 2 {
		t.Errorf("%d handshakes, %d datagrams of the bare server, %d of ours", s.handshakes.Load(), s.datagrams.Load(), sent)
	}
	if got != want || got.profile != piondtls.SRTP_AEAD_AES_128_GCM || got.certificates != 1 {
		t.Errorf("our server: %v, bare: %v", got, want)
	}
}

// Without the hook the process would run whatever main does, once more, for ever.
func TestHandshakeNeedsItsServer(t *testing.T) {
	served.Store(false)
	defer served.Store(true)
	if _, err := Handshake(HandshakeConfig{}); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
}

// BenchmarkHandshake reports the server's CPU time of a handshake as server-ns.
func BenchmarkHandshake(b *testing.B) {
	c, err := Handshake(HandshakeConfig{Rounds: 1, PerRound: max(b.N, 2)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(c.PerHandshake.Nanoseconds()), "server-ns")
}
