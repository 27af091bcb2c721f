package recv

import (
	"math/big"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
)

// ntpAt returns an NTP timestamp d after some instant of this century.
func ntpAt(d time.Duration) uint64 {
	const base = 3_970_000_000
	return uint64(base+d/time.Second)<<32 | uint64(d%time.Second)<<32/uint64(time.Second)
}

func TestClockIsExactForCenturies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]uint32{8000, 48000, 90000, 1, 1<<32 - 1}).Draw(t, "rate")
		zero := rapid.Uint32().Draw(t, "zero")
		at := rapid.Int64Range(0, 1<<62).Draw(t, "at")
		want := new(big.Int).Mul(big.NewInt(at), big.NewInt(int64(rate)))
		want.Div(want, big.NewInt(int64(time.Second)))
		want.And(want.Add(want, big.NewInt(int64(zero))), big.NewInt(1<<32-1))
		c := Clock{Zero: zero, Rate: rate}
		if got := c.RTP(mono.Time(at)); uint64(got) != want.Uint64() {
			t.Fatalf("shows %d, want %d", got, want)
		}
		if got := ClockAt(c.RTP(mono.Time(at)), mono.Time(at), rate); got != c {
			t.Fatalf("set by its own reading it is %+v, want %+v", got, c)
		}
	})
}

func TestSharedClockIsNeverSeenHalfWritten(t *testing.T) {
	var shared SharedClock
	if shared.Load().Known() {
		t.Fatal("known before it was published")
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c := shared.Load(); c.Known() && c.Zero != c.Rate*3 {
					t.Errorf("read %+v", c)
					return
				}
			}
		})
	}
	for i := range uint32(200_000) {
		shared.Publish(Clock{Zero: (i + 1) * 3, Rate: i + 1})
	}
	close(done)
	readers.Wait()
	shared.Reset()
	if shared.Load().Known() {
		t.Error("known after Reset")
	}
}

func TestSenderReportsTellTheClock(t *testing.T) {
	s, o := newVideo(), &Origin{}
	s.Receive(start, 1, 900_000, 100, false)
	if s.Clock().Known() {
		t.Fatal("a clock before any report")
	}
	c, ok := s.SenderReport(at(ms(500)), ntpAt(ms(500)), 900_000+45_000, o)
	if !ok || s.Clock() != c {
		t.Fatalf("clock %+v, %v", c, ok)
	}
	if got := c.RTP(at(time.Second)); got != 900_000+90_000 {
		t.Errorf("a second later it shows %d, want %d", got, 990_000)
	}
}

func TestAudioAndVideoOfOnePublisherStayTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Reports of both streams arrive with any delay of the network; what was
		// captured at the same instant has to be mapped to the same instant.
		var o Origin
		audio, video := new(Stream), newVideo()
		audio.Init(Config{ClockRate: 48000})
		var a, v Clock
		now := time.Duration(0)
		reports := rapid.IntRange(2, 60).Draw(t, "reports")
		for range reports {
			now += time.Duration(rapid.IntRange(200, 5000).Draw(t, "pause")) * time.Millisecond
			delay := time.Duration(rapid.IntRange(0, 400).Draw(t, "delay")) * time.Millisecond
			ntp := ntpAt(now)
			if c, ok := audio.SenderReport(at(now+delay), ntp, uint32(now*48000/time.Second), &o); ok {
				a = c
			}
			delay = time.Duration(rapid.IntRange(0, 400).Draw(t, "delay")) * time.Millisecond
			if c, ok := video.SenderReport(at(now+delay), ntp, uint32(now*90000/time.Second), &o); ok {
				v = c
			}
			if !a.Known() || !v.Known() {
				t.Fatal("a plain report was not taken")
			}
			// Where each clock shows the sample captured at now.
			skew := time.Duration(int32(a.RTP(at(now))-uint32(now*48000/time.Second)))*time.Second/48000 -
				time.Duration(int32(v.RTP(at(now))-uint32(now*90000/time.Second)))*time.Second/90000
			if skew.Abs() > 2*originSlew {
				t.Fatalf("audio and video are %v apart", skew)
			}
		}
	})
}

