package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/stun/v3"
	"go.uber.org/goleak"

	"tsubame/configs"
	"tsubame/netio/stream/certtest"
)

// patience is how long a test waits for what takes milliseconds on an idle machine.
const patience = 30 * time.Second

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server inside of the test's process, with a log of its own.
type running struct {
	*server
	t    *testing.T
	log  *logBuffer
	stop func()
}

// settings are those of the lines, over what lets servers of tests be beside each other.
func settings(t *testing.T, lines ...string) configs.Config {
	t.Helper()
	all := map[string]string{
		"signaling_port": "0", "udp_port": "0", "turn_tcp_listen_port": "0", "debug_listen": "off",
		"ipv4_address": "127.0.0.1", "shards": "1", "max_connections": "16", "recv_buffer": "65536", "send_buffer": "65536",
	}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, " = ")
		all[key] = value
	}
	var text strings.Builder
	for key, value := range all {
		fmt.Fprintf(&text, "%s = %s\n", key, value)
	}
	c, warnings, err := configs.Parse("test", []byte(text.String()))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", err, warnings)
	}
	return c
}

// run starts a server that is stopped at the end of the test, if not before, and then has to
// have left nothing behind.
func runServer(t *testing.T, lines ...string) *running {
	t.Helper()
	before := goleak.IgnoreCurrent()
	r := &running{t: t, log: new(logBuffer)}
	cfg := settings(t, lines...)
	files, log, err := openLogFiles(cfg, slog.New(slog.NewTextHandler(r.log, nil)), slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(cfg, files, log)
	if err != nil {
		t.Fatal(err)
	}
	r.server = s
	r.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		closeLogFiles(files, log)
		http.DefaultClient.CloseIdleConnections()
		// That one looks every 5 s whether its file is gone.
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
	})
	t.Cleanup(func() { r.stop() })
	return r
}

// refused returns the error of a server that does not start, and checks that it left nothing.
func refused(t *testing.T, log io.Writer, lines ...string) string {
	t.Helper()
	before := goleak.IgnoreCurrent()
	cfg := settings(t, lines...)
	files, logger, err := openLogFiles(cfg, slog.New(slog.NewTextHandler(log, nil)), slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(cfg, files, logger)
	closeLogFiles(files, logger)
	if err == nil {
		s.stop(context.Background())
		t.Fatalf("%v: it started", lines)
	}
	goleak.VerifyNone(t, before)
	return err.Error()
}

// freePort returns a TCP port that was free a moment ago, below those that the kernel gives to
// clients.
func freePort(t *testing.T) uint16 {
	t.Helper()
	const low, high, tries = 20_000, 32_000, 100
	var err error
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprint(":", low+mathrand.IntN(high-low))); err == nil {
			defer l.Close()
			return portOf(l)
		}
	}
	t.Fatal(err)
	return 0
}

// certify makes a certificate for a name, and returns the settings for it and who trusts it.
func certify(t *testing.T, name string) ([]string, *x509.CertPool) {
	t.Helper()
	authority := certtest.New(t)
	chain, key := authority.Issue(t, name).Files(t)
	return []string{"tls_certificate_file = " + chain, "tls_private_key_file = " + key}, authority.Pool
}

// dial connects to a port of this machine; the connection is closed at the end of the test.
func dial(t *testing.T, port uint16) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp4", fmt.Sprint("127.0.0.1:", port), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// inTLS puts TLS around a connection.
func inTLS(t *testing.T, c net.Conn, name string, roots *x509.CertPool) *tls.Conn {
	t.Helper()
	s := tls.Client(c, &tls.Config{ServerName: name, RootCAs: roots})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// allocate sends an Allocate without credentials, which everybody may, and returns the code of
// the answer.
func allocate(t *testing.T, c net.Conn) stun.ErrorCode {
	t.Helper()
	request, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(request.Raw); err != nil {
		t.Fatal(err)
	}
	answer := new(stun.Message)
	header := make([]byte, 20)
	if _, err := io.ReadFull(c, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(header[2])<<8|int(header[3]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	answer.Raw = append(header, body...)
	var code stun.ErrorCodeAttribute
	if err := answer.Decode(); err != nil || answer.TransactionID != request.TransactionID || code.GetFrom(answer) != nil {
		t.Fatalf("%v: %v", answer, err)
	}
	return code.Code
}

// requireClosed wants the other end to close a connection.
func requireClosed(t *testing.T, c net.Conn) {
	t.Helper()
	n, err := io.Copy(io.Discard, c)
	if late := net.Error(nil); n > 0 || err != nil && asTimeout(err, &late) {
		t.Errorf("not closed: %d bytes, %v", n, err)
	}
}

func asTimeout(err error, to *net.Error) bool {
	e, ok := err.(net.Error)
	*to = e
	return ok && e.Timeout()
}

// offer is what a client is told of the way to us.
type offer struct {
	SDP          string
	ConnectionID string `json:"connection_id"`
	Config       struct {
		Policy     string `json:"iceTransportPolicy"`
		ICEServers []struct {
			URLs                 []string
			Username, Credential string
		} `json:"iceServers"`
	}
}

// call connects to signaling and returns the offer. The socket stays until the test's end.
func call(t *testing.T, client *http.Client, url string) (o offer, socket *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.CloseNow() })
	socket.SetReadLimit(1 << 20)
	if err := socket.Write(ctx, websocket.MessageText, []byte(`{"type":"connect","role":"recvonly","channel_id":"c"}`)); err != nil {
		t.Fatal(err)
	}
	_, text, err := socket.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &o); err != nil || o.SDP == "" {
		t.Fatalf("%s: %v", text, err)
	}
	return o, socket
}

func (r *running) signaling() string {
	return fmt.Sprintf("ws://127.0.0.1:%d/signaling", portOf(r.listener))
}
