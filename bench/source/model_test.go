package source

import (
	"testing"
	"time"

	"tsubame/media/param"
)

func TestVideoHasItsBitrateAndFrameRate(t *testing.T) {
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264} {
		for _, want := range []struct{ bitrate, fps int }{{170_000, 15}, {1_000_000, 20}, {5_000_000, 30}} {
			s := must[Source](t)(Video(c, want.bitrate, want.fps, 9))
			var p Packet
			bytes, frames := 0, 0
			for s.Next(&p); p.At < time.Minute; s.Next(&p) {
				bytes += len(p.Payload)
				if p.Marker {
					frames++
				}
			}
			if rate := bytes * 8 / 60; rate < want.bitrate*97/100 || rate > want.bitrate*103/100 {
				t.Errorf("%v: %d bit/s, want %d", c, rate, want.bitrate)
			}
			if n := frames - 60*want.fps; n < -1 || n > 1 {
				t.Errorf("%v: %d frames a minute, want %d", c, frames, 60*want.fps)
			}
		}
	}
}

func TestFramesAreSplitAsChromiumDoes(t *testing.T) {
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264} {
		s := must[Source](t)(Video(c, 2_500_000, 30, 1))
		var p Packet
		var sizes []int
		var first time.Duration
		for range laps {
			s.Next(&p)
			if len(sizes) == 0 {
				first = p.At
			}
			sizes = append(sizes, len(p.Payload))
			if !p.Marker {
				continue
			}
			n := len(sizes)
			if span := p.At - first; n > 1 && (span < 200*time.Microsecond || span > 600*time.Microsecond) {
				t.Fatalf("%v: a frame takes %v", c, span)
			}
			for i := 1; i < n; i++ {
				step := sizes[i] - sizes[i-1]
				switch {
				case c == param.AV1 && i == n-1 && step >= -20 && step <= 0:
				case c == param.AV1 && step == 0:
				case c != param.AV1 && sizes[i]-sizes[0] <= 1 && step >= 0:
				default:
					t.Fatalf("%v: a frame in packets of %v bytes", c, sizes)
				}
			}
			if sizes[0] > chromiumPayload {
				t.Fatalf("%v: %d bytes", c, sizes[0])
			}
			sizes = sizes[:0]
		}
	}
}

func TestFixedPacketsAreEven(t *testing.T) {
	s := must[Source](t)(FixedRuns(param.H264, 1100, 300, 6))
	var p Packet
	for i := range 3000 {
		s.Next(&p)
		if want := time.Duration(i/6) * 20 * time.Millisecond; p.At != want || len(p.Payload) != 1100 || p.Marker != (i%6 == 5) {
			t.Fatalf("packet %d: %v, %d bytes, marker %v", i, p.At, len(p.Payload), p.Marker)
		}
	}
	s = must[Source](t)(Fixed(200, 7))
	for i := range 71 {
		if s.Next(&p); i == 70 && p.At != 10*time.Second {
			t.Fatalf("packet %d: %v", i, p.At)
		}
	}
}

func TestOpusComesEvery20Milliseconds(t *testing.T) {
	s := must[Source](t)(Opus(0))
	var p Packet
	n := 0
	for s.Next(&p); p.At < time.Minute; s.Next(&p) {
		n++
	}
	if n < 2999 || n > 3001 {
		t.Fatalf("%d packets a minute", n)
	}
}

func TestWhatIsOutOfRangeIsRefused(t *testing.T) {
	refused := func(s Source, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%v source", s.Codec())
		}
	}
	refused(Video(param.VP8, 9_999, 20, 1))
	refused(Video(param.VP8, 50_000_001, 20, 1))
	refused(Video(param.VP8, 1_000_000, 0, 1))
	refused(Video(param.VP8, 1_000_000, 241, 1))
	refused(Video(param.Opus, 1_000_000, 20, 1))
	refused(Video(0, 1_000_000, 20, 1))
	refused(Fixed(71, 100))
	refused(Fixed(1461, 100))
	refused(Fixed(100, 0))
	refused(Fixed(100, 20_001))
	refused(FixedRuns(param.VP8, 100, 10, 3))
	refused(FixedRuns(param.Opus, 100, 10, 2))
	refused(FixedRuns(param.Opus, 0, 10, 1))
	refused(FixedRuns(99, 100, 10, 1))
}
