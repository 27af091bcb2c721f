package ice

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

func TestBrowserCheckIsRead(t *testing.T) {
	var c Codec
	msg := browserCheck(t, testPassword)
	r, err := c.Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	if string(r.LocalUfrag) != testUfrag || string(r.RemoteUfrag) != "peer" {
		t.Errorf("USERNAME read as %q : %q", r.LocalUfrag, r.RemoteUfrag)
	}
	if !r.UseCandidate || !r.Controlling || r.Controlled {
		t.Errorf("wrong flags: %+v", r)
	}
	if r.Priority != 0x6e7f1eff || r.TieBreaker != 0x0102030405060708 || !bytes.Equal(r.TxID[:], msg[8:20]) {
		t.Errorf("wrong values: %+v", r)
	}
	if !c.Verify(testPassword) {
		t.Error("not verified")
	}
}

// without returns the attributes of a good check but for those of type typ.
func without(typ stun.AttrType) []attr {
	var out []attr
	for _, a := range []attr{attrUsername, attrControl, attrPriority, attrIntegrity, attrFinger} {
		if a.typ != typ {
			out = append(out, a)
		}
	}
	return out
}

// with returns the attributes of a good check with more ones before the integrity.
func with(more ...attr) []attr {
	return append(append([]attr{attrUsername, attrControl, attrPriority}, more...), attrIntegrity, attrFinger)
}

