package turnurl

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

func list(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, u := range got {
		if _, err := stun.ParseURI(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// The first worked example of Sora's manual: everything is set, and the webhook hands out a name
// for TLS, which is in TLSFQDN then. Its UDP port is any; ours is the one of all media.
func TestManualsExampleWithNames(t *testing.T) {
	c := Config{FQDN: "sora-turn.example.com", TLSFQDN: "sora-turn-tls.example.com", UDPPort: 54321, TCPPort: 3478, TLSPort: 5349}
	check(t, c.URLs(list("192.0.2.1")),
		"turn:sora-turn.example.com:54321?transport=udp",
		"turn:sora-turn.example.com:3478?transport=tcp",
		"turns:sora-turn-tls.example.com:5349?transport=tcp")
}

// The second one: defaults, two addresses that were found.
func TestManualsExampleWithTwoAddresses(t *testing.T) {
	c := Config{UDPPort: 54321, TCPPort: 3478}
	check(t, c.URLs(list("192.0.2.1", "198.51.100.1")),
		"turn:192.0.2.1:54321?transport=udp",
		"turn:192.0.2.1:3478?transport=tcp",
		"turn:198.51.100.1:54321?transport=udp",
		"turn:198.51.100.1:3478?transport=tcp")
}

func TestIPv6AddressesAreInBrackets(t *testing.T) {
	c := Config{UDPPort: 3478, TCPPort: 443}
	check(t, c.URLs(list("2001:db8::10")),
		"turn:[2001:db8::10]:3478?transport=udp",
		"turn:[2001:db8::10]:443?transport=tcp")
}

func TestTLSTakesTheOtherNameWhenItHasNone(t *testing.T) {
	c := Config{FQDN: "turn.example.com", UDPPort: 3478, TLSPort: 443}
	check(t, c.URLs(nil), "turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:443?transport=tcp")
}

func TestTLSHasItsOwnNameBesideAddresses(t *testing.T) {
	c := Config{TLSFQDN: "turn.example.com", UDPPort: 3478, TLSPort: 443}
	check(t, c.URLs(list("192.0.2.1")), "turn:192.0.2.1:3478?transport=udp", "turns:turn.example.com:443?transport=tcp")
}

func TestWithoutAPortForUDPThereIsNone(t *testing.T) {
	c := Config{FQDN: "turn.example.com", TCPPort: 443, TLSPort: 443}
	check(t, c.URLs(list("192.0.2.1")), "turn:turn.example.com:443?transport=tcp", "turns:turn.example.com:443?transport=tcp")
}

func TestTLSNeedsAName(t *testing.T) {
	c := Config{UDPPort: 3478, TLSPort: 443}
	check(t, c.URLs(list("192.0.2.1")), "turn:192.0.2.1:3478?transport=udp")
}

func TestOnlyTheKindThatIsTested(t *testing.T) {
	c := Config{FQDN: "turn.example.com", UDPPort: 3478, TCPPort: 3478, TLSPort: 5349, TCPOnly: true}
	check(t, c.URLs(nil), "turn:turn.example.com:3478?transport=tcp")
	c.TCPOnly, c.TLSOnly = false, true
	check(t, c.URLs(nil), "turns:turn.example.com:5349?transport=tcp")
}

func TestAtTheBoundTheLastHostsAreLeftOutAndTLSStays(t *testing.T) {
	four := list("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	c := Config{UDPPort: 3478, TCPPort: 3478}
	check(t, c.URLs(four),
		"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp",
		"turn:192.0.2.2:3478?transport=udp", "turn:192.0.2.2:3478?transport=tcp",
		"turn:192.0.2.3:3478?transport=udp")
	c.TLSFQDN, c.TLSPort = "turn.example.com", 443
	check(t, c.URLs(four),
		"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp",
		"turn:192.0.2.2:3478?transport=udp", "turn:192.0.2.2:3478?transport=tcp",
		"turns:turn.example.com:443?transport=tcp")
}

func TestAtTheBoundEachFamilyKeepsAHost(t *testing.T) {
	c := Config{UDPPort: 3478, TCPPort: 3478, TLSFQDN: "turn.example.com", TLSPort: 443}
	check(t, c.URLs(list("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")),
		"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp",
		"turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
		"turns:turn.example.com:443?transport=tcp")
}

func TestNothingIsMintedWithoutHosts(t *testing.T) {
	check(t, Config{UDPPort: 3478, TCPPort: 3478, TLSPort: 443}.URLs(nil))
}
