package bot

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"tsubame/bench/source/shape"
	"tsubame/media/param"
)

// film makes packets of a video: frames of three, a key frame every keyEvery.
func film(frames, keyEvery int, firstSeq uint16) []arrival {
	var out []arrival
	s := stamp{source: 7}
	for f := range frames {
		for i := range 3 {
			b := make([]byte, 100)
			s.counter++
			putVideo(param.VP8, b, videoShape{shape.Video{Start: i == 0, Key: f%keyEvery == 0, PictureID: uint16(f)}}, s)
			out = append(out, arrival{codec: param.VP8, seq: firstSeq, timestamp: uint32(f * 3600), marker: i == 2, payload: b})
			firstSeq++
		}
	}
	return out
}

type theatre struct {
	r   *receiver
	now time.Time
}

func newTheatre() *theatre {
	return &theatre{
		r:   newReceiver(&section{kind: param.Video, ssrc: 5, codecs: []format{{codec: param.VP8, feedback: []string{"nack", "nack pli"}}}}),
		now: time.Unix(1000, 0),
	}
}

func (x *theatre) show(packets ...arrival) {
	for _, a := range packets {
		x.now = x.now.Add(10 * time.Millisecond)
		a.now = x.now
		x.r.packet(a)
	}
}

func TestFramesAreCountedOverTheWrap(t *testing.T) {
	x := newTheatre()
	x.show(film(100, 50, 65500)...)
	s := x.r.snapshot()
	if s.Frames != 100 || s.KeyFrames != 2 || s.Packets != 300 || s.Lost != 0 || s.Shifts != 0 || s.Verified != 300 {
		t.Errorf("%+v", s)
	}
	if s.MaxFreeze != 30*time.Millisecond {
		t.Errorf("freeze %v", s.MaxFreeze)
	}
}

func TestReorderedAndRepeatedPackets(t *testing.T) {
	x := newTheatre()
	packets := film(100, 100, 100)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := 1; i+4 < len(packets); i += 4 { // the very first one starts the window
		rnd.Shuffle(4, func(a, b int) { packets[i+a], packets[i+b] = packets[i+b], packets[i+a] })
	}
	for _, p := range packets {
		x.show(p)
		if rnd.IntN(5) == 0 {
			x.show(p)
		}
	}
	s := x.r.snapshot()
	if s.Frames != 100 || s.Lost != 0 || s.Duplicates == 0 || s.Packets != 300 {
		t.Errorf("%+v", s)
	}
}

func TestGapIsAskedForThenGivenUp(t *testing.T) {
	x := newTheatre()
	packets := film(40, 20, 10)
	x.show(packets[:30]...)
	x.show(packets[32:60]...) // two are lost; the next key frame is number 60
	feedback, next := x.r.feedback(x.now, 1)
	if len(feedback) != 1 {
		t.Fatalf("%v", feedback)
	}
	nack, ok := feedback[0].(*rtcp.TransportLayerNack)
	if !ok || nack.MediaSSRC != 5 || len(nack.Nacks) != 1 {
		t.Fatalf("%v", feedback)
	}
	if got := nack.Nacks[0].PacketList(); len(got) != 2 || got[0] != 40 || got[1] != 41 {
		t.Fatalf("asked for %v", got)
	}
	if feedback, _ := x.r.feedback(x.now, 1); len(feedback) != 0 {
		t.Error("asked twice at once")
	}
	if !next.After(x.now) || next.After(x.now.Add(nackInterval)) {
		t.Errorf("next after %v", next.Sub(x.now))
	}
	if s := x.r.snapshot(); s.Frames != 10 {
		t.Errorf("%d frames before the gap", s.Frames)
	}
	x.now = x.now.Add(giveUp)
	feedback, _ = x.r.feedback(x.now, 1)
	if len(feedback) != 1 {
		t.Fatalf("%v", feedback)
	}
	if _, ok := feedback[0].(*rtcp.PictureLossIndication); !ok {
		t.Fatalf("%v", feedback)
	}
	x.show(packets[60:]...)
	if s := x.r.snapshot(); s.Frames != 30 || s.Lost != 2 || s.KeyFrames != 2 || s.MaxFreeze < giveUp {
		t.Errorf("%+v", s)
	}
}

func TestRepairCompletesThePicture(t *testing.T) {
	x := newTheatre()
	packets := film(10, 10, 10)
	missing := packets[7]
	x.show(packets[:7]...)
	x.show(packets[8:]...)
	missing.rtx = true
	x.show(missing)
	if s := x.r.snapshot(); s.Frames != 10 || s.Recovered != 1 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	if x.r.needs() {
		t.Error("still waits for something")
	}
}

func TestJumpBeyondTheWindowIsSurvived(t *testing.T) {
	x := newTheatre()
	x.show(film(10, 10, 10)...)
	x.show(film(10, 10, 20_000)...)
	s := x.r.snapshot()
	if s.Lost == 0 || s.Shifts != 1 {
		t.Errorf("%+v", s)
	}
	x.now = x.now.Add(giveUp)
	x.r.feedback(x.now, 1)
	if s = x.r.snapshot(); s.Frames != 20 || x.r.missing != 0 {
		t.Errorf("%+v, %d missing", s, x.r.missing)
	}
}

func TestAnyScheduleKeepsTheCountsTogether(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		x := newTheatre()
		for _, p := range film(500, 20, uint16(rnd.Uint32())) {
			if rnd.IntN(20) != 0 {
				x.show(p)
			}
			if rnd.IntN(10) == 0 {
				x.r.feedback(x.now, 1)
			}
		}
		x.now = x.now.Add(giveUp)
		x.r.feedback(x.now, 1)
		s := x.r.snapshot()
		span := x.r.highest - x.r.first + 1
		if s.Packets+s.Lost != span || x.r.missing != 0 || x.r.next != x.r.highest+1 || s.Shifts != 0 {
			t.Fatalf("seed %d: %d packets and %d lost of %d, %d missing, %+v", seed, s.Packets, s.Lost, span, x.r.missing, s)
		}
	}
}

func TestReceptionReport(t *testing.T) {
	x := newTheatre()
	packets := film(20, 20, 65530)
	x.show(packets[:15]...)
	x.show(packets[30:]...) // 15 of 60 lost
	x.r.senderReport(x.now, &rtcp.SenderReport{NTPTime: 0x0123456789abcdef})
	x.now = x.now.Add(500 * time.Millisecond)
	b := x.r.report(x.now)
	if b.FractionLost != 64 || b.TotalLost != 15 || b.LastSenderReport != 0x456789ab || b.Delay != 1<<15 {
		t.Errorf("%+v", b)
	}
	if b.LastSequenceNumber != 65530+59 { // one cycle, 53
		t.Errorf("highest %#x", b.LastSequenceNumber)
	}
	if b := x.r.report(x.now); b.FractionLost != 0 || b.TotalLost != 15 {
		t.Errorf("%+v", b)
	}
}

func TestLatencyQuantiles(t *testing.T) {
	var l Latency
	for i := range 1000 {
		l.add(time.Duration(i) * time.Microsecond)
	}
	if q := l.Quantile(0.5); q != 512*time.Microsecond {
		t.Errorf("median %v", q)
	}
	if q := l.Quantile(0.99); q != 1024*time.Microsecond {
		t.Errorf("p99 %v", q)
	}
	if l.Max != 999*time.Microsecond || l.Count != 1000 {
		t.Errorf("%+v", l)
	}
}
