package send

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// source is one publisher's stream as the munger sees it.
type source struct {
	seq uint64    // of the next packet
	ts  uint32    // of the next frame
	at  mono.Time // when it arrives
}

// viewer checks everything that goes out to one viewer.
type viewer struct {
	t       *rapid.T
	s       *Stream
	given   map[uint64]*packet.Meta // by index: the packet it was given to
	epoch   map[uint64]int          // by index: which source was active
	newest  uint64
	started bool
	sources int // changes of source so far
	rtx     map[uint64]bool
	jumped  bool // timestamps have jumped: a late one may be refused for that
}

func newViewer(t *rapid.T) *viewer {
	v := &viewer{t: t, s: new(Stream), given: map[uint64]*packet.Meta{}, epoch: map[uint64]int{}, rtx: map[uint64]bool{}}
	v.s.Init(videoSpec(), rapid.Uint16().Draw(t, "seq"), rapid.Uint16().Draw(t, "rtx"))
	return v
}

// send offers m and checks what comes out.
func (v *viewer) send(m *packet.Meta) {
	waiting := v.s.Waiting()
	expected, found := v.reserved(m)
	out, ok := v.s.Munge(m)
	if found && (!ok || out.Index != expected) {
		v.t.Fatalf("packet %d is late and goes out as %d (%v), %d is kept for it", m.Seq, out.Index, ok, expected)
	}
	if !ok {
		return
	}
	if other := v.given[out.Index]; other != nil {
		v.t.Fatalf("index %d is given to packet %d, and was to packet %d", out.Index, m.Seq, other.Seq)
	}
	if !v.started && out.Index > 1<<15-1 {
		v.t.Fatalf("the first index is %d", out.Index)
	}
	began := waiting && !v.s.Waiting()
	if began && m.Flags&keyFrame != keyFrame {
		v.t.Fatalf("started with packet %d, which begins no key frame", m.Seq)
	}
	if v.started && out.Index > v.newest+maxGap+1 {
		v.t.Fatalf("a gap from %d to %d", v.newest, out.Index)
	}
	if began && v.started && out.Index != v.newest+1 {
		v.t.Fatalf("began again at %d after %d", out.Index, v.newest)
	}
	// Order is kept, and so is the distance in time, between packets of one source.
	for d := uint64(1); d < 40; d++ {
		for _, i := range [...]uint64{out.Index - d, out.Index + d} {
			other := v.given[i]
			if other == nil || v.epoch[i] != v.sources {
				continue
			}
			if (i < out.Index) != (other.Seq < m.Seq) {
				v.t.Fatalf("packets %d and %d go out as %d and %d", m.Seq, other.Seq, out.Index, i)
			}
		}
	}
	v.given[out.Index], v.epoch[out.Index] = m, v.sources
	v.newest, v.started = max(v.newest, out.Index), true
	if ext, ok := v.s.Original(uint16(out.Index)); !ok || ext != m.Seq {
		v.t.Fatalf("index %d of packet %d is known as %d, %v", out.Index, m.Seq, ext, ok)
	}
	if v.s.Awaits(uint16(out.Index)) {
		v.t.Fatalf("index %d was given, and is waited for", out.Index)
	}
	v.s.Sent(1000)
}

// reserved returns the index that is kept for a late packet.
func (v *viewer) reserved(m *packet.Meta) (uint64, bool) {
	g := &v.s.munger
	if v.jumped || g.n == 0 || m.Seq >= g.next {
		return 0, false
	}
	r, ok := g.find(m.Seq)
	if !ok {
		return 0, false
	}
	index := m.Seq + r.delta
	return index, v.given[index] == nil && index+Window > v.newest
}

// nack asks for one number and checks the retransmission.
func (v *viewer) nack(now mono.Time, seq uint16) {
	ext, ok := v.s.Original(seq)
	allowed := v.s.AllowResend(now, seq, 1000, ms(50), false)
	if allowed && !ok {
		v.t.Fatalf("number %d is resent and unknown", seq)
	}
	if !allowed {
		return
	}
	_, index := v.s.PutRTXHeader(make([]byte, MaxHeader), &packet.Meta{Seq: ext}, now, 0, 0)
	if v.rtx[index] {
		v.t.Fatalf("RTX index %d twice", index)
	}
	v.rtx[index] = true
}

