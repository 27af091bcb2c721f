//go:build browser

package browser

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
	"tsubame/netio/stream/certtest"
)

// What configs/nginx calls the server and its names, and where its clients are (RFC 5737, RFC
// 3849).
const (
	server4, client4 = "192.0.2.1", "192.0.2.9"
	server6, client6 = "2001:db8::1", "2001:db8::9"

	webName, turnName = "sfu.example.com", "turn.example.com"
	// The same by IPv6 only.
	webName6, turnName6 = "sfu6.example.com", "turn6.example.com"
)

// Rules of firewalls on the server's machine, about packets from its clients. Each counts what it
// drops.
const (
	only443 = "tcp dport 443 accept; meta l4proto ipv6-icmp accept; counter name dropped drop"
	noUDP   = "meta l4proto udp counter name dropped drop"
	noIPv4  = "meta nfproto ipv4 counter name dropped drop"
)

// firewallTable is what rules stand in.
const firewallTable = `table inet firewall {
	counter dropped {}
	chain input {
		type filter hook input priority 0; policy accept;
		iif lo accept; %s
	}
}
`

// walled are two machines in network namespaces: one for servers behind firewalls, and one with
// Chromium, which knows no other way to them.
type walled struct {
	serverSide, clientSide *netns.Namespace
	browser                *chromium
	certificate, key       string // files
}

func newWalled(t *testing.T) *walled {
	t.Helper()
	w := &walled{serverSide: netns.New(t), clientSide: netns.New(t)}
	w.serverSide.Join("server0", w.clientSide, "client0")
	for _, a := range []string{server4 + "/24", server6 + "/64 nodad"} {
		w.serverSide.IP("addr add " + a + " dev server0")
	}
	for _, a := range []string{client4 + "/24", client6 + "/64 nodad"} {
		w.clientSide.IP("addr add " + a + " dev client0")
	}
	w.clientSide.IP("route add default via " + server4)
	w.clientSide.IP("-6 route add default via " + server6)

	pair := certtest.New(t).Issue(t, webName, webName6, turnName, turnName6)
	w.certificate, w.key = pair.Files(t)
	// WebRTC looks names up with a dot at the end.
	names := fmt.Sprintf("MAP *6.example.com [%[1]s], MAP *6.example.com. [%[1]s], MAP *.example.com %[2]s, MAP *.example.com. %[2]s", server6, server4)
	w.browser = ownChromium(t, chromedp.ExecPath(w.chromiumThere(t)), chromedp.Flag("host-resolver-rules", names),
		chromedp.Flag("ignore-certificate-errors-spki-list", pair.SPKI(t)))
	return w
}

// chromiumThere writes a program that is Chromium on the clients' machine.
func (w *walled) chromiumThere(t *testing.T) string {
	t.Helper()
	path, err := findChromium()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "chromium")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s '%s' \"$@\"\n", w.clientSide.Name(), path)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// nft runs nft(8) on the server's machine.
func (w *walled) nft(t *testing.T, input string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		path = "/usr/sbin/nft" // which is not in everybody's PATH
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", w.serverSide.Name(), path}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft, of which nftables is the package (make deps): %v: %s", err, out)
	}
	return string(out)
}

// raise puts a firewall up until the test ends.
func (w *walled) raise(t *testing.T, rules string) {
	t.Helper()
	w.nft(t, fmt.Sprintf(firewallTable, rules), "-f", "-")
	t.Cleanup(func() { w.nft(t, "", "delete", "table", "inet", "firewall") })
}

// requireDropped sees that clients have tried what the firewall forbids: they went another way
// because of it.
func (w *walled) requireDropped(t *testing.T) {
	t.Helper()
	listed := w.nft(t, "", "list", "counter", "inet", "firewall", "dropped")
	found := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(listed)
	if found == nil {
		t.Fatalf("nft lists %q", listed)
	}
	if n, err := strconv.Atoi(found[1]); n == 0 {
		t.Errorf("the firewall has dropped nothing (%v): %s", err, listed)
	}
}

