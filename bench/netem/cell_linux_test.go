//go:build browser

package netem

import (
	"fmt"
	"slices"
	"time"

	"tsubame/bench/impair"
)

// cell is one network in which calls are measured.
type cell struct {
	name    string
	base    impair.Config // of all four directions while the call begins
	bitrate int           // bound of what video is sent with, bit/s
	// plans are what the directions of each end's link are like from the measurement's start on.
	plans [2][2][]impair.Step
	// rebind says whose NAT forgets its flows: so many times, every so often.
	rebind  [2]bool
	every   time.Duration
	times   int
	seconds int              // 0: as many as the run's others
	black   [2]time.Duration // the blackout's begin and end, if there is one
	noisy   bool             // it loses packets, so that redundant audio matters
	stepOf  int              // 1 or 2: the rate of the publisher's or the viewer's link steps
	joins   int              // how many viewers join, one after the other: nothing else is measured
}

// systems are the names of those that a cell is measured with.
func (c *cell) systems() []string {
	switch {
	case c.joins > 0:
		return []string{plain, withCache, byJanus}
	case c.noisy:
		return []string{plain, withRED, directly, byJanus}
	}
	return []string{plain, directly, byJanus}
}

// always is a plan of one step.
func always(cfg impair.Config) []impair.Step { return []impair.Step{{Config: cfg}} }

// measurement is what a cell was with a system.
type measurement struct {
	Cell, System string
	Seconds      float64
	Seed         uint64

	FPS, SentFPS               float64 // frames decoded, and sent, a second
	FramesLost                 float64 // share of the frames sent that were never complete
	PacketLoss, ResidualLoss   float64 // share of video packets, on the viewer's link and after recovery
	Recovered                  float64 // packets by retransmission
	Freezes, FreezeSeconds     float64
	LongFreezes                int // pictures that stood for more than 500 ms
	LongestFreeze              float64
	Concealed, ConcealedAloud  float64 // share of audio samples
	PLIs, PublisherPLIs, NACKs float64
	KeyFrames                  float64
	Bitrate                    float64    // of video that arrives, bit/s
	JitterBuffer               float64    // mean delay of video, s
	Estimate, ServerEstimate   float64    // means, bit/s
	Return                     float64    // s from the end of a blackout to the next picture; -1: none
	Joined                     float64    // s from the viewer's join to its first picture
	Late                       [2]float64 // p99 and most by which the boxes were late, ms
	Adaption                   *adaption  `json:",omitempty"`
	Gaps                       []gap      `json:",omitempty"`
	First                      []float64  `json:",omitempty"` // of viewers that join: s from the transport to the first picture
	Estimates                  []point    `json:",omitempty"` // of the link whose rate steps
	Asked                      int        // seconds that the run's cells last
	Failed                     string     `json:",omitempty"`

	samples  [2][]sample
	frames   []float64
	timeline []string // of the viewer's SDK
	servers  []point  // what the server believed of the viewer's link
	rebound  [2][]time.Time
}

// run measures a cell with a system. The seed is that of all links.
func (w *world) run(c cell, s system, seconds int, seed uint64) (m measurement, err error) {
	if c.seconds != 0 {
		seconds = c.seconds
	}
	m = measurement{Cell: c.name, System: s.name(), Seconds: float64(seconds), Seed: seed, Return: -1}
	for i, b := range w.boxes {
		for _, d := range []Direction{Up, Down} {
			cfg := c.base
			cfg.Seed = seed*4 + uint64(i)
			if err := b.Set(d, cfg); err != nil {
				return m, err
			}
		}
	}
	var tabs [2]*tab
	for i, b := range w.browsers {
		if tabs[i], err = b.open(endNames[i]); err != nil {
			return m, err
		}
		defer tabs[i].end()
		defer func() { _ = tabs[i].do("rig.leave()") }()
	}
	if err := s.publish(tabs[publisher]); err != nil {
		return m, err
	}
	began := time.Now()
	if c.joins > 0 {
		return m, w.joinLate(c, s, tabs[publisher], &m)
	}
	if err := s.view(tabs[viewer]); err != nil {
		return m, err
	}
	if err := tabs[publisher].do(fmt.Sprintf("rig.limit(%d)", c.bitrate)); err != nil {
		return m, err
	}
	if err := w.settle(tabs, &m, began, c.bitrate); err != nil {
		return m, err
	}
	return m, w.measure(c, s, tabs, &m, seconds)
}

