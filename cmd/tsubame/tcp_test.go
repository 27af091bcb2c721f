package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/stun/v3"

	"tsubame/netio/stream/certtest"
)

func TestTURNIsAnsweredOverTCP(t *testing.T) {
	r := runServer(t)
	if code := allocate(t, dial(t, portOf(r.tcp.plain))); code != stun.CodeUnauthorized {
		t.Errorf("answered with %d", code)
	}
	if n := r.tcp.counters(); n["entry_turn_streams"] != 1 || n["stream_opened"] != 1 || n["stream_open"] != 1 {
		t.Errorf("counted: %v", n)
	}
}

// secureServer is a server with a TLS port for sfu.example.com, and a client of HTTPS that finds
// it there.
func secureServer(t *testing.T, lines ...string) (*running, *x509.CertPool, *http.Client) {
	t.Helper()
	port := freePort(t)
	files, roots := certify(t, "sfu.example.com")
	r := runServer(t, slices.Concat(files, []string{fmt.Sprint("tls_port = ", port)}, lines)...)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", fmt.Sprint("127.0.0.1:", port))
		},
	}
	stop := r.stop
	r.stop = func() {
		transport.CloseIdleConnections()
		stop()
	}
	return r, roots, &http.Client{Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func get(t *testing.T, client *http.Client, url string) (status int, header http.Header) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode, answer.Header
}

