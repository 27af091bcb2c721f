package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The geometry of a plot, in the units of its view box.
const (
	plotWidth  = 640
	plotHeight = 240
	plotLeft   = 64
	plotRight  = 16
	plotTop    = 12
	plotBottom = 34
	maxPoints  = 600 // of a line; of more, the largest of neighbours is drawn
)

// chart is a plot that is ready to be drawn: everything is in units of its view box.
type chart struct {
	Title  string
	Note   string
	XLabel string
	X, Y   []gridLine
	Series []series
	Spans  []span // phases, behind the lines
}

type gridLine struct {
	At   float64
	Text string
}

type series struct {
	Name  string
	Class int    // 1 to 4: its colour
	Path  string // of SVG
	Last  string // its value in words, for the legend
	Marks []mark // points with text
}

type mark struct {
	X, Y float64
	Text string
}

type span struct {
	From, Width float64
	Text        string
}

// Named reports whether there is room for the phase's name.
func (s span) Named() bool    { return s.Width > 50 }
func (s span) TextX() float64 { return s.From + 5 }

// Shaded reports whether the phase is one that the results are not about.
func (s span) Shaded() bool { return s.Text != string(Measuring) }

// line is what a series is made of.
type line struct {
	name string
	x, y []float64
}

func (c *chart) ViewBox() string { return fmt.Sprintf("0 0 %d %d", plotWidth, plotHeight) }
func (c *chart) Left() int       { return plotLeft }
func (c *chart) Right() int      { return plotWidth - plotRight }
func (c *chart) Top() int        { return plotTop }
func (c *chart) Bottom() int     { return plotHeight - plotBottom }
func (c *chart) Height() int     { return plotHeight - plotBottom - plotTop }
func (c *chart) LabelX() int     { return plotLeft - 6 }
func (c *chart) LabelY() int     { return plotHeight - plotBottom + 14 }
func (c *chart) TitleY() int     { return plotHeight - 4 }
func (c *chart) PhaseY() int     { return plotTop + 12 }

// scale maps values to the plot.
type scale struct {
	low, high float64 // of values, after log
	from, to  float64 // of the plot
	log       bool
}

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	if s.high == s.low {
		return s.from
	}
	return s.from + (v-s.low)/(s.high-s.low)*(s.to-s.from)
}

// ticks returns about n round values from 0 to at least top.
func ticks(top float64, n int) []float64 {
	if top <= 0 {
		top = 1
	}
	raw := top / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*unit >= raw*0.999 {
			step = m * unit
			break
		}
	}
	var all []float64
	for i := 0; ; i++ {
		v := float64(i) * step
		all = append(all, v)
		if v >= top*0.999 {
			return all
		}
	}
}

// overTime makes a plot of lines over the seconds of a run; nil if there are fewer than two
// points. floor is the least top of the vertical axis, format its text.
func overTime(title, note string, samples []Sample, lines []line, floor float64, format func(float64) string) *chart {
	if len(samples) < 2 || len(lines) == 0 {
		return nil
	}
	end := samples[len(samples)-1].At.Seconds()
	top := floor
	for _, l := range lines {
		for _, v := range l.y {
			top = max(top, v)
		}
	}
	ys := ticks(top, 4)
	c := &chart{Title: title, Note: note, XLabel: "seconds since the start"}
	x := scale{0, end, plotLeft, plotWidth - plotRight, false}
	y := scale{0, ys[len(ys)-1], plotHeight - plotBottom, plotTop, false}
	for _, v := range ys {
		c.Y = append(c.Y, gridLine{y.at(v), format(v)})
	}
	for _, v := range ticks(end, 6) {
		if v <= end {
			c.X = append(c.X, gridLine{x.at(v), fmt.Sprint(v)})
		}
	}
	c.Spans = phases(samples, x)
	for i, l := range lines {
		c.Series = append(c.Series, drawn(i, l, x, y))
	}
	return c
}

// phases returns where each phase of the run lies.
func phases(samples []Sample, x scale) []span {
	var all []span
	start := 0.0
	for i, s := range samples {
		if i+1 < len(samples) && samples[i+1].Phase == s.Phase {
			continue
		}
		end := s.At.Seconds()
		all = append(all, span{From: x.at(start), Width: x.at(end) - x.at(start), Text: string(s.Phase)})
		start = end
	}
	return all
}

