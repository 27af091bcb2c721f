package turnsrv

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// FuzzHandle gives the server arbitrary messages on a flow with an allocation and on one without,
// as they are and signed with good credentials, and holds the answers against pion/stun.
func FuzzHandle(f *testing.F) {
	w := newWorld(f)
	c := w.connect(1)
	f.Add(unhex(f, rfcLongTerm))
	for _, method := range []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		f.Add(w.build(method, stun.ClassRequest, overUDP, peerAt(ours4), channelNumber(0x4000), lifetime(0), stun.Fingerprint).Raw)
		f.Add(c.signed(method, both, peerAt(ours6), raw(stun.AttrEvenPort, 0)))
	}
	f.Add(w.build(stun.MethodSend, stun.ClassIndication, peerAt(ours4), raw(stun.AttrData, 1, 2, 3)).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, allocated := range []bool{false, true} {
			w := newWorld(t)
			c := w.connect(1)
			if allocated {
				c.allocate(both)
				c.must(stun.MethodCreatePermission, peerAt(ours4))
			}
			judge(t, c, b)
			if signed := c.countersigned(b); signed != nil {
				judge(t, c, signed)
			}
		}
	})
}

// countersigned returns what attributes b has before its credentials, with good ones behind
// them: a fuzzer does not get past the integrity by itself.
func (c *client) countersigned(b []byte) []byte {
	m := &stun.Message{Raw: bytes.Clone(b)}
	if m.Decode() != nil || m.Type.Class != stun.ClassRequest {
		return nil
	}
	var setters []stun.Setter
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrUsername, stun.AttrRealm, stun.AttrNonce, stun.AttrMessageIntegrity, stun.AttrFingerprint:
		default:
			setters = append(setters, stun.RawAttribute{Type: a.Type, Value: a.Value})
		}
	}
	c.prove()
	return c.signed(m.Type.Method, setters...)
}

// judge handles b and checks what must hold whatever it is.
func judge(t *testing.T, c *client, b []byte) {
	before := bytes.Clone(b)
	theirs := &stun.Message{Raw: bytes.Clone(b)}
	r := c.w.s.Handle(c.w.now, c.k, b, c.w.out[:])
	if !bytes.Equal(before, b) {
		t.Fatal("the message was changed")
	}
	switch r.Outcome {
	case Data:
		if len(r.Payload) == 0 || !r.Path.Via.IsRelayed() || theirs.Decode() != nil {
			t.Fatalf("%+v", r)
		}
		if v, err := theirs.Get(stun.AttrData); err != nil || !bytes.Equal(v, r.Payload) {
			t.Fatalf("payload %x, pion reads %x", r.Payload, v)
		}
	case Reply:
		if err := theirs.Decode(); err != nil {
			t.Fatalf("answered what pion refuses: %v", err)
		}
		m := &stun.Message{Raw: bytes.Clone(c.w.out[:r.Size])}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		if m.Contains(stun.AttrFingerprint) != theirs.Contains(stun.AttrFingerprint) {
			t.Fatal("fingerprint without being asked, or none")
		}
		if m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(m) != nil {
			t.Fatal("wrong fingerprint")
		}
		if m.Contains(stun.AttrMessageIntegrity) && stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(m) != nil {
			t.Fatal("wrong integrity")
		}
		if !m.Contains(stun.AttrMessageIntegrity) && r.Size > amplification*len(b) {
			t.Fatal("amplified")
		}
	case Dropped:
		if r.Size != 0 || r.Payload != nil {
			t.Fatalf("%+v", r)
		}
	}
	if a := c.w.s.table.find(c.k); a != nil {
		for peer := range a.permitted {
			if (a.permitted[peer] != 0 || a.channel[peer] != 0) && peer > 1 {
				t.Fatal("a permission or channel without an address of ours")
			}
		}
	}
}

// FuzzChannelData: what comes out is what stood behind the header.
func FuzzChannelData(f *testing.F) {
	f.Add([]byte("\x40\x00\x00\x05hello"))
	f.Add([]byte("\x40\x00\x00\x05hello\x00\x00\x00"))
	f.Add([]byte("\x40\x01\x00\x01h"))
	f.Add([]byte("\x40\x00\xff\xffh"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := bound(t)
		path, payload, ok := c.w.s.ChannelData(c.k, b)
		if !ok {
			if path != (flow.Key{}) || payload != nil {
				t.Fatal("something of what was refused")
			}
			return
		}
		again := channelData(0x4000, string(payload))
		if len(payload) == 0 || !bytes.HasPrefix(b, again) || len(b) > Padded(len(again)) {
			t.Fatalf("%x of %x", payload, b)
		}
	})
}

// FuzzIs: what is for TURN is no ICE check, and what has a USERNAME is one.
func FuzzIs(f *testing.F) {
	f.Add(unhex(f, rfcLongTerm))
	f.Add(unhex(f, "0001 0000 2112a442 000102030405060708090a0b"))
	f.Add(unhex(f, "0003 0008 2112a442 000102030405060708090a0b 0019 0004 11000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		is := Is(b)
		m := &stun.Message{Raw: bytes.Clone(b)}
		if err := m.Decode(); err != nil {
			if is && m.Type.Method == stun.MethodBinding {
				t.Fatalf("pion refuses it: %v", err)
			}
			return
		}
		if is && m.Type.Method == stun.MethodBinding && m.Contains(stun.AttrUsername) {
			t.Fatal("a check is for TURN")
		}
	})
}