func TestOneWildReportDoesNotMoveTheClock(t *testing.T) {
	s, o := newVideo(), &Origin{}
	s.Receive(start, 1, 0, 100, false)
	c, _ := s.SenderReport(start, ntpAt(time.Hour), 0, o)
	if _, ok := s.SenderReport(at(time.Second), ntpAt(5*time.Hour), 90_000, o); ok {
		t.Fatal("a report hours off was taken")
	}
	got, ok := s.SenderReport(at(2*time.Second), ntpAt(time.Hour+2*time.Second), 180_000, o)
	if !ok || int32(got.Zero-c.Zero) > 90 || int32(got.Zero-c.Zero) < -90 {
		t.Fatalf("after it: %+v, %v; before: %+v", got, ok, c)
	}
	if _, ok := s.SenderReport(at(3*time.Second), ntpAt(5*time.Hour+2*time.Second), 270_000, o); ok {
		t.Fatal("a report hours off was taken, though the one before it was not")
	}
	if s.Stats().BadReports != 2 {
		t.Errorf("counted %+v", s.Stats())
	}
}

func TestClockThatWasSetIsFollowedByTheSecondReport(t *testing.T) {
	s, o := newVideo(), &Origin{}
	s.Receive(start, 1, 0, 100, false)
	s.SenderReport(start, ntpAt(time.Hour), 0, o)
	s.SenderReport(at(time.Second), ntpAt(time.Minute+time.Second), 90_000, o)
	c, ok := s.SenderReport(at(2*time.Second), ntpAt(time.Minute+2*time.Second), 180_000, o)
	if !ok {
		t.Fatal("the second report of a clock that was set is refused")
	}
	if off := int32(c.RTP(at(2*time.Second)) - 180_000); off < -90 || off > 90 {
		t.Errorf("the clock is %d units off", off)
	}
}

func TestReportThatContradictsThePacketsIsRefused(t *testing.T) {
	s, o := newVideo(), &Origin{}
	s.Receive(start, 1, 900_000, 100, false)
	if _, ok := s.SenderReport(start, ntpAt(0), 900_000+20*90_000, o); ok {
		t.Error("a clock 20 s ahead of the packets was taken")
	}
	if _, ok := s.SenderReport(start, 0, 900_000, o); ok {
		t.Error("a report without a wall clock was taken")
	}
	if s.Clock().Known() {
		t.Error("the clock is known")
	}
}

// Reports about one stream that are lost for long do not tear it from the other, whose reports go
// on moving the offset.
func TestStreamWithoutReportsFollowsTheOthers(t *testing.T) {
	var o Origin
	audio, video := new(Stream), newVideo()
	audio.Init(Config{ClockRate: 48000})
	audio.SenderReport(at(0), ntpAt(0), 0, &o)
	var v Clock
	for i := 1; i <= 300; i++ {
		now := time.Duration(i) * time.Second
		v, _ = video.SenderReport(at(now+ms(300)), ntpAt(now), uint32(90000*i), &o)
	}
	a, ok := audio.Follow(&o)
	if !ok {
		t.Fatal("there is nothing to follow")
	}
	end := 300 * time.Second
	heard := time.Duration(int32(a.RTP(at(end))-48000*300)) * time.Second / 48000
	seen := time.Duration(int32(v.RTP(at(end))-90000*300)) * time.Second / 90000
	if (heard-seen).Abs() > originSlew || seen > -ms(200) {
		t.Errorf("audio is %v off and video %v", heard, seen)
	}
	video.SenderReport(at(end), ntpAt(time.Hour), 90000*300, &o)
	video.SenderReport(at(end+time.Second), ntpAt(time.Hour+time.Second), 90000*301, &o)
	if _, ok := audio.Follow(&o); ok {
		t.Error("a publisher's clock that was set is followed by reports from before")
	}
}
