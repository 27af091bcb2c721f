package srtp

import (
	"bytes"
	"encoding/binary"
	"testing"

	pion "github.com/pion/srtp/v3"
)

const testSSRC = 0xcafebabe

// putHeader writes a plain RTP header for index and returns its length.
func putHeader(slot []byte, ssrc uint32, index uint64) int {
	slot[0], slot[1] = 0x80, 96
	binary.BigEndian.PutUint16(slot[2:], uint16(index))
	binary.BigEndian.PutUint32(slot[4:], 1)
	binary.BigEndian.PutUint32(slot[8:], ssrc)
	return rtpHeaderLen
}

// sealed returns a packet of st with that index, or the error.
func sealed(s *Session, st *Stream, index uint64, payload []byte) ([]byte, error) {
	slot := make([]byte, 2048)
	var ssrc uint32
	if st != nil {
		ssrc = st.ssrc
	}
	n, err := s.SealRTP(slot, putHeader(slot, ssrc, index), payload, st, index)
	return slot[:n], err
}

func mustSeal(t testing.TB, s *Session, st *Stream, index uint64, payload []byte) []byte {
	t.Helper()
	b, err := sealed(s, st, index, payload)
	if err != nil {
		t.Fatalf("index %d: %v", index, err)
	}
	return b
}

func TestSharedPayloadIsOnlyRead(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		payload := seq(1, 500)
		mustSeal(t, s, s.AddStream(testSSRC), 1, payload)
		if !bytes.Equal(payload, seq(1, 500)) {
			t.Errorf("%v: payload was changed", p)
		}
	}
}

// An RTX packet is put together in the slot and sealed where it is.
func TestPayloadInTheSlotIsSealedInPlace(t *testing.T) {
	for _, p := range profiles {
		apart, inPlace := newSession(t, testKeys(p)), newSession(t, testKeys(p))
		payload := seq(7, 300)
		want := mustSeal(t, apart, apart.AddStream(testSSRC), 5, payload)
		slot := make([]byte, 2048)
		h := putHeader(slot, testSSRC, 5)
		copy(slot[h:], payload)
		n, err := inPlace.SealRTP(slot, h, slot[h:h+len(payload)], inPlace.AddStream(testSSRC), 5)
		if err != nil || !bytes.Equal(slot[:n], want) {
			t.Errorf("%v: %v, %d bytes", p, err, n)
		}
	}
}

func TestNothingIsWrittenBehindThePacket(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		for _, size := range []int{0, 33} {
			slot := bytes.Repeat([]byte{0xee}, 200)
			n, err := s.SealRTP(slot, putHeader(slot, testSSRC, uint64(size)), seq(0, size), stream(s, testSSRC), uint64(size))
			if err != nil || bytes.Count(slot[n:], []byte{0xee}) != 200-n {
				t.Errorf("%v: %v, RTP of %d", p, err, n)
			}
			slot = bytes.Repeat([]byte{0xee}, 200)
			if n, err = s.SealRTCP(slot, copy(slot, unhex(t, compound))); err != nil || bytes.Count(slot[n:], []byte{0xee}) != 200-n {
				t.Errorf("%v: %v, RTCP of %d", p, err, n)
			}
		}
	}
}

// stream returns the live stream of ssrc, or adds it.
func stream(s *Session, ssrc uint32) *Stream {
	if st := s.streams[ssrc]; st != nil {
		return st
	}
	return s.AddStream(ssrc)
}

