package router

import (
	"slices"
	"testing"

	"tsubame/media/param"
)

// before returns the numbers of what is remembered before seq, the nearest first.
func before(t *testing.T, r *Redundancy, seq uint64) (seqs []uint64) {
	t.Helper()
	for {
		at, ts, payload, ok := r.Before(seq)
		if !ok {
			return seqs
		}
		if ts != uint32(at*960) || payload[0] != byte(at) {
			t.Errorf("%d: %d, %x", at, ts, payload)
		}
		seqs, seq = append(seqs, at), at
	}
}

func TestTheLastPayloadsAreRemembered(t *testing.T) {
	var r Redundancy
	if got := before(t, &r, 70000); got != nil {
		t.Errorf("nothing, and %d", got)
	}
	note := func(seqs ...uint64) {
		for _, seq := range seqs {
			r.Note(seq, uint32(seq*960), []byte{byte(seq), 2})
		}
	}
	note(70000, 70001, 70002, 70004, 70003, 70009, 70000, 70001) // the last two are late by too much
	for seq, want := range map[uint64][]uint64{
		70010: {70009, 70004, 70003, 70002}, 70009: {70004, 70003, 70002}, 70004: {70003, 70002}, 70003: {70002}, 70002: nil,
	} {
		if got := before(t, &r, seq); !slices.Equal(got, want) {
			t.Errorf("before %d are %d, want %d", seq, got, want)
		}
	}
}

func TestPayloadsOfNoUseAsRedundancyAreNotRemembered(t *testing.T) {
	var r Redundancy
	r.Note(70000, 1, nil)
	r.Note(70001, 2, make([]byte, MaxRemembered+1))
	r.Note(70002, 3, make([]byte, MaxRemembered))
	if seq, ts, payload, ok := r.Before(70003); !ok || seq != 70002 || ts != 3 || len(payload) != MaxRemembered {
		t.Errorf("%d, %d, %d bytes, %v", seq, ts, len(payload), ok)
	}
	if seq, _, _, ok := r.Before(70002); ok {
		t.Errorf("%d is remembered", seq)
	}
}

// A memory serves one track after the other, and tells none of them about another's.
func TestTheMemoryOfATrackEndsWithItsLastSink(t *testing.T) {
	table := NewTable(4)
	f := NewFanout(0, table)
	id, _ := table.Reserve()
	table.Open(id, Info{Kind: param.Audio})
	f.Remember(id)
	if len(f.tracks) != 0 || f.memories != nil {
		t.Fatal("a track without a sink is remembered")
	}
	s := Sink{Conn: 1}
	f.Add(id, s)
	if f.Find(id).Redundancy != nil {
		t.Fatal("remembered unasked")
	}
	f.Remember(id)
	first := f.Find(id).Redundancy
	first.Note(70000, 1, []byte{1})
	f.Remember(id)
	if f.Find(id).Redundancy != first {
		t.Fatal("asked twice, another memory")
	}
	f.Remove(id, s)
	f.Add(id, s)
	if f.Find(id).Redundancy != nil {
		t.Fatal("remembered after its end")
	}
	f.Remember(id)
	if again := f.Find(id).Redundancy; again != first {
		t.Error("a second memory was made")
	}
	if _, _, _, ok := first.Before(70001); ok {
		t.Error("the former track's payload is known")
	}
}
