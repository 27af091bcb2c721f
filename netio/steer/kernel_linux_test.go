package steer_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tsubame/netio/mmsg/netns"
	"tsubame/netio/steer"
)

// group is a steered SO_REUSEPORT group on the wildcard address, as the server opens it.
type group struct {
	t    *testing.T
	fds  []int
	port uint16
	v6   bool
}

func openGroup(t *testing.T, f steer.Family, n int) *group {
	t.Helper()
	g := &group{t: t, v6: f == steer.IPv6}
	for range n {
		fd := udpSocket(t, g.v6)
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
		must(t, unix.Bind(fd, sockaddr(netip.AddrPortFrom(unspecified(g.v6), g.port))))
		g.port = boundPort(t, fd)
		g.fds = append(g.fds, fd)
	}
	must(t, steer.Attach(g.fds[n-1], steer.Program(f, n)))
	return g
}

// arrivals reads until it has seen want datagrams, and returns which socket got each; a
// datagram's payload is its index.
func (g *group) arrivals(want int) []int {
	g.t.Helper()
	at := make([]int, want)
	polls := make([]unix.PollFd, len(g.fds))
	buf := make([]byte, 64)
	for deadline := time.Now().Add(10 * time.Second); want > 0; {
		for i, fd := range g.fds {
			polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(polls, 100); err != nil && err != unix.EINTR {
			g.t.Fatal(err)
		}
		for i, fd := range g.fds {
			for {
				n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
				if err != nil {
					break
				}
				if n != 4 {
					g.t.Fatalf("datagram of %d bytes", n)
				}
				at[binary.BigEndian.Uint32(buf)] = i
				want--
			}
		}
		if want > 0 && time.Now().After(deadline) {
			g.t.Fatalf("%d datagrams never arrived", want)
		}
	}
	return at
}

func unspecified(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func udpSocket(t *testing.T, v6 bool) int {
	t.Helper()
	domain := unix.AF_INET
	if v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	if v6 {
		must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	return fd
}

func sockaddr(ap netip.AddrPort) unix.Sockaddr {
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}
	}
	return &unix.SockaddrInet6{Addr: ap.Addr().As16(), Port: int(ap.Port())}
}

func boundPort(t *testing.T, fd int) uint16 {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	must(t, err)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	t.Fatalf("unexpected address %T", sa)
	return 0
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send sends one datagram from a socket bound to from, and returns the source it left with.
func (g *group) send(from netip.Addr, to netip.Addr, index int, options func(fd int)) netip.AddrPort {
	g.t.Helper()
	domain := unix.AF_INET
	if g.v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(g.t, err)
	defer unix.Close(fd)
	if g.v6 { // the addresses are routed to lo, not assigned to it
		must(g.t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
	}
	must(g.t, unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))))
	if options != nil {
		options(fd)
	}
	payload := binary.BigEndian.AppendUint32(nil, uint32(index))
	must(g.t, unix.Sendto(fd, payload, 0, sockaddr(netip.AddrPortFrom(to, g.port))))
	return netip.AddrPortFrom(from, boundPort(g.t, fd))
}

// inNamespace runs f where every address of 127.0.0.0/8 and of fd00:7::/64 is ours.
func inNamespace(t *testing.T, f func()) {
	ns := netns.New(t)
	ns.IP("-6 route add local fd00:7::/64 dev lo")
	ns.Do(f)
}

func source(f steer.Family, r *rand.Rand) netip.Addr {
	if f == steer.IPv4 {
		return netip.AddrFrom4([4]byte{127, byte(r.Uint32()), byte(r.Uint32()), byte(1 + r.IntN(250))})
	}
	a := netip.MustParseAddr("fd00:7::").As16()
	binary.BigEndian.PutUint64(a[8:], r.Uint64()|1)
	return netip.AddrFrom16(a)
}

func target(f steer.Family) netip.Addr {
	if f == steer.IPv4 {
		return netip.MustParseAddr("127.0.0.1")
	}
	return netip.IPv6Loopback()
}

// Whoever owns a flow by ShardOf is the one the kernel hands its datagrams to.
func TestKernelAndTwinAgree(t *testing.T) {
	const flows = 2000
	for _, f := range []steer.Family{steer.IPv4, steer.IPv6} {
		for _, n := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprintf("%v with %d sockets", f, n), func(t *testing.T) {
				inNamespace(t, func() {
					g := openGroup(t, f, n)
					r := rand.New(rand.NewPCG(uint64(n), uint64(f)))
					sources := make([]netip.AddrPort, flows)
					for i := range sources {
						sources[i] = g.send(source(f, r), target(f), i, nil)
					}
					at := g.arrivals(flows)
					for i, src := range sources {
						if want := steer.ShardOf(src, n); at[i] != want {
							t.Fatalf("flow from %v arrived at socket %d, ShardOf says %d", src, at[i], want)
						}
					}
				})
			})
		}
	}
}

func TestKernelStepsOverIPv4Options(t *testing.T) {
	inNamespace(t, func() {
		const flows, n = 300, 8
		g := openGroup(t, steer.IPv4, n)
		r := rand.New(rand.NewPCG(7, 7))
		sources := make([]netip.AddrPort, flows)
		for i := range sources {
			sources[i] = g.send(source(steer.IPv4, r), target(steer.IPv4), i, func(fd int) {
				nops := make([]byte, 4*(1+r.IntN(10))) // RFC 791: option 1 is "no operation"
				for j := range nops {
					nops[j] = 1
				}
				must(t, unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, string(nops)))
			})
		}
		for i, at := range g.arrivals(flows) {
			if want := steer.ShardOf(sources[i], n); at != want {
				t.Fatalf("flow from %v with IP options arrived at socket %d, ShardOf says %d", sources[i], at, want)
			}
		}
	})
}

func TestKernelSteersExtensionHeadersByAddressAlone(t *testing.T) {
	inNamespace(t, func() {
		const flows, n = 300, 8
		g := openGroup(t, steer.IPv6, n)
		r := rand.New(rand.NewPCG(8, 8))
		sources := make([]netip.AddrPort, flows)
		for i := range sources {
			sources[i] = g.send(source(steer.IPv6, r), target(steer.IPv6), i, func(fd int) {
				padded := "\x00\x00\x01\x04\x00\x00\x00\x00" // RFC 8200 section 4.6 with a PadN of 6
				must(t, unix.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, padded))
			})
		}
		for i, at := range g.arrivals(flows) {
			if want := steer.ShardOf(netip.AddrPortFrom(sources[i].Addr(), 0), n); at != want {
				t.Fatalf("flow from %v arrived at socket %d, want %d", sources[i], at, want)
			}
		}
	})
}

func TestAttachOutsideAGroupFails(t *testing.T) {
	fd := udpSocket(t, false)
	must(t, unix.Bind(fd, sockaddr(netip.MustParseAddrPort("127.0.0.1:0"))))
	if err := steer.Attach(fd, steer.Program(steer.IPv4, 2)); err == nil {
		t.Fatal("attached to a socket that is in no group")
	}
}
