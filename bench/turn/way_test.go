package turn

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

// way is how a client reaches the TURN server.
type way struct {
	carrier string // udp, tcp or tls, as counters have them behind "turn_"
	family  int    // 4 or 6
}

var (
	overUDP = way{"udp", 4}
	overTCP = way{"tcp", 4}
	overTLS = way{"tls", 4}

	onTLSPort = way{"443", 4} // TURN over TCP on the port of TLS, without TLS
)

// ways are all of them.
var ways = []way{overUDP, overTCP, overTLS, {"udp", 6}, {"tcp", 6}, {"tls", 6}}

func (v way) String() string { return v.carrier + strconv.Itoa(v.family) }
func (v way) isStream() bool { return v.carrier != "udp" }

// wireFamily is what a client that goes this way asks for in attributes.
func (v way) wireFamily() byte {
	if v.family == 6 {
		return family6
	}
	return family4
}

func (v way) server() netip.Addr {
	if v.family == 6 {
		return server6
	}
	return server4
}

// eachWay runs a test by every way, against one server.
func eachWay(t *testing.T, f func(t *testing.T, w *world, v way)) {
	t.Parallel()
	w := start(t, nil)
	for _, v := range ways {
		t.Run(v.String(), func(t *testing.T) { f(t, w.in(t), v) })
	}
}

// in is the world as a subtest sees it: it begins when the one before it has left nothing, and
// counts from there.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	inner := *w
	inner.t = t
	inner.requireIdle()
	inner.idle = w.Counters()
	return &inner
}

// address is where an account's URLs send a client that goes this way.
func (w *world) address(as account, v way) string {
	w.t.Helper()
	for _, text := range as.URLs {
		u, err := stun.ParseURI(text)
		if err != nil {
			w.t.Fatalf("%s: %v", text, err)
		}
		port := strconv.Itoa(u.Port)
		switch ip, _ := netip.ParseAddr(strings.Trim(u.Host, "[]")); {
		case (v.carrier == "tls" || v == onTLSPort) && u.Scheme == stun.SchemeTypeTURNS && u.Host == serverName:
			return net.JoinHostPort(v.server().String(), port) // what the name would resolve to
		case u.Scheme == stun.SchemeTypeTURN && u.Proto.String() == v.carrier && ip == v.server():
			return net.JoinHostPort(u.Host, port)
		}
	}
	w.t.Fatalf("nobody is told how to go by %v: %q", v, as.URLs)
	return ""
}

// open opens a connection to the TURN server from local, whose zero value leaves that to the
// kernel. The test closes it, if nobody does before.
func (w *world) open(as account, v way, local netip.AddrPort) net.Conn {
	w.t.Helper()
	network, address := "udp", w.address(as, v)
	d := net.Dialer{Timeout: patience}
	if v.isStream() {
		network = "tcp"
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	} else {
		d.LocalAddr = net.UDPAddrFromAddrPort(local)
	}
	conn, err := d.Dial(network, address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	if v.carrier != "tls" {
		return conn
	}
	secure := tls.Client(conn, &tls.Config{ServerName: serverName, RootCAs: w.roots})
	if err := secure.HandshakeContext(within(w.t)); err != nil {
		w.t.Fatal(err)
	}
	return secure
}
