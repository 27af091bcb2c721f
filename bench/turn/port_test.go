package turn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// byTLSPort is the configuration of a bot whose signaling goes by the port of TLS.
func (w *world) byTLSPort(role string) bot.Config {
	w.t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(server4, uint16(w.TLSPort())).String())
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	cfg := w.peer(role)
	cfg.URL = fmt.Sprintf("wss://%s:%d/signaling", serverName, w.TLSPort())
	cfg.HTTP = &http.Client{Transport: transport}
	return cfg
}

// Clients that nothing is left but one TCP port: it has signaling, and TURN over TLS beside it.
func TestWholeCallByOneTCPPort(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"turn_tls_only": "true"})
	a, b := w.through(overTLS, w.byTLSPort(bot.SendRecv)), w.through(overTLS, w.byTLSPort(bot.SendRecv))
	requireConnected(t, a)
	requireConnected(t, b)
	if urls := w.accountOf(a).URLs; len(urls) != 1 {
		t.Errorf("clients are told of %q", urls)
	}
	requireFrames(t, 25, between(a, b)...)
	requireIntact(t, between(a, b)...)
	w.requireGrown("entry_http", 2)
	w.requireGrown("entry_turn_streams", 2)
	if n := w.grown("net_rx_packets"); n != 0 {
		t.Errorf("%d datagrams came by UDP", n)
	}
	leave(t, a)
	leave(t, b)
}

// Strangers keep the port busy with ClientHellos that they do not follow up. Meanwhile the
// certificate is replaced: whoever comes next is shown the new one, and a call over TLS that was
// there before goes on.
//
// Row TURN-13.
func TestCertificateIsReplacedInAFloodOfHandshakes(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a, b := w.join(w.peer(bot.SendRecv)), w.through(overTLS, w.peer(bot.SendRecv))
	requireConnected(t, b)
	requireFrames(t, 10, between(a, b)...)
	hello := helloBytes(t)
	flooding, stop := context.WithCancel(context.Background())
	var strangers sync.WaitGroup
	end := func() {
		stop()
		strangers.Wait()
	}
	defer end()
	for range 4 {
		strangers.Go(func() { w.knock(flooding, hello) })
	}
	w.waitGrown("entry_tls_failed", 200)
	old := w.roots
	w.certify(filepath.Dir(w.chain), map[string]string{})
	eventually(t, "the new certificate is shown", func() (bool, any) {
		err := w.shows(w.roots)
		return err == nil, err
	})
	if err := w.shows(old); err == nil {
		t.Error("the old certificate is still shown")
	}
	requireFrames(t, 10, between(a, b)...)
	end()
	requireFrames(t, 10, between(a, b)...)
	requireIntact(t, between(a, b)...)
}

// knock says ClientHello, waits for the answer, and hangs up, again and again.
func (w *world) knock(ctx context.Context, hello []byte) {
	b := make([]byte, 1<<12)
	for ctx.Err() == nil {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(server4, uint16(w.TLSPort())).String(), patience)
		if err != nil {
			w.t.Error(err)
			return
		}
		if _, err := c.Write(hello); err == nil {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, _ = c.Read(b)
		}
		c.Close()
	}
}

// shows tries a handshake that trusts nothing but the roots given.
func (w *world) shows(roots *x509.CertPool) error {
	c, err := tls.Dial("tcp", netip.AddrPortFrom(server4, uint16(w.TLSPort())).String(), &tls.Config{ServerName: serverName, RootCAs: roots})
	if err != nil {
		return err
	}
	return c.Close()
}
