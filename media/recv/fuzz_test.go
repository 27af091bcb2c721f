package recv

import (
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
)

// FuzzStream drives a stream by a program of eight bytes an instruction and checks what
// holds whatever arrives.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 1, 0, 10, 0, 0, 1, 0, 0, 1, 0, 12, 0, 0, 2, 0, 1, 1, 0, 11, 0, 0, 1, 0, 2, 200, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 1, 255, 255, 0, 0, 0, 0, 0, 1, 80, 0, 0, 0, 0, 0, 0, 1, 80, 1, 0, 0, 0, 0, 0, 1, 80, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		s, now := newVideo(), start
		var highest uint64
		seen := map[uint64]bool{}
		var nacks []uint16
		for ; len(program) >= 8; program = program[8:] {
			now = now.Add(time.Duration(program[1]) * time.Millisecond)
			seq, ts := binary.BigEndian.Uint16(program[2:]), binary.BigEndian.Uint32(program[4:])
			switch program[0] % 6 {
			case 0, 1:
				ext, v := s.Receive(now, seq, ts, int(ts&2047), program[0]%6 == 1)
				if v != Accept {
					break
				}
				if seen[ext] || uint16(ext) != seq || highest != 0 && ext > highest+1<<16 {
					t.Fatalf("accepted %d as %d above %d", seq, ext, highest)
				}
				seen[ext] = true
				highest = max(highest, ext)
			case 2:
				nacks = s.AppendNACK(now, time.Duration(ts), nacks[:0])
				if len(nacks) > MaxNACK || s.Deadline().Due(now) {
					t.Fatalf("%d asked for; due again: %v", len(nacks), s.Deadline())
				}
				for _, seq := range nacks {
					if behind := seq - uint16(highest); behind-1 < maxTail {
						continue
					}
					if seen[highest-uint64(uint16(highest)-seq)] {
						t.Fatalf("asked for %d, which came", seq)
					}
				}
			case 3:
				if highest > uint64(ts&63) {
					s.KeyFrame(highest - uint64(ts&63))
				}
			case 4:
				s.Report(now)
				s.SenderReport(now, binary.BigEndian.Uint64(program), ts, &Origin{})
			case 5:
				s.Suspect(now, int(int16(seq)))
			}
		}
		if st := s.Stats(); st.accepted() != uint64(len(seen)) {
			t.Fatalf("%d accepted, counted %+v", len(seen), st)
		}
	})
}

// FuzzTWCC records any numbers at any times: the feedback has to be readable, and must not
// claim a packet that never came.
func FuzzTWCC(f *testing.F) {
	f.Add([]byte{0, 10, 1, 0, 12, 2, 0, 11, 130})
	f.Add([]byte{255, 255, 1, 80, 0, 2, 80, 1, 2, 80, 2, 9})
	f.Fuzz(func(t *testing.T, program []byte) {
		var w TWCC
		now, came, r := start, map[uint16]bool{}, newReported()
		for ; len(program) >= 3; program = program[3:] {
			now = now.Add(time.Duration(program[2]) * 100 * time.Microsecond)
			seq := binary.BigEndian.Uint16(program)
			w.Record(now, seq)
			came[seq] = true
			if w.Deadline().Due(now) {
				r.drain(t, &w, now)
			}
		}
		r.drain(t, &w, now)
		for seq := range r.arrivals {
			if !came[seq] {
				t.Fatalf("%d is reported and never came", seq)
			}
		}
	})
}

func TestHotFunctionsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		return // the detector allocates on its own
	}
	s, w, o := newVideo(), new(TWCC), new(Origin)
	var p Policer
	p.Init(0, 0)
	var k KeyFrames
	nacks, out := make([]uint16, 0, MaxOutstanding), make([]byte, 0, rtcp.MaxTWCCSize)
	now, seq := start, uint16(0)
	if n := testing.AllocsPerRun(2000, func() {
		now = now.Add(ms(3))
		seq++
		if seq%16 == 0 {
			seq += 2
		}
		p.Allow(now, 1200, param.Video)
		w.Record(now, seq)
		s.Receive(now, seq, uint32(seq)*90, 1200, false)
		nacks = s.AppendNACK(now, rtt, nacks[:0])
		if w.Deadline().Due(now) {
			out = w.AppendFeedback(out[:0], now, 1, 2)
		}
		s.SenderReport(now, ntpAt(now.Sub(start)), uint32(seq)*90, o)
		s.Report(now)
		k.Request(now)
		k.Due(now)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func BenchmarkReceive(b *testing.B) {
	b.ReportAllocs()
	s, now := newVideo(), start
	for i := 0; b.Loop(); i++ {
		now += 100_000
		s.Receive(now, uint16(i), uint32(i), 1200, false)
	}
}

// BenchmarkReceiveLossy loses one packet of twenty and asks for it.
func BenchmarkReceiveLossy(b *testing.B) {
	b.ReportAllocs()
	s, now := newVideo(), start
	nacks := make([]uint16, 0, MaxOutstanding)
	for i := 0; b.Loop(); i++ {
		now += 100_000
		if i%20 != 0 {
			s.Receive(now, uint16(i), uint32(i), 1200, false)
		}
		if s.Deadline().Due(now) {
			nacks = s.AppendNACK(now, rtt, nacks[:0])
		}
	}
}

// BenchmarkAppendNACK asks for all of a full list.
func BenchmarkAppendNACK(b *testing.B) {
	b.ReportAllocs()
	s := newVideo()
	feed(s, start, 0)
	feed(s, start, MaxOutstanding+1)
	full, entries := s.missing, *s.missing.entries
	nacks := make([]uint16, 0, MaxOutstanding)
	for b.Loop() {
		s.missing = full
		*s.missing.entries = entries
		nacks = s.AppendNACK(at(nackHold), rtt, nacks[:0])
	}
	if len(nacks) != MaxOutstanding {
		b.Fatal(len(nacks))
	}
}

func BenchmarkTWCCRecord(b *testing.B) {
	b.ReportAllocs()
	var w TWCC
	out, now := make([]byte, 0, rtcp.MaxTWCCSize), start
	for i := 0; b.Loop(); i++ {
		now += 500_000
		w.Record(now, uint16(i))
		if w.Deadline().Due(now) {
			out = w.AppendFeedback(out[:0], now, 1, 2)
		}
	}
}

// BenchmarkTWCCAppendFeedback reports a hundred packets.
func BenchmarkTWCCAppendFeedback(b *testing.B) {
	b.ReportAllocs()
	var w TWCC
	for i := range uint16(100) {
		w.Record(at(ms(int(i)/2)), i)
	}
	full, out := w, make([]byte, 0, rtcp.MaxTWCCSize)
	for b.Loop() {
		w = full
		out = w.AppendFeedback(out[:0], at(ms(100)), 1, 2)
	}
}
