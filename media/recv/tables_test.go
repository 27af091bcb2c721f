package recv

import (
	"testing"
	"unsafe"
)

// lossy is a stream that takes its table from tables and misses one packet.
func lossy(t *testing.T, tables *Tables) *Stream {
	t.Helper()
	s := new(Stream)
	s.Init(Config{SSRC: 1, NACK: true, Video: true, Tables: tables})
	feed(s, start, 10)
	feed(s, start, 12)
	if s.Outstanding() != 1 || s.missing.entries == nil {
		t.Fatal("nothing is missing")
	}
	return s
}

func TestATableIsLentOnlyWhileSomethingIsMissing(t *testing.T) {
	for name, end := range map[string]func(*Stream){
		"arrival":   func(s *Stream) { feed(s, start, 11) },
		"key frame": func(s *Stream) { s.KeyFrame(12 + 1<<16) },
		"age":       func(s *Stream) { s.AppendNACK(at(nackHold), rtt, nil); s.AppendNACK(at(2*nackAge), rtt, nil) },
		"Close":     func(s *Stream) { s.Close() },
		"Init":      func(s *Stream) { s.Init(Config{SSRC: 2, Tables: s.cfg.Tables}) },
	} {
		var tables Tables
		s := lossy(t, &tables)
		lent := s.missing.entries
		end(s)
		if s.missing.entries != nil || len(tables.free) != 1 || tables.free[0] != lent {
			t.Errorf("%s: the table is not given back", name)
		}
		if s.Outstanding() != 0 || s.Deadline() != 0 {
			t.Errorf("%s: %d outstanding", name, s.Outstanding())
		}
		if lossy(t, &tables).missing.entries != lent {
			t.Errorf("%s: the next stream gets another table", name)
		}
	}
}

func TestStreamsThatMissSomethingAtOneTimeHaveATableEach(t *testing.T) {
	var tables Tables
	a, b := lossy(t, &tables), lossy(t, &tables)
	feed(a, start, 11)
	if got := b.AppendNACK(at(nackHold), rtt, nil); len(got) != 1 || got[0] != 11 {
		t.Errorf("asked for %v after another stream's loss was repaired, want 11", got)
	}
	if len(tables.free) != 1 {
		t.Errorf("%d tables free, want 1", len(tables.free))
	}
}

func TestAudioWithoutNACKTakesNoTable(t *testing.T) {
	var s Stream
	s.Init(Config{SSRC: 1, ClockRate: 48000})
	feed(&s, start, 10)
	feed(&s, start, 20)
	if s.missing.entries != nil {
		t.Error("it has a table")
	}
}

// What losses and repairs take is taken once.
func TestLossesDoNotAllocateAgain(t *testing.T) {
	if raceEnabled {
		return // the detector allocates on its own
	}
	var tables Tables
	streams := make([]Stream, 8)
	for i := range streams {
		streams[i].Init(Config{SSRC: uint32(i + 1), NACK: true, Video: true, Tables: &tables})
	}
	nacks, now, seq := make([]uint16, 0, MaxOutstanding), start, uint16(0)
	round := func() {
		now = now.Add(ms(20))
		seq += 2
		for i := range streams {
			s := &streams[i]
			feed(s, now, seq)
			nacks = s.AppendNACK(now, rtt, nacks[:0])
			if seq%64 == 0 {
				for lost := seq - 63; lost != seq+1; lost += 2 {
					s.Receive(now, lost, 0, 1200, true)
				}
				if s.missing.entries != nil {
					t.Fatalf("%d outstanding", s.Outstanding())
				}
			}
		}
	}
	for range 64 {
		round()
	}
	if n := testing.AllocsPerRun(2000, round); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func TestStreamsAreSmall(t *testing.T) {
	if n := unsafe.Sizeof(Stream{}); n > 768 {
		t.Errorf("a stream has %d bytes", n)
	}
	if n := unsafe.Sizeof(missingTable{}); n != 4096 {
		t.Errorf("a table has %d bytes, want a page", n)
	}
}
