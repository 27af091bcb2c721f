package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tsubame/bench/report"
)

// costs returns the server's CPU time a packet in each part of the measured time.
func costs(r *report.Result) []time.Duration {
	var measured []report.Sample
	for _, s := range r.Samples {
		if s.Phase == report.Measuring {
			measured = append(measured, s)
		}
	}
	var all []time.Duration
	for i := range parts {
		var cpu time.Duration
		var packets uint64
		for _, s := range measured[i*len(measured)/parts : (i+1)*len(measured)/parts] {
			cpu += s.ServerCPU
			packets += s.Forwarded
		}
		if packets > 0 {
			all = append(all, cpu/time.Duration(packets))
		}
	}
	return all
}

// median returns the middle of all, the lower one of two; 0 of none.
func median[T cmp.Ordered](all []T) T {
	var zero T
	if len(all) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

// cost returns the median cost of a run with its spread in words, or an error if the parts are
// too few for one. A quick run, whose parts are hardly more than a second, may lack two: a
// machine with much else to do may not forward anything for that long.
func (l *lab) cost(all []time.Duration) (time.Duration, string, error) {
	if need := pick(l, parts, parts-2); len(all) < need {
		return 0, "", fmt.Errorf("packets were forwarded in %d parts, want %d", len(all), need)
	}
	m := median(all)
	return m, fmt.Sprintf("%s (%s to %s)", report.Time(m), report.Time(slices.Min(all)), report.Time(slices.Max(all))), nil
}

// costText is the cost of a run for rows whose verdict is about something else: without a
// median, the mean.
func (l *lab) costText(r *report.Result) string {
	if _, text, err := l.cost(costs(r)); err == nil {
		return text
	}
	return report.Time(r.PerPacket())
}

// busy is the machine's busy time of one or more runs in words.
func busy(all ...*report.Result) string {
	var used, time time.Duration
	for _, r := range all {
		used += r.MachineCPU
		time += r.Duration
	}
	if time <= 0 {
		return ""
	}
	return report.Percent(float64(used) / float64(time))
}

// verdict turns a comparison into a word.
func verdict(reached bool) report.Verdict {
	if reached {
		return report.Reached
	}
	return report.NotReached
}

// healthy adds what went wrong to a row, and reports whether nothing did.
func healthy(r *report.Row, all ...*report.Result) bool {
	good := true
	for _, one := range all {
		if one.Connected < one.Peers || one.Failed > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%d of %d peers connected, %d failed", one.Connected, one.Peers, one.Failed))
			r.Notes = append(r.Notes, failures(one)...)
			good = false
		}
		if lost := one.ServerLost(); lost > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("the server lost %s of %s packets", report.Count(lost), report.Count(one.Expected)))
			good = false
		}
		if one.ClientLoss > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("the clients' own sockets dropped %s", report.Count(one.ClientLoss)))
		}
	}
	return good
}

// failures says how many peers failed for which cause.
func failures(one *report.Result) []string {
	var all []string
	for _, f := range one.Failures {
		all = append(all, fmt.Sprintf("%s failed: %s", report.Count(uint64(f.Count)), f.Cause))
	}
	return all
}

// ratio divides two costs; 0 if there is nothing to divide by.
func ratio(a, b time.Duration) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}
