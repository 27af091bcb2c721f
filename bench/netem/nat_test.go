package netem

import (
	"encoding/binary"
	"testing"
	"time"
)

// packet4 is an IPv4 packet with a UDP datagram and its checksum.
func packet4(source, destination uint16, payload []byte) []byte {
	p := make([]byte, ipv4Header+udpHeader, ipv4Header+udpHeader+len(payload))
	p[0], p[8], p[9] = 0x45, 64, protocolUDP
	copy(p[12:], []byte{10, 0, 0, 2})
	copy(p[16:], []byte{10, 0, 0, 1})
	binary.BigEndian.PutUint16(p[20:], source)
	binary.BigEndian.PutUint16(p[22:], destination)
	binary.BigEndian.PutUint16(p[24:], uint16(udpHeader+len(payload)))
	p = append(p, payload...)
	binary.BigEndian.PutUint16(p[26:], checksum(p))
	return p
}

// checksum is that of the UDP datagram in an IPv4 packet, computed anew (RFC 768).
func checksum(p []byte) uint16 {
	sum := uint32(protocolUDP) + uint32(len(p)-ipv4Header)
	add := func(b []byte, leaveOut int) {
		for i := 0; i < len(b); i += 2 {
			if i == leaveOut {
				continue
			}
			word := uint32(b[i]) << 8
			if i+1 < len(b) {
				word |= uint32(b[i+1])
			}
			sum += word
		}
	}
	add(p[12:20], -1)
	add(p[20:], 6)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	if sum = ^sum & 0xffff; sum == 0 {
		sum = 0xffff
	}
	return uint16(sum)
}

func TestRewrittenPortsHaveARightChecksum(t *testing.T) {
	for i := range 2000 {
		p := packet4(uint16(i*31+1), uint16(i*17+2), make([]byte, i%97))
		d, ok := peekUDP(p)
		if !ok {
			t.Fatal("no datagram")
		}
		d.setSource(uint16(60_000 + i))
		d.setDestination(uint16(i * 7))
		if got, want := binary.BigEndian.Uint16(p[26:]), checksum(p); got != want {
			t.Fatalf("%d: %#x, want %#x", i, got, want)
		}
		if d.source() != uint16(60_000+i) || d.destination() != uint16(i*7) {
			t.Fatalf("%d: %d to %d", i, d.source(), d.destination())
		}
	}
}

func TestWithoutAChecksumNoneIsMade(t *testing.T) {
	p := packet4(1, 2, []byte{3})
	d, _ := peekUDP(p)
	d.forgo()
	d.setSource(9)
	if p[26] != 0 || p[27] != 0 {
		t.Fatalf("% x", p)
	}
}

// What is no whole UDP datagram in a packet without options passes as it is.
func TestOtherPacketsAreNoDatagrams(t *testing.T) {
	whole := packet4(1, 2, []byte{1, 2, 3, 4})
	for n := range ipv4Header + udpHeader {
		if _, ok := peekUDP(whole[:n]); ok {
			t.Errorf("%d bytes are a datagram", n)
		}
	}
	for name, change := range map[string]func(p []byte){
		"TCP":                     func(p []byte) { p[9] = 6 },
		"options":                 func(p []byte) { p[0] = 0x46 },
		"fragment":                func(p []byte) { p[7] = 1 },
		"first of more fragments": func(p []byte) { p[6] = 0x20 },
		"version 5":               func(p []byte) { p[0] = 0x55 },
	} {
		p := packet4(1, 2, []byte{1, 2, 3, 4})
		change(p)
		if _, ok := peekUDP(p); ok {
			t.Errorf("%s is a datagram", name)
		}
	}
}

func TestNATGivesEachFlowAPortOfItsOwnAndForgetsTheOldest(t *testing.T) {
	var n nat
	n.rebind()
	seen := map[uint16]bool{}
	const flows = lastPort - firstPort
	out := func(port uint16) uint16 {
		d, _ := peekUDP(packet4(port, 5, nil))
		n.out(d)
		return d.source()
	}
	for i := range flows {
		seen[out(uint16(i+1))] = true
	}
	if len(seen) != flows || out(1) != firstPort {
		t.Fatalf("%d flows have %d ports", flows, len(seen))
	}
	if out(flows+1) != firstPort || out(1) == firstPort {
		t.Fatal("the first flow's port belongs to two")
	}
	if len(n.inside) > flows || len(n.outside) > flows {
		t.Fatalf("%d and %d entries", len(n.inside), len(n.outside))
	}
}

func TestPacketsAreTold(t *testing.T) {
	stun := func(kind ...byte) []byte {
		return append(append(kind, 0, 0, 0x21, 0x12, 0xa4, 0x42), make([]byte, 12)...)
	}
	for _, c := range []struct {
		name    string
		payload []byte
		want    Record
	}{
		{"a check", stun(0, 1), Record{Kind: STUN, Type: 1}},
		{"its answer", stun(1, 1), Record{Kind: STUN, Type: 2}},
		{"DTLS", []byte{22, 0xfe, 0xfd}, Record{Kind: DTLS}},
		{"RTP", []byte{0x90, 0xe0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4}, Record{Kind: RTP, Type: 96, SSRC: 0x01020304}},
		{"RTCP", []byte{0x81, 201, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4}, Record{Kind: RTCP}},
		{"short RTP", []byte{0x90, 0xe0, 0}, Record{}},
		{"nothing", nil, Record{}},
	} {
		p := packet4(1, 2, c.payload)
		c.want.Size = len(p)
		if got := classify(p); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestLateness(t *testing.T) {
	var l lateness
	for i := range 100 {
		l.add(time.Duration(i) * 100 * time.Microsecond)
	}
	if p := l.of(0.5); p < 5*time.Millisecond || p > 5100*time.Microsecond {
		t.Errorf("the median is %v", p)
	}
	if l.most != 9900*time.Microsecond || (&lateness{}).of(0.5) != 0 {
		t.Error(l.most)
	}
}
