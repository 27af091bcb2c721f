package srtp

import (
	"bytes"
	"testing"

	pion "github.com/pion/srtp/v3"
)

var profiles = []Profile{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80}

// seq returns n bytes that differ from one another and from those of another start.
func seq(start byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = start + byte(i)
	}
	return b
}

// testKeys returns the keys of the server's end.
func testKeys(p Profile) Keys {
	return Keys{
		Profile:  p,
		LocalKey: seq(1, p.KeyLen()), LocalSalt: seq(51, p.SaltLen()),
		RemoteKey: seq(101, p.KeyLen()), RemoteSalt: seq(151, p.SaltLen()),
	}
}

// turned returns the keys of the other end.
func turned(k Keys) Keys {
	k.LocalKey, k.RemoteKey = k.RemoteKey, k.LocalKey
	k.LocalSalt, k.RemoteSalt = k.RemoteSalt, k.LocalSalt
	return k
}

func newSession(t testing.TB, k Keys) *Session {
	t.Helper()
	s, err := NewSession(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// peer is pion's end of a session with keys k: contexts that read what we seal and write what
// we open.
func peer(t testing.TB, k Keys) (read, write *pion.Context) {
	t.Helper()
	read, err := pion.CreateContext(k.LocalKey, k.LocalSalt, pionProfile(k.Profile))
	if err != nil {
		t.Fatal(err)
	}
	write, err = pion.CreateContext(k.RemoteKey, k.RemoteSalt, pionProfile(k.Profile))
	if err != nil {
		t.Fatal(err)
	}
	return read, write
}

// The headers that interoperability is shown with; sequence number 0x1234, SSRC 0xcafebabe.
var headers = map[string]string{
	"plain":             "8060 1234 00000001 cafebabe",
	"marker":            "80e0 1234 00000001 cafebabe",
	"padding":           "a060 1234 00000001 cafebabe",
	"CSRC":              "8260 1234 00000001 cafebabe 00000011 00000022",
	"one-byte":          "9060 1234 00000001 cafebabe bede0002 10aa2211 22330000",
	"two-byte":          "9060 1234 00000001 cafebabe 10000002 0101aa02 02112200",
	"CSRC and one-byte": "9160 1234 00000001 cafebabe 00000011 bede0001 10aa0000",
	"RFC 3550":          "9060 1234 00000001 cafebabe 12340001 00000000",
}

func TestPionOpensWhatWeSeal(t *testing.T) {
	for _, p := range profiles {
		for name, h := range headers {
			for _, size := range []int{0, 1, 15, 16, 17, 1200} {
				s := newSession(t, testKeys(p))
				read, _ := peer(t, testKeys(p))
				header, payload := unhex(t, h), seq(3, size)
				slot := make([]byte, 2048)
				copy(slot, header)
				n, err := s.SealRTP(slot, len(header), payload, s.AddStream(0xcafebabe), 0x1234)
				if err != nil {
					t.Fatal(err)
				}
				if n != len(header)+size+p.RTPOverhead() {
					t.Errorf("%v %s: %d bytes", p, name, n)
				}
				got, err := read.DecryptRTP(nil, slot[:n], nil)
				if err != nil || !bytes.Equal(got, append(header, payload...)) {
					t.Errorf("%v %s %d: %v, %d bytes", p, name, size, err, len(got))
				}
			}
		}
	}
}

func TestWeOpenWhatPionSeals(t *testing.T) {
	for _, p := range profiles {
		for name, h := range headers {
			s := newSession(t, testKeys(p))
			_, write := peer(t, testKeys(p))
			plain := append(unhex(t, h), seq(3, 1200)...)
			sealed, err := write.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]byte, len(plain))
			n, err := s.OpenRTP(dst, sealed)
			if err != nil || !bytes.Equal(dst[:n], plain) {
				t.Errorf("%v %s: %v, %d bytes of %d", p, name, err, n, len(plain))
			}
		}
	}
}

// compound is a receiver report followed by a source description.
const compound = `
	81c90007 cafebabe 11111111 00000000 00000000 00000000 00000000 00000000
	81ca0002 cafebabe 01000000`

func TestRTCPBothWays(t *testing.T) {
	for _, p := range profiles {
		for name, text := range map[string]string{"compound": compound, "shortest": "80c90001 cafebabe"} {
			s := newSession(t, testKeys(p))
			read, write := peer(t, testKeys(p))
			plain := unhex(t, text)
			slot := make([]byte, 2048)
			n, err := s.SealRTCP(slot, copy(slot, plain))
			if err != nil || n != len(plain)+p.RTCPOverhead() {
				t.Fatalf("%v %s: %d, %v", p, name, n, err)
			}
			if got, err := read.DecryptRTCP(nil, slot[:n], nil); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v %s: pion got %x, %v", p, name, got, err)
			}
			sealed, err := write.EncryptRTCP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]byte, len(plain))
			if n, err = s.OpenRTCP(dst, sealed); err != nil || !bytes.Equal(dst[:n], plain) {
				t.Errorf("%v %s: we got %x, %v", p, name, dst[:n], err)
			}
		}
	}
}

func TestTwoSessionsUnderstandEachOther(t *testing.T) {
	for _, p := range profiles {
		k := testKeys(p)
		a, b := newSession(t, k), newSession(t, turned(k))
		header, payload := unhex(t, headers["plain"]), seq(9, 100)
		for _, dir := range [][2]*Session{{a, b}, {b, a}} {
			slot, dst := make([]byte, 2048), make([]byte, 2048)
			n, err := dir[0].SealRTP(slot, copy(slot, header), payload, dir[0].AddStream(0xcafebabe), 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			if n, err = dir[1].OpenRTP(dst, slot[:n]); err != nil || !bytes.Equal(dst[12:n], payload) {
				t.Errorf("%v: %x, %v", p, dst[:n], err)
			}
		}
	}
}
