package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// patience is how long a test waits for what takes a fraction of a second on an idle machine.
const patience = 45 * time.Second

// The server's addresses, unless a test says otherwise, and its name in TLS.
var (
	server4 = netip.MustParseAddr("127.0.0.1")
	server6 = netip.MustParseAddr("::1")
)

const serverName = "localhost"

// world is a server and those who use it.
type world struct {
	*harness.Server
	t     *testing.T
	roots *x509.CertPool
	chain string            // file of the certificate
	idle  map[string]uint64 // counters before anybody came
}

// start runs a server with two shards that has both families, and every port of its own; config
// adds to that.
func start(t *testing.T, config map[string]string) *world {
	t.Helper()
	w := &world{t: t}
	tls := fmt.Sprint(freePort(t))
	whole := map[string]string{
		"shards": "2", "ipv4_address": server4.String(), "ipv6": "true", "ipv6_address": server6.String(),
		"ice_tcp": "true", "signaling_port": "0", "udp_port": "0", "shed_joins_at_load": "0",
		"tls_port": tls, "turn_tls": "true", "turn_tls_port": tls, "turn_tls_fqdn": serverName,
	}
	w.certify(t.TempDir(), whole)
	maps.Copy(whole, config)
	for key, value := range whole {
		if value == "" {
			delete(whole, key)
		}
	}
	w.Server = harness.Start(t, harness.Options{Config: whole})
	w.idle = w.Counters()
	// Behind all that the test's clients clean up, and before the server is stopped.
	t.Cleanup(w.requireIdle)
	return w
}

