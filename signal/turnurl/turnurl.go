// Package turnurl mints the TURN URLs (RFC 7065) by which clients find the TURN server that is
// built in. It is pure: it opens, resolves and keeps nothing, any goroutine may call it, and
// what it returns is the caller's. The URLs are the same for all clients; the credentials that
// go with them are of one connection only, and none of this package's business.
package turnurl

import (
	"net"
	"net/netip"
	"strconv"
)

// Max is the most URLs that are minted: Firefox warns of more, and each costs every client an
// allocation.
const Max = 5

// Config is what there is and what the operator said.
type Config struct {
	FQDN    string // host of UDP and TCP instead of the addresses; empty: none
	TLSFQDN string // host of TLS; empty: FQDN

	UDPPort uint16 // 0: nothing is minted for UDP
	TCPPort uint16 // as clients see it; 0: nothing is minted for TCP
	TLSPort uint16 // the same for TLS, which needs a name too: certificates are for names

	// For tests: nothing but the URLs of that kind.
	TCPOnly bool
	TLSOnly bool
}

// URLs returns the URLs, best first: for each host UDP, then TCP; TLS last. The hosts are the
// FQDN, or else the addresses: the first of each family, then the others in their order.
//
// Beyond Max the last hosts are left out, so that a client of either family has a host as long
// as there is one; of a host whose two URLs do not fit UDP stays. TLS, the way out of networks
// that let nothing else through, always has its place.
func (c Config) URLs(addresses []netip.Addr) []string {
	tls := c.tls()
	room := Max
	if tls != "" {
		room--
	}
	var out []string
	add := func(url string) {
		if len(out) < room {
			out = append(out, url)
		}
	}
	for _, host := range c.hosts(addresses) {
		if c.UDPPort != 0 && !c.TCPOnly && !c.TLSOnly {
			add("turn:" + join(host, c.UDPPort) + "?transport=udp")
		}
		if c.TCPPort != 0 && !c.TLSOnly {
			add("turn:" + join(host, c.TCPPort) + "?transport=tcp")
		}
	}
	if tls != "" {
		out = append(out, tls)
	}
	return out
}

func (c Config) tls() string {
	host := c.TLSFQDN
	if host == "" {
		host = c.FQDN
	}
	if host == "" || c.TLSPort == 0 || c.TCPOnly {
		return ""
	}
	return "turns:" + join(host, c.TLSPort) + "?transport=tcp"
}

func (c Config) hosts(addresses []netip.Addr) []string {
	if c.FQDN != "" {
		return []string{c.FQDN}
	}
	var first, others []string
	var seen4, seen6 bool
	for _, a := range addresses {
		seen := &seen6
		if a.Is4() {
			seen = &seen4
		}
		if *seen {
			others = append(others, a.String())
			continue
		}
		*seen = true
		first = append(first, a.String())
	}
	return append(first, others...)
}

// join puts an IPv6 address in brackets (RFC 7065 section 3.1, by RFC 3986).
func join(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
