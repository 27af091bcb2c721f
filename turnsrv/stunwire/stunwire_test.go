package stunwire

import (
	"bytes"
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// What a unit test can show of constant time is that the one comparison with the secret value
// is made by crypto/subtle.
//
// Row ICE-03.
func TestIntegrityIsComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "mac.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constant, variable int
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Verify" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				switch sel.Sel.Name {
				case "ConstantTimeCompare":
					constant++
				case "Equal", "Compare":
					variable++
				}
			}
			return true
		})
	}
	if constant != 1 || variable != 0 {
		t.Errorf("%d comparisons in constant time, %d others", constant, variable)
	}
}

// The key may be longer than a block of SHA-1 (RFC 2104 hashes it first, RFC 2202 case 6).
func TestSumWithALongKey(t *testing.T) {
	var m MAC
	key, a, b := strings.Repeat("\xaa", 80), []byte("Test Using Larger Than Block-Size Key "), []byte("- Hash Key First")
	want := "aa4ae5e15272d00e95705637ce8a3b55ed402112"
	if got := hex.EncodeToString(Sum(&m, key, a, b)); got != want {
		t.Errorf("by a string: %s, want %s", got, want)
	}
	if got := hex.EncodeToString(Sum(&m, []byte(key), a, b)); got != want {
		t.Errorf("by bytes: %s, want %s", got, want)
	}
}

// pion/stun, which shares no code with this package, reads what is written behind other bytes.
func TestMessageBehindOtherBytesIsReadByPion(t *testing.T) {
	for _, text := range []string{"192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"} {
		ap := netip.MustParseAddrPort(text)
		tx := [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		before := []byte("other bytes")
		start := len(before)
		var m MAC
		b := AppendHeader(bytes.Clone(before), 0x0101, &tx)
		b = AppendAddress(b, start, stun.AttrXORMappedAddress, flow.AddrOf(ap.Addr()), ap.Port())
		b = AppendIntegrity(&m, b, start, "a password")
		b = AppendFingerprint(b, start)
		if !bytes.HasPrefix(b, before) {
			t.Fatalf("%s: changed what was there: %x", text, b)
		}
		msg := &stun.Message{Raw: b[start:]}
		if err := msg.Decode(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(msg); err != nil || mapped.Port != int(ap.Port()) || !mapped.IP.Equal(ap.Addr().AsSlice()) {
			t.Errorf("%s: read as %v, %v", text, mapped, err)
		}
		if err := stun.Fingerprint.Check(msg); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := stun.NewShortTermIntegrity("a password").Check(msg); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		end := HeaderLen + AttrHeaderLen + AddressLen(flow.AddrOf(ap.Addr()))
		if !Verify(&m, "a password", b[start:], end) || Verify(&m, "another", b[start:], end) {
			t.Errorf("%s: verified wrongly", text)
		}
	}
}

func TestSigningAllocatesNothing(t *testing.T) {
	var m MAC
	msg, key := make([]byte, 0, 256), [16]byte{1}
	tx := [12]byte{}
	sign := func() {
		b := AppendHeader(msg, 0x0101, &tx)
		b = AppendIntegrity(&m, b, 0, key[:])
		b = AppendIntegrity(&m, b, 0, "a password")
		AppendFingerprint(b, 0)
	}
	sign()
	if n := testing.AllocsPerRun(100, sign); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSign(b *testing.B) {
	var m MAC
	msg, tx := make([]byte, 0, 256), [12]byte{}
	b.ReportAllocs()
	for b.Loop() {
		AppendIntegrity(&m, AppendHeader(msg, 0x0101, &tx), 0, "0YFs1O6J00zydPj0fl84SUqH")
	}
}
