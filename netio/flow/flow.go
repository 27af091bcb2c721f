// Package flow names the way a datagram took: the local address that it hit, and the
// remote address and port that it came from.
//
// The local address is part of the name because a reply has to leave from it: a socket
// bound to the wildcard address would otherwise pick one by the routing table, and ICE
// drops an answer that comes from elsewhere. The local port is the same for all flows of
// a server and so is not stored. Keys are plain bytes: comparable, free of pointers, and
// so invisible to the garbage collector in tables of any size. Any goroutine may use them.
package flow

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address in 16 bytes; an IPv4 address is stored IPv4-mapped (RFC 4291
// section 2.5.5.2). Zones are not kept: link-local addresses are never advertised.
type Addr [16]byte

// AddrOf converts a; an invalid address becomes the zero Addr.
func AddrOf(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return a.As16()
}

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool {
	// Two words: it is asked for every datagram that is sent.
	return binary.LittleEndian.Uint64(a[:8]) == 0 && binary.LittleEndian.Uint32(a[8:12]) == 0xffff0000
}

// Netip converts back; IPv4 addresses come out as such, not mapped.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Key names one flow as this server sees it.
type Key struct {
	Local  Addr   // the address of ours that the datagram hit, and that replies leave from
	Remote Addr   // the peer's address
	Port   uint16 // the peer's port, host byte order
	Via    Via    // how it travels; zero: plain UDP
}

// KeyOf builds a key from the standard library's types.
func KeyOf(local netip.Addr, remote netip.AddrPort) Key {
	return Key{Local: AddrOf(local), Remote: AddrOf(remote.Addr()), Port: remote.Port()}
}

// RemoteAddrPort returns the peer's address and port.
func (k Key) RemoteAddrPort() netip.AddrPort {
	return netip.AddrPortFrom(k.Remote.Netip(), k.Port)
}

// Is4 reports whether the flow runs over IPv4.
func (k Key) Is4() bool { return k.Remote.Is4() }
