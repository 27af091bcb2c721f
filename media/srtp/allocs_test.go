package srtp

import "testing"

// packets returns n protected packets of one stream with that payload size.
func packets(t testing.TB, p Profile, n, size int) [][]byte {
	from, _, st := pair(t, p)
	out := make([][]byte, n)
	for i := range out {
		out[i] = mustSeal(t, from, st, uint64(i), seq(byte(i), size))
	}
	return out
}

// controls returns n protected compound packets.
func controls(t testing.TB, p Profile, n int) [][]byte {
	from, _, _ := pair(t, p)
	out := make([][]byte, n)
	for i := range out {
		slot := make([]byte, 200)
		m, err := from.SealRTCP(slot, copy(slot, unhex(t, compound)))
		if err != nil {
			t.Fatal(err)
		}
		out[i] = slot[:m]
	}
	return out
}

func TestOpeningAndSealingAllocateNothing(t *testing.T) {
	if raceEnabled {
		return // the budget is checked in builds without the race detector
	}
	const runs = 300
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		rtp, rtcp := packets(t, p, runs+2, 1100), controls(t, p, runs+2)
		plain, payload := unhex(t, compound), seq(0, 1100)
		dst, slot := make([]byte, 2048), make([]byte, 2048)
		// The first packet of an SSRC costs its state.
		if open(s, rtp[0]) != nil || openRTCP(s, rtcp[0]) != nil {
			t.Fatal("cannot open")
		}
		mustSeal(t, s, st, 0, nil)
		if _, err := s.SealRTCP(slot, copy(slot, plain)); err != nil {
			t.Fatal(err)
		}
		i, j, index := 0, 0, uint64(0)
		for name, work := range map[string]func() error{
			"OpenRTP":  func() error { i++; _, err := s.OpenRTP(dst, rtp[i]); return err },
			"OpenRTCP": func() error { j++; _, err := s.OpenRTCP(dst, rtcp[j]); return err },
			"SealRTP": func() error {
				index += 300 // wraps within the test
				_, err := s.SealRTP(slot, putHeader(slot, testSSRC, index), payload, st, index)
				return err
			},
			"SealRTCP": func() error { _, err := s.SealRTCP(slot, copy(slot, plain)); return err },
		} {
			n := testing.AllocsPerRun(runs, func() {
				if err := work(); err != nil {
					t.Fatalf("%v: %s: %v", p, name, err)
				}
			})
			if n != 0 {
				t.Errorf("%v: %s: %v allocations", p, name, n)
			}
		}
	}
}

// Under GCM that is so for what an attacker can send as well, from SSRCs never seen too.
func TestRefusingPacketsAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	from, to, st := pair(t, AEAD_AES_128_GCM)
	good := mustSeal(t, from, st, 1, seq(0, 100))
	forged, control := mustSeal(t, from, st, 2, seq(0, 100)), report(t, from, testSSRC, 1)
	forged[30] ^= 1
	control[9] ^= 1
	if err := open(to, good); err != nil {
		t.Fatal(err)
	}
	fresh := newSession(t, testKeys(AEAD_AES_128_GCM))
	dst := make([]byte, 2048)
	for name, work := range map[string]func() error{
		"forged":         func() error { _, err := to.OpenRTP(dst, forged); return err },
		"unknown SSRC":   func() error { _, err := fresh.OpenRTP(dst, forged); return err },
		"forged control": func() error { _, err := to.OpenRTCP(dst, control); return err },
		"replayed":       func() error { _, err := to.OpenRTP(dst, good); return err },
		"short":          func() error { _, err := to.OpenRTP(dst, good[:20]); return err },
	} {
		n := testing.AllocsPerRun(100, func() {
			if work() == nil {
				t.Fatalf("%s: opened", name)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestRefusingASecondSealAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		mustSeal(t, s, st, 1, nil)
		slot := make([]byte, 100)
		putHeader(slot, testSSRC, 1)
		if n := testing.AllocsPerRun(100, func() { s.SealRTP(slot, rtpHeaderLen, nil, st, 1) }); n != 0 {
			t.Errorf("%v: %v allocations", p, n)
		}
	}
}
