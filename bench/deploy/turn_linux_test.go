package deploy

import (
	"encoding/json"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/turn/v5"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// startServer starts a server with the settings that a file of nginx's asks for.
func (s *space) startServer(file string, more map[string]string) *harness.Server {
	s.t.Helper()
	config := map[string]string{"signaling_port": "5000", "udp_port": "3478", "turn_tcp_listen_port": "3478", "ipv4_address": server4}
	for line := range strings.Lines(repository(s.t, file)) {
		if setting, ok := strings.CutPrefix(line, "#   "); ok {
			if key, value, ok := strings.Cut(strings.TrimSpace(setting), " = "); ok {
				config[key] = value
			}
		}
	}
	maps.Copy(config, more)
	return harness.Start(s.t, harness.Options{Config: config, Wrap: []string{"ip", "netns", "exec", s.serverSide.Name()}})
}

// turnServer is what an offer says of it.
type turnServer struct {
	URLs                 []string
	Username, Credential string
}

// offered returns what a bot is told of TURN that joins like join's, and stays.
func (s *space) offered(url, address string) turnServer {
	s.t.Helper()
	b := s.join(url, address, bot.RecvOnly)
	var offer struct {
		Config struct {
			ICEServers []turnServer `json:"iceServers"`
		}
	}
	if err := json.Unmarshal(b.OfferMessage(), &offer); err != nil || len(offer.Config.ICEServers) != 1 {
		s.t.Fatalf("%v: %s", err, b.OfferMessage())
	}
	return offer.Config.ICEServers[0]
}

// allocate is a TURN client on a connection: the server sees it at the client's own address,
// gives it an allocation, and lets it send to one of its own addresses and to nobody else.
func (s *space) allocate(conn net.Conn, as turnServer) {
	s.t.Helper()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: conn.RemoteAddr().String(), TURNServerAddr: conn.RemoteAddr().String(),
		Conn: turn.NewSTUNConn(conn), Username: as.Username, Password: as.Credential,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Listen(); err != nil {
		s.t.Fatal(err)
	}
	mapped, err := c.SendBindingRequest()
	if err != nil || mapped.String() != conn.LocalAddr().String() {
		s.t.Errorf("a client at %v is seen at %v, %v", conn.LocalAddr(), mapped, err)
	}
	relay, err := c.Allocate()
	if err != nil {
		s.t.Fatalf("Allocate: %v", err)
	}
	defer relay.Close()
	if a, err := netip.ParseAddrPort(relay.LocalAddr().String()); err != nil || a.Addr().String() != server4 {
		s.t.Errorf("the relayed address is %v", relay.LocalAddr())
	}
	if err := c.CreatePermission(&net.UDPAddr{IP: net.ParseIP(server4), Port: 3478}); err != nil {
		s.t.Errorf("permission for the server's own address: %v", err)
	}
	if err := c.CreatePermission(&net.UDPAddr{IP: net.ParseIP("127.0.0.1"), Port: 3478}); err == nil {
		s.t.Error("permission for somebody else's address")
	}
}

// TURN over TCP and over TLS by port 443, with everything as nginx.conf says.
func TestTURNServerBehindNginx(t *testing.T) {
	s := newSpace(t)
	s.startServer("configs/nginx/nginx.conf", nil)
	s.startNginx(nginxConf(t))
	as := s.offered("wss://"+webName+"/signaling", server4+":443")
	want := []string{"turn:" + turnName + ":443?transport=tcp", "turns:" + turnName + ":443?transport=tcp"}
	if !slices.Equal(as.URLs, want) {
		t.Errorf("clients are told of %q, not %q", as.URLs, want)
	}
	for _, server := range []string{server4, server6} {
		address := net.JoinHostPort(server, "443")
		s.allocate(s.dial(address), as)
		s.allocate(s.secure(address, turnName), as)
	}
}

// The same with TLS ended by the server, and signaling by that port too.
func TestServerEndsTLSBehindNginx(t *testing.T) {
	s := newSpace(t)
	s.startServer("configs/nginx/passthrough.conf", map[string]string{
		"tls_certificate_file": s.chainFile, "tls_private_key_file": s.keyFile,
	})
	s.startNginx(passthroughConf(t))
	for _, server := range []string{server4, server6} {
		address := net.JoinHostPort(server, "443")
		s.call("wss://"+webName+"/signaling", address)
		as := s.offered("wss://"+webName+"/signaling", address)
		s.allocate(s.dial(address), as)
		s.allocate(s.secure(address, turnName), as)
	}
}
