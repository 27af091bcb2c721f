package conn

import (
	"testing"
	"unsafe"

	"tsubame/media/rtcp"
	"tsubame/media/srtp"
)

// Send finds what it needs of a subscription right in front of the stream, so that the three
// lines that the stream asks for are all. An object of this size begins with a word of the
// runtime's, hence 24 bytes at most (see media/send).
func TestASubscriptionsHotPartIsInFrontOfItsStream(t *testing.T) {
	var s subscriber
	front := unsafe.Offsetof(s.stream)
	if front > 16 {
		t.Errorf("the stream begins at byte %d", front)
	}
	for name, at := range map[string]uintptr{
		"sealer": unsafe.Offsetof(s.sealer), "class": unsafe.Offsetof(s.class), "waiting": unsafe.Offsetof(s.waiting),
	} {
		if at >= front {
			t.Errorf("%s stands at byte %d, behind the stream", name, at)
		}
	}
	if n := unsafe.Sizeof(s); n > 896-8 {
		t.Errorf("a subscription has %d bytes, more than its size class", n)
	}
}

// What every packet needs of a connection is one cache line: with thousands of viewers each
// line is a wait for memory. Go aligns what is so large to cache lines, behind a header of 8
// bytes. Of a slice the pointer and the length are needed.
func TestFirstLineOfAConnectionHasWhatEveryPacketNeeds(t *testing.T) {
	var c Conn
	for name, end := range map[string]uintptr{
		"Heard":   unsafe.Offsetof(c.Heard) + unsafe.Sizeof(c.Heard),
		"twccOut": unsafe.Offsetof(c.twccOut) + unsafe.Sizeof(c.twccOut),
		"session": unsafe.Offsetof(c.session) + unsafe.Sizeof(c.session),
		"subs":    unsafe.Offsetof(c.subs) + 2*unsafe.Sizeof(uintptr(0)),
		"binds":   unsafe.Offsetof(c.binds) + 2*unsafe.Sizeof(uintptr(0)),
	} {
		if end > 64-8 {
			t.Errorf("%s ends at byte %d", name, end)
		}
	}
}

// What every packet needs of the estimate and the pacer stands together, in two cache lines as a
// rule: the end of one and the beginning of the other.
func TestPacerAndEstimatorMeetInWhatEveryPacketNeeds(t *testing.T) {
	var o outgoing
	if end := unsafe.Offsetof(o.pace) + unsafe.Sizeof(o.pace); end != unsafe.Offsetof(o.est) {
		t.Errorf("the pacer ends at byte %d, the estimator begins at %d", end, unsafe.Offsetof(o.est))
	}
	if n := unsafe.Sizeof(o); n > 2048-8 {
		t.Errorf("it has %d bytes", n)
	}
	var c Conn
	if at := unsafe.Offsetof(c.out); at >= 128-8 || at+8 > unsafe.Offsetof(c.ICE) {
		t.Errorf("it is found at byte %d, ICE at %d", at, unsafe.Offsetof(c.ICE))
	}
}

// What is counted with every packet stands where the packet is handled anyway: RTP that comes
// changes the policer's second line, RTCP that of the control policer, what goes through a relay
// is counted with ICE's choice of a path. Objects of this size begin 8 bytes into a line.
func TestCountsStandInLinesThatPacketsTouchAnyway(t *testing.T) {
	var c Conn
	line := func(at uintptr) uintptr { return (at + 8) / 64 }
	last := func(at, size uintptr) uintptr { return line(at + size - 1) }
	policer := last(unsafe.Offsetof(c.policer), unsafe.Sizeof(c.policer))
	if line(unsafe.Offsetof(c.rtpIn)) != policer || last(unsafe.Offsetof(c.rtpIn), unsafe.Sizeof(c.rtpIn)) != policer {
		t.Error("what counts RTP is not in the policer's last line")
	}
	control := last(unsafe.Offsetof(c.control), unsafe.Sizeof(c.control))
	kinds := unsafe.Offsetof(c.rtcpIn) + unsafe.Offsetof(c.rtcpIn.kinds)
	if line(unsafe.Offsetof(c.rtcpIn)) != control || line(kinds+4*uintptr(rtcp.KindTWCC)) != control || line(kinds+4*uintptr(rtcp.KindNACK)) != control {
		t.Error("what counts RTCP is not in the control policer's last line")
	}
	ice := last(unsafe.Offsetof(c.ICE), unsafe.Sizeof(c.ICE))
	if line(unsafe.Offsetof(c.relayedOut)) != ice {
		t.Error("what counts relayed datagrams is not in ICE's last line")
	}
	pubs := line(unsafe.Offsetof(c.pubs))
	for name, at := range map[string]uintptr{
		"cc": unsafe.Offsetof(c.cc), "twcc": unsafe.Offsetof(c.twcc), "behind": unsafe.Offsetof(c.behind),
		"the number of publishers": unsafe.Offsetof(c.pubs) + 8,
	} {
		if line(at) != pubs {
			t.Errorf("%s is in line %d, the publishers in %d", name, line(at), pubs)
		}
	}
	if n := unsafe.Sizeof(c); n > 1792-8 {
		t.Errorf("a connection has %d bytes, more than its size class, which begins with a line", n)
	}
	var p publisher
	if a, b := line(unsafe.Offsetof(p.newest)), last(unsafe.Offsetof(p.arrived), unsafe.Sizeof(p.arrived)); a != b {
		t.Errorf("what counts a publisher's packets ends in line %d, their numbers are in %d", b, a)
	}
	if n := unsafe.Sizeof(p); n > 1152-8 {
		t.Errorf("a publisher has %d bytes, more than its size class, which begins with a line", n)
	}
	if n := unsafe.Sizeof(srtp.Session{}); n > 128 {
		t.Errorf("a session has %d bytes, more than two lines", n)
	}
}
