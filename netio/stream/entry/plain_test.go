package entry

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/stream"
)

// everybody are the proxies when a test's own connection is to be one.
var everybody = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestTURNAndICEReachTheStreamsOnBothPorts(t *testing.T) {
	r := start(t, Config{})
	for _, c := range []struct {
		to      string
		first   []byte
		carrier flow.Carrier
	}{{r.plain, allocate, flow.TURNStream}, {r.plain, framed, flow.FramedStream}, {r.tls, allocate, flow.TURNStream}, {r.tls, framed, flow.FramedStream}} {
		before := len(r.streams.seen())
		nc := r.dial(c.to, c.first)
		r.echoed(nc, c.first)
		want := stream.Info{Local: portOf(nc.RemoteAddr()), Remote: portOf(nc.LocalAddr()), Carrier: c.carrier}
		if got := r.streams.seen()[before]; got != want {
			t.Errorf("%v, want %v", got, want)
		}
		nc.Close()
	}
	r.count("entry_turn_streams", 2)
	r.count("entry_ice_streams", 2)
}

// Rows TURN-14 and ICE-13.
func TestWhatIsUnknownIsClosedWithoutAWord(t *testing.T) {
	r := start(t, Config{SniffTimeout: 50 * time.Millisecond})
	for _, to := range []string{r.plain, r.tls} {
		for _, first := range [][]byte{sshBanner, channel, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []byte(v1IPv4), []byte(v2IPv4), make([]byte, 16)} {
			r.silent(r.dial(to, first))
		}
	}
	r.count("entry_unknown_protocol", 12)
	r.silent(r.dial(r.plain, getRequest)) // HTTP and TLS have their port
	r.silent(r.dial(r.plain, clientHello(t, r.client("turn.example.com"))))
	r.count("entry_unknown_protocol", 14)
	r.silent(r.dial(r.plain, nil)) // nothing, until the deadline
	r.silent(r.dial(r.tls, allocate[:7]))
	r.count("entry_sniff_timeout", 2)
	r.dial(r.tls, nil).Close()
	r.count("entry_closed_early", 1)
	if n := len(r.streams.seen()); n != 0 {
		t.Errorf("%d streams", n)
	}
}

// The deadline is one for all that is needed: a byte now and then does not move it.
//
// Rows TURN-09 and ICE-13.
func TestBytesThatDribbleInAreTakenUntilTheDeadline(t *testing.T) {
	r := start(t, Config{})
	nc := r.dial(r.plain, nil)
	if err := nc.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for i := range allocate {
		if _, err := nc.Write(allocate[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	r.echoed(nc, allocate)

	impatient := start(t, Config{SniffTimeout: 60 * time.Millisecond})
	nc = impatient.dial(impatient.plain, nil)
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		<-tick.C
		if i >= 7 { // not yet certain
			break
		}
		if _, err := nc.Write(allocate[i : i+1]); err != nil {
			break
		}
	}
	impatient.silent(nc)
	impatient.count("entry_sniff_timeout", 1)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

// Row TURN-12.
func TestProxyHeaderTellsTheClientsAddress(t *testing.T) {
	r := start(t, Config{ProxyPeers: everybody})
	for header, want := range map[string]ProxyHeader{
		v1IPv4: addressed("192.0.2.1:56324", "198.51.100.2:443"), v1IPv6: addressed("[2001:db8::1]:56324", "[2001:db8::2]:443"),
		v2IPv4: addressed("192.0.2.1:56324", "198.51.100.2:443"), v2IPv6: addressed("[2001:db8::1]:56324", "[2001:db8::2]:443"),
		"PROXY UNKNOWN\r\n": {Local: true}, v2Local: {Local: true},
	} {
		for _, to := range []string{r.plain, r.tls} {
			before := len(r.streams.seen())
			nc := r.dial(to, append([]byte(header), allocate...))
			r.echoed(nc, allocate)
			if want.Local {
				want.Source, want.Destination = portOf(nc.LocalAddr()), portOf(nc.RemoteAddr())
			}
			if got := r.streams.seen()[before]; got.Remote != want.Source || got.Local != want.Destination {
				t.Errorf("%q: %v, want %v", header, got, want)
			}
			nc.Close()
		}
	}
	r.count("entry_proxied", 12)
}

// Row TURN-12.
func TestProxyHeaderMayComeByteByByte(t *testing.T) {
	r := start(t, Config{ProxyPeers: everybody})
	for _, header := range []string{v1IPv4, v2IPv6} {
		nc := r.dial(r.plain, nil)
		for _, b := range append([]byte(header), allocate...) {
			if _, err := nc.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		r.echoed(nc, allocate)
	}
}

// Row TURN-12.
func TestProxyHeaderIsRequiredOfAProxyAndRefusedFromAnybodyElse(t *testing.T) {
	r := start(t, Config{ProxyPeers: everybody, HeaderTimeout: 50 * time.Millisecond})
	for _, first := range []string{
		string(allocate), string(framed), // missing
		"PROXY TCP4 " + strings.Repeat("1", 64<<10),        // endless
		proxyV2Begins + "\x21\x11\xff\xff",                 // 64 KiB, it says
		"PROXY TCP4 192.0.2.1", "", v2IPv4[:len(v2IPv4)-1], // never finished
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 443\r\n", // another form
	} {
		nc, err := net.Dial("tcp", r.plain)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write([]byte(first)) // fails if we are closed before it is all there
		r.silent(nc)
		nc.Close()
	}
	r.count("entry_proxy_bad", 8)

	direct := start(t, Config{ProxyPeers: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for _, header := range []string{v1IPv4, v2IPv4, v2Local} {
		direct.silent(direct.dial(direct.plain, append([]byte(header), allocate...)))
		direct.silent(direct.dial(direct.tls, append([]byte(header), allocate...)))
	}
	direct.count("entry_unknown_protocol", 6)
	if n := len(r.streams.seen()) + len(direct.streams.seen()); n != 0 {
		t.Errorf("%d streams", n)
	}
}

func TestIPv4ThatComesToBothFamiliesIsIPv4(t *testing.T) {
	r := start(t, Config{})
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	r.AddPlain(l)
	nc := r.dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), allocate)
	r.echoed(nc, allocate)
	if info := r.streams.seen()[0]; !info.Remote.Addr().Is4() || !info.Local.Addr().Is4() {
		t.Errorf("%v", info)
	}
}
