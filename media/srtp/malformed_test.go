package srtp

import (
	"testing"

	pion "github.com/pion/srtp/v3"
)

// tagged returns a packet of that header with room for the tag, which is wrong.
func tagged(t *testing.T, header string, p Profile) []byte {
	return append(unhex(t, header), make([]byte, p.RTPOverhead())...)
}

func TestMalformedHeadersAreToldApart(t *testing.T) {
	for _, p := range profiles {
		for name, test := range map[string]struct {
			packet []byte
			want   error
		}{
			"empty":                   {nil, ErrShort},
			"no room for a tag":       {tagged(t, "8060 1234 00000001 cafebabe", p)[1:], ErrShort},
			"version 1":               {tagged(t, "4060 1234 00000001 cafebabe", p), ErrMalformed},
			"CSRCs in the tag":        {tagged(t, "8160 1234 00000001 cafebabe", p), ErrMalformed},
			"CSRCs past the end":      {tagged(t, "8f60 1234 00000001 cafebabe", p), ErrMalformed},
			"extension past the end":  {tagged(t, "9060 1234 00000001 cafebabe bede0fff", p), ErrMalformed},
			"no extension header":     {tagged(t, "9f60 1234 00000001 cafebabe", p), ErrMalformed},
			"nothing wrong but a tag": {tagged(t, "8060 1234 00000001 cafebabe", p), ErrAuth},
		} {
			s := newSession(t, testKeys(p))
			if err := open(s, test.packet); err != test.want {
				t.Errorf("%v, %s: %v, want %v", p, name, err, test.want)
			}
			c := s.Counters()
			if c.Malformed.Load()+c.Auth.Load() != 1 {
				t.Errorf("%v, %s: not counted", p, name)
			}
		}
		s := newSession(t, testKeys(p))
		short := append(unhex(t, "80c90001 cafebabe"), make([]byte, p.RTCPOverhead()-1)...)
		if err := openRTCP(s, short); err != ErrShort {
			t.Errorf("%v: short SRTCP: %v", p, err)
		}
		if err := openRTCP(s, append(unhex(t, "40c90001 cafebabe"), make([]byte, p.RTCPOverhead())...)); err != ErrMalformed {
			t.Errorf("%v: SRTCP version 1: %v", p, err)
		}
	}
}

// What extensions say is looked at by media/rtp. pion reads them first and refuses what it
// cannot read, and Cryptex (RFC 9335), which is never agreed; under GCM both only fail to
// authenticate.
func TestExtensionsThatCannotBeReadAreRefused(t *testing.T) {
	for name, header := range map[string]string{
		"element past its end": "9060 1234 00000001 cafebabe bede0001 1fffffff",
		"Cryptex, one-byte":    "9060 1234 00000001 cafebabe c0de0001 10ff0000",
		"Cryptex, two-byte":    "9060 1234 00000001 cafebabe c2de0001 0100ff00",
	} {
		for p, want := range map[Profile]error{AEAD_AES_128_GCM: ErrAuth, AES_CM_128_HMAC_SHA1_80: ErrMalformed} {
			s := newSession(t, testKeys(p))
			if err := open(s, tagged(t, header, p)); err != want {
				t.Errorf("%v, %s: %v, want %v", p, name, err, want)
			}
		}
	}
}

func TestUnencryptedSRTCPIsRefused(t *testing.T) {
	for _, p := range profiles {
		k := testKeys(p)
		write, err := pion.CreateContext(k.RemoteKey, k.RemoteSalt, pionProfile(p), pion.SRTCPNoEncryption())
		if err != nil {
			t.Fatal(err)
		}
		packet, err := write.EncryptRTCP(nil, unhex(t, compound), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(t, k)
		if err := openRTCP(s, packet); err != ErrPlain || s.Counters().Plain.Load() != 1 {
			t.Errorf("%v: %v", p, err)
		}
	}
}