// start starts a server on the machine behind the firewall.
func (w *walled) start(t *testing.T, more ...map[string]string) *harness.Server {
	t.Helper()
	config := map[string]string{"ipv4_address": server4}
	for _, m := range more {
		maps.Copy(config, m)
	}
	return startServerWith(t, harness.Options{Config: config, Wrap: []string{"ip", "netns", "exec", w.serverSide.Name()}})
}

// ownTLS are the settings of a server that ends TLS itself, at port 443.
func (w *walled) ownTLS() map[string]string {
	return map[string]string{
		"tls_port": "443", "tls_certificate_file": w.certificate, "tls_private_key_file": w.key, "turn_fqdn": turnName,
	}
}

// call has two tabs with the server's own page in a call, by HTTPS and WSS at port 443, and
// waits until their media travel as wanted. The server says the same in its log.
func (w *walled) call(t *testing.T, s *harness.Server, host, local, protocol string) {
	t.Helper()
	transport := map[string]string{"udp": "udp", "tcp": "tcp", "tls": "tcp"}[protocol]
	tabs := make([]*tab, 2)
	for i := range tabs {
		query := fmt.Sprintf("auto=1&codec=VP8&%s&pattern=%d&channel=%s", little, i+1, url.QueryEscape(channelName(t)))
		tabs[i] = w.browser.open(t, fmt.Sprint("tab ", i+1), "https://"+host+"/?"+query)
		tabs[i].requireState("live")
	}
	for i, tb := range tabs {
		tb.requireArrives(tabs[1-i].connectionID(), 2-i)
		tb.requirePair(local, protocol)
		id := tb.connectionID()
		line := s.WaitLog(arriveTimeout, "the session of "+id, func(l harness.Line) bool {
			return l.Msg == "session established" && l.Attrs["connection_id"] == id
		})
		if line.Attrs["transport"] != transport {
			t.Errorf("the log says %q, want %s", line.Text, transport)
		}
	}
	for _, tb := range tabs {
		tb.click("#leave")
		tb.requireState("idle")
	}
}

// Calls of clients whose firewalls, or whose server's, leave them little. ice_transport_policy
// is its default, all, but where it says otherwise.
func TestBehindFirewalls(t *testing.T) {
	besideChurn(t)
	w := newWalled(t)

	t.Run("TURN-TLS on 443, nothing else", func(t *testing.T) {
		s := w.start(t, w.ownTLS(), map[string]string{"turn_tls": "true", "turn_tls_fqdn": turnName, "turn_tls_port": "443"})
		w.raise(t, only443)
		w.call(t, s, webName, "relay", "tls")
		w.requireDropped(t)
	})
	t.Run("TURN-TCP on 443, nothing else", func(t *testing.T) {
		s := w.start(t, w.ownTLS(), map[string]string{"turn_tcp_listen_port": "3478", "turn_tcp_port": "443"})
		w.raise(t, only443)
		w.call(t, s, webName, "relay", "tcp")
		w.requireDropped(t)
	})
	t.Run("ICE-TCP without UDP and TURN", func(t *testing.T) {
		s := w.start(t, w.ownTLS(), map[string]string{"turn": "false", "ice_tcp": "true"})
		w.raise(t, noUDP)
		w.call(t, s, webName, "prflx", "tcp")
		w.requireDropped(t)
	})
	t.Run("nginx on 443 ends TLS, nothing else", func(t *testing.T) {
		// Clients are told of a port for TURN-TCP that they do not reach.
		w.behindNginx(t, map[string]string{"turn_tcp_port": "3478"}, "tls")
	})
	t.Run("nginx on 443 hands TURN-TCP on, nothing else", func(t *testing.T) {
		w.behindNginx(t, nil, "tcp")
	})
	for protocol, key := range map[string]string{"udp": "turn_tcp", "tcp": "turn_tcp_only"} {
		t.Run("IPv6 alone, through TURN over "+protocol, func(t *testing.T) {
			s := w.start(t, w.ownTLS(), map[string]string{
				"ice_transport_policy": "relay", "ipv6": "true", "ipv6_address": server6, "turn_fqdn": turnName6,
				key: strconv.FormatBool(protocol == "tcp"),
			})
			w.raise(t, noIPv4)
			w.call(t, s, webName6, "relay", protocol)
		})
	}
}
