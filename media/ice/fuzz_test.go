package ice

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/turnsrv/stunwire"
)

// FuzzParse holds Parse and Verify against pion/stun, and the answers against what they promise.
func FuzzParse(f *testing.F) {
	f.Add(browserCheck(f, testPassword))
	f.Add(unhex(f, rfcRequest))
	f.Add(unhex(f, rfcResponse4))
	f.Add(unhex(f, rfcLongTerm))
	f.Add(build(typeRequest, testPassword, with(attr{0x7001, "abcd"})...))
	f.Add(build(typeRequest, testPassword, without(stun.AttrUsername)...))
	f.Add(build(typeRequest, testPassword, attrUsername, attr{stun.AttrICEControlled, "12345678"}, attrIntegrity, attrFinger))
	f.Add(build(0x0011, testPassword, attrFinger))
	f.Fuzz(func(t *testing.T, msg []byte) {
		judge(t, msg)
		// Once more with all that a fuzzer hardly hits upon set right, to get behind it.
		if len(msg) >= headerLen {
			judge(t, repaired(msg))
		}
	})
}

// repaired returns msg as a Binding request with a true length and fingerprint.
func repaired(msg []byte) []byte {
	b := bytes.Clone(msg[:len(msg)&^3])
	binary.BigEndian.PutUint16(b, typeRequest)
	binary.BigEndian.PutUint32(b[4:], stunwire.MagicCookie)
	return stunwire.AppendFingerprint(b, 0)
}

// judge parses msg and compares what comes of it with pion/stun.
func judge(t *testing.T, msg []byte) {
	var c Codec
	before := bytes.Clone(msg)
	r, err := c.Parse(msg)
	if err != nil && err != ErrUnknownAttribute {
		if c.Verify(testPassword) {
			t.Fatal("verified what was refused")
		}
		return
	}
	verified := c.Verify(testPassword)
	m := &stun.Message{Raw: bytes.Clone(msg)}
	if err := m.Decode(); err != nil {
		t.Fatalf("pion refuses it: %v", err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Fatal(err)
	}
	if theirs := stun.NewShortTermIntegrity(testPassword).Check(m) == nil; theirs != verified {
		t.Fatalf("integrity: we say %v, pion %v", verified, theirs)
	}
	if name, err := m.Get(stun.AttrUsername); err != nil || string(name) != string(r.LocalUfrag)+":"+string(r.RemoteUfrag) {
		t.Fatalf("username %q, %v", name, err)
	}
	if r.UseCandidate != m.Contains(stun.AttrUseCandidate) || r.Controlled != m.Contains(stun.AttrICEControlled) {
		t.Fatal("flags differ")
	}
	if out := c.AppendError(nil, &r, CodeUnauthenticated, ""); len(out) == 0 || len(out) > len(msg) {
		t.Fatalf("401 of %d bytes for %d", len(out), len(msg))
	}
	if out := c.AppendSuccess(nil, &r, key4, testPassword); len(out) != 64 {
		t.Fatalf("success of %d bytes", len(out))
	}
	if !bytes.Equal(before, msg) {
		t.Fatal("the datagram was changed")
	}
}

// FuzzDecodeIndex: what is decoded is what a ufrag with that index starts with.
func FuzzDecodeIndex(f *testing.F) {
	f.Add([]byte(NewCredentials(0).Ufrag))
	f.Add([]byte(NewCredentials(MaxIndex).Ufrag))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, ufrag []byte) {
		index, ok := DecodeIndex(ufrag)
		if !ok {
			return
		}
		if index > MaxIndex || NewCredentials(index).Ufrag[:indexLen] != string(ufrag[:indexLen]) {
			t.Fatalf("%q decoded as %d", ufrag, index)
		}
	})
}