func TestSlotWithoutRoomIsRefusedAndUsesUpNoIndex(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		slot := make([]byte, rtpHeaderLen+100+p.RTPOverhead())
		h := putHeader(slot, testSSRC, 3)
		if _, err := s.SealRTP(slot[:len(slot)-1], h, seq(0, 100), st, 3); err != ErrBuffer {
			t.Errorf("%v: %v", p, err)
		}
		if n, err := s.SealRTP(slot, h, seq(0, 100), st, 3); err != nil || n != len(slot) {
			t.Errorf("%v: %v", p, err)
		}
		plain := unhex(t, compound)
		slot = make([]byte, len(plain)+p.RTCPOverhead())
		copy(slot, plain)
		if _, err := s.SealRTCP(slot[:len(slot)-1], len(plain)); err != ErrBuffer || s.index != 0 {
			t.Errorf("%v: %v, index %d", p, err, s.index)
		}
		if n, err := s.SealRTCP(slot, len(plain)); err != nil || n != len(slot) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestHeaderThatIsNotTheStreamsPanics(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	st := s.AddStream(testSSRC)
	slot := make([]byte, 200)
	for name, call := range map[string]func(){
		"other SSRC":     func() { s.SealRTP(slot, putHeader(slot, 1, 9), nil, st, 9) },
		"other sequence": func() { s.SealRTP(slot, putHeader(slot, testSSRC, 8), nil, st, 9) },
		"half a header":  func() { putHeader(slot, testSSRC, 9); s.SealRTP(slot, 11, nil, st, 9) },
		"short RTCP":     func() { slot[0] = 0x80; s.SealRTCP(slot, 7) },
		"not RTCP":       func() { slot[0] = 0x40; s.SealRTCP(slot, 8) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

// pion reads the header that it seals behind; our own cipher takes headerLen for it.
func TestHeaderThatPionCannotReadIsNotSealed(t *testing.T) {
	s := newSession(t, testKeys(AES_CM_128_HMAC_SHA1_80))
	slot := make([]byte, 100)
	n, err := s.SealRTP(slot, copy(slot, unhex(t, "9060 1234 00000001 cafebabe bede0001 1fffffff")), nil, s.AddStream(testSSRC), 0x1234)
	if err != ErrMalformed || n != 0 || s.Counters().Malformed.Load() != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// pion follows the rollover counter by sequence numbers alone, so that it opens our packets
// shows that we used the right one, wrapping and out of order.
func TestRolloverCounterIsRightAcrossWrapAndReordering(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		read, _ := peer(t, testKeys(p))
		st := s.AddStream(testSSRC)
		for _, index := range []uint64{
			20000, 52000, 65530, 65535, 65533, 65536, 65534, 65540, 65532, 65538, 90000, 110000, 131071, 131073, 131070, 131072, 160000,
		} {
			got, err := read.DecryptRTP(nil, mustSeal(t, s, st, index, seq(byte(index), 40)), nil)
			if err != nil || !bytes.Equal(got[rtpHeaderLen:], seq(byte(index), 40)) {
				t.Errorf("%v: index %d: %v", p, index, err)
			}
		}
	}
}

func TestSRTCPIndexCountsTheSessionsPackets(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		read, _ := peer(t, testKeys(p))
		for i := uint32(1); i < 10; i++ {
			slot := make([]byte, 200)
			plain := unhex(t, compound)
			binary.BigEndian.PutUint32(plain[4:], testSSRC+i%3)
			n, err := s.SealRTCP(slot, copy(slot, plain))
			if err != nil {
				t.Fatal(err)
			}
			at := n - indexLen
			if p == AES_CM_128_HMAC_SHA1_80 {
				at -= cmTagLen
			}
			if word := binary.BigEndian.Uint32(slot[at:]); word != i|1<<31 {
				t.Errorf("%v: packet %d has E and index %#x", p, i, word)
			}
			if got, err := read.DecryptRTCP(nil, slot[:n], nil); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v: packet %d: %v", p, i, err)
			}
		}
	}
}

// RFC 3711 section 9.2.
func TestExhaustedKeySealsNothing(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		if _, err := sealed(s, st, maxIndex+1, nil); err != ErrExhausted {
			t.Errorf("%v: index of 49 bits: %v", p, err)
		}
		s.packets = maxPackets - 2
		mustSeal(t, s, st, maxIndex-1, nil)
		mustSeal(t, s, st, maxIndex, nil)
		if _, err := sealed(s, st, maxIndex-2, nil); err != ErrExhausted {
			t.Errorf("%v: after 2^48 packets: %v", p, err)
		}
		s.index = maxRTCPIndex - 1
		slot := make([]byte, 200)
		if _, err := s.SealRTCP(slot, copy(slot, unhex(t, compound))); err != nil {
			t.Errorf("%v: the last SRTCP index: %v", p, err)
		}
		if _, err := s.SealRTCP(slot, copy(slot, unhex(t, compound))); err != ErrExhausted {
			t.Errorf("%v: after 2^31-1 SRTCP packets: %v", p, err)
		}
		if n := s.Counters().Exhausted.Load(); n != 3 {
			t.Errorf("%v: counted %d", p, n)
		}
	}
}

func TestRTCPSendersOfAESCMAreBounded(t *testing.T) {
	s := newSession(t, testKeys(AES_CM_128_HMAC_SHA1_80))
	send := func(ssrc uint32) error {
		slot := make([]byte, 64)
		plain := unhex(t, "80c90001 00000000")
		binary.BigEndian.PutUint32(plain[4:], ssrc)
		_, err := s.SealRTCP(slot, copy(slot, plain))
		return err
	}
	for i := range uint32(MaxLocalSSRCs) {
		if err := send(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(MaxLocalSSRCs); err != ErrTooManySSRCs || s.Counters().TooManySSRCs.Load() != 1 {
		t.Errorf("%v", err)
	}
	if err := send(5); err != nil {
		t.Errorf("a known sender is refused: %v", err)
	}
}

func TestKeysOfWrongLengthAreRefused(t *testing.T) {
	for _, p := range profiles {
		for name, spoil := range map[string]func(*Keys){
			"profile":     func(k *Keys) { k.Profile = 0 },
			"local key":   func(k *Keys) { k.LocalKey = k.LocalKey[1:] },
			"local salt":  func(k *Keys) { k.LocalSalt = append(k.LocalSalt, 0) },
			"remote key":  func(k *Keys) { k.RemoteKey = nil },
			"remote salt": func(k *Keys) { k.RemoteSalt = k.RemoteSalt[:11] },
		} {
			k := testKeys(p)
			spoil(&k)
			if _, err := NewSession(k); err == nil {
				t.Errorf("%v: accepted a wrong %s", p, name)
			}
		}
	}
}

func TestSessionKeepsNoReferenceToItsKeys(t *testing.T) {
	for _, p := range profiles {
		k := testKeys(p)
		a, b := newSession(t, k), newSession(t, testKeys(p))
		for _, x := range [][]byte{k.LocalKey, k.LocalSalt, k.RemoteKey, k.RemoteSalt} {
			clear(x)
		}
		if !bytes.Equal(mustSeal(t, a, a.AddStream(1), 1, seq(0, 9)), mustSeal(t, b, b.AddStream(1), 1, seq(0, 9))) {
			t.Errorf("%v: clearing the keys changed what is sealed", p)
		}
	}
}

func TestProfilesHaveTheirWireValues(t *testing.T) {
	for p, want := range map[Profile]struct {
		id                    uint16
		name                  string
		salt, overhead, rtcpO int
	}{
		AEAD_AES_128_GCM:        {7, "AEAD_AES_128_GCM", 12, 16, 20},
		AES_CM_128_HMAC_SHA1_80: {1, "AES_CM_128_HMAC_SHA1_80", 14, 10, 14},
	} {
		got, ok := ProfileByID(want.id)
		if p.ID() != want.id || got != p || !ok || p.String() != want.name || p.KeyLen() != 16 ||
			p.SaltLen() != want.salt || p.RTPOverhead() != want.overhead || p.RTCPOverhead() != want.rtcpO {
			t.Errorf("%v is wrong", p)
		}
		if p.RTPOverhead() > MaxRTPOverhead || p.RTCPOverhead() > MaxRTCPOverhead {
			t.Errorf("%v adds more than the maximum", p)
		}
		if uint16(pionProfile(p)) != want.id {
			t.Errorf("%v is pion's %v", p, pionProfile(p))
		}
		if s := newSession(t, testKeys(p)); s.Profile() != p {
			t.Errorf("session has %v", s.Profile())
		}
	}
	if _, ok := ProfileByID(uint16(pion.ProtectionProfileAeadAes256Gcm)); ok || Profile(0).ID() != 0 || Profile(9).String() != "unknown" {
		t.Error("knows profiles that it does not have")
	}
}
