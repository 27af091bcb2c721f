package netem

import "encoding/binary"

const (
	protocolUDP = 17
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8

	// firstPort is the first that the NAT gives out: beyond those that Linux gives to clients.
	firstPort, lastPort = 61000, 65535
)

// datagram is a view of a UDP datagram in an IP packet that is not a fragment and has no
// extension headers or options; what else there is passes the NAT as it is.
type datagram struct {
	udp  []byte // from the UDP header on
	ipv4 bool
}

// peekUDP finds the datagram in a packet.
func peekUDP(p []byte) (datagram, bool) {
	if len(p) == 0 {
		return datagram{}, false
	}
	switch p[0] >> 4 {
	case 4:
		if len(p) < ipv4Header+udpHeader || p[0]&15 != 5 || p[9] != protocolUDP || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return datagram{}, false
		}
		return datagram{p[ipv4Header:], true}, true
	case 6:
		if len(p) < ipv6Header+udpHeader || p[6] != protocolUDP {
			return datagram{}, false
		}
		return datagram{p[ipv6Header:], false}, true
	}
	return datagram{}, false
}

func (d datagram) source() uint16      { return binary.BigEndian.Uint16(d.udp) }
func (d datagram) destination() uint16 { return binary.BigEndian.Uint16(d.udp[2:]) }
func (d datagram) payload() []byte     { return d.udp[udpHeader:] }

func (d datagram) setSource(port uint16)      { d.setPort(0, port) }
func (d datagram) setDestination(port uint16) { d.setPort(2, port) }

// setPort writes a port and mends the checksum (RFC 1624).
func (d datagram) setPort(at int, port uint16) {
	old := binary.BigEndian.Uint16(d.udp[at:])
	binary.BigEndian.PutUint16(d.udp[at:], port)
	sum := binary.BigEndian.Uint16(d.udp[6:])
	if sum == 0 && d.ipv4 {
		return // none was made
	}
	x := uint32(^sum) + uint32(^old) + uint32(port)
	x = x&0xffff + x>>16
	x = x&0xffff + x>>16
	if sum = ^uint16(x); sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(d.udp[6:], sum)
}

// forgo takes the checksum away, so that a corrupted datagram arrives. IPv6 has to have one.
func (d datagram) forgo() {
	if d.ipv4 {
		d.udp[6], d.udp[7] = 0, 0
	}
}

// nat is what a home router does: each port of the client is another one outside, whoever is
// spoken to. Until its first change ports are the same on both sides.
type nat struct {
	on      bool
	next    uint16
	outside map[uint16]uint16 // by the client's port
	inside  map[uint16]uint16 // by the port outside
}

// rebind forgets all flows: what the client sends gets other ports from now on, and what comes
// to those of before is lost.
func (n *nat) rebind() {
	if !n.on {
		n.on, n.next = true, firstPort
	}
	n.outside, n.inside = map[uint16]uint16{}, map[uint16]uint16{}
}

// out rewrites a datagram of the client.
func (n *nat) out(d datagram) {
	if !n.on {
		return
	}
	port, known := n.outside[d.source()]
	if !known {
		port = n.next
		if n.next++; n.next == lastPort {
			n.next = firstPort
		}
		delete(n.outside, n.inside[port]) // one of thousands of flows ago
		n.outside[d.source()], n.inside[port] = port, d.source()
	}
	d.setSource(port)
}

// in rewrites a datagram to the client, or says that nobody waits for it.
func (n *nat) in(d datagram) bool {
	if !n.on {
		return true
	}
	port, known := n.inside[d.destination()]
	if known {
		d.setDestination(port)
	}
	return known
}
