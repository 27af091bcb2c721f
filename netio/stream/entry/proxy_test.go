package entry

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

const (
	v1IPv4    = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
	v1IPv6    = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
	v1Longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
	v2IPv4    = proxyV2Begins + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
	v2IPv6    = proxyV2Begins + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xdc\x04\x01\xbb"
	v2Local      = proxyV2Begins + "\x20\x00\x00\x00"
	v2LocalIPv4  = proxyV2Begins + "\x20\x11\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	v2Unspecific = proxyV2Begins + "\x21\x00\x00\x00"
)

func addressed(from, to string) ProxyHeader {
	return ProxyHeader{Source: netip.MustParseAddrPort(from), Destination: netip.MustParseAddrPort(to)}
}

// v2Sized is a header of the given size, the addresses included.
func v2Sized(size int) string {
	n := size - proxyV2Fixed
	return v2IPv4[:14] + string([]byte{byte(n >> 8), byte(n)}) + v2IPv4[16:] + "\xea" + // PP2_TYPE_MIN_CUSTOM + 10
		string([]byte{byte((n - 15) >> 8), byte(n - 15)}) + strings.Repeat("x", n-15)
}

func TestProxyHeadersAreRead(t *testing.T) {
	four := addressed("192.0.2.1:56324", "198.51.100.2:443")
	for name, c := range map[string]struct {
		bytes string
		want  ProxyHeader
	}{
		"v1 IPv4":                    {v1IPv4, four},
		"v1 IPv6":                    {v1IPv6, addressed("[2001:db8::1]:56324", "[2001:db8::2]:443")},
		"v1 IPv4 written as IPv6":    {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n", four},
		"v1 UNKNOWN":                 {"PROXY UNKNOWN\r\n", ProxyHeader{Local: true}},
		"v1 UNKNOWN, the longest":    {v1Longest, ProxyHeader{Local: true}},
		"v2 IPv4":                    {v2IPv4, four},
		"v2 IPv6":                    {v2IPv6, addressed("[2001:db8::1]:56324", "[2001:db8::2]:443")},
		"v2 LOCAL":                   {v2Local, ProxyHeader{Local: true}},
		"v2 LOCAL with addresses":    {v2LocalIPv4, ProxyHeader{Local: true}},
		"v2 PROXY of no family":      {v2Unspecific, ProxyHeader{Local: true}},
		"v2 with as many TLVs as go": {v2Sized(maxProxyV2), four},
	} {
		h, size, err := ParseProxyHeader([]byte(c.bytes + "and what follows"))
		if err != nil || h != c.want || size != len(c.bytes) {
			t.Errorf("%s: %v, %d bytes, %v; want %v, %d", name, h, size, err, c.want, len(c.bytes))
		}
		for n := range len(c.bytes) {
			if h, size, err := ParseProxyHeader([]byte(c.bytes[:n])); size != 0 || err != nil || h != (ProxyHeader{}) {
				t.Errorf("%s: %d bytes of it: %v, %d, %v; want to be asked for more", name, n, h, size, err)
			}
		}
	}
	if len(v1Longest) != maxProxyV1-1 && len(v1Longest) != maxProxyV1 {
		t.Errorf("the longest line has %d bytes", len(v1Longest))
	}
}

// Row TURN-12.
func TestProxyHeadersOfOtherFormsAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"none, TURN instead":       {string(allocate), errNoProxy},
		"none, TLS instead":        {"\x16\x03\x01", errNoProxy},
		"none, HTTP instead":       {"POST / HTTP/1.1\r\n", errNoProxy},
		"v1 in small letters":      {"proxy TCP4", errNoProxy},
		"v1 without an end":        {"PROXY TCP4 " + strings.Repeat("1", maxProxyV1-11), errProxyTooLong},
		"v1 of 64 KiB":             {"PROXY TCP4 " + strings.Repeat(" ", 64<<10) + "\r\n", errProxyTooLong},
		"v1 ends with LF alone":    {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", errProxyBad},
		"v1 UDP":                   {"PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n", errProxyBad},
		"v1 with a word more":      {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 x\r\n", errProxyBad},
		"v1 with two spaces":       {"PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n", errProxyBad},
		"v1 without ports":         {"PROXY TCP4 192.0.2.1 198.51.100.2\r\n", errProxyBad},
		"v1 families crossed":      {"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n", errProxyBad},
		"v1 port too large":        {"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", errProxyBad},
		"v1 with a zone":           {"PROXY TCP6 fe80::1%eth0 2001:db8::2 56324 443\r\n", errProxyBad},
		"v1 a name":                {"PROXY TCP4 localhost 198.51.100.2 56324 443\r\n", errProxyBad},
		"v2 one byte too long":     {v2Sized(maxProxyV2 + 1), errProxyTooLong},
		"v2 of 64 KiB":             {proxyV2Begins + "\x21\x11\xff\xff", errProxyTooLong},
		"v2 too short for IPv4":    {proxyV2Begins + "\x21\x11\x00\x0b12345678901", errProxyBad},
		"v2 too short for IPv6":    {proxyV2Begins + "\x21\x21\x00\x0c123456789012", errProxyBad},
		"v2 of version 1":          {proxyV2Begins + "\x11\x11\x00\x0c123456789012", errProxyBad},
		"v2 of an unknown command": {proxyV2Begins + "\x22\x11\x00\x0c123456789012", errProxyBad},
		"v2 of datagrams":          {proxyV2Begins + "\x21\x12\x00\x0c123456789012", errProxyBad},
		"v2 of local sockets":      {proxyV2Begins + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), errProxyBad},
		"v2 of an unknown family":  {proxyV2Begins + "\x21\x51\x00\x0c123456789012", errProxyBad},
	} {
		if h, size, err := ParseProxyHeader([]byte(c.bytes)); !errors.Is(err, c.want) || size != 0 || h != (ProxyHeader{}) {
			t.Errorf("%s: %v, %d, %v; want %v", name, h, size, err, c.want)
		}
	}
}

