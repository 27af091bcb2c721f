package entry

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"
)

// What is wrong with a PROXY header.
var (
	errNoProxy      = errors.New("no PROXY header, and one is required of this peer")
	errProxyTooLong = errors.New("PROXY header too long")
	errProxyBad     = errors.New("PROXY header of another form than its specification's")
)

const (
	proxyV1Begins = "PROXY "
	proxyV2Begins = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Fixed  = 16 // signature, version and command, family, length
)

// ProxyHeader is what a PROXY header tells. Local is set if it says nothing of a client
// (UNKNOWN, LOCAL, UNSPEC): the connection is the proxy's own then.
type ProxyHeader struct {
	Source, Destination netip.AddrPort
	Local               bool
}

// ParseProxyHeader reads the PROXY header, version 1 or 2, at the beginning of b. It returns
// its size; 0 and no error mean that more bytes are needed. It never needs more than 107 (v1)
// or 536 (v2) bytes, and looks at none behind the header. Headers of datagrams and of local
// sockets are errors: they do not tell who is at the other end of a TCP connection.
func ParseProxyHeader(b []byte) (h ProxyHeader, size int, err error) {
	v1, v2 := prefix(b, proxyV1Begins), prefix(b, proxyV2Begins)
	switch {
	case v1 == yes:
		size, err = proxyV1Size(b)
	case v2 == yes:
		size, err = proxyV2Size(b)
	case v1 == no && v2 == no:
		err = errNoProxy
	}
	if err != nil || size == 0 {
		return ProxyHeader{}, 0, err
	}
	h, err = readProxyHeader(b[:size])
	if err != nil {
		return ProxyHeader{}, 0, err
	}
	return h, size, nil
}

// proxyV1Size finds the end of the line; 0: it has not come yet.
func proxyV1Size(b []byte) (int, error) {
	b = b[:min(len(b), maxProxyV1)]
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) == maxProxyV1 {
			return 0, errProxyTooLong
		}
		return 0, nil
	}
	// The library takes words behind the ports, and addresses with a zone, too.
	line := b[:end]
	if !bytes.HasPrefix(line, []byte("PROXY UNKNOWN")) && (bytes.Count(line, []byte(" ")) != 5 || bytes.IndexByte(line, '%') >= 0) {
		return 0, errProxyBad
	}
	return end + 1, nil
}

// proxyV2Size adds the length that the header tells; 0: it is not there yet.
func proxyV2Size(b []byte) (int, error) {
	if len(b) < proxyV2Fixed {
		return 0, nil
	}
	size := proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	if size > maxProxyV2 {
		return 0, errProxyTooLong
	}
	if len(b) < size {
		return 0, nil
	}
	return size, nil
}

// readProxyHeader reads a header that is whole. The library is given no more than that: it
// would take 4 KiB of TLVs, and would not take a v1 line that comes in two segments.
func readProxyHeader(b []byte) (ProxyHeader, error) {
	const unspecified, proxy = 0, 0x21
	if b[0] == proxyV2Begins[0] && b[12] == proxy && b[13] == unspecified {
		return ProxyHeader{Local: true}, nil // section 2.2: use the real addresses
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), maxProxyV2))
	if err != nil {
		return ProxyHeader{}, errors.Join(errProxyBad, err)
	}
	if h.Command.IsLocal() {
		return ProxyHeader{Local: true}, nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return ProxyHeader{}, errProxyBad
	}
	from, to := addrPort(source), addrPort(destination)
	if !from.IsValid() || !to.IsValid() {
		return ProxyHeader{}, errProxyBad
	}
	return ProxyHeader{Source: from, Destination: to}, nil
}

// addrPort returns a TCP address as a value, IPv4 as IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// proxyHeader is what we tell the target of a pass-through about its client.
func proxyHeader(version int, from, to netip.AddrPort) ([]byte, error) {
	if from.Addr().Is4() != to.Addr().Is4() {
		// A header has one family: a proxy before us may have come by another one.
		return proxyproto.HeaderProxyFromAddrs(byte(version), nil, nil).Format()
	}
	return proxyproto.HeaderProxyFromAddrs(byte(version), net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)).Format()
}

// isPeer reports whether an address is in one of the networks.
func isPeer(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
