package srtp

import (
	"bytes"
	"testing"
)

// FuzzOpenRTP: no datagram but the peer's own is ever opened, and the peer's own still is
// after it.
func FuzzOpenRTP(f *testing.F) {
	for _, p := range profiles {
		for _, h := range headers {
			from, _, st := pair(f, p)
			slot := make([]byte, 200)
			n, err := from.SealRTP(slot, copy(slot, unhex(f, h)), seq(1, 30), st, 0x1234)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(slot[:n], p == AEAD_AES_128_GCM)
		}
	}
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, datagram []byte, gcm bool) {
		p := AES_CM_128_HMAC_SHA1_80
		if gcm {
			p = AEAD_AES_128_GCM
		}
		from, to, st := pair(t, p)
		before := bytes.Clone(datagram)
		dst := make([]byte, len(datagram))
		n, err := to.OpenRTP(dst, datagram)
		if !bytes.Equal(before, datagram) {
			t.Fatal("the datagram was changed")
		}
		if err == nil && n+p.RTPOverhead() != len(datagram) {
			t.Fatalf("opened %d bytes into %d", len(datagram), n)
		}
		if _, again := to.OpenRTP(dst, datagram); err == nil && again != ErrReplay {
			t.Fatal("opened twice")
		}
		if err := open(to, mustSeal(t, from, st, 0x1235, nil)); err != nil {
			t.Fatalf("the next true packet: %v", err)
		}
	})
}

// FuzzOpenRTCP is FuzzOpenRTP for control packets.
func FuzzOpenRTCP(f *testing.F) {
	for _, p := range profiles {
		from, _, _ := pair(f, p)
		slot := make([]byte, 200)
		n, err := from.SealRTCP(slot, copy(slot, unhex(f, compound)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(slot[:n], p == AEAD_AES_128_GCM)
		f.Add(report(f, from, testSSRC, 77), p == AEAD_AES_128_GCM)
	}
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, datagram []byte, gcm bool) {
		p := AES_CM_128_HMAC_SHA1_80
		if gcm {
			p = AEAD_AES_128_GCM
		}
		from, to, _ := pair(t, p)
		before := bytes.Clone(datagram)
		dst := make([]byte, len(datagram))
		n, err := to.OpenRTCP(dst, datagram)
		if !bytes.Equal(before, datagram) {
			t.Fatal("the datagram was changed")
		}
		if err == nil && n+p.RTCPOverhead() != len(datagram) {
			t.Fatalf("opened %d bytes into %d", len(datagram), n)
		}
		if _, again := to.OpenRTCP(dst, datagram); err == nil && again != ErrReplay {
			t.Fatal("opened twice")
		}
		if err := openRTCP(to, report(t, from, testSSRC, 78)); err != nil {
			t.Fatalf("the next true packet: %v", err)
		}
	})
}