func TestEverythingIsOnTheTLSPort(t *testing.T) {
	r, roots, client := secureServer(t, "turn_tls = true", "turn_tls_fqdn = sfu.example.com")
	port := portOf(r.tcp.tls)
	for _, path := range []string{"/", "/.ok"} {
		if status, _ := get(t, client, "https://sfu.example.com"+path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, header := get(t, client, "http://sfu.example.com/a?b"); status != http.StatusPermanentRedirect || header.Get("Location") != "https://sfu.example.com/a?b" {
		t.Errorf("plain HTTP: %d %v", status, header)
	}
	o, _ := call(t, client, "wss://sfu.example.com/signaling")
	if !strings.Contains(o.SDP, "a=candidate:") {
		t.Errorf("an offer without candidates: %s", o.SDP)
	}
	for name, c := range map[string]net.Conn{
		"TURN in TLS": inTLS(t, dial(t, port), "sfu.example.com", roots), "TURN without TLS": dial(t, port),
	} {
		if code := allocate(t, c); code != stun.CodeUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
}

// A proxy that passes TLS through says in the PROXY protocol who the client is; that is who
// signaling admits, counts and logs.
func TestSignalingKnowsClientsBehindAProxyByTheirOwnAddress(t *testing.T) {
	r, _, client := secureServer(t, "proxy_protocol_peers = 127.0.0.1", "signaling_max_connections_per_address = 1")
	transport := client.Transport.(*http.Transport)
	to, from := transport.DialContext, ""
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := to(ctx, network, address)
		if err == nil {
			_, err = fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 4711 443\r\n", from)
		}
		return c, err
	}
	from = "198.51.100.7"
	_, first := call(t, client, "wss://sfu.example.com/signaling")
	first.CloseRead(t.Context()) // answers the server's good-bye
	if status, _ := get(t, client, "https://sfu.example.com/signaling"); status != http.StatusTooManyRequests {
		t.Errorf("a second one of the same client: %d", status)
	}
	transport.CloseIdleConnections()
	from = "198.51.100.8"
	_, second := call(t, client, "wss://sfu.example.com/signaling")
	second.CloseRead(t.Context())
	r.stop()
	for _, address := range []string{"198.51.100.7:4711", "198.51.100.8:4711"} {
		if log := r.log.String(); !strings.Contains(log, "remote="+address) {
			t.Errorf("%s is not in the log:\n%s", address, log)
		}
	}
}

func TestWhatIsSwitchedOffIsNotServed(t *testing.T) {
	r, roots, _ := secureServer(t, "turn_tcp = false", "ice_tcp = true") // and turn_tls is false anyway
	plain := dial(t, portOf(r.tcp.plain))
	hello := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	for _, c := range []net.Conn{plain, dial(t, portOf(r.tcp.tls)), inTLS(t, dial(t, portOf(r.tcp.tls)), "sfu.example.com", roots)} {
		if _, err := c.Write(hello.Raw); err != nil {
			t.Fatal(err)
		}
		requireClosed(t, c)
	}
	if n := r.tcp.counters(); n["entry_unwanted"] != 3 || n["stream_opened"] != 0 {
		t.Errorf("counted: %v", n)
	}
}

func TestWithoutTURNAndICEOverTCPThereIsNoPort(t *testing.T) {
	r := runServer(t, "turn_tcp = false", "ice_tcp = false", "ice_transport_policy = relay")
	if r.tcp.plain != nil || r.tcp.tls != nil || len(r.tcp.describe()) > 0 {
		t.Errorf("there is %v", r.tcp.describe())
	}
	o, _ := call(t, http.DefaultClient, r.signaling())
	if s := o.Config.ICEServers; strings.Contains(o.SDP, " tcp ") || len(s) != 1 || len(s[0].URLs) != 1 {
		t.Errorf("clients are told of TCP: %+v\n%s", o.Config, o.SDP)
	}
}

func TestClientsAreToldOfTURNAndOfICEOverTCP(t *testing.T) {
	r := runServer(t, "ice_tcp = true")
	tcp, udp := portOf(r.tcp.plain), r.plane.Port()
	o, _ := call(t, http.DefaultClient, r.signaling())
	o2, _ := call(t, http.DefaultClient, r.signaling())
	if o.Config.Policy != "all" || len(o.Config.ICEServers) != 1 || len(o2.Config.ICEServers) != 1 {
		t.Fatalf("got %+v, %+v", o.Config, o2.Config)
	}
	a, b := o.Config.ICEServers[0], o2.Config.ICEServers[0]
	want := []string{fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", tcp)} // and directly by UDP
	if !slices.Equal(a.URLs, want) {
		t.Errorf("got %q, want %q", a.URLs, want)
	}
	if a.Username == "" || a.Credential == "" || a.Username == b.Username || a.Credential == b.Credential {
		t.Errorf("credentials %+v and %+v", a, b)
	}
	for _, line := range []string{
		fmt.Sprintf("a=candidate:1 1 udp 2130706431 127.0.0.1 %d typ host\r\n", udp),
		fmt.Sprintf("a=candidate:2 1 tcp 1520435199 127.0.0.1 %d typ host tcptype passive\r\n", tcp),
	} {
		if !strings.Contains(o.SDP, line) {
			t.Errorf("%q is not in\n%s", line, o.SDP)
		}
	}
}

func TestTheTCPPortThatClientsAreToldOfIsTheConfiguredOne(t *testing.T) {
	port := freePort(t)
	r := runServer(t, fmt.Sprint("turn_tcp_listen_port = ", port), "turn_tcp_port = 443", "turn_fqdn = turn.example.com", "ice_tcp = true")
	o, _ := call(t, http.DefaultClient, r.signaling())
	want := []string{"turn:turn.example.com:443?transport=tcp"}
	if len(o.Config.ICEServers) != 1 || !slices.Equal(o.Config.ICEServers[0].URLs, want) {
		t.Errorf("got %+v, want %q", o.Config, want)
	}
	if !strings.Contains(o.SDP, "127.0.0.1 443 typ host tcptype passive") {
		t.Errorf("ICE over TCP goes elsewhere:\n%s", o.SDP)
	}
}

func TestICEOverTCPIsOfferedOnRequestOnly(t *testing.T) {
	if o, _ := call(t, http.DefaultClient, runServer(t).signaling()); strings.Contains(o.SDP, "tcptype") {
		t.Errorf("got\n%s", o.SDP)
	}
}

func TestNameWithoutACertificateIsWarnedOf(t *testing.T) {
	files, _ := certify(t, "turn.example.com")
	for name, want := range map[string]bool{"turn.example.com": false, "other.example.com": true} {
		lines := slices.Concat(files, []string{fmt.Sprint("tls_port = ", freePort(t)), "turn_tls = true", "turn_tls_fqdn = " + name})
		r := runServer(t, lines...)
		if log := r.log.String(); strings.Contains(log, "no certificate has the name") != want {
			t.Errorf("%s: the log says\n%s", name, log)
		}
		r.stop()
	}
}

// RFC 8489 section 14.9 allows 127 bytes.
func TestLongRealmIsCut(t *testing.T) {
	r := runServer(t, "turn_realm = "+strings.Repeat("0123456789", 12))
	if log := r.log.String(); !strings.Contains(log, "turn_realm is cut") {
		t.Errorf("the log says\n%s", log)
	}
	if got := turnConfig(r.cfg.TURN).Realm; got != "01234567890123456789012345678901" {
		t.Errorf("realm %q", got)
	}
}

func TestRelayOnlyNamesOnlyCandidatesThatARelayLeadsTo(t *testing.T) {
	r := runServer(t, "ice_transport_policy = relay", "ice_tcp = true")
	o, _ := call(t, http.DefaultClient, r.signaling())
	if o.Config.Policy != "relay" || len(o.Config.ICEServers) != 1 || !strings.Contains(o.SDP, " udp ") || strings.Contains(o.SDP, " tcp ") {
		t.Fatalf("got %+v\n%s", o.Config, o.SDP)
	}
	want := []string{fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", r.plane.Port()), fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", portOf(r.tcp.plain))}
	if got := o.Config.ICEServers[0].URLs; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithoutTURNClientsAreToldOfNone(t *testing.T) {
	r := runServer(t, "turn = false", "ice_tcp = true")
	o, _ := call(t, http.DefaultClient, r.signaling())
	if o.Config.Policy != "all" || o.Config.ICEServers == nil || len(o.Config.ICEServers) != 0 || !strings.Contains(o.SDP, "tcptype passive") {
		t.Errorf("got %+v\n%s", o.Config, o.SDP)
	}
}

func TestSwitchesForTestsWarnAndLeaveOneKind(t *testing.T) {
	for key, want := range map[string]string{"turn_tcp_only": "transport=tcp", "turn_tls_only": "turns:turn.example.com:5349"} {
		r := runServer(t, key+" = true", "turn_tls = true", "turn_tls_fqdn = turn.example.com")
		o, socket := call(t, http.DefaultClient, r.signaling())
		socket.CloseRead(t.Context()) // answers the server's good-bye
		if o.Config.Policy != "relay" || len(o.Config.ICEServers) != 1 || len(o.Config.ICEServers[0].URLs) != 1 || !strings.Contains(o.Config.ICEServers[0].URLs[0], want) {
			t.Errorf("%s: %+v", key, o.Config)
		}
		if log := r.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, key) {
			t.Errorf("%s: the log says\n%s", key, log)
		}
		r.stop()
	}
}

// Row OPS-08.
func TestATakenTCPPortIsNamedWithItsKey(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	files, _ := certify(t, "sfu.example.com")
	for key, lines := range map[string][]string{
		"turn_tcp_listen_port": nil, "tls_port": files, "signaling_port": nil,
	} {
		said := refused(t, io.Discard, append(lines, fmt.Sprintf("%s = %d", key, portOf(l)))...)
		if !strings.Contains(said, key) || !strings.Contains(said, fmt.Sprint(portOf(l))) || !strings.Contains(said, "taken by another program") {
			t.Errorf("%s: %s", key, said)
		}
	}
}

func TestInDevelopmentATakenPortOnlyWarns(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := fmt.Sprintf("turn_tcp_listen_port = %d", portOf(l))
	r := runServer(t, "dev = true", taken, "ice_transport_policy = relay")
	o, _ := call(t, http.DefaultClient, r.signaling())
	if len(o.Config.ICEServers) != 1 || len(o.Config.ICEServers[0].URLs) != 1 || strings.Contains(o.SDP, " tcp ") {
		t.Errorf("clients are told of a port of somebody else: %+v\n%s", o.Config, o.SDP)
	}
	if log := r.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "turn_tcp_listen_port") {
		t.Errorf("the log says\n%s", log)
	}
	var log logBuffer
	if said := refused(t, &log, "dev = true", taken, "turn_tcp_only = true"); !strings.Contains(said, "turn_tcp_listen_port") {
		t.Errorf("without any other way: %s", said)
	}
}

func TestACertificateThatCannotBeReadIsNamed(t *testing.T) {
	port := fmt.Sprint("tls_port = ", freePort(t))
	said := refused(t, io.Discard, port, "tls_certificate_file = /no/such.pem", "tls_private_key_file = /no/such.key")
	if !strings.Contains(said, "tls_certificate_file") || !strings.Contains(said, "/no/such.pem") {
		t.Errorf("it says %s", said)
	}
}

// What the authority says comes later: until then, and if it is away, everything else works.
func TestTheServerRunsBeforeItHasACertificateByACME(t *testing.T) {
	port := freePort(t)
	r := runServer(t, fmt.Sprint("tls_port = ", port), "tls_acme_domains = sfu.example.com", "tls_acme_storage = "+t.TempDir(),
		fmt.Sprintf("tls_acme_directory = https://127.0.0.1:%d/directory", freePort(t)))
	if code := allocate(t, dial(t, port)); code != stun.CodeUnauthorized {
		t.Errorf("TURN without TLS: %d", code)
	}
	c := tls.Client(dial(t, port), &tls.Config{ServerName: "sfu.example.com", InsecureSkipVerify: true})
	if err := c.Handshake(); err == nil {
		t.Error("there is a certificate")
	}
	if status, _ := get(t, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/.ok", portOf(r.listener))); status != http.StatusOK {
		t.Errorf("health check: %d", status)
	}
}

// served returns the serial number of the certificate that a port shows.
func served(t *testing.T, port uint16) string {
	t.Helper()
	c := tls.Client(dial(t, port), &tls.Config{ServerName: "sfu.example.com", InsecureSkipVerify: true})
	defer c.Close()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// Row OPS-09.
func TestReloadReadsTheCertificateAndKeepsTheOldOneIfTheNewIsBad(t *testing.T) {
	port, authority := freePort(t), certtest.New(t)
	chain, key := authority.Issue(t, "sfu.example.com").Files(t)
	r := runServer(t, fmt.Sprint("tls_port = ", port), "tls_certificate_file = "+chain, "tls_private_key_file = "+key)
	put := func(certificate, secret []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(chain, certificate, 0o600), os.WriteFile(key, secret, 0o600)); err != nil {
			t.Fatal(err)
		}
		r.reload()
	}
	first := served(t, port)
	next := authority.Issue(t, "sfu.example.com")
	put(next.Certificate, next.Key)
	if now := served(t, port); now == first || now != fmt.Sprint(next.Serial) {
		t.Errorf("number %s is served, before it was %s", now, first)
	}
	put([]byte("nonsense"), next.Key)
	if now := served(t, port); now != fmt.Sprint(next.Serial) {
		t.Errorf("the good certificate is not served any more, but number %s", now)
	}
	if log := r.log.String(); !strings.Contains(log, "the certificate stays as it was") || !strings.Contains(log, "addresses advertised") {
		t.Errorf("the log says\n%s", log)
	}
}

// Row OPS-07.
func TestStoppingEndsEveryKindOfConnectionAndFreesThePorts(t *testing.T) {
	r, roots, client := secureServer(t, "turn_tls = true", "turn_tls_fqdn = sfu.example.com")
	plain, port := portOf(r.tcp.plain), portOf(r.tcp.tls)
	_, socket := call(t, client, "wss://sfu.example.com/signaling")
	get(t, client, "https://sfu.example.com/") // its connection stays
	streams := []net.Conn{dial(t, plain), inTLS(t, dial(t, port), "sfu.example.com", roots)}
	for _, c := range streams {
		allocate(t, c)
	}
	silent := dial(t, port)
	told := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(t.Context())
		told <- err
	}()
	begun := time.Now()
	r.stop() // which looks for what is left
	if d := time.Since(begun); d > patience/3 {
		t.Errorf("it took %v", d)
	}
	for _, c := range append(streams, silent) {
		requireClosed(t, c)
	}
	if err := <-told; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("signaling in TLS was told %v", err)
	}
	for _, p := range []uint16{plain, port} {
		l, err := net.Listen("tcp", fmt.Sprint(":", p))
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		l.Close()
	}
	if n := r.tcp.counters(); n["stream_opened"] != 2 || n["stream_open"] != 0 || n["stream_ended_closed"] != 2 {
		t.Errorf("counted: %v", n)
	}
}