// freePort returns a TCP port that is free, from below those that systems give to clients.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 12000 + mathrand.IntN(8000)
		if l, err := net.Listen("tcp", fmt.Sprint(":", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// certify makes a certificate for the server's name and addresses, and has config name its files.
func (w *world) certify(dir string, config map[string]string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{serverName}, IPAddresses: []net.IP{server4.AsSlice(), server6.AsSlice()},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	w.roots.AppendCertsFromPEM(chain)
	w.chain = filepath.Join(dir, "chain.pem")
	config["tls_certificate_file"], config["tls_private_key_file"] = w.chain, filepath.Join(dir, "key.pem")
	for file, b := range map[string][]byte{
		w.chain: chain, config["tls_private_key_file"]: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// levels are the counters that go up and down, and are where they were when all have gone.
var levels = []string{
	"connections_free", "tracks_free", "buffers_out", "connections", "dtls_in_flight",
	"turn_allocations", "streams_free", "streams", "stream_open", "entry_open",
}

// requireIdle waits until nothing is left of anybody.
func (w *world) requireIdle() {
	w.t.Helper()
	eventually(w.t, "nothing is left of the clients", func() (bool, any) {
		now, left := w.Counters(), ""
		for _, name := range levels {
			if _, ok := now[name]; !ok {
				left += "there is no " + name + "; "
			}
			if now[name] != w.idle[name] {
				left += fmt.Sprintf("%s %d, before %d; ", name, now[name], w.idle[name])
			}
		}
		return left == "", left
	})
}

// grown returns by how much counters have grown since the start.
func (w *world) grown(names ...string) (sum uint64) {
	w.t.Helper()
	now := w.Counters()
	for _, name := range names {
		n, ok := now[name]
		if !ok {
			w.t.Fatalf("there is no counter %s", name)
		}
		sum += n - w.idle[name]
	}
	return sum
}

// requireGrown wants a counter to have grown by n.
func (w *world) requireGrown(name string, n uint64) {
	w.t.Helper()
	if got := w.grown(name); got != n {
		w.t.Errorf("%s has grown by %d, want %d", name, got, n)
	}
}

// waitGrown waits until a counter has grown by n at least.
func (w *world) waitGrown(name string, n uint64) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s has grown by %d", name, n), func() (bool, any) {
		got := w.grown(name)
		return got >= n, got
	})
}

// candidate is where the server's media are, in the family of a.
func (w *world) candidate(a netip.Addr) netip.AddrPort {
	if a.Is4() {
		return netip.AddrPortFrom(server4, uint16(w.UDPPort()))
	}
	return netip.AddrPortFrom(server6, uint16(w.UDPPort()))
}

// account is what one connection was told by signaling: its TURN server, and what its checks
// need.
type account struct {
	bot                  *bot.Bot
	URLs                 []string
	Username, Credential string
	ufrag, password, sdp string
}

// quiet is a bot that is there by signaling and sends nothing to the server's media.
func (w *world) quiet() bot.Config {
	cfg := w.peer(bot.RecvOnly)
	cfg.Outgoing = func([]byte) bool { return false }
	return cfg
}

// connect gets credentials by a signaling connection that stays as long as the test, if nobody
// ends it before.
func (w *world) connect() account {
	w.t.Helper()
	return w.accountOf(w.dial(w.quiet()))
}

// accountOf reads what a bot was offered.
func (w *world) accountOf(b *bot.Bot) account {
	w.t.Helper()
	eventually(w.t, "an offer", func() (bool, any) { return b.OfferMessage() != nil, b.Err() })
	var offer struct {
		SDP    string
		Config struct {
			ICETransportPolicy string    `json:"iceTransportPolicy"`
			ICEServers         []account `json:"iceServers"`
		}
	}
	if err := json.Unmarshal(b.OfferMessage(), &offer); err != nil || len(offer.Config.ICEServers) != 1 {
		w.t.Fatalf("%v: %s", err, b.OfferMessage())
	}
	as := offer.Config.ICEServers[0]
	as.bot, as.sdp = b, offer.SDP
	if offer.Config.ICETransportPolicy == "all" {
		as.URLs = append(as.URLs, w.overMedia(as.URLs)...)
	}
	for _, m := range iceCredential.FindAllStringSubmatch(offer.SDP, -1) {
		if m[1] == "ufrag" {
			as.ufrag = m[2]
		} else {
			as.password = m[2]
		}
	}
	if as.ufrag == "" || as.password == "" || as.Username == "" || as.Credential == "" {
		w.t.Fatalf("no credentials in %s", b.OfferMessage())
	}
	return as
}

// overMedia returns the URLs of TURN over UDP, which clients that may send media directly are not
// told of: it is where media goes, of each family that there is.
func (w *world) overMedia(told []string) []string {
	urls := []string{fmt.Sprintf("turn:%v?transport=udp", netip.AddrPortFrom(server4, uint16(w.UDPPort())))}
	if slices.ContainsFunc(told, func(url string) bool { return strings.Contains(url, "[") }) {
		urls = append(urls, fmt.Sprintf("turn:%v?transport=udp", netip.AddrPortFrom(server6, uint16(w.UDPPort()))))
	}
	return urls
}

var iceCredential = regexp.MustCompile(`a=ice-(ufrag|pwd):([A-Za-z0-9+/]+)`)

// peer is the configuration of a bot in the test's one channel.
func (w *world) peer(role string) bot.Config {
	return bot.Config{
		URL: w.SignalingURL(), Channel: "room", Role: role, Audio: true, Video: true,
		Bitrate: 300_000, FrameRate: 20, // two packets a picture
		LocalAddrs: []netip.AddrPort{netip.AddrPortFrom(server4, 0)},
	}
}

// dial starts a bot that lives as long as the test, if nobody ends it before.
func (w *world) dial(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b, err := bot.Dial(within(w.t), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Kill)
	return b
}

// join is dial, and waits until the bot is connected.
func (w *world) join(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b := w.dial(cfg)
	requireConnected(w.t, b)
	return b
}

func requireConnected(t *testing.T, b *bot.Bot) {
	t.Helper()
	if err := b.WaitConnected(within(t)); err != nil {
		t.Fatal(err)
	}
}

// leave ends a bot in an orderly way.
func leave(t *testing.T, b *bot.Bot) {
	t.Helper()
	if err := b.Close(within(t)); err != nil {
		t.Error(err)
	}
}

// within is a context that ends when patience does.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition; what it returns beside is shown when it never comes.
func eventually(t testing.TB, what string, is func() (bool, any)) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		ok, state := is()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s: %+v", patience, what, state)
		}
	}
}
