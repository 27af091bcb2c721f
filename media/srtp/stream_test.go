package srtp

import (
	"testing"
)

func TestIndexIsSealedOnce(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		for _, index := range []uint64{100, 102, 101, 70000, 69999} {
			mustSeal(t, s, st, index, seq(1, 20))
			if b, err := sealed(s, st, index, seq(2, 20)); err != ErrSealedTwice || len(b) != 0 {
				t.Errorf("%v: index %d again: %v, %d bytes", p, index, err, len(b))
			}
		}
		if n := s.Counters().SealedTwice.Load(); n != 5 {
			t.Errorf("%v: counted %d", p, n)
		}
	}
}

func TestIndexOlderThanTheWindowIsRefused(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	st := s.AddStream(testSSRC)
	mustSeal(t, s, st, 5000, nil)
	mustSeal(t, s, st, 5000-SealWindow+1, nil)
	if _, err := sealed(s, st, 5000-SealWindow, nil); err != ErrSealedTwice {
		t.Errorf("%v", err)
	}
	if st.Next() != 5001 {
		t.Errorf("next %d", st.Next())
	}
}

func TestFirstIndexMayBeAnyAndZero(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	for ssrc, index := range map[uint32]uint64{1: 0, 2: 32767, 3: 1 << 40} {
		st := s.AddStream(ssrc)
		if st.Next() != 0 || st.SSRC() != ssrc {
			t.Errorf("new stream: %+v", st)
		}
		mustSeal(t, s, st, index, nil)
		if _, err := sealed(s, st, index, nil); err != ErrSealedTwice {
			t.Errorf("index %d: %v", index, err)
		}
	}
}

func TestTwoStreamsMayUseTheSameIndex(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	mustSeal(t, s, s.AddStream(1), 7, nil)
	mustSeal(t, s, s.AddStream(2), 7, nil)
}

func TestAnSSRCIsLiveOnce(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	st := s.AddStream(testSSRC)
	if s.AddStream(testSSRC) != nil {
		t.Error("two windows for one SSRC")
	}
	s.RemoveStream(st)
	if s.AddStream(testSSRC) == nil {
		t.Error("cannot be added again")
	}
}

func TestRemovedStreamSealsNothing(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	st := s.AddStream(testSSRC)
	s.RemoveStream(st)
	s.RemoveStream(st)
	s.RemoveStream(nil)
	again := s.AddStream(testSSRC)
	s.RemoveStream(st) // the old one: must not remove the new one
	if _, err := sealed(s, st, 1, nil); err != ErrNoStream {
		t.Errorf("%v", err)
	}
	if _, err := sealed(s, nil, 1, nil); err != ErrNoStream {
		t.Errorf("%v", err)
	}
	if _, err := sealed(newSession(t, testKeys(AEAD_AES_128_GCM)), again, 1, nil); err != ErrNoStream {
		t.Errorf("stream of another session: %v", err)
	}
	mustSeal(t, s, again, 1, nil)
}

func TestRemovingAStreamDoesNotFreeItsIndices(t *testing.T) {
	for _, p := range profiles {
		s := newSession(t, testKeys(p))
		st := s.AddStream(testSSRC)
		mustSeal(t, s, st, 1000, nil)
		for range 3 {
			s.RemoveStream(st)
			st = s.AddStream(testSSRC)
			if st.Next() != 1001 {
				t.Errorf("%v: goes on from %d", p, st.Next())
			}
			for _, index := range []uint64{0, 500, 999, 1000} {
				if _, err := sealed(s, st, index, nil); err != ErrSealedTwice {
					t.Errorf("%v: index %d: %v", p, index, err)
				}
			}
		}
		mustSeal(t, s, st, 1002, nil)
		mustSeal(t, s, st, 1001, nil)
	}
}

func TestSSRCsOfASessionAreBounded(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	for ssrc := range uint32(MaxLocalSSRCs) {
		st := s.AddStream(ssrc)
		mustSeal(t, s, st, 0, nil)
		if ssrc%2 == 0 {
			s.RemoveStream(st)
		}
	}
	if s.AddStream(MaxLocalSSRCs) != nil {
		t.Error("one more than the bound")
	}
	if s.AddStream(0) == nil {
		t.Error("an SSRC that counts already is refused")
	}
}

// An SSRC that is removed and added again counts as one.
func TestReturningSSRCsCountOnce(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	for ssrc := range uint32(MaxLocalSSRCs - 1) {
		st := s.AddStream(ssrc)
		mustSeal(t, s, st, 0, nil)
		s.RemoveStream(st)
		s.AddStream(ssrc)
	}
	if s.AddStream(MaxLocalSSRCs) == nil {
		t.Error("refused below the bound")
	}
	if s.AddStream(MaxLocalSSRCs+1) != nil {
		t.Error("one more than the bound")
	}
}

// A stream that never sealed leaves nothing behind.
func TestUnusedStreamsDoNotCount(t *testing.T) {
	s := newSession(t, testKeys(AEAD_AES_128_GCM))
	for ssrc := range uint32(2 * MaxLocalSSRCs) {
		st := s.AddStream(ssrc)
		if st == nil {
			t.Fatalf("refused at %d", ssrc)
		}
		s.RemoveStream(st)
	}
	if len(s.retired) != 0 || len(s.streams) != 0 {
		t.Errorf("%d retired, %d live", len(s.retired), len(s.streams))
	}
}
