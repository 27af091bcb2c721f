// Package candidate decides which addresses of this machine clients are told to send media
// to, and writes them as ICE candidates. Choosing is pure: the interfaces and the public
// address are given. The functions that ask the system (Interfaces) or the network (Public)
// may wait and are for start and reload only. Any goroutine may call everything here;
// nothing is kept, and what is returned is the caller's.
package candidate

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
)

// Max is the most addresses that are advertised. Each costs every client a check, and a
// server with more has no use for them.
const Max = 4

// Config is what the operator said.
type Config struct {
	IPv4   []netip.Addr // instead of the interfaces' addresses; need not be local
	IPv6   bool         // use IPv6 at all
	IPv6s  []netip.Addr // as IPv4
	Public netip.Addr   // answer of a STUN server; zero: none was asked
	Dev    bool         // loopback addresses too
}

// Interface is a network interface with its addresses.
type Interface struct {
	Name      string
	Up        bool
	Addresses []netip.Addr
}

// Interfaces returns those of this machine.
func Interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("candidate: interfaces: %w", err)
	}
	var out []Interface
	for _, i := range list {
		addresses, err := i.Addrs()
		if err != nil {
			// The interface may have gone since it was listed.
			continue
		}
		one := Interface{Name: i.Name, Up: i.Flags&net.FlagUp != 0}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				one.Addresses = append(one.Addresses, p.Addr().Unmap())
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// internal matches interfaces that lead to containers and virtual machines of this host,
// where no client is.
var internal = []string{"docker*", "veth*", "br-*", "virbr*", "vnet*", "cni*", "flannel*", "cali*", "cilium*", "lxc*", "lxd*", "podman*", "kube-*", "nodelocaldns*", "dummy*"}

func isInternal(name string) bool {
	for _, pattern := range internal {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// ErrNone says that there is no address to advertise.
var ErrNone = errors.New("candidate: no address to advertise; set ipv4_address (or ipv6 = true and ipv6_address) to one that clients can reach")

// Choose returns the addresses to advertise, best first: what the operator named, then the
// public address, then those of interfaces, IPv4 before IPv6. Loopback comes last, in
// development, or alone when there is nothing else.
func Choose(cfg Config, interfaces []Interface) ([]netip.Addr, error) {
	var c chosen
	c.add(cfg.IPv4...)
	if cfg.IPv6 {
		c.add(cfg.IPv6s...)
	}
	if cfg.Public.IsValid() && (cfg.Public.Is4() || cfg.IPv6) {
		c.add(cfg.Public)
	}
	var v4, v6, loop4, loop6 []netip.Addr
	for _, i := range interfaces {
		if !i.Up || isInternal(i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			switch {
			case a.IsLinkLocalUnicast(), a.IsUnspecified(), a.IsMulticast(), !a.IsValid():
			case a.IsLoopback() && a.Is4():
				loop4 = append(loop4, a)
			case a.IsLoopback():
				loop6 = append(loop6, a)
			case a.Is4():
				v4 = append(v4, a)
			default:
				v6 = append(v6, a)
			}
		}
	}
	if len(cfg.IPv4) == 0 {
		c.add(v4...)
	}
	if cfg.IPv6 && len(cfg.IPv6s) == 0 {
		c.add(v6...)
	}
	if !cfg.IPv6 {
		loop6 = nil
	}
	if cfg.Dev {
		// Development means clients on this machine: their way may not be cut off by the
		// bound.
		c.reserve(loop4, loop6)
	}
	if len(c.list) == 0 {
		c.reserve(loop4, loop6)
	}
	if len(c.list) == 0 {
		return nil, ErrNone
	}
	return c.list, nil
}

type chosen struct{ list []netip.Addr }

// add appends addresses that are not there yet, up to Max.
func (c *chosen) add(addresses ...netip.Addr) {
	for _, a := range addresses {
		if len(c.list) < Max && !c.has(a) {
			c.list = append(c.list, a)
		}
	}
}

func (c *chosen) has(a netip.Addr) bool {
	for _, b := range c.list {
		if a == b {
			return true
		}
	}
	return false
}

// reserve appends the first loopback address of each family, in place of the last others if
// there is no room.
func (c *chosen) reserve(loop4, loop6 []netip.Addr) {
	var want []netip.Addr
	for _, l := range [][]netip.Addr{loop4, loop6} {
		if len(l) > 0 && !c.has(l[0]) {
			want = append(want, l[0])
		}
	}
	c.list = append(c.list[:min(len(c.list), Max-len(want))], want...)
}

// Values returns the values of the a=candidate lines (RFC 8839 section 5.1) for the
// addresses, on the one UDP port of the server and, behind those, on its TCP port, where it
// waits for connections (RFC 6544 section 4.5); tcp 0: there is none. ICE-lite has host
// candidates only (RFC 8445 section 2.5).
func Values(addresses []netip.Addr, udp, tcp uint16) []string {
	var out []string
	for i, a := range addresses {
		out = append(out, value(i+1, "udp", priority(i), a, udp))
	}
	if tcp == 0 {
		return out
	}
	for i, a := range addresses {
		// Another transport is another foundation (RFC 8445 section 5.1.1.3).
		out = append(out, value(len(addresses)+i+1, "tcp", passivePriority(i), a, tcp)+" tcptype passive")
	}
	return out
}

func value(foundation int, transport string, priority uint32, a netip.Addr, port uint16) string {
	return strconv.Itoa(foundation) + " 1 " + transport + " " + strconv.FormatUint(uint64(priority), 10) + " " +
		a.String() + " " + strconv.Itoa(int(port)) + " typ host"
}

// priority is the formula of RFC 8445 section 5.1.2 for the i-th host candidate of
// component 1.
func priority(i int) uint32 {
	const hostPreference = 126
	localPreference := uint32(65535 - i)
	return hostPreference<<24 | localPreference<<8 | (256 - 1)
}

// passivePriority is the same for TCP (RFC 6544 section 4.2). The type preference is below that
// of every candidate over UDP that a client may have of itself, but relayed ones: media over TCP
// waits for what is lost, so it is for those who cannot do without.
func passivePriority(i int) uint32 {
	const (
		hostPreference    = 90
		passivePreference = 4
	)
	otherPreference := uint32(8191 - i)
	return hostPreference<<24 | (passivePreference<<13|otherPreference)<<8 | (256 - 1)
}