// settle waits for pictures, and then until the publisher's rate has grown, or ten seconds.
func (w *world) settle(tabs [2]*tab, m *measurement, began time.Time, bitrate int) error {
	err := tabs[viewer].until(30*time.Second, "pictures and sound", func() (bool, error) {
		st, err := tabs[viewer].stats()
		return st.Inbound.Video.FramesDecoded > 30 && st.Inbound.Audio.PacketsReceived > 50, err
	})
	if err != nil {
		return err
	}
	frames, err := tabs[viewer].frames()
	if err != nil {
		return err
	}
	if len(frames) > 0 {
		m.Joined = frames[0]/1000 - float64(began.UnixMicro())/1e6
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); pause(200 * time.Millisecond) {
		st, err := tabs[publisher].stats()
		if err != nil {
			return err
		}
		if st.Outbound.Video.TargetBitrate >= 0.95*float64(bitrate) {
			break
		}
	}
	return nil
}

// measure impairs the network and sees what becomes of the call.
func (w *world) measure(c cell, s system, tabs [2]*tab, m *measurement, seconds int) error {
	first, err := both(tabs)
	if err != nil {
		return err
	}
	owed := owing(first)
	for range 10 { // frames between the two are not lost: the fewest of some looks
		again, err := both(tabs)
		if err != nil {
			return err
		}
		owed = min(owed, owing(again))
	}
	start := time.Now()
	for i, b := range w.boxes {
		b.Record()
		b.Late()
		for d, steps := range c.plans[i] {
			if err := b.Plan(Direction(d), start, steps...); err != nil {
				return err
			}
		}
	}
	w.watch(c, s, m, start, seconds)
	last, err := both(tabs)
	if err != nil {
		return err
	}
	for _, p := range m.servers {
		m.ServerEstimate += p.Bitrate / float64(len(m.servers))
	}
	for _, b := range w.boxes {
		_, p99, most := b.Late()
		m.Late = [2]float64{max(m.Late[0], p99.Seconds()*1000), max(m.Late[1], most.Seconds()*1000)}
	}
	m.fill(first, last)
	if err := w.requireBoxed(first, last); err != nil {
		return err
	}
	if err := w.drain(c, tabs, m, first, owed); err != nil {
		return err
	}
	for i := range tabs {
		if m.samples[i], err = tabs[i].samples(); err != nil {
			return err
		}
	}
	if m.frames, err = tabs[viewer].frames(); err != nil {
		return err
	}
	if m.timeline, err = eval[[]string](tabs[viewer], "rig.timeline()"); err != nil {
		return err
	}
	m.see(c, start, last[viewer].At)
	w.rebindings(c, m)
	return nil
}

// watch lets the time of a measurement pass, with what happens in it.
func (w *world) watch(c cell, s system, m *measurement, start time.Time, seconds int) {
	next, times := start.Add(c.every), 0
	for time.Since(start) < time.Duration(seconds)*time.Second {
		pause(100 * time.Millisecond)
		m.servers = append(m.servers, point{time.Since(start), s.estimate()})
		if times == c.times || time.Now().Before(next) {
			continue
		}
		next = next.Add(c.every)
		times++
		for i, b := range w.boxes {
			if c.rebind[i] {
				m.rebound[i] = append(m.rebound[i], b.Rebind())
			}
		}
	}
}

// joinLate has viewers join one after the other, and sees when each has its first picture.
func (w *world) joinLate(c cell, s system, sender *tab, m *measurement) error {
	if err := w.ready(sender, c.bitrate); err != nil {
		return err
	}
	first, err := sender.stats()
	if err != nil {
		return err
	}
	for range c.joins {
		at, err := w.joinOnce(s)
		if err != nil {
			return err
		}
		m.First = append(m.First, at)
		pause(1500 * time.Millisecond) // so that key frames are not merged
	}
	last, err := sender.stats()
	m.PublisherPLIs = last.Outbound.Video.PliCount - first.Outbound.Video.PliCount
	return err
}

