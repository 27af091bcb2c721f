package ws

import (
	"net/http"
	"net/netip"
	"strings"
)

// bearer returns the token that a request shows (RFC 6750 section 2.1); empty: none. Clients
// that are no browsers can: those cannot set headers.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// proxies are the networks whose X-Forwarded-For is believed.
type proxies []netip.Prefix

func (p proxies) contain(a netip.Addr) bool {
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client returns where a request comes from, and how that is written in the log. It is the
// address that connected to us or, if that is a proxy's, the right-most address in
// X-Forwarded-For that is not: each proxy appends whom it was called by, so that what is
// further left is only what somebody said of himself.
func (p proxies) client(r *http.Request) (netip.Addr, string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, r.RemoteAddr
	}
	direct := peer.Addr().Unmap().WithZone("")
	if !p.contain(direct) {
		return direct, r.RemoteAddr
	}
	a := p.forwarded(direct, r.Header.Values("X-Forwarded-For"))
	return a, a.String()
}

// forwarded walks from the proxy that connected to us towards the client. At what is no
// address it stops, and the proxy that reported it stands for the client. The header's
// limit bounds the walk.
func (p proxies) forwarded(proxy netip.Addr, values []string) netip.Addr {
	at := proxy
	for i := len(values) - 1; i >= 0; i-- {
		rest, more := values[i], true
		for more {
			var hop string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				hop, more = rest, false
			}
			a, ok := hopAddress(strings.TrimSpace(hop))
			if !ok {
				return at
			}
			if at = a; !p.contain(a) {
				return at
			}
		}
	}
	return at
}

// hopAddress reads one entry: an address, in brackets or not, with a port or not.
func hopAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}
