package recv

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
)

// start is the instant at which tests begin; any but Never will do.
const start = mono.Time(time.Hour)

func at(d time.Duration) mono.Time { return start.Add(d) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func newVoice() *Stream {
	s := new(Stream)
	s.Init(Config{SSRC: 1, ClockRate: 48000})
	return s
}

// newVideo returns a video stream with NACK.
func newVideo() *Stream {
	s := new(Stream)
	s.Init(Config{SSRC: 1, ClockRate: 90000, NACK: true, Video: true})
	return s
}

// feed receives seq as an original of 1000 bytes.
func feed(s *Stream, now mono.Time, seq uint16) (uint64, Verdict) {
	return s.Receive(now, seq, uint32(seq)*3000, 1000, false)
}

// mustFeed is feed for packets that have to be accepted.
func mustFeed(t *testing.T, s *Stream, now mono.Time, seqs ...uint16) (ext uint64) {
	t.Helper()
	for _, seq := range seqs {
		e, v := feed(s, now, seq)
		if v != Accept {
			t.Fatalf("packet %d: verdict %d, want it accepted", seq, v)
		}
		if uint16(e) != seq {
			t.Fatalf("packet %d: extended number %d does not end in it", seq, e)
		}
		ext = e
	}
	return ext
}

func TestSequenceIsExtendedAcrossTheWrap(t *testing.T) {
	s := newVideo()
	first := mustFeed(t, s, start, 65533)
	if first <= 1<<15 {
		t.Fatalf("the first number is %d: older packets would underflow", first)
	}
	if e := mustFeed(t, s, start, 65534, 65535, 0, 1); e != first+4 {
		t.Fatalf("after the wrap: %d, want %d", e, first+4)
	}
	if e := mustFeed(t, s, start, 65532); e != first-1 {
		t.Fatalf("late from before the wrap: %d, want %d", e, first-1)
	}
}

func TestDuplicatesAreToldFromLatePackets(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 11, 14)
	for _, seq := range []uint16{10, 11, 14} {
		if _, v := feed(s, start, seq); v != Duplicate {
			t.Errorf("packet %d again: verdict %d, want Duplicate", seq, v)
		}
	}
	mustFeed(t, s, start, 13)
	if _, v := feed(s, start, 13); v != Duplicate {
		t.Errorf("a late packet again: verdict %d, want Duplicate", v)
	}
	if got := s.Stats(); got.Duplicates != 4 || got.Received != 4 || got.Reordered != 1 {
		t.Errorf("counted %+v", got)
	}
}

func TestRetransmissionsCountAsRecovered(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12)
	ext, v := s.Receive(at(ms(50)), 11, 33000, 900, true)
	if v != Accept || uint16(ext) != 11 {
		t.Fatalf("recovered packet: %d, verdict %d", ext, v)
	}
	if _, v := s.Receive(at(ms(51)), 11, 33000, 900, false); v != Duplicate {
		t.Errorf("the original after its retransmission: verdict %d, want Duplicate", v)
	}
	if _, v := s.Receive(at(ms(51)), 12, 33000, 900, true); v != Duplicate {
		t.Errorf("the retransmission of a packet that came: verdict %d, want Duplicate", v)
	}
	if got := s.Stats(); got.Recovered != 1 || got.Received != 2 || got.Bytes != 2900 {
		t.Errorf("counted %+v", got)
	}
	if s.Outstanding() != 0 {
		t.Errorf("%d packets still missing", s.Outstanding())
	}
}

func TestRetransmissionNeitherStartsNorMovesAStreamFar(t *testing.T) {
	s := newVideo()
	if _, v := s.Receive(start, 7, 0, 100, true); v != TooOld {
		t.Errorf("retransmission before any original: verdict %d, want TooOld", v)
	}
	mustFeed(t, s, start, 100)
	for seq := uint16(20000); seq < 20100; seq++ {
		if _, v := s.Receive(start, seq, 0, 100, true); v != TooOld {
			t.Fatalf("retransmission from far off: verdict %d, want TooOld", v)
		}
	}
	mustFeed(t, s, start, 101)
}

