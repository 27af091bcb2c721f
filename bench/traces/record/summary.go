package record

import (
	"fmt"
	"slices"
	"time"

	"tsubame/bench/traces"
)

// Summary says of a trace's video what matters to whoever sends frames on in one piece.
type Summary struct {
	Bitrate float64 // bit/s of UDP payload
	FPS     float64
	Frames  int
	Packets int

	PerFrame [2]int     // packets of a frame: median, most
	Run      [2]float64 // packets in a row of equal size within a frame: mean, most
	Spread   int        // the most bytes by which sizes in a frame differ, the last packet left out
	Short    [2]int     // by how much the last packet of a frame is shorter: median, most

	Span [3]time.Duration // a frame's first to its last packet, of frames of several: median, 95 %, most
}

// Summarise reads a trace's video.
func Summarise(t *traces.Trace) (s Summary) {
	var counts, shorts []int
	var spans []time.Duration
	runs := 0
	bytes := 0
	for v := t.Video; len(v) > 0; {
		n := 1
		for n < len(v) && v[n].Frame == v[0].Frame {
			n++
		}
		frame := v[:n]
		v = v[n:]
		s.Frames++
		s.Packets += n
		counts = append(counts, n)
		length := 0
		for i, r := range frame {
			bytes += r.Bytes
			if i == 0 || r.Bytes != frame[i-1].Bytes {
				runs++
				length = 0
			}
			length++
			s.Run[1] = max(s.Run[1], float64(length))
			if i < n-1 {
				s.Spread = max(s.Spread, r.Bytes-frame[0].Bytes, frame[0].Bytes-r.Bytes)
			}
		}
		if n > 1 {
			spans = append(spans, frame[n-1].At-frame[0].At)
			shorts = append(shorts, frame[n-2].Bytes-frame[n-1].Bytes)
		}
	}
	if s.Frames == 0 {
		return s
	}
	if took := t.Video[len(t.Video)-1].At - t.Video[0].At; took > 0 {
		s.Bitrate = float64(bytes) * 8 / took.Seconds()
		s.FPS = float64(s.Frames-1) / took.Seconds()
	}
	s.Run[0] = float64(s.Packets) / float64(runs)
	s.PerFrame = [2]int{quantile(counts, 50), quantile(counts, 100)}
	s.Short = [2]int{quantile(shorts, 50), quantile(shorts, 100)}
	s.Span = [3]time.Duration{quantile(spans, 50), quantile(spans, 95), quantile(spans, 100)}
	return s
}

// quantile sorts x and returns the value that a percentage of them does not exceed.
func quantile[T int | time.Duration](x []T, percent int) (v T) {
	if len(x) == 0 {
		return v
	}
	slices.Sort(x)
	return x[(len(x)-1)*percent/100]
}

// Head is the head of a table of summaries, and Row one of its rows, in Markdown.
const Head = "| trace | Mbit/s | frames/s | packets a frame: median, most | equal sizes in a row: mean, most | sizes differ by | last one shorter: median, most | frame's span in ms: median, 95 %, most |\n|---|---|---|---|---|---|---|---|\n"

// Row is a summary in a table.
func (s Summary) Row(name string) string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return fmt.Sprintf("| %s | %.2f | %.1f | %d, %d | %.1f, %.0f | %d | %d, %d | %.2f, %.2f, %.2f |\n", name, s.Bitrate/1e6, s.FPS,
		s.PerFrame[0], s.PerFrame[1], s.Run[0], s.Run[1], s.Spread, s.Short[0], s.Short[1], ms(s.Span[0]), ms(s.Span[1]), ms(s.Span[2]))
}
