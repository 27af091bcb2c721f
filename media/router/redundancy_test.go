package router

import (
	"bytes"
	"testing"

	"tsubame/media/param"
)

func TestTheLastPayloadsAreRemembered(t *testing.T) {
	var r Redundancy
	for seq := uint64(70000); seq < 70010; seq++ {
		r.Note(seq, uint32(seq*960), []byte{byte(seq), 2})
	}
	r.Note(70003, 3, []byte("late by more than is remembered"))
	for back, want := range []bool{true, true, true, true, false, false, false} {
		seq := uint64(70009 - back)
		ts, payload, ok := r.Find(seq)
		if ok != want || ok && (ts != uint32(seq*960) || !bytes.Equal(payload, []byte{byte(seq), 2})) {
			t.Errorf("%d: %d, %x, %v", seq, ts, payload, ok)
		}
	}
	if _, _, ok := r.Find(70010); ok {
		t.Error("what has not come is remembered")
	}
	if _, _, ok := new(Redundancy).Find(0); ok {
		t.Error("nothing is remembered")
	}
}

func TestPayloadsOfNoUseAsRedundancyAreNotRemembered(t *testing.T) {
	var r Redundancy
	r.Note(70000, 1, nil)
	r.Note(70001, 2, make([]byte, MaxRemembered+1))
	r.Note(70002, 3, make([]byte, MaxRemembered))
	for seq, want := range map[uint64]bool{70000: false, 70001: false, 70002: true} {
		if _, _, ok := r.Find(seq); ok != want {
			t.Errorf("%d: %v", seq, ok)
		}
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
	if _, _, ok := first.Find(70000); ok {
		t.Error("the former track's payload is known")
	}
}
