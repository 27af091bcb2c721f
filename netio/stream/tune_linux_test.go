package stream

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// proxied is a connection whose PROXY header was read.
type proxied struct{ net.Conn }

func (p proxied) Raw() net.Conn { return p.Conn }

// Row ICE-14.
func TestKernelHoldsLittleForASlowReader(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"TCP":                func(c net.Conn) net.Conn { return c },
		"TLS":                func(c net.Conn) net.Conn { return tls.Server(c, &tls.Config{}) },
		"TLS behind a proxy": func(c net.Conn) net.Conn { return tls.Server(proxied{c}, &tls.Config{}) },
	} {
		c, _ := tcpPair(t)
		tune(wrap(c))
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT) })
		if err != nil || got != unsentBytes {
			t.Errorf("%s: %d bytes, %v", name, got, err)
		}
	}
}

func TestConnectionWithoutASocketIsLeftAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	tune(a)
}
