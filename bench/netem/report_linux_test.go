//go:build browser && netem

package netem

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// report is a section of bench/RESULTS.md.
func report(all []measurement, how string, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s: impaired networks (make netem)\n\n", at.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "%s. Chromium at both ends, VP8 640x360 at 30 fps, %d kbit/s at most, and Opus; each client has a link of its own\n"+
		"(%v one way where the name says nothing else), impaired in both directions once the call is there; signaling goes by a side\n"+
		"link. direct is the same two browsers through both links in series. Frames lost are those never decoded; freezes are the browser's.\n\n",
		how, usualRate/1000, delay)
	b.WriteString("| cell | system | fps | frames lost | recovered | freezes | > 0.5 s | longest | concealed | PLI | video kbit/s | estimate kbit/s: publisher's, server's | what happened | box late p99 |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range all {
		if m.Failed != "" {
			fmt.Fprintf(&b, "| %s | %s | failed: %s |\n", m.Cell, m.System, strings.ReplaceAll(m.Failed, "\n", " "))
			continue
		}
		if len(m.First) > 0 { // what else there is to it stands below
			fmt.Fprintf(&b, "| %s | %s | | | | | | | | %.0f at the publisher | | | first picture %.0f ms behind the transport (median of %d) | |\n",
				m.Cell, m.System, m.PublisherPLIs, 1000*median(m.First), len(m.First))
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f %% | %.0f | %.0f, %.1f s | %d | %.2f s | %.2f %% | %.0f | %.0f | %.0f, %.0f | %s | %.2f ms |\n",
			m.Cell, m.System, m.FPS, 100*m.FramesLost, m.Recovered, m.Freezes, m.FreezeSeconds, m.LongFreezes, m.LongestFreeze,
			100*m.Concealed, m.PLIs, m.Bitrate/1000, m.Estimate/1000, m.ServerEstimate/1000, m.happened(), m.Late[0])
	}
	b.WriteString("\n| reach | measured | verdict |\n|---|---|---|\n")
	for _, v := range verdicts(all) {
		word := "reached"
		if !v.reached {
			word = "NOT reached"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", v.what, v.measured, word)
	}
	return b.String()
}

// after is a time in words.
func after(s float64) string {
	if s == never {
		return "never"
	}
	return fmt.Sprintf("%.2f s", s)
}

// happened says how the call came through what happened to it once.
func (m *measurement) happened() string {
	switch {
	case len(m.Gaps) > 0:
		return fmt.Sprintf("media after %s, picture after %s (medians of %d)", after(m.gap(silence)), after(m.gap(picture)), len(m.Gaps))
	case m.Adaption != nil:
		return fmt.Sprintf("down in %s, back in %s, too high for %s", after(m.Adaption.Down), after(m.Adaption.Back), after(m.Adaption.Over))
	case strings.HasPrefix(m.Cell, "blackout"):
		return "picture after " + after(m.Return)
	}
	return ""
}

func silence(g gap) float64 { return g.Silence }
func picture(g gap) float64 { return g.Picture }
func answer(g gap) float64  { return g.Answer }

// gap is the median of one thing over all gaps, with those that never ended as longer than all
// others.
func (m *measurement) gap(of func(gap) float64) float64 {
	var all []float64
	for _, g := range m.Gaps {
		all = append(all, of(g))
		if of(g) == never {
			all[len(all)-1] = math.Inf(1)
		}
	}
	if middle := median(all); !math.IsInf(middle, 1) {
		return middle
	}
	return never
}

// verdict is one value to be reached.
type verdict struct {
	what, measured string
	reached        bool
}

// verdicts judges what was measured of what the server is to reach.
func verdicts(all []measurement) (out []verdict) {
	find := func(cell, system string) *measurement {
		for i := range all {
			if m := &all[i]; m.Cell == cell && m.System == system && m.Failed == "" {
				return m
			}
		}
		return nil
	}
	add := func(reached bool, what, measured string, values ...any) {
		out = append(out, verdict{what, fmt.Sprintf(measured, values...), reached})
	}
	alone := find("loss-10", directly)
	if m := find("loss-10", plain); m != nil {
		add(m.FramesLost <= 0.002, "loss-10: video lost after recovery <= 0.2 % (of frames, of which each has several packets)", "%.2f %%", 100*m.FramesLost)
		add(60*float64(m.LongFreezes) <= 1.05*m.Seconds, "loss-10: at most one freeze over 500 ms a minute", "%d in %.0f s, the longest %.2f s", m.LongFreezes, m.Seconds, m.LongestFreeze)
		if alone != nil {
			add(m.Concealed <= alone.Concealed, "loss-10: audio concealed without RED no more than directly", "%.2f %%, directly %.2f %%", 100*m.Concealed, 100*alone.Concealed)
		}
	}
	if m := find("loss-10", withRED); m != nil {
		add(m.Concealed <= 0.03, "loss-10: audio concealed with RED <= 3 %", "%.2f %%", 100*m.Concealed)
	}
	for _, name := range []string{"blackout-down-viewer", "blackout-up-publisher", "blackout-both-viewer"} {
		m, other := find(name, plain), find(name, directly)
		if m == nil {
			continue
		}
		limit, text := 1.0, ""
		if other != nil {
			text = ", directly " + after(other.Return)
			if other.Return != never {
				limit = max(limit, other.Return+0.2)
			}
		}
		add(m.Return != never && m.Return <= limit, name+": the picture is back within 1 s, or the direct pair's time + 200 ms", "%s%s", after(m.Return), text)
	}
	if m := find("rebind-viewer", plain); m != nil {
		gap := m.gap(silence)
		add(gap != never && gap <= 1.5, "rebind-viewer: median gap <= 1.5 s", "%s of %d", after(gap), len(m.Gaps))
		reply, limit := m.gap(answer), 0.05+2*delay.Seconds()
		add(reply != never && reply <= limit, "rebind-viewer: media from the first check on within 50 ms + 1 RTT", "%.0f ms (median of %d)", 1000*reply, len(m.Gaps))
	}
	for _, name := range []string{"step-publisher", "step-viewer"} {
		if m := find(name, plain); m != nil && m.Adaption != nil {
			a := m.Adaption
			add(a.Down != never && a.Down <= 5, name+": 2 Mbps to 500 kbps: within 20 % in 5 s", "%s", after(a.Down))
			add(a.Back != never && a.Back <= 15, name+": and back in 15 s", "%s", after(a.Back))
			add(a.Over <= 1, name+": over by 20 % for 1 s at most", "%s", after(a.Over))
		}
	}
	if m := find("late-join", withCache); m != nil {
		limit := 2*delay.Seconds() + 0.1
		add(median(m.First) <= limit && m.PublisherPLIs == 0, "late-join with the cache: first picture within RTT + 100 ms of the transport, no PLI",
			"%.0f ms (median of %d), %.0f PLI", 1000*median(m.First), len(m.First), m.PublisherPLIs)
	}
	return out
}
