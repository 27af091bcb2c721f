package ice

import (
	"errors"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// parsed returns a codec and the request that it has just read.
func parsed(t *testing.T, attrs ...attr) (*Codec, *Request) {
	t.Helper()
	c := new(Codec)
	r, err := c.Parse(build(typeRequest, testPassword, attrs...))
	if err != nil && err != ErrUnknownAttribute {
		t.Fatal(err)
	}
	return c, &r
}

// decoded reads an answer of ours with pion/stun and checks what all answers have.
func decoded(t *testing.T, b []byte, r *Request, password string) *stun.Message {
	t.Helper()
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if m.TransactionID != r.TxID || int(m.Length) != len(b)-headerLen {
		t.Errorf("wrong header %x", b[:headerLen])
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Error(err)
	}
	err := stun.NewShortTermIntegrity(password).Check(m)
	if password == "" {
		if !errors.Is(err, stun.ErrAttributeNotFound) {
			t.Errorf("signed without a password: %v", err)
		}
	} else if err != nil {
		t.Error(err)
	}
	if m.Contains(stun.AttrSoftware) {
		t.Error("SOFTWARE tells who we are and makes the answer longer")
	}
	return m
}

func TestSuccessCarriesTheMappedAddress(t *testing.T) {
	for _, test := range []struct {
		k    flow.Key
		size int
	}{{key4, 64}, {key6, 76}} {
		c, r := parsed(t, with()...)
		prefix := []byte("in front")
		out := c.AppendSuccess(prefix, r, test.k, testPassword)
		if string(out[:len(prefix)]) != "in front" {
			t.Error("does not append")
		}
		out = out[len(prefix):]
		m := decoded(t, out, r, testPassword)
		var addr stun.XORMappedAddress
		if err := addr.GetFrom(m); err != nil {
			t.Fatal(err)
		}
		if addr.Port != int(test.k.Port) || !addr.IP.Equal(test.k.Remote.Netip().AsSlice()) {
			t.Errorf("got %v, want %v", addr, test.k.RemoteAddrPort())
		}
		if m.Type != stun.BindingSuccess || len(out) != test.size || len(m.Attributes) != 3 {
			t.Errorf("%v: %d bytes", m, len(out))
		}
	}
}

func TestErrorsHaveNoReasonPhrase(t *testing.T) {
	for _, code := range []int{CodeUnauthenticated, CodeRoleConflict} {
		for _, password := range []string{"", testPassword} {
			c, r := parsed(t, with()...)
			m := decoded(t, c.AppendError(nil, r, code, password), r, password)
			var e stun.ErrorCodeAttribute
			if err := e.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			if int(e.Code) != code || len(e.Reason) != 0 || m.Type != stun.BindingError {
				t.Errorf("%d: %v", code, e)
			}
		}
	}
}

func TestUnknownAttributesAreNamed(t *testing.T) {
	for n := 1; n <= maxUnknown; n++ {
		var more []attr
		for i := range n {
			more = append(more, attr{stun.AttrType(0x7000 + i), ""})
		}
		c, r := parsed(t, with(more...)...)
		m := decoded(t, c.AppendError(nil, r, CodeUnknownAttribute, testPassword), r, testPassword)
		var u stun.UnknownAttributes
		if err := u.GetFrom(m); err != nil || len(u) != n || u[0] != 0x7000 {
			t.Errorf("%v, %v", u, err)
		}
	}
}

// The smallest request that Parse lets pass draws no more bytes than it has.
//
// Row ICE-06.
func TestUnauthenticatedAnswerIsNoLongerThanTheRequest(t *testing.T) {
	var c Codec
	smallest := build(typeRequest, testPassword, attr{stun.AttrUsername, "a:b"}, attrIntegrity, attrFinger)
	r, err := c.Parse(smallest)
	if err != nil {
		t.Fatal(err)
	}
	out := c.AppendError(nil, &r, CodeUnauthenticated, "")
	if len(out) == 0 || len(out) > len(smallest) {
		t.Errorf("%d bytes for %d", len(out), len(smallest))
	}
	// With all that a 420 may name it would come close; it is never sent unsigned anyway.
	r, err = c.Parse(build(typeRequest, testPassword, attr{stun.AttrUsername, "a:b"},
		attr{0x7000, ""}, attr{0x7001, ""}, attr{0x7002, ""}, attr{0x7003, ""}, attrIntegrity, attrFinger))
	if err != ErrUnknownAttribute {
		t.Fatal(err)
	}
	if out := c.AppendError(nil, &r, CodeUnknownAttribute, ""); len(out) > r.size {
		t.Errorf("%d bytes for %d", len(out), r.size)
	}
}

// Row ICE-06.
func TestAnswerThatWouldAmplifyIsNotWritten(t *testing.T) {
	var c Codec
	if out := c.AppendError([]byte("x"), &Request{size: 35}, CodeUnauthenticated, ""); string(out) != "x" {
		t.Errorf("wrote %d bytes for a request of 35", len(out)-1)
	}
}