// joinOnce returns the seconds from a viewer's transport to its first picture.
func (w *world) joinOnce(s system) (float64, error) {
	tb, err := w.browsers[viewer].open("late viewer")
	if err != nil {
		return 0, err
	}
	defer tb.end()
	defer func() { _ = tb.do("rig.leave()") }()
	if err := s.view(tb); err != nil {
		return 0, err
	}
	var frames []float64
	err = tb.until(20*time.Second, "a picture", func() (bool, error) {
		frames, err = tb.frames()
		return len(frames) > 0, err
	})
	if err != nil {
		return 0, err
	}
	connected, err := eval[float64](tb, "rig.connected()")
	return (frames[0] - connected) / 1000, err
}

// ready waits until a publisher without viewers sends.
func (w *world) ready(sender *tab, bitrate int) error {
	err := sender.until(20*time.Second, "the publisher sends", func() (bool, error) {
		st, err := sender.stats()
		return st.Outbound.Video.FramesSent > 30, err
	})
	if err != nil {
		return err
	}
	return sender.do(fmt.Sprintf("rig.limit(%d)", bitrate))
}

// rebindings sees what each did to the media of the viewer.
func (w *world) rebindings(c cell, m *measurement) {
	v := w.boxes[viewer]
	if c.rebind[viewer] {
		m.Gaps = gaps(v.Records(Up), v.Records(Down), m.frames, m.rebound[viewer], c.base.Delay)
	} else if c.rebind[publisher] {
		m.Gaps = gaps(nil, v.Records(Down), m.frames, m.rebound[publisher], c.base.Delay)
	}
}