// Row RTP-03.
func TestLossOfAnyLengthAroundTheWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newVideo()
		first := uint16(rapid.IntRange(0, 65535).Draw(t, "first"))
		lost := rapid.OneOf(rapid.IntRange(0, 4000), rapid.IntRange(0, 1<<15-1), rapid.Just(1<<15-1)).Draw(t, "lost")
		before, _ := feed(s, start, first)
		next := first + uint16(lost) + 1
		refused := 0
		for i := range uint16(100) {
			ext, v := feed(s, start, next+i)
			if v != Accept {
				refused++
				continue
			}
			if want := before + uint64(lost) + 1 + uint64(i); ext != want {
				t.Fatalf("packet %d after %d lost: number %d, want %d", i, lost, ext, want)
			}
		}
		if most := jumpForward - 1; refused > most {
			t.Fatalf("%d packets refused after %d lost, want at most %d", refused, lost, most)
		}
		if refused > 0 && lost <= maxForward-1 {
			t.Fatalf("%d packets refused after %d lost", refused, lost)
		}
	})
}

// Row RTP-03.
func TestReplayIsRefusedWithinTheWindow(t *testing.T) {
	s := newVideo()
	for seq := range uint16(WindowSize) {
		mustFeed(t, s, start, seq)
	}
	for seq := range uint16(WindowSize) {
		if _, v := feed(s, start, seq); v != Duplicate {
			t.Fatalf("replay of %d: verdict %d, want Duplicate", seq, v)
		}
	}
	mustFeed(t, s, start, WindowSize)
	if _, v := feed(s, start, 0); v != TooOld {
		t.Fatalf("replay from just outside the window: verdict %d, want TooOld", v)
	}
}

// Row RTP-05.
func TestLonePacketWithAWildNumberChangesNothing(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 1000)
	for i := range uint16(100) {
		if _, v := feed(s, start, 30000+7*i); v == Accept {
			t.Fatal("a wild number was accepted")
		}
		mustFeed(t, s, start, 1001+i)
	}
	if s.Outstanding() != 0 {
		t.Errorf("%d packets asked for", s.Outstanding())
	}
}

// Row RTP-05.
func TestJumpIsFollowedWhenTheNextPacketsAgree(t *testing.T) {
	for _, c := range []struct {
		name string
		to   uint16
		most int // packets refused
	}{
		{"ahead", 21000, jumpForward - 1},
		{"back", 60000, jumpBack - 1}, // 1000 back to 60000: 6536 behind
		{"half a cycle", 1000 + 1<<15, jumpForward - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newVideo()
			before := mustFeed(t, s, start, 998, 1000)
			var refused []uint16
			var last uint64
			for i := range uint16(100) {
				ext, v := feed(s, at(ms(int(i))), c.to+i)
				if v != Accept {
					refused = append(refused, c.to+i)
					continue
				}
				if ext <= before || ext > before+1<<16+100 {
					t.Fatalf("number %d after %d", ext, before)
				}
				if last != 0 && ext != last+1 {
					t.Fatalf("number %d after %d", ext, last)
				}
				last = ext
			}
			if len(refused) > c.most {
				t.Fatalf("%d packets refused, want at most %d", len(refused), c.most)
			}
			if got := s.Stats().Resets; got != 1 {
				t.Fatalf("followed %d jumps", got)
			}
			if !s.TakeLost() {
				t.Error("no key frame is asked for after the jump")
			}
			// What was refused is asked for again, and what was missing before is not.
			nacks := s.AppendNACK(at(ms(200)), ms(50), nil)
			if len(nacks) != len(refused) {
				t.Fatalf("asked for %v, refused were %v", nacks, refused)
			}
			for i := range nacks {
				if nacks[i] != refused[i] {
					t.Fatalf("asked for %v, refused were %v", nacks, refused)
				}
			}
		})
	}
}