func TestWhatWeTellATargetCanBeReadBack(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, want := range []ProxyHeader{
			addressed("192.0.2.1:56324", "198.51.100.2:443"), addressed("[2001:db8::1]:56324", "[2001:db8::2]:443"),
		} {
			b, err := proxyHeader(version, want.Source, want.Destination)
			if err != nil {
				t.Fatal(err)
			}
			if h, size, err := ParseProxyHeader(b); h != want || size != len(b) || err != nil {
				t.Errorf("v%d: %v, %d, %v; want %v", version, h, size, err, want)
			}
		}
		b, err := proxyHeader(version, netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::2]:443"))
		if h, _, bad := ParseProxyHeader(b); err != nil || bad != nil || !h.Local {
			t.Errorf("v%d, two families: %v, %v, %v; want one that tells nothing", version, h, err, bad)
		}
	}
}

// The answer depends on nothing behind the header, which is never longer than its bounds.
//
// Row TURN-12.
func FuzzParseProxyHeader(f *testing.F) {
	for _, s := range []string{v1IPv4, v1IPv6, v1Longest, v2IPv4, v2IPv6, v2Local, v2LocalIPv4, v2Unspecific, v2Sized(100), string(allocate)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size, err := ParseProxyHeader(b)
		switch {
		case err != nil:
			if size != 0 || h != (ProxyHeader{}) {
				t.Fatalf("an error and %v, %d", h, size)
			}
			return
		case size == 0:
			if len(b) >= maxProxyV2 || bytes.HasPrefix(b, proxyproto.SIGV1) && len(b) >= maxProxyV1 {
				t.Fatalf("%d bytes are not enough", len(b))
			}
			return
		case size > maxProxyV2 || size > len(b):
			t.Fatalf("%d bytes", size)
		}
		if again, n, err := ParseProxyHeader(append(bytes.Clone(b[:size]), 0)); again != h || n != size || err != nil {
			t.Fatalf("%v, %d, %v; want %v, %d", again, n, err, h, size)
		}
		if _, n, err := ParseProxyHeader(b[:size-1]); n != 0 || err != nil {
			t.Fatalf("complete before its end: %d, %v", n, err)
		}
		if !h.Local && (!h.Source.IsValid() || !h.Destination.IsValid() || h.Source.Addr().Is4In6()) {
			t.Fatalf("%v", h)
		}
	})
}
