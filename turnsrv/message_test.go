package turnsrv

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

func TestIsTellsTURNFromICE(t *testing.T) {
	const cookieAndID = " 2112a442 000102030405060708090a0b "
	for name, test := range map[string]struct {
		bytes string
		want  bool
	}{
		"Allocate":                      {"0003 0008" + cookieAndID + "0019 0004 11000000", true},
		"Refresh":                       {"0004 0000" + cookieAndID, true},
		"CreatePermission":              {"0008 0000" + cookieAndID, true},
		"ChannelBind":                   {"0009 0000" + cookieAndID, true},
		"Send indication":               {"0016 0000" + cookieAndID, true},
		"Data indication":               {"0017 0000" + cookieAndID, true},
		"Connect of RFC 6062":           {"000a 0000" + cookieAndID, true},
		"a method of high bits":         {"3eef 0000" + cookieAndID, true},
		"bare Binding":                  {"0001 0000" + cookieAndID, true},
		"Binding with SOFTWARE":         {"0001 0008" + cookieAndID + "8022 0003 61626300", true},
		"ICE check":                     {"0001 0010" + cookieAndID + "0024 0004 00000001 0006 0003 613a6200", false},
		"sample of RFC 5769":            {rfcLongTerm, false},
		"Binding indication":            {"0011 0000" + cookieAndID, false},
		"Binding success":               {"0101 0000" + cookieAndID, false},
		"Allocate success":              {"0103 0000" + cookieAndID, false},
		"Allocate error":                {"0113 0000" + cookieAndID, false},
		"Binding with broken attribute": {"0001 0004" + cookieAndID + "8022 0003", false},
		"no magic cookie":               {"0003 0000 2112a443 000102030405060708090a0b", false},
		"length too small":              {"0003 0004" + cookieAndID + "0019 0004 11000000", false},
		"length too large":              {"0003 000c" + cookieAndID + "0019 0004 11000000", false},
		"length of an odd number":       {"0003 0001" + cookieAndID + "00", false},
		"too short":                     {"0003 0000 2112a442 000102030405060708090a", false},
		"empty":                         {"", false},
		"not STUN":                      {"8003 0000" + cookieAndID, false},
	} {
		if got := Is(unhex(t, test.bytes)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The form in which coturn's clients ask: SOFTWARE, LIFETIME, both families, no FINGERPRINT.
func TestAllocateBytesAreRead(t *testing.T) {
	b := unhex(t, `0003 0020 2112a442 0102030405060708090a0b0c
		8022 0004 6e6f6e65
		000d 0004 00000320
		0019 0004 11000000
		8000 0004 02000000`)
	var m message
	if reason, ok := m.parse(b); !ok {
		t.Fatal(reason)
	}
	if m.method() != methodAllocate || m.class() != classRequest || m.lifetime != 800 || m.transport != 17 ||
		m.additional != family6 || m.tx != [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} || m.bad || m.numUnknown != 0 ||
		m.found != hasLifetime|hasTransport|hasAdditional {
		t.Errorf("%+v", m)
	}
}

func TestPeerAddressBytesAreRead(t *testing.T) {
	b := unhex(t, `0009 002c 2112a442 0102030405060708090a0b0c
		000c 0004 40010000
		0012 0008 0001 2c84 ea12d547
		0012 0014 0002 2c84 0113a9fa 01070304 05060708 090a0b09`)
	var m message
	if _, ok := m.parse(b); ok {
		t.Error("two peers for one channel")
	}
	binary.BigEndian.PutUint16(b, methodCreatePermission)
	m = message{}
	if _, ok := m.parse(b); !ok || m.bad || m.channel != 0x4001 || m.peer != (peerAddress{ours4.Addr, 3478, family4}) {
		t.Errorf("%+v", m)
	}
	p, ok := decodePeer(b[44:], b)
	if !ok || p.port != 3478 || p.family != family6 || p.addr != ours6.Addr {
		t.Errorf("%v %v", p.addr.Netip(), p)
	}
}

func TestEveryTruncationIsDropped(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.prove()
	whole := c.signed(stun.MethodAllocate, overUDP, both, lifetime(700))
	for n := range len(whole) {
		for _, fix := range []bool{false, true} { // with the old length, and with one that is true
			b := bytes.Clone(whole[:n])
			if fix && n >= headerLen {
				stunwire.SetLength(b, 0)
			}
			r := w.s.Handle(w.now, c.k, b, w.out[:])
			// Where an attribute ends just here, the rest is a request without credentials.
			if r.Outcome == Reply && (!fix || r.Reason != Challenged && r.Reason != BadRequest && r.Reason != Allocated) {
				t.Errorf("%d bytes: %+v", n, r)
			}
			if r.Reason == Allocated && n != len(whole)-attrHeaderLen-stunwire.FingerprintLen {
				t.Errorf("%d bytes allocate", n)
			}
		}
	}
}

// with changes one byte of a copy.
func with(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

func TestMalformedIsDropped(t *testing.T) {
	w := newWorld(t)
	good := w.build(stun.MethodAllocate, stun.ClassRequest, overUDP, stun.Fingerprint).Raw
	build := func(setters ...stun.Setter) []byte {
		return w.build(stun.MethodAllocate, stun.ClassRequest, setters...).Raw
	}
	for name, test := range map[string]struct {
		b      []byte
		reason Reason
	}{
		"nothing":                  {nil, Malformed},
		"attribute past the end":   {with(good, headerLen+3, 200), Malformed},
		"fingerprint is wrong":     {with(good, len(good)-1, good[len(good)-1]^1), BadFingerprint},
		"byte under a fingerprint": {with(good, headerLen+4, 6), BadFingerprint},
		"fingerprint too short":    {build(raw(stun.AttrFingerprint, 1, 2)), BadFingerprint},
		"fingerprint in between":   {build(overUDP, stun.Fingerprint, lifetime(1)), BadFingerprint},
		"fingerprint before MI":    {build(stun.Fingerprint, raw(stun.AttrMessageIntegrity, make([]byte, 20)...)), BadFingerprint},
		"integrity too short":      {build(raw(stun.AttrMessageIntegrity, make([]byte, 19)...)), Malformed},
		"integrity of SHA-256":     {build(raw(stun.AttrMessageIntegrity, make([]byte, 32)...)), Malformed},
		"transport twice":          {build(overUDP, overUDP), Malformed},
		"username twice":           {build(stun.NewUsername("a"), stun.NewUsername("a")), Malformed},
		"lifetime twice":           {build(lifetime(1), lifetime(2)), Malformed},
		"token twice":              {build(raw(stun.AttrReservationToken, make([]byte, 8)...), raw(stun.AttrReservationToken)), Malformed},
		"1,504 bytes":              {build(raw(stun.AttrSoftware, make([]byte, 1480)...)), Malformed},
		"64 KiB":                   {build(raw(stun.AttrSoftware, make([]byte, 65000)...)), Malformed},
		"a Data indication":        {w.build(stun.MethodData, stun.ClassIndication, peerAt(ours4)).Raw, Unexpected},
		"an Allocate indication":   {w.build(stun.MethodAllocate, stun.ClassIndication, overUDP).Raw, Unexpected},
		"a Send request":           {w.build(stun.MethodSend, stun.ClassRequest, peerAt(ours4)).Raw, Unexpected},
		"a Data request":           {w.build(stun.MethodData, stun.ClassRequest, peerAt(ours4)).Raw, Unexpected},
		"an unknown method":        {w.build(0x00F, stun.ClassRequest).Raw, Unexpected},
		"an answer":                {w.build(stun.MethodAllocate, stun.ClassSuccessResponse, overUDP).Raw, Unexpected},
		"an error":                 {w.build(stun.MethodAllocate, stun.ClassErrorResponse, overUDP).Raw, Unexpected},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.count(test.reason)
			r := w.s.Handle(w.now, w.connect(1).k, test.b, w.out[:])
			if r.Outcome != Dropped || r.Reason != test.reason || w.count(test.reason) != before+1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestNoTURNInsideARelayOrOverICEFraming(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	request := w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw
	for _, via := range []flow.Via{flow.Via(0).Relayed(0, 0), flow.OverStream(flow.FramedStream, 1), flow.OverStream(flow.TURNStream, 1).Relayed(0, 0)} {
		c.k.Via = via
		if r := c.handle(request); r.Outcome != Dropped || r.Reason != Unexpected {
			t.Errorf("%#x: %+v", via, r)
		}
	}
}

// RFC 5769 section 2.2 has the form of the answer; here without its SOFTWARE and credentials.
func TestBindingIsAnsweredWithTheAddress(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.k = flow.KeyOf(netip.MustParseAddr("203.0.113.5"), netip.MustParseAddrPort("192.0.2.1:32853"))
	request := unhex(t, "0001 0000 2112a442 b7e7a701bc34d686fa87dfae")
	r := c.handle(request)
	if want := unhex(t, "0101 000c 2112a442 b7e7a701bc34d686fa87dfae 0020 0008 0001 a147 e112a643"); r.Outcome != Reply ||
		r.Reason != Bound || !bytes.Equal(w.out[:r.Size], want) {
		t.Errorf("%+v %x", r, w.out[:r.Size])
	}
	c.k.Remote = flow.AddrOf(netip.MustParseAddr("2001:db8:1234:5678:11:2233:4455:6677"))
	r = c.handle(request)
	if want := unhex(t, "0101 0018 2112a442 b7e7a701bc34d686fa87dfae 0020 0014 0002 a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9"); r.Outcome != Reply ||
		!bytes.Equal(w.out[:r.Size], want) {
		t.Errorf("%+v %x", r, w.out[:r.Size])
	}
}

func TestBindingWithUnknownAttributeIs420(t *testing.T) {
	w := newWorld(t)
	m, reason := w.connect(1).answer(w.build(stun.MethodBinding, stun.ClassRequest, raw(stun.AttrChangeRequest, 0, 0, 0, 6), stun.Fingerprint).Raw)
	if v, _ := m.Get(stun.AttrUnknownAttributes); codeOf(t, m) != 420 || !bytes.Equal(v, []byte{0, 3}) || reason != UnknownAttribute {
		t.Error(m)
	}
}

func TestEveryReasonHasAnOwnName(t *testing.T) {
	seen := make(map[string]bool)
	for r := range Reason(NumReasons) {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[r.String()] = true
	}
}