// Row ICE-04.
func TestDeceptiveMessagesAreRefused(t *testing.T) {
	good := func() []byte { return build(typeRequest, testPassword, with()...) }
	changed := func(change func(b []byte)) []byte { b := good(); change(b); return b }
	req := func(attrs ...attr) []byte { return build(typeRequest, testPassword, attrs...) }
	long := strings.Repeat("a", 64<<10-1)
	for _, test := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"empty", nil, ErrMalformed},
		{"header only, of zeros", make([]byte, headerLen), ErrMalformed},
		{"first two bits set", changed(func(b []byte) { b[0] |= 0x80 }), ErrMalformed},
		{"wrong magic cookie", changed(func(b []byte) { b[4] ^= 1 }), ErrMalformed},
		{"length says more", changed(func(b []byte) { b[3] += 4 }), ErrMalformed},
		{"length says less", changed(func(b []byte) { b[3] -= 4 }), ErrMalformed},
		{"length not of whole words", changed(func(b []byte) { b[3]++ }), ErrMalformed},
		{"length of 64 KiB", changed(func(b []byte) { b[2], b[3] = 0xff, 0xfc }), ErrMalformed},
		{"bytes behind the message", append(good(), 0, 0, 0, 0), ErrMalformed},
		{"header without attributes", req(), ErrFingerprint},
		{"longer than a path MTU", req(with(attr{stun.AttrSoftware, strings.Repeat("a", maxRequest)})...), ErrMalformed},

		{"attribute past the end", changed(func(b []byte) { b[headerLen+2] = 1 }), ErrMalformed},
		{"attribute of 64 KiB, lying", changed(func(b []byte) { b[headerLen+2], b[headerLen+3] = 0xff, 0xff }), ErrMalformed},
		{"attribute of 64 KiB", req(with(attr{stun.AttrSoftware, long})...), ErrMalformed},

		{"username of no length", req(append([]attr{{stun.AttrUsername, ""}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"username without a colon", req(append([]attr{{stun.AttrUsername, testUfrag}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"username without our part", req(append([]attr{{stun.AttrUsername, ":peer"}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"username without the peer's part", req(append([]attr{{stun.AttrUsername, testUfrag + ":"}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"username with our part too long", req(append([]attr{{stun.AttrUsername, long[:maxUfrag+1] + ":p"}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"username with the peer's part too long", req(append([]attr{{stun.AttrUsername, "a:" + long[:maxUfrag+1]}}, without(stun.AttrUsername)...)...), ErrMalformed},
		{"priority of no length", req(append([]attr{{stun.AttrPriority, ""}}, without(stun.AttrPriority)...)...), ErrMalformed},
		{"role of no length", req(append([]attr{{stun.AttrICEControlling, ""}}, without(stun.AttrICEControlling)...)...), ErrMalformed},
		{"nomination with a value", req(with(attr{stun.AttrUseCandidate, "abcd"})...), ErrMalformed},
		{"integrity of no length", req(attrUsername, attr{stun.AttrMessageIntegrity, "\x00"}, attrFinger), ErrMalformed},
		{"integrity of SHA-256's length", req(attrUsername, attr{stun.AttrMessageIntegrity, long[:32]}, attrFinger), ErrMalformed},
		{"fingerprint of no length", req(append(without(stun.AttrFingerprint), attr{stun.AttrFingerprint, "\x00"})...), ErrFingerprint},
		{"fingerprint of eight bytes", req(append(without(stun.AttrFingerprint), attr{stun.AttrFingerprint, "abcdefgh"})...), ErrFingerprint},

		{"two usernames", req(with(attrUsername)...), ErrMalformed},
		{"two priorities", req(with(attrPriority)...), ErrMalformed},
		{"two nominations", req(with(attrNominate, attrNominate)...), ErrMalformed},
		{"the same role twice", req(with(attrControl)...), ErrMalformed},
		{"both roles", req(with(attr{stun.AttrICEControlled, "12345678"})...), ErrMalformed},
		{"two integrities", req(with(attrIntegrity)...), ErrMalformed},
		{"two fingerprints", req(append(with(), attrFinger)...), ErrFingerprint},

		{"no fingerprint", req(without(stun.AttrFingerprint)...), ErrFingerprint},
		{"wrong fingerprint", changed(func(b []byte) { b[len(b)-1] ^= 1 }), ErrFingerprint},
		{"fingerprint before the integrity", req(attrUsername, attrFinger, attrIntegrity), ErrFingerprint},
		{"attribute behind the integrity", req(attrUsername, attrIntegrity, attrPriority, attrFinger), ErrMalformed},
		{"optional attribute behind the integrity", req(attrUsername, attrIntegrity, attr{stun.AttrSoftware, "abcd"}, attrFinger), ErrMalformed},
		{"no integrity", req(without(stun.AttrMessageIntegrity)...), ErrNoIntegrity},
		{"no username", req(without(stun.AttrUsername)...), ErrNoUsername},
	} {
		var c Codec
		if r, err := c.Parse(test.msg); err != test.want {
			t.Errorf("%s: %v, %+v", test.name, err, r)
		}
		if c.Verify(testPassword) {
			t.Errorf("%s: verified", test.name)
		}
	}
}

// Row ICE-05.
func TestResponsesIndicationsAndOtherMethodsAreDropped(t *testing.T) {
	for _, test := range []struct {
		name string
		typ  uint16
		want error
	}{
		{"success response", typeSuccess, ErrNotRequest},
		{"error response", typeError, ErrNotRequest},
		{"indication", 0x0011, ErrNotRequest},
		{"Allocate request", 0x0003, ErrNotBinding},
		{"Send indication", 0x0016, ErrNotBinding},
		{"method 0", 0x0000, ErrNotBinding},
		{"the highest method", 0x3eef, ErrNotBinding},
	} {
		var c Codec
		if _, err := c.Parse(build(test.typ, testPassword, with()...)); err != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
		if c.Verify(testPassword) {
			t.Errorf("%s: verified", test.name)
		}
	}
}

// Row ICE-04.
func TestUnknownRequiredAttributeIsReportedOnceIntegrityCanBeChecked(t *testing.T) {
	var c Codec
	r, err := c.Parse(build(typeRequest, testPassword, with(attr{0x7001, "abcd"}, attr{0x7001, ""}, attr{0x0017, "12"})...))
	if err != ErrUnknownAttribute || string(r.LocalUfrag) != testUfrag {
		t.Fatalf("%v, %+v", err, r)
	}
	if c.Verify("wrong") || !c.Verify(testPassword) {
		t.Error("integrity cannot be told")
	}
	got := r.unknown[:r.numUnknown]
	if len(got) != 2 || got[0] != 0x7001 || got[1] != 0x0017 {
		t.Errorf("unknown: %x", got)
	}
}

func TestUnknownAttributesAreNamedUpToABound(t *testing.T) {
	var c Codec
	var more []attr
	for i := range 2 * maxUnknown {
		more = append(more, attr{stun.AttrType(0x7000 + i), ""})
	}
	r, err := c.Parse(build(typeRequest, testPassword, with(more...)...))
	if err != ErrUnknownAttribute || r.numUnknown != maxUnknown {
		t.Errorf("%v, %d", err, r.numUnknown)
	}
}

func TestOptionalAndUnexpectedAttributesAreIgnored(t *testing.T) {
	for name, a := range map[string]attr{
		"SOFTWARE":           {stun.AttrSoftware, "x"},
		"unknown optional":   {0xffff, ""},
		"REALM":              {stun.AttrRealm, "r"},
		"NONCE":              {stun.AttrNonce, "n"},
		"XOR-MAPPED-ADDRESS": {stun.AttrXORMappedAddress, "12345678"},
	} {
		var c Codec
		if _, err := c.Parse(build(typeRequest, testPassword, with(a, a)...)); err != nil || !c.Verify(testPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row ICE-04.
func TestEveryTruncationIsRefused(t *testing.T) {
	for _, msg := range [][]byte{browserCheck(t, testPassword), unhex(t, rfcRequest)} {
		for n := range msg {
			var c Codec
			if _, err := c.Parse(msg[:n:n]); err == nil {
				t.Errorf("%d of %d bytes were accepted", n, len(msg))
			}
			// The same with a length field that fits, so that the attributes are looked at.
			if n < headerLen {
				continue
			}
			cut := append([]byte{}, msg[:n]...)
			binary.BigEndian.PutUint16(cut[2:], uint16(n-headerLen))
			if _, err := c.Parse(cut); err == nil {
				t.Errorf("%d of %d bytes were accepted with a fitting length", n, len(msg))
			}
		}
	}
}

func TestVerifyNeedsAParseThatSucceeded(t *testing.T) {
	var c Codec
	if c.Verify(testPassword) {
		t.Error("verified nothing")
	}
	if _, err := c.Parse(browserCheck(t, testPassword)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Parse([]byte{0}); err == nil || c.Verify(testPassword) {
		t.Error("verified the datagram before")
	}
}
