//go:build browser

package netem

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tsubame/netio/mmsg/netns"
)

// Addresses of the namespaces (RFC 5737, RFC 1918). The server's is on none of its devices, so
// that both clients speak to the same one.
const (
	serverAddress = "192.0.2.1"
)

// ends are the two clients: the publisher's network is 10.1.0.0/30 and its side link 172.31.1.0/30;
// the viewer's 10.2.0.0/30 and 172.31.2.0/30.
const (
	publisher = 0
	viewer    = 1
)

var endNames = [2]string{"publisher", "viewer"}

// world is three machines: the server's and two clients'. Each client has a link of its own to
// the server's machine, through a Box, and a side link without any fault for signaling, so that
// joins are comparable and a test's own commands arrive. Both clients reach each other through
// the server's machine, which forwards: through both boxes.
type world struct {
	t        *testing.T
	server   *netns.Namespace
	clients  [2]*netns.Namespace
	boxes    [2]*Box
	browsers [2]*chromium
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: netns.New(t), clients: [2]*netns.Namespace{netns.New(t), netns.New(t)}}
	// Janus speaks from no address of the loopback interface.
	w.server.IP("link add media type veth peer name nothing")
	w.server.IP("link set nothing up")
	w.server.IP("link set media up")
	w.server.IP("addr add " + serverAddress + "/32 dev media")
	w.noMediaAside()
	w.server.Do(func() {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	for i, c := range w.clients {
		w.boxes[i] = joinBox(t, c, w.server, i+1)
		c.IP("route add default via " + fmt.Sprintf("10.%d.0.1", i+1))
		side := fmt.Sprintf("side%d", i)
		c.Join("side", w.server, side)
		c.IP(fmt.Sprintf("addr add 172.31.%d.2/30 dev side", i+1))
		w.server.IP(fmt.Sprintf("addr add 172.31.%d.1/30 dev %s", i+1, side))
		w.separate(i)
	}
	film, sound := writeFilm(t), writeSound(t)
	for i, c := range w.clients {
		w.browsers[i] = startChromium(t, c, film, sound)
	}
	return w
}

// noMediaAside drops UDP on the side links.
func (w *world) noMediaAside() {
	path, err := exec.LookPath("nft")
	if err != nil {
		path = "/usr/sbin/nft" // which is not in everybody's PATH
	}
	cmd := exec.Command("ip", "netns", "exec", w.server.Name(), path, "-f", "-")
	cmd.Stdin = strings.NewReader(`table inet aside {
	chain in { type filter hook prerouting priority -300; iifname "side*" meta l4proto udp drop; }
	chain out { type filter hook postrouting priority 300; oifname "side*" meta l4proto udp drop; }
}
`)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("nft, of which nftables is the package (make deps): %v: %s", err, out)
	}
}

// separate keeps media off a side link: browsers use its address for candidates, too. From there
// only the link itself is reached, and from a network with a box no side link.
func (w *world) separate(client int) {
	c, table := w.clients[client], "100"
	c.IP(fmt.Sprintf("route add 172.31.%d.0/30 dev side table %s", client+1, table))
	c.IP("route add unreachable default table " + table)
	c.IP(fmt.Sprintf("rule add from 172.31.%d.2 lookup %s", client+1, table))
	w.server.IP(fmt.Sprintf("rule add iif net%d to 172.31.0.0/16 unreachable", client+1))
}

// joinBox joins two namespaces by a box: 10.n.0.2 is the client and 10.n.0.1 the server.
func joinBox(t *testing.T, client, server *netns.Namespace, n int) *Box {
	t.Helper()
	open := func(ns *netns.Namespace, name, address string) (dev *TUN) {
		var err error
		if ns.Do(func() { dev, err = OpenTUN(name) }); err != nil {
			t.Fatal(err)
		}
		ns.IP("addr add " + address + "/30 dev " + name)
		ns.IP(fmt.Sprintf("link set %s mtu %d up", name, mtu))
		return dev
	}
	far, near := open(client, "net", fmt.Sprintf("10.%d.0.2", n)), open(server, fmt.Sprint("net", n), fmt.Sprintf("10.%d.0.1", n))
	box, err := NewBox(far, near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box
}

// sideAddress is the server's on a client's side link.
func sideAddress(client int) string { return fmt.Sprintf("172.31.%d.1", client+1) }

// get reads JSON from an address of the server's machine.
func (w *world) get(url string, out any) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			w.server.Do(func() { c, err = (&net.Dialer{}).DialContext(ctx, network, address) })
			return c, err
		},
	}}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(out)
}