// drawn turns a line into a path; i picks its colour.
func drawn(i int, l line, x, y scale) series {
	s := series{Name: l.name, Class: i%4 + 1}
	step := (len(l.x) + maxPoints - 1) / maxPoints
	var b strings.Builder
	for from := 0; from < len(l.x); from += step {
		best := from
		for j := from; j < min(from+step, len(l.x)); j++ {
			if l.y[j] > l.y[best] {
				best = j
			}
		}
		letter := 'L'
		if from == 0 {
			letter = 'M'
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", letter, x.at(l.x[best]), y.at(l.y[best]))
	}
	s.Path = b.String()
	return s
}

// cumulative makes a plot of distributions: the share of all (vertical) that took no longer
// than a time (horizontal, logarithmic); nil if there is nothing to show.
func cumulative(title, note string, all []named) *chart {
	low, high := math.Inf(1), math.Inf(-1)
	var shown []named
	for _, n := range all {
		if len(n.dist.Shape) == 0 {
			continue
		}
		shown = append(shown, n)
		low = min(low, float64(max(n.dist.Min, time.Microsecond)))
		high = max(high, float64(max(n.dist.Max, 2*time.Microsecond)))
	}
	if len(shown) == 0 {
		return nil
	}
	lowLog, highLog := math.Floor(2*math.Log10(low))/2, math.Ceil(2*math.Log10(high))/2
	if highLog-lowLog < 0.5 {
		highLog = lowLog + 0.5
	}
	c := &chart{Title: title, Note: note, XLabel: "time (logarithmic)"}
	x := scale{lowLog, highLog, plotLeft, plotWidth - plotRight, true}
	y := scale{0, 1, plotHeight - plotBottom, plotTop, false}
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.Y = append(c.Y, gridLine{y.at(v), fmt.Sprintf("%.0f %%", 100*v)})
	}
	c.X = decades(x)
	for i, n := range shown {
		c.Series = append(c.Series, curve(i, n, x, y))
	}
	return c
}

// decades are the lines at 1, 10, 100... of a logarithmic axis, with 2 and 5 between them
// where there is room.
func decades(x scale) []gridLine {
	factors := []float64{1}
	if x.high-x.low <= 3 {
		factors = []float64{1, 2, 5}
	}
	var all []gridLine
	for power := math.Floor(x.low); power <= x.high; power++ {
		for _, f := range factors {
			v := f * math.Pow(10, power)
			if l := math.Log10(v); l >= x.low-1e-9 && l <= x.high+1e-9 {
				all = append(all, gridLine{x.at(v), roundTime(time.Duration(math.Round(v)))})
			}
		}
	}
	return all
}

// roundTime is Time without digits behind the point, for round values.
func roundTime(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d/time.Microsecond)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// curve draws one distribution, from its minimum to its maximum.
func curve(i int, n named, x, y scale) series {
	clamp := func(d time.Duration) float64 {
		return x.at(min(max(float64(d), math.Pow(10, x.low)), math.Pow(10, x.high)))
	}
	d := n.dist
	s := series{Name: n.name, Class: i%4 + 1, Last: fmt.Sprintf("p50 %s, p99 %s", Time(d.P50), Time(d.P99))}
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f %.1f", clamp(d.Min), y.at(0))
	var seen uint64
	for _, bucket := range d.Shape {
		seen += bucket.Count
		fmt.Fprintf(&b, "L%.1f %.1f", clamp(min(bucket.To, d.Max)), y.at(float64(seen)/float64(d.Count)))
	}
	s.Path = b.String()
	for _, q := range []struct {
		share float64
		at    time.Duration
		name  string
	}{{0.5, d.P50, "p50"}, {0.95, d.P95, "p95"}, {0.99, d.P99, "p99"}, {0.999, d.P999, "p99.9"}} {
		s.Marks = append(s.Marks, mark{clamp(q.at), y.at(q.share), fmt.Sprintf("%s: %s %s", n.name, q.name, Time(q.at))})
	}
	return s
}
