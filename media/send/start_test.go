package send

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/packet"
)

// paced is a source of frames of two packets each, 40 ms apart.
type paced struct {
	seq uint64
	ts  uint32
	at  time.Duration
}

// frame returns the next frame's packets.
func (p *paced) frame(gap time.Duration, flags packet.Flags) [2]*packet.Meta {
	p.at += gap
	p.ts += uint32(gap * 90 / time.Millisecond)
	var both [2]*packet.Meta
	for i := range both {
		p.seq++
		both[i] = &packet.Meta{Seq: p.seq, Timestamp: p.ts, Arrival: at(p.at), Flags: flags}
		flags = 0
	}
	return both
}

// blindStart munges frames that no one can read until one goes out, and returns after how
// long and which packet of its frame that was.
func blindStart(t *testing.T, s *Stream, p *paced, gap time.Duration) (after time.Duration, first int) {
	t.Helper()
	from := p.at + gap
	for range 10_000 {
		for i, m := range p.frame(gap, 0) {
			if _, ok := s.Munge(m); ok {
				return p.at - from, i
			}
		}
	}
	t.Fatal("the viewer waits for ever")
	return 0, 0
}

func TestEveryVideoCodecStartsWithAKeyFrame(t *testing.T) {
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		s := new(Stream)
		spec := videoSpec()
		spec.Codec = c
		s.Init(spec, 100, 200)
		wantRefused(t, s, pkt(1, 0))
		wantRefused(t, s, pkt(2, packet.FlagFrameStart))
		wantOut(t, s, pkt(3, keyFrame), 100)
		if n := s.Stats().Blind; n != 0 {
			t.Errorf("%v: %d starts without a key frame", c, n)
		}
	}
}

// Row RTP-09.
func TestViewerOfUnreadableKeyFramesStartsAfterAWhileAtAFrame(t *testing.T) {
	s, p := newVideo(), &paced{}
	after, first := blindStart(t, s, p, 40*time.Millisecond)
	if first != 0 {
		t.Error("started in the middle of a frame")
	}
	if after < startPatience || after > startPatience+80*time.Millisecond {
		t.Errorf("started after %v, want %v", after, startPatience)
	}
	if st := s.Stats(); st.Blind != 1 || s.Waiting() {
		t.Errorf("%+v, waiting: %v", st, s.Waiting())
	}
	for _, m := range p.frame(40*time.Millisecond, 0) {
		if _, ok := s.Munge(m); !ok {
			t.Error("a packet after the start is refused")
		}
	}
}

func TestKeyFrameBeforeTheEndOfPatienceIsTheStart(t *testing.T) {
	s, p := newVideo(), &paced{}
	for p.at < startPatience-100*time.Millisecond {
		for _, m := range p.frame(40*time.Millisecond, 0) {
			wantRefused(t, s, m)
		}
	}
	wantOut(t, s, p.frame(40*time.Millisecond, keyFrame)[0], 100)
	if n := s.Stats().Blind; n != 0 {
		t.Errorf("%d starts without a key frame", n)
	}
}

// A publisher that pauses has not been asked in vain meanwhile.
func TestPauseOfThePublisherCountsAsASecondOfWaiting(t *testing.T) {
	s, p := newVideo(), &paced{}
	for _, m := range p.frame(0, 0) {
		wantRefused(t, s, m)
	}
	for _, m := range p.frame(time.Hour, 0) {
		wantRefused(t, s, m)
	}
	after, _ := blindStart(t, s, p, 40*time.Millisecond)
	if want := startPatience - startGap; after < want-80*time.Millisecond || after > want+80*time.Millisecond {
		t.Errorf("started %v after the pause, want %v", after, want)
	}
}

func TestSlowPublisherIsStartedWithAfterAFewFrames(t *testing.T) {
	s, p := newVideo(), &paced{}
	if after, _ := blindStart(t, s, p, 10*time.Second); after != 50*time.Second {
		t.Errorf("started after %v, want 5 frames more than the first", after)
	}
}

func TestLatePacketIsNoStartEvenAfterTheEndOfPatience(t *testing.T) {
	s, p := newVideo(), &paced{}
	late := p.frame(40*time.Millisecond, 0)[1]
	for p.at <= startPatience+40*time.Millisecond {
		ms := p.frame(40*time.Millisecond, 0)
		if p.at > startPatience+40*time.Millisecond {
			late.Arrival = ms[0].Arrival
			wantRefused(t, s, late)
			wantOut(t, s, ms[0], 100)
			return
		}
		wantRefused(t, s, ms[0])
		wantRefused(t, s, ms[1])
	}
}

func TestPatienceBeginsAnewWithEachWait(t *testing.T) {
	s, p := newVideo(), &paced{}
	blindStart(t, s, p, 40*time.Millisecond)
	s.Retarget()
	if after, _ := blindStart(t, s, p, 40*time.Millisecond); after < startPatience {
		t.Errorf("started with the next source after %v", after)
	}
	p.seq += 2 * maxGap // a loss too long to be shown
	if after, _ := blindStart(t, s, p, 40*time.Millisecond); after < startPatience {
		t.Errorf("started after a long loss after %v", after)
	}
	if st := s.Stats(); st.Blind != 3 || st.Restarts != 1 {
		t.Errorf("%+v", st)
	}
}

func TestWaitingAllocatesNothing(t *testing.T) {
	s, p := newVideo(), &paced{}
	n := testing.AllocsPerRun(100, func() {
		m := packet.Meta{Seq: p.seq, Timestamp: uint32(p.seq), Arrival: at(ms(int(p.seq)))}
		p.seq++
		s.Munge(&m)
	})
	if n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
