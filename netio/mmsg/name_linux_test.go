package mmsg

import (
	"net/netip"
	"testing"

	"tsubame/netio/flow"
)

// Socket addresses as Linux writes them: family, port in network order, then address.
const (
	sockaddr4 = "0200 d431 c6336407 0000000000000000"
	sockaddr6 = "0a00 d431 00000000 20010db8000000000000000000000009 00000000"
)

func TestSourceAddressIsRead(t *testing.T) {
	for text, raw := range map[string]string{"198.51.100.7:54321": sockaddr4, "[2001:db8::9]:54321": sockaddr6} {
		want := netip.MustParseAddrPort(text)
		s := &batched{v6: want.Addr().Is6()}
		var k flow.Key
		if !s.remote(unhex(t, raw), &k) || k.RemoteAddrPort() != want {
			t.Errorf("%v was read as %v", want, k.RemoteAddrPort())
		}
	}
}

func TestTruncatedSourceAddressIsNone(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		whole := unhex(t, sockaddr4)[:nameAddr4s]
		if v6 {
			whole = unhex(t, sockaddr6)[:nameAddr6s]
		}
		for cut := range whole {
			var k flow.Key
			if (&batched{v6: v6}).remote(whole[:cut:cut], &k) || k != (flow.Key{}) {
				t.Errorf("IPv6 %v: %d of %d bytes made %v", v6, cut, len(whole), k.RemoteAddrPort())
			}
		}
	}
}
