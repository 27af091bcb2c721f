//go:build browser

package browser

import (
	"maps"
	"net"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
	"tsubame/netio/stream/certtest"
)

// relayed is one way for a client's media through the TURN server.
type relayed struct {
	config    map[string]string
	protocol  string // relayProtocol of the local candidate: udp, tcp or tls
	transport string // turn_transport_type of notifications
}

// selectedPair is the candidate pair that a page's media travel by.
type selectedPair struct {
	Local    string // type of the local candidate
	Protocol string // by which it reaches the TURN server; of other types: what carries it
	URL      string
	Remote   string // type of the remote candidate
}

// pairScript returns the selected pair of a page; Firefox marks it, Chromium's transport
// names it.
const pairScript = `(async () => {
  for (const pc of probe.peers) {
    if (pc.connectionState !== "connected") continue;
    const stats = await pc.getStats();
    const all = [...stats.values()];
    const named = all.find((s) => s.type === "transport" && s.selectedCandidatePairId)?.selectedCandidatePairId;
    const pair = stats.get(named) ?? all.find((s) => s.type === "candidate-pair" && s.selected);
    if (!pair) continue;
    const local = stats.get(pair.localCandidateId), remote = stats.get(pair.remoteCandidateId);
    return { local: local.candidateType, protocol: local.relayProtocol ?? local.protocol,
      url: local.url ?? "", remote: remote.candidateType };
  }
  return { local: "none", protocol: "", url: "", remote: "" };
})()`

// requirePair waits until the page's media travel as wanted.
func (tb *tab) requirePair(local, protocol string) {
	tb.t.Helper()
	eventually(tb.t, arriveTimeout, tb.name+" goes by "+local+" over "+protocol, func() (bool, any) {
		p := eval[selectedPair](tb, pairScript)
		return p.Local == local && p.Protocol == protocol, p
	})
}

// requireCallThroughRelay is a call of two tabs of a browser, both through the relay.
func requireCallThroughRelay(t *testing.T, b browser, r relayed) {
	t.Helper()
	requireCallOf(t, b, b, r)
}

// requireCallOf is a call of two browsers through the relay.
func requireCallOf(t *testing.T, first, second browser, r relayed) {
	t.Helper()
	config := maps.Clone(r.config)
	config["ice_transport_policy"] = "relay"
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: config})
	red, blue := s.client(first, "red", 0), s.client(second, "blue", 5)
	red.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	blue.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	red.requireArrivesFrom(blue)
	blue.requireArrivesFrom(red)
	for _, c := range []*client{red, blue} {
		c.requirePair("relay", r.protocol)
	}
	for _, c := range []*client{red, blue} {
		n := red.requireNotify(arriveTimeout, "connection.created", c.id)
		if n.TURNTransportType != r.transport {
			t.Errorf("turn_transport_type of %s is %q, want %q", c.name, n.TURNTransportType, r.transport)
		}
	}
	blue.leave()
	red.leave()
}

func TestRelayOverUDP(t *testing.T) {
	besideChurn(t)
	requireCallThroughRelay(t, sharedChromium(t), relayed{
		config: map[string]string{"turn_tcp": "false"}, protocol: "udp", transport: "udp",
	})
}

func TestRelayOverTCP(t *testing.T) {
	besideChurn(t)
	requireCallThroughRelay(t, sharedChromium(t), relayed{
		config: map[string]string{"turn_tcp_only": "true"}, protocol: "tcp", transport: "tcp",
	})
}

// Over TLS that the server ends itself, on its one port for everything.
func TestRelayOverTLS(t *testing.T) {
	besideChurn(t)
	pair := certtest.New(t).Issue(t, "localhost")
	certificate, key := pair.Files(t)
	port := freeTCPPort(t)
	b := ownChromium(t, chromedp.Flag("ignore-certificate-errors-spki-list", pair.SPKI(t)))
	requireCallThroughRelay(t, b, relayed{
		config: map[string]string{
			"turn_tls_only": "true", "turn_tls": "true", "turn_tls_fqdn": "localhost", "turn_tls_port": port, "tls_port": port,
			"tls_certificate_file": certificate, "tls_private_key_file": key,
		}, protocol: "tls", transport: "tcp",
	})
}

// freeTCPPort returns a port that nobody listens at.
func freeTCPPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// Firefox and Chromium in one call.
func TestFirefoxThroughTheRelay(t *testing.T) {
	besideChurn(t, inFirefox)
	for protocol, config := range map[string]map[string]string{
		"udp": {"turn_tcp": "false"},
		"tcp": {"turn_tcp_only": "true"},
	} {
		t.Run(protocol, func(t *testing.T) {
			requireCallOf(t, theFirefox(t), sharedChromium(t), relayed{config: config, protocol: protocol, transport: protocol})
		})
	}
}

// With the defaults media goes directly, although clients are told of TURN as well: libwebrtc
// would take what comes from the address of a TURN server over UDP for TURN's.
func TestDefaultsLeadToADirectPath(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	red, blue := s.client(b, "red", 0), s.client(b, "blue", 5)
	red.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	blue.joinWith("sendrecv", options{"videoCodecType": "VP8"}, small)
	red.requireArrivesFrom(blue)
	blue.requireArrivesFrom(red)
	for _, c := range []*client{red, blue} {
		c.requirePair("host", "udp")
	}
}
