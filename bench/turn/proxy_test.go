package turn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"tsubame/bench/bot"
)

// A server whose proxy is 127.0.0.1, and a client of that proxy as it says. Everybody else on the
// machine has an address of his own.
var (
	proxied  = netip.MustParseAddrPort("203.0.113.7:40000")
	stranger = netip.MustParseAddr("127.5.5.5")
)

// atOnce is less than any deadline of the server's.
const atOnce = sniffTime - time.Second

func behindProxy(t *testing.T) *world {
	t.Helper()
	return start(t, map[string]string{"proxy_protocol_peers": "127.0.0.1/32"})
}

// header is a PROXY header that says that proxied is at the other end.
func header(t *testing.T, version byte) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(proxied), &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 443})
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// says opens a connection to a port of the server from an address, and writes.
func (w *world) says(from netip.Addr, port int, first string) net.Conn {
	w.t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	c, err := d.Dial("tcp", netip.AddrPortFrom(server4, uint16(port)).String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, first); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// on is a client on a connection that is open; with TLS inside, if the way says so.
func (w *world) on(conn net.Conn, as account, v way) *client {
	w.t.Helper()
	if v.carrier == "tls" {
		secure := tls.Client(conn, &tls.Config{ServerName: serverName, RootCAs: w.roots})
		if err := secure.HandshakeContext(within(w.t)); err != nil {
			w.t.Fatal(err)
		}
		conn = secure
	}
	return &client{t: w.t, conn: conn, v: v, in: bufio.NewReader(conn), username: as.Username, password: as.Credential}
}

// What a configured proxy says of its client is who is answered and relayed.
//
// Row TURN-12.
func TestProxyTellsWhoItsClientIs(t *testing.T) {
	t.Parallel()
	w := behindProxy(t)
	as := w.connect()
	for _, version := range []byte{1, 2} {
		for v, port := range map[way]int{overTCP: w.TCPPort(), overTLS: w.TLSPort()} {
			c := w.on(w.says(server4, port, header(t, version)), as, v)
			answer := c.allocate()
			c.requireOK(answer)
			if got := c.mapped(answer); got != proxied {
				t.Errorf("version %d, %v: the client is seen at %v", version, v, got)
			}
			c.requireOK(c.bind(firstChannel, w.candidate(server4)))
			if got, want := c.byChannel(as, firstChannel), c.relayed(answer, true); got != want {
				t.Errorf("version %d, %v: mapped to %v, relayed by %v", version, v, got, want)
			}
		}
	}
	w.requireGrown("entry_proxied", 4)
}

// Clients of one proxy have its address and port in nothing: a call is one as any other.
func TestCallBehindAProxy(t *testing.T) {
	t.Parallel()
	w := behindProxy(t)
	a := w.join(w.peer(bot.SendRecv))
	for _, v := range []way{overTCP, iceOverTCP} {
		b, _ := w.bridged(v, w.peer(bot.SendRecv), func(c net.Conn) net.Conn {
			if _, err := io.WriteString(c, header(t, 2)); err != nil {
				t.Error(err)
			}
			return c
		})
		requireConnected(t, b)
		requireFrames(t, 10, between(a, b)...)
		requireIntact(t, between(a, b)...)
		leave(t, b)
	}
	w.requireGrown("entry_proxied", 2)
}

// Nobody but the proxy is believed, and from the proxy nothing but a header that is one.
//
// Row TURN-12.
func TestForgedProxyHeadersAreRefused(t *testing.T) {
	t.Parallel()
	w := behindProxy(t)
	as := w.connect()
	direct := w.clientFrom(as, overTCP, netip.AddrPortFrom(stranger, 0))
	answer := direct.allocate()
	direct.requireOK(answer)
	if got := direct.mapped(answer); got != direct.local() {
		t.Errorf("without a header, %v is seen at %v", direct.local(), got)
	}
	huge := header(t, 2)[:14] + string(binary.BigEndian.AppendUint16(nil, 0xffff)) + strings.Repeat("x", 1000)
	for _, port := range []int{w.TCPPort(), w.TLSPort()} {
		for _, version := range []byte{1, 2} {
			requireGone(t, "a forged header", w.says(stranger, port, header(t, version)), atOnce)
		}
		for what, first := range map[string]string{
			"no header": strings.Repeat("\x00\x03\x00\x00", 8), "a line without an end": "PROXY TCP4 " + strings.Repeat("1", 200),
			"64 KiB": huge, "datagrams": header(t, 2)[:13] + "\x12" + header(t, 2)[14:], "no addresses": "PROXY TCP4 a b 1 2\r\n",
		} {
			requireGone(t, what, w.says(server4, port, first), atOnce)
		}
		requireGone(t, "half a header", w.says(server4, port, "PROXY TCP4 10."), sniffTime+slack)
	}
	w.requireGrown("entry_unknown_protocol", 4)
	w.requireGrown("entry_proxy_bad", 12)
	w.requireGrown("entry_proxied", 0)
	w.requireGrown("turn_allocations", 1)
	direct.requireOK(direct.refresh(600))
}
