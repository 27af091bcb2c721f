package ice

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

var (
	key4 = flow.KeyOf(netip.MustParseAddr("192.0.2.10"), netip.MustParseAddrPort("192.0.2.1:32853"))
	key6 = flow.KeyOf(netip.MustParseAddr("2001:db8::10"), netip.MustParseAddrPort("[2001:db8::1]:32853"))
)

// answer is the whole work of one check, as a shard does it. It returns the answer.
func answer(c *Codec, msg, dst []byte, k flow.Key, password string) []byte {
	r, err := c.Parse(msg)
	if err != nil || !c.Verify(password) {
		return nil
	}
	return c.AppendSuccess(dst, &r, k, password)
}

func BenchmarkCheck(b *testing.B) {
	msg := browserCheck(b, testPassword)
	var c Codec
	var buf [128]byte
	b.ReportAllocs()
	for b.Loop() {
		if answer(&c, msg, buf[:0], key4, testPassword) == nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	msg := browserCheck(b, testPassword)
	var c Codec
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Parse(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	msg := browserCheck(b, testPassword)
	var c Codec
	if _, err := c.Parse(msg); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !c.Verify(testPassword) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkPionCheck is the same work by pion/stun alone, for comparison.
func BenchmarkPionCheck(b *testing.B) {
	msg := browserCheck(b, testPassword)
	integrity := stun.NewShortTermIntegrity(testPassword)
	addr := &stun.XORMappedAddress{IP: key4.Remote.Netip().AsSlice(), Port: int(key4.Port)}
	in, out := stun.New(), stun.New()
	b.ReportAllocs()
	for b.Loop() {
		if err := stun.Decode(msg, in); err != nil {
			b.Fatal(err)
		}
		if integrity.Check(in) != nil || stun.Fingerprint.Check(in) != nil {
			b.Fatal("refused")
		}
		out.TransactionID = in.TransactionID
		if err := out.Build(stun.BindingSuccess, addr, integrity, stun.Fingerprint); err != nil {
			b.Fatal(err)
		}
	}
}