func both(tabs [2]*tab) (out [2]stats, err error) {
	for i := range tabs {
		if out[i], err = tabs[i].stats(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// owing is how many frames the viewer has not got of those sent. framesReceived would be too few:
// Chromium does not count those with a packet that was repeated.
func owing(s [2]stats) float64 {
	v := s[viewer].Inbound.Video
	return s[publisher].Outbound.Video.FramesSent - v.FramesDecoded - v.FramesDropped
}

// drain ends what is sent on a good network again and counts the frames that never came.
func (w *world) drain(c cell, tabs [2]*tab, m *measurement, first [2]stats, owed float64) error {
	if err := tabs[publisher].do("rig.pause()"); err != nil {
		return err
	}
	pause(time.Second + 4*c.base.Delay)
	end, err := both(tabs)
	if err != nil {
		return err
	}
	sent := end[publisher].Outbound.Video.FramesSent - first[publisher].Outbound.Video.FramesSent
	m.FramesLost = max(0, owing(end)-owed) / sent
	return nil
}

// requireBoxed sees that media went through both boxes and no other way.
func (w *world) requireBoxed(first, last [2]stats) error {
	count := func(b *Box, d Direction) (n float64) {
		for _, r := range b.Records(d) {
			if r.Kind == RTP {
				n++
			}
		}
		return n
	}
	came := last[viewer].Inbound.Video.PacketsReceived - first[viewer].Inbound.Video.PacketsReceived
	sent := last[publisher].Outbound.Video.PacketsSent - first[publisher].Outbound.Video.PacketsSent
	up, down := count(w.boxes[publisher], Up), count(w.boxes[viewer], Down)
	if up < 0.4*sent || down < 0.9*came {
		return fmt.Errorf("media went around the boxes: %.0f of %.0f packets that were sent, %.0f of %.0f that came", up, sent, down, came)
	}
	return nil
}

// fill computes what counters say.
func (m *measurement) fill(a, z [2]stats) {
	v0, v1 := a[viewer].Inbound.Video, z[viewer].Inbound.Video
	a0, a1 := a[viewer].Inbound.Audio, z[viewer].Inbound.Audio
	p0, p1 := a[publisher].Outbound.Video, z[publisher].Outbound.Video
	took := (z[viewer].At - a[viewer].At) / 1000
	m.Seconds = took
	m.FPS = (v1.FramesDecoded - v0.FramesDecoded) / took
	m.SentFPS = (p1.FramesSent - p0.FramesSent) / ((z[publisher].At - a[publisher].At) / 1000)
	received, lost := v1.PacketsReceived-v0.PacketsReceived, v1.PacketsLost-v0.PacketsLost
	m.Recovered = v1.RetransmittedPacketsReceived - v0.RetransmittedPacketsReceived
	if all := received + lost; all > 0 {
		m.PacketLoss = lost / all
		m.ResidualLoss = max(0, lost-m.Recovered) / all
	}
	m.Freezes, m.FreezeSeconds = v1.FreezeCount-v0.FreezeCount, v1.TotalFreezesDuration-v0.TotalFreezesDuration
	if all := a1.TotalSamplesReceived - a0.TotalSamplesReceived; all > 0 {
		m.Concealed = (a1.ConcealedSamples - a0.ConcealedSamples) / all
		m.ConcealedAloud = m.Concealed - (a1.SilentConcealedSamples-a0.SilentConcealedSamples)/all
	}
	m.PLIs, m.NACKs = v1.PliCount-v0.PliCount, v1.NackCount-v0.NackCount
	m.PublisherPLIs = p1.PliCount - p0.PliCount
	m.KeyFrames = v1.KeyFramesDecoded - v0.KeyFramesDecoded
	m.Bitrate = 8 * (v1.BytesReceived - v0.BytesReceived) / took
	if n := v1.JitterBufferEmittedCount - v0.JitterBufferEmittedCount; n > 0 {
		m.JitterBuffer = (v1.JitterBufferDelay - v0.JitterBufferDelay) / n
	}
}

// see computes what the times of pictures and the samples say.
func (m *measurement) see(c cell, start time.Time, until float64) {
	from := float64(start.UnixMicro()) / 1000
	sum, n := 0.0, 0
	for _, s := range m.samples[publisher] {
		if s.At >= from && s.At <= until {
			sum += s.Estimate
			n++
		}
	}
	m.Estimate = sum / float64(max(n, 1))
	m.adapt(c, from, until)
	begin, _ := slices.BinarySearch(m.frames, from)
	before := from
	if begin > 0 {
		before = m.frames[begin-1]
	}
	end := from + float64(c.black[1].Milliseconds())
	for _, at := range append(slices.Clone(m.frames[begin:]), until) {
		if at > until {
			break
		}
		gap := at - before
		if gap > 500 {
			m.LongFreezes++
		}
		m.LongestFreeze = max(m.LongestFreeze, gap/1000)
		if c.black[1] > 0 && m.Return < 0 && at > end && at < until {
			m.Return = (at - end) / 1000
		}
		before = at
	}
}

// adapt sees how the estimate of a link followed its rate.
func (m *measurement) adapt(c cell, from, until float64) {
	switch {
	case c.stepOf == 0:
		return
	case c.stepOf == publisher+1 || m.System == directly: // where the publisher's is that of both links
		for _, s := range m.samples[publisher] {
			if s.At >= from && s.At <= until {
				m.Estimates = append(m.Estimates, point{seconds((s.At - from) / 1000), s.Estimate})
			}
		}
	default:
		m.Estimates = m.servers
	}
	a := adapts(m.Estimates)
	m.Adaption = &a
}

func (m measurement) String() string {
	more := ""
	if m.Adaption != nil {
		more += fmt.Sprintf(", adapts %+v", *m.Adaption)
	}
	if len(m.Gaps) > 0 {
		more += fmt.Sprintf(", gaps %.2f", m.Gaps)
	}
	if len(m.First) > 0 {
		more += fmt.Sprintf(", first pictures %.3f, median %.3f", m.First, median(m.First))
	}
	if m.Failed != "" {
		more += ", failed: " + m.Failed
	}
	return more[min(2, len(more)):] + fmt.Sprintf(" %-16s %-12s fps %.1f of %.1f, frames lost %.2f %%, packets lost %.1f %%, after recovery %.2f %% (%.0f recovered), "+
		"freezes %.0f of %.2f s (%d > 0.5 s, longest %.2f s), concealed %.2f %% (aloud %.2f %%), PLI %.0f (publisher got %.0f), NACK %.0f, "+
		"key frames %.0f, %.0f kbit/s, jitter buffer %.0f ms, estimate %.0f kbit/s, server's %.0f, return %.2f s, joined %.2f s, boxes late %.2f/%.2f ms",
		m.Cell, m.System, m.FPS, m.SentFPS, 100*m.FramesLost, 100*m.PacketLoss, 100*m.ResidualLoss, m.Recovered,
		m.Freezes, m.FreezeSeconds, m.LongFreezes, m.LongestFreeze, 100*m.Concealed, 100*m.ConcealedAloud, m.PLIs, m.PublisherPLIs, m.NACKs,
		m.KeyFrames, m.Bitrate/1000, 1000*m.JitterBuffer, m.Estimate/1000, m.ServerEstimate/1000, m.Return, m.Joined, m.Late[0], m.Late[1])
}
