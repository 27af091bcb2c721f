package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"tsubame/configs"
	"tsubame/signal/candidate"
	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/turnurl"
	"tsubame/turnsrv"
)

// advertised is how clients are told to reach us, and what that was made of. It does not change.
type advertised struct {
	candidates []string // values of the a=candidate lines
	turnURLs   []string

	addresses []netip.Addr
	turn      configs.TURN
	ice       bool // candidates over TCP too
}

// advertise decides it, and tells media which addresses relayed media may go to.
func (s *server) advertise() error {
	addresses, err := s.addresses()
	if err != nil {
		return err
	}
	a := &advertised{addresses: addresses, turn: s.cfg.TURN, ice: s.cfg.TCP.ICE}
	a.candidates, a.turnURLs = s.ways(a)
	s.plane.SetAddresses(addresses)
	s.advertised.Store(a)
	s.log.Info("addresses advertised", "addresses", addressStrings(addresses), "turn_urls", a.turnURLs)
	return nil
}

// addresses asks what our addresses are now.
func (s *server) addresses() ([]netip.Addr, error) {
	a := s.cfg.Addresses
	c := candidate.Config{IPv4: a.IPv4, IPv6: a.IPv6, IPv6s: a.IPv6s, Dev: s.cfg.Server.Dev}
	if a.Public != "" {
		ctx, cancel := context.WithTimeout(context.Background(), stunTimeout)
		defer cancel()
		public, err := candidate.Query{}.Public(ctx, a.Public)
		if err != nil {
			return nil, fmt.Errorf("public_address: %w; set ipv4_address instead if the address is known", err)
		}
		c.Public = public
	}
	interfaces, err := candidate.Interfaces()
	if err != nil {
		return nil, err
	}
	return candidate.Choose(c, interfaces)
}

// ways returns the candidates and the URLs of our TURN server that a stands for; no URLs: clients are
// told of no such server.
func (s *server) ways(a *advertised) (candidates, turnURLs []string) {
	tcp := uint16(0)
	if a.ice && !relayOnly(&a.turn) { // no relay leads to a TCP port of ours
		tcp = s.tcp.seen()
	}
	return candidate.Values(a.addresses, uint16(s.plane.Port()), tcp), s.turnURLs(&a.turn, a.addresses)
}

// reach is how a client is told to reach us whom the application has told apart: at other
// addresses, or through TURN by other names and ways. Our own addresses stay candidates behind those
// that it was told: our relay knows of no others. Any goroutine may call it.
func (s *server) reach(r session.Reach) (candidates, turnURLs []string) {
	a := *s.advertised.Load()
	a.turn.FQDN, a.turn.TLSFQDN = cmp.Or(r.TURNFQDN, a.turn.FQDN), cmp.Or(r.TURNTLSFQDN, a.turn.TLSFQDN)
	if r.TURNTCPOnly != sora.Unset {
		a.turn.TCPOnly = r.TURNTCPOnly == sora.True
	}
	if r.TURNTLSOnly != sora.Unset {
		a.turn.TLSOnly = r.TURNTLSOnly == sora.True
	}
	own := a.addresses
	for _, told := range []netip.Addr{r.IPv6, r.IPv4} {
		if told.IsValid() {
			own = slices.DeleteFunc(slices.Clone(own), func(o netip.Addr) bool { return o == told })
			own = slices.Insert(own, 0, told)
			a.addresses = slices.DeleteFunc(slices.Clone(a.addresses), func(o netip.Addr) bool { return o.Is4() == told.Is4() })
			a.addresses = slices.Insert(a.addresses, 0, told)
		}
	}
	_, turnURLs = s.ways(&a)
	a.addresses = own
	candidates, _ = s.ways(&a)
	return candidates, turnURLs
}

func (s *server) turnURLs(t *configs.TURN, addresses []netip.Addr) []string {
	if !t.On {
		return nil
	}
	c := turnurl.Config{FQDN: t.FQDN, TLSFQDN: t.TLSFQDN, TCPOnly: t.TCPOnly, TLSOnly: t.TLSOnly}
	if relayOnly(t) {
		// TURN over UDP goes to the address and port that direct media goes to, so that it helps
		// nobody who may send media directly. And libwebrtc takes whatever comes from the address
		// of a TURN server for TURN: a client told of both would never be sent anything directly.
		c.UDPPort = uint16(s.plane.Port())
	}
	if t.TCP {
		c.TCPPort = s.tcp.seen()
	}
	if t.TLS {
		c.TLSPort = t.TLSPort
	}
	return c.URLs(addresses)
}

// relayOnly reports whether clients are told to send all media through TURN. Whoever lets them
// know of one kind of URL only wants to see that kind at work, which would not be if they could
// send media directly.
func relayOnly(t *configs.TURN) bool {
	return t.RelayOnly || t.On && (t.TCPOnly || t.TLSOnly)
}

// warnOfTests says which settings no server in production should have.
func (s *server) warnOfTests() {
	t := &s.cfg.TURN
	if !t.On {
		return
	}
	if len(t.Realm) > turnsrv.MaxRealm {
		s.log.Warn("turn_realm is cut: a longer one would make the answers to strangers longer than three times their requests",
			"realm", t.Realm[:turnsrv.MaxRealm])
	}
	if t.TCPOnly {
		s.log.Warn("turn_tcp_only is for tests: clients are told of TURN over TCP only, and to send all media through it")
	}
	if t.TLSOnly {
		s.log.Warn("turn_tls_only is for tests: clients are told of TURN over TLS only, and to send all media through it")
	}
	if port := s.cfg.TCP.TLSPort; t.TLS && port != 0 && port != t.TLSPort {
		s.log.Info("clients are told of TURN over TLS at turn_tls_port: something has to forward it to tls_port",
			"turn_tls_port", t.TLSPort, "tls_port", port)
	}
}

func addressStrings(list []netip.Addr) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}
