package load

import (
	"time"

	"tsubame/bench/report"
	"tsubame/media/param"
	"tsubame/media/srtp"
)

// phase is a part of a run.
type phase int32

const (
	joining phase = iota
	measuring
	draining // publishers go on, what they send is not measured any more
)

// histogram is one of durations.
type histogram struct{ report.Histogram }

func (h *histogram) add(d time.Duration) { h.Record(d) }

// total is what one shard has seen. Its shard owns it.
type total struct {
	arrived, arrivedBytes uint64 // media packets at any time, distinct
	gaps                  uint64 // numbers that were left out at first
	frozen                bool   // the run is over: who leaves now has been accounted for

	forwarded, bytes, expected uint64 // of those measured
	recovered, duplicated      uint64
	repeated                   uint64 // RTX of what had come: probes of the bandwidth, or late
	padded, padBytes           uint64
	unread                     bool   // the socket held something to the end
	unplaced                   uint64 // streams whose publisher was never recognised, though packets came
	malformed, unknown         uint64
	undecryptable              uint64
	nacks, plis                uint64

	joins, media, keyFrames       histogram
	audio, frameFirst, frameLast  histogram
	origins                       []*origin // of publishers that have left
	ancientPackets, silentStreams uint64
}

// count counts a fresh packet that is measured. e is its publisher's entry, or nil.
func (t *total) count(s *stream, a *arrival, e *entry) {
	t.forwarded++
	t.bytes += uint64(a.size)
	if a.padding > 0 {
		t.padded++
		t.padBytes += uint64(a.padding)
	}
	if a.rtx {
		t.recovered++
		return
	}
	if e == nil || a.kernel == 0 {
		return
	}
	sent := e.sent.Load()
	if sent == 0 {
		return
	}
	d := time.Duration(a.kernel - sent)
	flags := e.size.Load() & 0xff
	switch {
	case s.kind == param.Audio:
		t.audio.add(d)
	case flags&frameLast != 0:
		t.frameLast.add(d)
		if flags&frameFirst != 0 {
			t.frameFirst.add(d)
		}
	case flags&frameFirst != 0:
		t.frameFirst.add(d)
	}
}

// again counts a packet that is not fresh.
func (t *total) again(p place, rtx bool, now phase) {
	switch {
	case now != measuring:
	case p == ancient:
		t.ancientPackets++
	case rtx:
		t.repeated++
	default:
		t.duplicated++
	}
}

// refused counts what SRTP did not open. A replay is a packet that came twice.
func (t *total) refused(err error, now phase) {
	switch {
	case err == srtp.ErrReplay && now == measuring:
		t.duplicated++
	case err != srtp.ErrReplay:
		t.undecryptable++
	}
}

// end accounts for a stream that has ended; stayed: with the run.
func (t *total) end(s *stream, stayed bool) {
	if t.frozen {
		return
	}
	if s.from == nil {
		if s.packets > 0 {
			t.unplaced++
		}
		return
	}
	// Nothing that came may be missing: a stream that follows another publisher's numbers
	// for a while counts as whole.
	t.expected += max(s.expected(stayed), s.counted)
}

// outstanding reports whether a stream may still bring packets that are measured.
func (s *shard) outstanding() bool {
	for _, p := range s.peers {
		for _, one := range p.streams {
			if one.from != nil && (one.from.from.Load() != noIndex && one.from.to.Load() == noIndex || one.expected(true) > one.counted) {
				return true
			}
		}
	}
	return false
}

// deaf reports whether a viewer has not heard a publisher of its room yet.
func (s *shard) deaf() bool {
	for _, p := range s.peers {
		if p.secured == nil || !p.client.receives() {
			continue
		}
		for _, o := range p.room.streams() {
			if !p.owns(o) && o.next.Load() > 0 && !p.from(o) {
				return true
			}
		}
	}
	return false
}

// finish accounts for a peer that stayed to the end: for each publisher in its room, one
// stream is expected.
func (t *total) finish(p *peer) {
	for _, one := range p.streams {
		t.end(one, one.from != nil && p.room.has(one.from))
	}
	for _, one := range p.sends {
		if one != nil {
			t.origins = append(t.origins, one.origin)
		}
	}
	// With churn a publisher may have come too late to be heard.
	if !p.settled || !p.client.receives() || p.client.engine.scenario.Churn > 0 {
		return
	}
	for _, o := range p.room.streams() {
		if p.owns(o) || p.from(o) {
			continue
		}
		from, to := o.measured()
		if to > from {
			t.silentStreams++
			t.expected += to - from
		}
	}
}

// owns reports whether the peer publishes o.
func (p *peer) owns(o *origin) bool {
	return p.sends[0] != nil && p.sends[0].origin == o || p.sends[1] != nil && p.sends[1].origin == o
}

// from reports whether a stream of the peer is of a publisher's.
func (p *peer) from(o *origin) bool {
	for _, one := range p.streams {
		if one.from == o {
			return true
		}
	}
	return false
}

// abandoned returns how much of what is missing in the end may stand in the socket: all of it,
// if that was not read to its end.
func (t *total) abandoned() uint64 {
	if !t.unread {
		return 0
	}
	return t.expected - t.forwarded
}

// into adds the totals to a result.
func (t *total) into(r *report.Result) {
	r.Forwarded += t.forwarded
	r.Bytes += t.bytes
	r.Expected += t.expected
	r.Recovered += t.recovered
	r.Duplicated += t.duplicated
	r.Repeated += t.repeated
	r.Padded += t.padded
	r.PadBytes += t.padBytes
}

// merge adds distributions of shards.
func merge(all []*shard, pick func(*total) *histogram) report.Distribution {
	var h report.Histogram
	for _, s := range all {
		h.Merge(&pick(&s.total).Histogram)
	}
	return h.Distribution()
}
