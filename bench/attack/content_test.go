package attack

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/stun/v3"

	"tsubame/media/ice"
	"tsubame/media/rtcp"
	mediartp "tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/signal/sora"
	"tsubame/turnsrv"
)

func TestGarbageHasAllLengthsAndAllFirstBytes(t *testing.T) {
	g := NewGarbage(1)
	lengths := make(map[int]bool)
	var first [256]map[bool]bool // long and short ones
	for i := range 256 * 122 {
		b := g.Next(i)
		lengths[len(b)] = true
		if len(b) == 0 {
			continue
		}
		if first[b[0]] == nil {
			first[b[0]] = make(map[bool]bool)
		}
		first[b[0]][len(b) > SlotSize] = true
	}
	for n := range SlotSize + 1 {
		if !lengths[n] {
			t.Errorf("no datagram of %d bytes", n)
		}
	}
	longest := 0
	for n := range lengths {
		longest = max(longest, n)
	}
	if longest > MaxDatagram || longest < MaxDatagram-1000 {
		t.Errorf("the longest has %d bytes", longest)
	}
	for c, seen := range first {
		if len(seen) != 2 {
			t.Errorf("first byte %#x: %v", c, seen)
		}
	}
	for class, n := range g.Counts {
		if n == 0 {
			t.Errorf("none of class %d", class)
		}
	}
}

func TestGarbageIsCountedAsTheServerSortsIt(t *testing.T) {
	g, again := NewGarbage(7), NewGarbage(7)
	var codec ice.Codec
	relay := turnsrv.NewServer(turnsrv.Config{Realm: "r", Secret: [32]byte{1}}, func([]byte) (turnsrv.Account, bool) { return turnsrv.Account{}, false })
	for i := range 10_000 {
		b := g.Next(i)
		if !bytes.Equal(b, again.Next(i)) {
			t.Fatal("the same seed makes something else")
		}
		class := classOf(b)
		if class == Empty || class == TooLong {
			continue
		}
		want := NoneOfIt
		switch mediartp.Classify(b) {
		case mediartp.ClassSTUN:
			want = NoSTUN
			if _, err := codec.Parse(b); !errors.Is(err, ice.ErrMalformed) {
				t.Fatalf("%x: %v", b, err)
			}
		case mediartp.ClassDTLS, mediartp.ClassRTP:
			want = NoPath
		case mediartp.ClassChannelData:
			want = NoChannel
			before := relay.Counters.Reasons[turnsrv.BadChannelData].Load()
			if _, _, ok := relay.ChannelData(flow.Key{}, b); ok {
				t.Fatalf("%x was taken", b)
			}
			if relay.Counters.Reasons[turnsrv.BadChannelData].Load() != before {
				want = NoChannelData
			}
		}
		if class != want {
			t.Fatalf("%#x: class %d, want %d", b[0], class, want)
		}
	}
}

func TestChecksAreWellFormedAndWrongInOneThingOnly(t *testing.T) {
	genuine := Credentials{"0a1b2c3d4e5f", "a password of some length"}
	var codec ice.Codec
	parse := func(b []byte) ice.Request {
		t.Helper()
		r, err := codec.Parse(b)
		if err != nil || !stun.IsMessage(b) {
			t.Fatalf("%x: %v", b, err)
		}
		return r
	}
	for _, b := range UnknownUfrags(1000, genuine.Ufrag) {
		if r := parse(b); string(r.LocalUfrag) == genuine.Ufrag {
			t.Error("an unknown user fragment is the known one")
		}
	}
	for _, b := range WrongIntegrity(1000, genuine) {
		if r := parse(b); string(r.LocalUfrag) != genuine.Ufrag || codec.Verify(genuine.Password) {
			t.Errorf("%x is not what it should be", b)
		}
	}
	for _, nominate := range []bool{false, true} {
		if r := parse(Check(genuine, nominate)); r.UseCandidate != nominate || !r.Controlling || !codec.Verify(genuine.Password) {
			t.Error("a check that is all right is not")
		}
	}
	parse(ShortestCheck(genuine))
	if !codec.Verify(genuine.Password) {
		t.Error("the shortest check is not signed")
	}
	for _, b := range Unsolicited(100, genuine) {
		if _, err := codec.Parse(b); !errors.Is(err, ice.ErrNotRequest) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if _, err := codec.Parse(PlainBinding()); !errors.Is(err, ice.ErrNoIntegrity) {
		t.Error(err)
	}
}

func TestSuccessIsToldFromOtherAnswers(t *testing.T) {
	c := Credentials{"ufrag", "password"}
	request := Check(c, false)
	m := &stun.Message{Raw: request}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	answer := func(of *stun.Message, kind stun.MessageType, password string) []byte {
		return build(of, kind, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	}
	if !IsSuccess(answer(m, stun.BindingSuccess, "password"), request, "password") {
		t.Error("a success is not seen")
	}
	other := &stun.Message{Raw: Check(c, false)}
	if err := other.Decode(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"error":       answer(m, stun.BindingError, "password"),
		"unsigned":    build(m, stun.BindingSuccess),
		"of others":   answer(m, stun.BindingSuccess, "passw0rd"),
		"to others":   answer(other, stun.BindingSuccess, "password"),
		"no STUN":     {1, 1},
		"the request": request,
	} {
		if IsSuccess(b, request, "password") {
			t.Errorf("%s: taken for a success", name)
		}
	}
}

func TestStrangersRecordsAndMediaAreOfTheirClass(t *testing.T) {
	for _, b := range Records() {
		if mediartp.Classify(b) != mediartp.ClassDTLS {
			t.Errorf("%x is no DTLS by its first byte", b)
		}
	}
	h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: 7, SSRC: 5}
	if err := h.SetExtension(1, []byte("0")); err != nil {
		t.Fatal(err)
	}
	b := Forged(h, 50)
	back, err := RTPHeader(b)
	if err != nil || back.SSRC != 5 || string(back.GetExtension(1)) != "0" || mediartp.IsRTCP(b) {
		t.Errorf("%+v, %v", back, err)
	}
	if b := ForgedRTCP(5, 50); !mediartp.IsRTCP(b) || mediartp.Classify(b) != mediartp.ClassRTP {
		t.Errorf("%x is no RTCP", b)
	}
}

func TestRTCPBombsFitAndAreReadInBoundedWork(t *testing.T) {
	bombs := RTCPBombs(1, 2, 3)
	for i, b := range bombs {
		if len(b)%4 != 0 || len(b) > maxRTCP || !mediartp.IsRTCP(b) {
			t.Errorf("bomb %d has %d bytes", i, len(b))
		}
		r := rtcp.NewReader(b)
		n := 0
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		if n > rtcp.MaxPackets {
			t.Errorf("bomb %d: %d packets", i, n)
		}
	}
}

func TestBombsAreRefusedForWhatTheySay(t *testing.T) {
	for _, b := range append(JSONBombs(), Nonsense()...) {
		if len(b.Text) > MaxFrame {
			t.Errorf("%s: %d bytes", b.Name, len(b.Text))
		}
		_, err := sora.Decode([]byte(b.Text))
		reason := "UNEXPECTED-MESSAGE" // which is up to the session
		var e *sora.Error
		if errors.As(err, &e) {
			reason = e.Reason
		}
		if reason != b.Reason {
			t.Errorf("%s: %s, want %s", b.Name, reason, b.Reason)
		}
	}
	if MaxFrame != sora.MaxFrame {
		t.Errorf("a frame may have %d bytes, not %d", sora.MaxFrame, MaxFrame)
	}
}