// Row RTP-05.
func TestRandomNumbersLeaveTheStreamBoundedAndAlive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := newVideo()
	var highest uint64
	var nacks []uint16
	for i := range 200_000 {
		now := at(time.Duration(i) * 10 * time.Microsecond) // 100 000 packets a second
		ext, v := s.Receive(now, uint16(rng.Uint32()), rng.Uint32(), 1000, rng.IntN(4) == 0)
		if v == Accept {
			if highest != 0 && ext > highest+1<<16 {
				t.Fatalf("jump from %d to %d", highest, ext)
			}
			highest = max(highest, ext)
		}
		if s.Outstanding() > MaxOutstanding {
			t.Fatalf("%d outstanding", s.Outstanding())
		}
		nacks = s.AppendNACK(now, ms(50), nacks[:0])
		if len(nacks) > MaxOutstanding {
			t.Fatalf("asked for %d at once", len(nacks))
		}
	}
	now := at(10 * time.Second)
	accepted := 0
	for i := range uint16(1000) {
		if _, v := feed(s, now.Add(ms(int(i))), 5+i); v == Accept {
			accepted++
		}
	}
	if accepted < 1000-jumpBack {
		t.Fatalf("only %d of 1000 packets accepted after the storm", accepted)
	}
}

// Row RTP-05.
func TestAnyPacketRateIsMeasured(t *testing.T) {
	for _, c := range []struct {
		name     string
		interval time.Duration
		packets  int
	}{{"1 a second", time.Second, 60}, {"100 000 a second", 10 * time.Microsecond, 300_000}} {
		t.Run(c.name, func(t *testing.T) {
			s := newVideo()
			var now mono.Time
			for i := range c.packets {
				now = at(time.Duration(i) * c.interval)
				mustFeed(t, s, now, uint16(i))
			}
			want := 8000 * uint64(time.Second) / uint64(c.interval)
			if got := s.Bitrate(now); got < want*7/10 || got > want*13/10 {
				t.Errorf("measured %d bit/s, want about %d", got, want)
			}
			if got := s.Bitrate(now.Add(time.Minute)); got != 0 {
				t.Errorf("measured %d bit/s after a minute of nothing", got)
			}
		})
	}
}

func TestPausesOfASpeakerAreNotLoss(t *testing.T) {
	// Opus DTX: the sequence goes on, time passes between packets.
	s := new(Stream)
	s.Init(Config{SSRC: 1, ClockRate: 48000, NACK: true})
	now, ts := start, uint32(5)
	for seq := range uint16(500) {
		pause := ms(20)
		if seq%10 == 9 {
			pause = ms(400)
		}
		if _, v := s.Receive(now, seq, ts, 80, false); v != Accept {
			t.Fatalf("packet %d: verdict %d", seq, v)
		}
		now, ts = now.Add(pause), ts+uint32(pause/time.Millisecond)*48
	}
	b, _ := s.Report(now)
	if s.Outstanding() != 0 || b.CumulativeLost != 0 || b.FractionLost != 0 || b.Jitter != 0 {
		t.Errorf("outstanding %d, report %+v", s.Outstanding(), b)
	}
}

func TestWindowBitsAgreeWithASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newVideo()
		seen := map[uint64]bool{}
		ext, _ := feed(s, start, uint16(rapid.IntRange(0, 65535).Draw(t, "first")))
		seen[ext] = true
		highest := ext
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			step := rapid.OneOf(rapid.IntRange(-WindowSize+1, 5), rapid.IntRange(1, maxForward)).Draw(t, "step")
			want := highest + uint64(step)
			got, v := feed(s, start, uint16(want))
			if wantV := map[bool]Verdict{true: Duplicate, false: Accept}[seen[want]]; v != wantV || got != want {
				t.Fatalf("packet %d with the newest at %d: %d, verdict %d, want verdict %d", want, highest, got, v, wantV)
			}
			seen[want] = true
			highest = max(highest, want)
		}
	})
}
