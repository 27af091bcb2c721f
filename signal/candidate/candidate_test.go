package candidate

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
)

func list(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func up(name string, addresses ...string) Interface {
	return Interface{Name: name, Up: true, Addresses: list(addresses...)}
}

var lo = up("lo", "127.0.0.1", "::1")

func TestChoice(t *testing.T) {
	eth := up("eth0", "192.0.2.10", "2001:db8::10", "fe80::10")
	for name, c := range map[string]struct {
		cfg        Config
		interfaces []Interface
		want       []netip.Addr
	}{
		"interfaces that are up": {Config{}, []Interface{lo, eth, {Name: "eth1", Addresses: list("192.0.2.11")}}, list("192.0.2.10")},
		"with IPv6":              {Config{IPv6: true}, []Interface{lo, eth}, list("192.0.2.10", "2001:db8::10")},
		"no containers and bridges": {Config{}, []Interface{up("docker0", "172.17.0.1"), up("veth12ab", "10.0.0.1"), up("br-0af3", "172.18.0.1"),
			up("virbr0", "192.168.122.1"), up("cni0", "10.244.0.1"), up("podman0", "10.88.0.1"), eth}, list("192.0.2.10")},
		"a bridge with a name of its own":       {Config{}, []Interface{up("br0", "192.0.2.9")}, list("192.0.2.9")},
		"no link-local IPv4":                    {Config{}, []Interface{up("eth0", "169.254.1.1"), up("eth1", "192.0.2.1")}, list("192.0.2.1")},
		"loopback when there is nothing":        {Config{}, []Interface{lo, up("docker0", "172.17.0.1")}, list("127.0.0.1")},
		"both loopbacks with IPv6":              {Config{IPv6: true}, []Interface{lo}, list("127.0.0.1", "::1")},
		"loopback beside others in development": {Config{Dev: true}, []Interface{lo, eth}, list("192.0.2.10", "127.0.0.1")},
		"named addresses instead":               {Config{IPv4: list("203.0.113.1")}, []Interface{lo, eth}, list("203.0.113.1")},
		"named IPv4, found IPv6":                {Config{IPv4: list("203.0.113.1"), IPv6: true}, []Interface{lo, eth}, list("203.0.113.1", "2001:db8::10")},
		"found IPv4, named IPv6":                {Config{IPv6s: list("2001:db8::99"), IPv6: true}, []Interface{lo, eth}, list("2001:db8::99", "192.0.2.10")},
		"named IPv6 without IPv6":               {Config{IPv6s: list("2001:db8::99")}, []Interface{lo, eth}, list("192.0.2.10")},
		"the public address first":              {Config{Public: netip.MustParseAddr("203.0.113.7")}, []Interface{lo, eth}, list("203.0.113.7", "192.0.2.10")},
		"the public address is local":           {Config{Public: netip.MustParseAddr("192.0.2.10")}, []Interface{lo, eth}, list("192.0.2.10")},
		"at most four":                          {Config{}, []Interface{up("a", "192.0.2.1", "192.0.2.2", "192.0.2.3"), up("b", "192.0.2.4", "192.0.2.5")}, list("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")},
		"at most four, one of them loopback": {Config{Dev: true}, []Interface{lo, up("a", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")},
			list("192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1")},
		"an address twice": {Config{}, []Interface{up("a", "192.0.2.1"), up("b", "192.0.2.1")}, list("192.0.2.1")},
	} {
		got, err := Choose(c.cfg, c.interfaces)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v %v, want %v", name, got, err, c.want)
		}
	}
}

func TestNoAddressIsAnErrorThatSaysWhatToDo(t *testing.T) {
	_, err := Choose(Config{}, []Interface{up("docker0", "172.17.0.1"), up("eth0", "2001:db8::1")})
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "ipv4_address") {
		t.Errorf("error %v", err)
	}
}

func TestValuesAreInTheGrammar(t *testing.T) {
	got := Values(list("192.0.2.1", "2001:db8::1"), 3478, 0)
	want := []string{
		"1 1 udp 2130706431 192.0.2.1 3478 typ host", // 126<<24 | 65535<<8 | 255
		"2 1 udp 2130706175 2001:db8::1 3478 typ host",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPassiveCandidatesFollowWithLowerPriorities(t *testing.T) {
	got := Values(list("192.0.2.1", "2001:db8::1"), 3478, 443)[2:]
	want := []string{
		"3 1 tcp 1520435199 192.0.2.1 443 typ host tcptype passive", // 90<<24 | (4<<13 + 8191)<<8 | 255
		"4 1 tcp 1520434943 2001:db8::1 443 typ host tcptype passive",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnICEAgentUnderstandsEveryValue(t *testing.T) {
	addresses := list("192.0.2.1", "2001:db8::1")
	before := uint32(1<<32 - 1)
	foundations := map[string]bool{}
	for i, v := range Values(addresses, 3478, 443) {
		c, err := ice.UnmarshalCandidate(v)
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		network, tcp := ice.NetworkTypeUDP4, ice.TCPTypeUnspecified
		switch i {
		case 1:
			network = ice.NetworkTypeUDP6
		case 2:
			network, tcp = ice.NetworkTypeTCP4, ice.TCPTypePassive
		case 3:
			network, tcp = ice.NetworkTypeTCP6, ice.TCPTypePassive
		}
		if c.NetworkType() != network || c.TCPType() != tcp || c.Type() != ice.CandidateTypeHost || c.Address() != addresses[i%2].String() {
			t.Errorf("%s: understood as %v", v, c)
		}
		if c.Priority() >= before || foundations[c.Foundation()] {
			t.Errorf("%s: its priority is not below the one before, or its foundation is not new", v)
		}
		before, foundations[c.Foundation()] = c.Priority(), true
	}
}

func TestInterfacesOfThisMachine(t *testing.T) {
	all, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		for _, a := range i.Addresses {
			if i.Up && a.IsLoopback() {
				return
			}
		}
	}
	t.Errorf("no loopback address among %v", all)
}
