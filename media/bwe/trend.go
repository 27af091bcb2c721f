package bwe

import (
	"math"
	"time"
)

// The trendline and its detector, as libwebrtc has them
// (modules/congestion_controller/goog_cc/trendline_estimator.cc, 2024), which the draft's
// section 5 precedes with a Kalman filter.
const (
	trendWindow    = 20   // groups that the line is drawn through
	trendSmoothing = 0.9  // of the delay
	trendGain      = 4.0  // makes the slope comparable with the threshold,
	trendFull      = 60   // together with the number of groups, up to this one
	overuseTime    = 10.0 // ms of overuse before it is believed

	// The threshold follows the slope, so that a competing flow that fills queues does not
	// starve this one: up slowly, down faster, and not at all for a slope that far above it.
	thresholdStart = 12.5
	thresholdMin   = 6.0
	thresholdMax   = 600.0
	thresholdUp    = 0.0087 // share per ms
	thresholdDown  = 0.039
	thresholdSkip  = 15.0
	thresholdStep  = 100.0 // ms that count at most between two groups
)

// A standing queue is a delay that is well above the least one of the last minute or so.
const (
	standing = 30.0    // ms
	baseTime = 30000.0 // ms; the least delay is that of one to two of these
)

// trend is the slope of the one-way delay, and what it means.
type trend struct {
	x, y     [trendWindow]float64 // arrival and smoothed delay in ms
	n        int                  // groups so far, up to trendFull
	at       int                  // where the next point goes
	first    instant              // arrival that x counts from
	delay    float64              // ms, as compared with the first group
	smoothed float64
	slope    float64
	scaled   float64 // the slope as compared with the threshold
	limit    float64 // the threshold

	over      float64 // ms in overuse; negative: none
	overCount int
	last      float64 // x of the newest group
	state     State

	raw    [trendWindow]float32 // delay of the first packets of the groups in the window
	base   [2]float64           // the least delay of this baseTime, and of the one before
	baseAt float64              // when this one began
}

func (t *trend) reset() { *t = trend{limit: thresholdStart, over: -1} }

// least keeps the least delay.
func (t *trend) least(x, delay float64) {
	switch {
	case t.n <= 1:
		t.base, t.baseAt = [2]float64{delay, delay}, x
	case x-t.baseAt > baseTime:
		t.base, t.baseAt = [2]float64{delay, t.base[0]}, x
	}
	t.base[0] = min(t.base[0], delay)
}

// queued reports whether all groups in the window were delayed by a queue. Jitter lets some
// through.
func (t *trend) queued() bool {
	if t.n < trendWindow {
		return false
	}
	base := min(t.base[0], t.base[1])
	for _, delay := range t.raw {
		if float64(delay)-base < standing {
			return false
		}
	}
	return true
}

// update takes a group that was sent and arrived so much later than the one before. Its packets
// waited for each other for own, those of the very first one for first.
func (t *trend) update(apart, arrivedApart time.Duration, arrived instant, own, first time.Duration) {
	if t.n == 0 {
		t.first = arrived
	}
	if t.n < trendFull {
		t.n++
	}
	t.delay += milliseconds(arrivedApart - apart)
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.delay
	x := milliseconds(arrived.sub(t.first))
	t.x[t.at], t.y[t.at], t.raw[t.at] = x, t.smoothed, float32(t.delay-milliseconds(own))
	t.least(x, t.delay-milliseconds(own))
	if t.n == 1 { // what everything began with may be a large frame
		t.least(x, -milliseconds(first))
		t.base[1] = t.base[0]
	}
	t.at = (t.at + 1) % trendWindow

	slope := t.slope
	if t.n >= trendWindow {
		slope = t.fit(slope)
	}
	t.detect(slope, milliseconds(apart), x)
}

// fit draws the line of least squares; where there is none the slope stays.
func (t *trend) fit(slope float64) float64 {
	var mx, my float64
	for i := range t.x {
		mx += t.x[i]
		my += t.y[i]
	}
	mx /= trendWindow
	my /= trendWindow
	var above, below float64
	for i := range t.x {
		dx := t.x[i] - mx
		above += dx * (t.y[i] - my)
		below += dx * dx
	}
	if below < 1 {
		return slope // all of them arrived within a millisecond
	}
	return above / below
}

func (t *trend) detect(slope, apart, x float64) {
	if t.n < 2 {
		t.last = x
		return
	}
	t.scaled = float64(t.n) * slope * trendGain
	switch {
	case t.scaled > t.limit:
		if t.over < 0 {
			t.over = apart / 2 // since somewhere in between
		} else {
			t.over += apart
		}
		t.overCount++
		if t.over > overuseTime && t.overCount > 1 && slope >= t.slope {
			t.over, t.overCount = 0, 0
			t.state = Overuse
		}
	case t.scaled < -t.limit:
		t.over, t.overCount, t.state = -1, 0, Underuse
	default:
		t.over, t.overCount, t.state = -1, 0, Normal
	}
	t.slope = slope
	t.adapt(x)
}

// adapt moves the threshold towards the slope.
func (t *trend) adapt(x float64) {
	step := min(max(x-t.last, 0), thresholdStep)
	t.last = x
	size := math.Abs(t.scaled)
	if size > t.limit+thresholdSkip {
		return // a sudden loss of capacity, which is to be acted on
	}
	k := thresholdUp
	if size < t.limit {
		k = thresholdDown
	}
	// Not beyond the slope, which a step of 100 ms would do.
	t.limit += min(k*step, 1) * (size - t.limit)
	t.limit = min(max(t.limit, thresholdMin), thresholdMax)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
