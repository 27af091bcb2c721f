package mmsg

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// unhex decodes hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Control messages as 64-bit little-endian Linux writes them: length (8 bytes), level, type.
const (
	pktinfo4 = "1c00000000000000 00000000 08000000 01000000 7f000003 7f000003 00000000"
	pktinfoB = "1c00000000000000 00000000 08000000 02000000 c0000205 c00002ff 00000000"
	pktinfoD = "1c00000000000000 00000000 08000000 01000000 00000000 7f000001 00000000"
	pktinfo6 = "2400000000000000 29000000 32000000 20010db8000000000000000000000001 02000000 00000000"
	overflow = "1400000000000000 01000000 28000000 07000000 00000000"
	arrived  = "2000000000000000 01000000 40000000 0100000000000000 0700000000000000"
	unknown  = "1100000000000000 29000000 43000000 2e00000000000000"
)

func TestParseControlReadsWhatLinuxWrites(t *testing.T) {
	if unix.SizeofCmsghdr != 16 {
		t.Fatal("these vectors are for 64-bit systems")
	}
	cases := []struct {
		name, hex string
		v6        bool
		local     string // empty: none
		drops     uint32
		hasDrop   bool
		time      int64
	}{
		{"nothing", "", false, "", 0, false, 0},
		{"IPv4 address", pktinfo4, false, "127.0.0.3", 0, false, 0},
		{"broadcast is answered from our own address", pktinfoB, false, "192.0.2.5", 0, false, 0},
		{"only the destination, as Darwin writes", pktinfoD, false, "127.0.0.1", 0, false, 0},
		{"IPv6 address", pktinfo6, true, "2001:db8::1", 0, false, 0},
		{"drops before the address", overflow + pktinfo6, true, "2001:db8::1", 7, true, 0},
		{"drops after the address", pktinfo4 + overflow, false, "127.0.0.3", 7, true, 0},
		{"behind an unknown message", unknown + pktinfo4, false, "127.0.0.3", 0, false, 0},
		{"time of arrival", pktinfo4 + arrived, false, "127.0.0.3", 0, false, 1_000_000_007},
		{"all at once", pktinfo6 + overflow + arrived, true, "2001:db8::1", 7, true, 1_000_000_007},
		{"time too short", "1800000000000000 01000000 40000000 0100000000000000", false, "", 0, false, 0},
		{"of the other family", pktinfo4, true, "", 0, false, 0},
		{"of the other family", pktinfo6, false, "", 0, false, 0},
		{"length below the header", "0f00000000000000 00000000 08000000", false, "", 0, false, 0},
		{"length beyond the buffer", "1d00000000000000 00000000 08000000 01000000 7f000003 7f000003", false, "", 0, false, 0},
		{"pktinfo too short", "1800000000000000 00000000 08000000 01000000 7f000003", false, "", 0, false, 0},
	}
	for _, c := range cases {
		a := parseControl(unhex(t, c.hex), c.v6)
		var want flow.Addr
		if c.local != "" {
			want = flow.AddrOf(netip.MustParseAddr(c.local))
		}
		if a.local != want || a.hasAddr != (c.local != "") || a.drops != c.drops || a.hasDrop != c.hasDrop || a.time != c.time {
			t.Errorf("%s: %v %v, drops %d %v, time %d", c.name, a.local.Netip(), a.hasAddr, a.drops, a.hasDrop, a.time)
		}
	}
}

func TestTruncatedControlNamesNoAddress(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		whole := unhex(t, pktinfo4)[:28] // without the padding behind
		if v6 {
			whole = unhex(t, pktinfo6)[:36]
		}
		for cut := range whole {
			if a := parseControl(whole[:cut:cut], v6); a.hasAddr {
				t.Errorf("IPv6 %v: %d of %d bytes named address %v", v6, cut, len(whole), a.local.Netip())
			}
		}
	}
}

func TestControlSizeHoldsEverythingLinuxSends(t *testing.T) {
	if need := unix.CmsgSpace(pktinfo6Size) + unix.CmsgSpace(4) + unix.CmsgSpace(timespecSize); need > controlSize {
		t.Errorf("one datagram may bring %d bytes, there is room for %d", need, controlSize)
	}
}

func TestSourceControlIsWhatParseControlReads(t *testing.T) {
	for _, text := range []string{"127.0.0.3", "2001:db8::77"} {
		addr := netip.MustParseAddr(text)
		var c controlBuffer
		b := initSource(&c, addr.Is6())
		setSource(&c, flow.AddrOf(netip.MustParseAddr(map[bool]string{false: "10.9.8.7", true: "fd00::9"}[addr.Is6()])), addr.Is6())
		setSource(&c, flow.AddrOf(addr), addr.Is6()) // overwrites the former whole
		if a := parseControl(b, addr.Is6()); !a.hasAddr || a.local.Netip() != addr {
			t.Errorf("wrote %v, read %v %v", addr, a.local.Netip(), a.hasAddr)
		}
	}
}

func TestDropGaugeWraps(t *testing.T) {
	var g dropGauge
	for _, step := range []struct {
		drops uint32
		want  uint64
	}{
		{0, 0}, {5, 5}, {5, 0}, {3, 0}, {9, 4}, {1 << 31, 1<<31 - 9}, {1<<32 - 2, 1<<31 - 2}, {4, 6}, {1<<32 - 1, 0}, {5, 1},
	} {
		if got := g.advance(step.drops); got != step.want {
			t.Errorf("drop count %d: %d more, want %d", step.drops, got, step.want)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	for _, seed := range []string{pktinfo4, pktinfo6, overflow + pktinfo4, unknown + pktinfo6 + overflow, pktinfo4 + arrived} {
		f.Add(unhex(f, seed), false)
		f.Add(unhex(f, seed), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		a := parseControl(b, v6)
		if a.hasAddr && a.local.Is4() && v6 && len(b) < unix.SizeofCmsghdr+pktinfo6Size {
			t.Errorf("%v out of %d bytes", a.local.Netip(), len(b))
		}
		if !a.hasAddr && a.local != (flow.Addr{}) {
			t.Error("an address that was not announced")
		}
	})
}
