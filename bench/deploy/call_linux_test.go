package deploy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// join has a bot join by signaling at url, which is found at the address given, and waits until
// its media are connected. It stays until the test ends, or until it leaves.
func (s *space) join(url, address, role string) *bot.Bot {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	b, err := bot.Dial(ctx, bot.Config{
		URL: url, Channel: s.t.Name(), Role: role, Audio: true, Video: true,
		HTTP: s.browser(s.clientSide, address), LocalAddrs: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(client4), 0)},
		Listen: func(network string, local *net.UDPAddr) (conn *net.UDPConn, err error) {
			s.clientSide.Do(func() { conn, err = net.ListenUDP(network, local) })
			return conn, err
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Kill)
	if err := b.WaitConnected(ctx); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// call has two clients in a call by signaling at url, which is found at the address given.
func (s *space) call(url, address string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var bots []*bot.Bot
	for range 2 {
		bots = append(bots, s.join(url, address, bot.SendRecv))
	}
	for _, b := range bots {
		s.eventually("picture and sound arrive", func() bool {
			if err := b.Err(); err != nil {
				s.t.Fatal(err)
			}
			r := b.Stats().Receiving
			return len(r) == 2 && r[0].Frames > 10 && r[1].Frames > 10
		})
	}
	for _, b := range bots {
		if err := b.Close(ctx); err != nil {
			s.t.Error(err)
		}
	}
}

// The page, signaling and the health check of a real server, as clients have them behind nginx.
func TestServerBehindNginx(t *testing.T) {
	s := newSpace(t)
	server := harness.Start(t, harness.Options{
		Config: map[string]string{
			"signaling_port": "5000", "signaling_loopback_address_only": "true", "signaling_proxies": "127.0.0.1",
			"udp_port": "3478", "ipv4_address": server4,
		},
		Wrap: []string{"ip", "netns", "exec", s.serverSide.Name()},
	})
	s.startNginx(nginxConf(t))
	for _, server := range []string{server4, server6} {
		address := net.JoinHostPort(server, "443")
		c := s.browser(s.clientSide, address)
		for path, want := range map[string]string{"/": "<title>Tsubame", "/.ok": "ok"} {
			resp, err := c.Get("https://" + webName + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
				t.Errorf("%s of %s: %d, %v, %.200s", path, server, resp.StatusCode, err, b)
			}
		}
		s.call("wss://"+webName+"/signaling", address)
		s.refused(address)
	}
	for _, client := range []string{client4, client6} {
		server.WaitLog(patience, "a refusal of "+client, func(l harness.Line) bool { return l.Attrs["remote"] == client })
	}
}

// refused sends what no client sends, as a page of the server's own would.
func (s *space) refused(address string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "wss://"+webName+"/signaling", &websocket.DialOptions{
		HTTPClient: s.browser(s.clientSide, address), HTTPHeader: http.Header{"Origin": {"https://" + webName}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
		s.t.Fatal(err)
	}
	if _, b, err := conn.Read(ctx); websocket.CloseStatus(err) != 4490 {
		s.t.Errorf("%s, %v", b, err)
	}
}