// TestOutputIsAValidStreamWhateverComesIn munges any schedule of losses, reordering,
// duplicates, padding, jumps, changes of source and NACKs.
func TestOutputIsAValidStreamWhateverComesIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := newViewer(t)
		src := source{seq: 1<<16 + uint64(rapid.Uint16().Draw(t, "first")), ts: rapid.Uint32().Draw(t, "ts"), at: start}
		var held []*packet.Meta // on their way, to come late
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			m := &packet.Meta{Seq: src.seq, Timestamp: src.ts, Arrival: src.at}
			if rapid.IntRange(0, 9).Draw(t, "key") == 0 {
				m.Flags = keyFrame
			}
			switch rapid.SampledFrom([]string{"send", "send", "send", "send", "lose", "hold", "late", "dup", "pad", "jump", "leap", "retarget", "nack"}).Draw(t, "what") {
			case "send":
				v.send(m)
			case "lose":
			case "hold":
				held = append(held, m)
			case "late":
				if n := len(held); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					v.send(held[i])
					held = append(held[:i], held[i+1:]...)
				}
				continue
			case "dup":
				v.send(m)
				v.send(m)
			case "pad":
				if !v.s.Skip(m) {
					t.Fatalf("padding %d, the newest packet, cannot be skipped", m.Seq)
				}
				if rapid.Bool().Draw(t, "again") {
					v.send(m)
				}
			case "jump":
				src.ts += rapid.Uint32().Draw(t, "by")
				v.jumped = true
				continue
			case "leap":
				src.seq += uint64(rapid.IntRange(1, 3000).Draw(t, "by"))
				continue
			case "retarget":
				v.s.Retarget()
				v.sources++
				held = nil
				src.seq = 1<<16 + uint64(rapid.Uint16().Draw(t, "first"))
				src.ts = rapid.Uint32().Draw(t, "ts")
				continue
			case "nack":
				for range 10 {
					v.nack(src.at, rapid.OneOf(rapid.Uint16(), rapid.Map(rapid.Uint64Range(0, 40), func(d uint64) uint16 {
						return uint16(v.newest - d)
					})).Draw(t, "number"))
				}
				continue
			}
			src.seq++
			if rapid.IntRange(0, 2).Draw(t, "frame") == 0 {
				pause := time.Duration(rapid.IntRange(1, 100).Draw(t, "pause")) * time.Millisecond
				src.ts += uint32(pause/time.Millisecond) * 90
				src.at = src.at.Add(pause)
			}
		}
	})
}

// TestTimestampsOfOneSourceMoveAsItsOwn checks that packets of one source are as far apart
// in the output as in the source, in whatever order they come.
func TestTimestampsOfOneSourceMoveAsItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := newViewer(t)
		zero := rapid.Uint32().Draw(t, "ts")
		order := rapid.Permutation([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}).Draw(t, "order")
		first := rapid.Uint64Range(1<<16, 1<<20).Draw(t, "first")
		lead := &packet.Meta{Seq: first, Timestamp: zero, Arrival: start, Flags: keyFrame}
		base, _ := v.s.Munge(lead)
		for i, n := range order {
			m := &packet.Meta{Seq: first + uint64(n), Timestamp: zero + uint32(n)*3000, Arrival: at(ms(i))}
			out, ok := v.s.Munge(m)
			if !ok || out.Index-base.Index != uint64(n) || out.Timestamp-base.Timestamp != uint32(n)*3000 {
				t.Fatalf("packet %d goes out as %+v (%v), the first as %+v", n, out, ok, base)
			}
		}
	})
}

// FuzzMunger drives a stream by a program of six bytes an instruction.
func FuzzMunger(f *testing.F) {
	f.Add([]byte{3, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 3, 0, 0})
	f.Add([]byte{3, 0, 0, 1, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 2, 0, 0, 0, 0, 0, 3, 9, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, program []byte) {
		s, given, rtx := newVideo(), map[uint64]bool{}, map[uint64]bool{}
		now, newest := start, uint64(0)
		header := make([]byte, MaxHeader)
		var sent, resent int
		for ; len(program) >= 6; program = program[6:] {
			now = now.Add(time.Duration(program[1]) * time.Millisecond)
			m := &packet.Meta{
				Seq:       1<<16 + uint64(program[2])<<8 + uint64(program[3]),
				Timestamp: uint32(program[4])<<24 + uint32(program[5])<<10,
				Arrival:   now,
			}
			switch program[0] % 6 {
			case 0, 3:
				if program[0]%6 == 3 {
					m.Flags = keyFrame
				}
				out, ok := s.Munge(m)
				if !ok {
					break
				}
				if given[out.Index] || len(given) > 0 && out.Index > newest+maxGap+1 {
					t.Fatalf("index %d after %d, given before: %v", out.Index, newest, given[out.Index])
				}
				given[out.Index] = true
				newest = max(newest, out.Index)
				s.PutHeader(header, m, out, now, 0, 0)
				s.Sent(1000)
				sent += 1000
			case 1:
				s.Skip(m)
			case 2:
				s.Retarget()
			case 4, 5:
				seq := uint16(newest) - uint16(program[3])
				if !s.AllowResend(now, seq, 1000, ms(int(program[4])), false) {
					break
				}
				if _, index := s.PutRTXHeader(header, m, now, 0, 0); rtx[index] {
					t.Fatalf("RTX index %d twice", index)
				} else {
					rtx[index] = true
				}
				resent += 1000
			}
		}
		if resent > sent/2 {
			t.Fatalf("%d bytes resent of %d sent", resent, sent)
		}
	})
}
