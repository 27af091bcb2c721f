package calls

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
)

// Addresses of the two namespaces; all of the documentation's (RFC 5737, RFC 3849).
const (
	server4, second4, client4 = "192.0.2.1", "192.0.2.2", "192.0.2.9"
	server6, second6, client6 = "2001:db8::1", "2001:db8::2", "2001:db8::9"
)

// space is a world whose server and bots each have a network namespace, with one link
// between them. The server has two addresses of each family on it.
type space struct {
	*world
	serverSide, clientSide *netns.Namespace
}

// newSpace starts a server that advertises its first address unless config says otherwise.
func newSpace(t *testing.T, config map[string]string) *space {
	t.Helper()
	whole := map[string]string{"shards": "2", "ipv4_address": server4}
	maps.Copy(whole, config)
	s := &space{serverSide: netns.New(t), clientSide: netns.New(t)}
	s.serverSide.Join("server0", s.clientSide, "client0")
	for _, a := range []string{server4 + "/24", second4 + "/24", server6 + "/64 nodad", second6 + "/64 nodad"} {
		s.serverSide.IP("addr add " + a + " dev server0")
	}
	for _, a := range []string{client4 + "/24", client6 + "/64 nodad"} {
		s.clientSide.IP("addr add " + a + " dev client0")
	}
	s.world = startWith(t, harness.Options{
		Config: whole, Wrap: []string{"ip", "netns", "exec", s.serverSide.Name()},
	})
	return s
}

// peer is the configuration of a bot in the clients' namespace.
func (s *space) peer(role string) bot.Config {
	cfg := s.world.peer(role)
	cfg.URL = strings.Replace(cfg.URL, "127.0.0.1", server4, 1)
	cfg.LocalAddrs = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(client4), 0)}
	cfg.Listen = func(network string, local *net.UDPAddr) (conn *net.UDPConn, err error) {
		s.clientSide.Do(func() { conn, err = net.ListenUDP(network, local) })
		return conn, err
	}
	cfg.HTTP = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			s.clientSide.Do(func() { conn, err = net.Dial(network, address) })
			return conn, err
		},
	}}
	return cfg
}

// nft runs nft(8) in the server's namespace.
func (s *space) nft(commands string) string {
	s.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", s.serverSide.Name(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("this test loses packets by nft(8) (Debian, Ubuntu: apt-get install nftables): %v: %s", err, out)
	}
	return string(out)
}

// lose makes the server's namespace drop a share, in percent, of the UDP datagrams to and from
// the server.
func (s *space) lose(percent int) {
	s.t.Helper()
	s.nft(fmt.Sprintf(`table inet loss {
	chain in { type filter hook input priority 0; udp dport %[1]d numgen random mod 100 < %[2]d counter drop; }
	chain out { type filter hook output priority 0; udp sport %[1]d numgen random mod 100 < %[2]d counter drop; }
}`, s.UDPPort(), percent))
}

// requireNft makes the absence of nft(8) a failure before anything has been set up.
func requireNft(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatalf("this test loses packets by nft(8), which is not installed (Debian, Ubuntu: apt-get install nftables): %v", err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and filters, and needs the right to (root)")
	}
}

var counted = regexp.MustCompile(`counter packets (\d+)`)

// dropped returns how many datagrams lose has dropped.
func (s *space) dropped() (n int) {
	s.t.Helper()
	for _, m := range counted.FindAllStringSubmatch(s.nft("list ruleset"), -1) {
		k, err := strconv.Atoi(m[1])
		if err != nil {
			s.t.Fatal(err)
		}
		n += k
	}
	return n
}
