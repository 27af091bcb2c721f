package send

import (
	"time"

	"tsubame/media/recv"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// The bounds of the munger.
const (
	// Window is how far behind the newest packet, in packets, a late one may still be
	// sent and a lost one still be asked for. media/srtp tells a used index from a fresh
	// one as far back, and browsers take nothing older from SRTP.
	Window = 1024

	// maxRuns bounds the run list. A run is used up by every gap that is closed behind a
	// packet not sent on (a probe of padding) and by every jump of the timestamp; when
	// there is no room the oldest is forgotten, and with it what was late in it.
	maxRuns = 32

	// maxGap is the longest loss that the viewer is shown as a gap. After a longer one
	// there is nothing left to repair: the output goes on without a gap, for video with
	// the next key frame.
	maxGap = 1000

	// maxTimestampStep is how far the time between two packets by their timestamps may
	// be from that by their arrivals. Beyond it the source's timestamps have jumped, and
	// the output follows the arrivals instead; but for maxLag.
	maxTimestampStep = 5 * time.Second

	// maxLag is how far timestamps may fall behind arrivals without having jumped, as long
	// as they do not go back: what has waited somewhere, as in a publisher's TCP connection
	// through which nothing came, is late all at once. What comes behind it may be as
	// much ahead again. No connection lasts when nothing comes for longer. The first packet of
	// a source may be such a late one; those that come within firstLag of it tell.
	maxLag   = time.Minute
	firstLag = 5 * time.Second

	// openEnd is the end of the newest run.
	openEnd = ^uint64(0)
)

// Out is what the munger makes of a packet's numbers.
type Out struct {
	Index     uint64 // ROC<<16 | sequence number (RFC 3711 section 3.3.1)
	Timestamp uint32
}

// run is a stretch of the source's sequence in which the distance to the output's numbers
// and timestamps is constant.
type run struct {
	first uint64 // source sequence numbers [first, end)
	end   uint64
	delta uint64 // index = sequence number + delta, modulo 1<<64
	ts    uint32 // timestamp = source timestamp + ts, modulo 1<<32
}

// munger maps one source's sequence to the output's: a short list of runs, oldest first,
// of which only the last is open. Gaps stay gaps, so that the viewer asks for what is
// missing; packets that are not sent on at all leave none. An index is given once.
type munger struct {
	// What each packet needs stands together.
	next   uint64 // source: one above the newest packet
	head   uint64 // output: the newest index given
	delta  uint64 // of the open run
	lastAt mono.Time
	word   uint64 // which of the 64 numbers around head are given
	ts     uint32 // of the open run
	lastTS uint32 // output timestamp of the newest packet
	rate   uint32
	lag    uint32 // by how much timestamps are behind where arrivals have put them once
	n      uint8  // runs; 0: not started
	begun  bool   // head is valid
	fresh  bool   // the source's lag is not known yet,
	since  uint32 // its first packet having come so lately, in milliseconds modulo 1<<32

	first  uint64              // output: the very first index
	from   uint64              // source: where the open run begins
	closed *runTable           // the n-1 runs before it; nil while there was none
	given  [Window / 64]uint64 // the same as word of the 64s before
	tables *Tables
}

func (g *munger) init(rate uint32, first uint64) {
	*g = munger{rate: rate, first: first}
}

// stop forgets the source. The next start continues the numbers.
func (g *munger) stop() {
	g.n = 0
	g.tables.putRuns(&g.closed)
}

// far reports whether seq, which is not below next, is too far ahead to be sent with a gap.
// What counts is the gap that the viewer would see: packets that were skipped are not in it.
func (g *munger) far(seq uint64) bool { return seq+g.delta-g.head > maxGap }

// start begins a new run list with m, whose index follows the newest one. The timestamps
// of the same source stay as they are unless they have jumped; those of another one go on
// by the time that has passed.
func (g *munger) start(m *packet.Meta, same bool) {
	index, ts := g.first, uint32(0)
	if g.begun {
		index = g.head + 1
		ts = g.continued(m) - m.Timestamp
		if lag, ok := g.follows(m, g.ts); ok && same && g.n > 0 {
			ts, g.lag = g.ts, lag
		} else {
			g.lag = 0
		}
	}
	if !same || g.n == 0 {
		g.fresh, g.since = true, millis(m.Arrival)
	}
	g.stop()
	g.open(m.Seq, index-m.Seq, ts)
	g.n, g.next = 1, m.Seq
}

// open makes a run that begins with seq the newest one.
func (g *munger) open(seq, delta uint64, ts uint32) { g.from, g.delta, g.ts = seq, delta, ts }

// continued returns the output timestamp that m has if time passed as the arrivals say.
func (g *munger) continued(m *packet.Meta) uint32 {
	return g.lastTS + max(elapsed(g.lastAt, m.Arrival, g.rate), 1)
}

// follows reports whether m's timestamp, with that delta, is one that the source's clock may
// show after the newest packet's, and how much it lags then. A pause of any length is no jump if
// the source's clock went on, nor is it one that packets have waited on their way here.
func (g *munger) follows(m *packet.Meta, ts uint32) (lag uint32, ok bool) {
	const most, longest = int64(maxTimestampStep / time.Second), int64(maxLag / time.Second)
	gone, rate, was := elapsed(g.lastAt, m.Arrival, g.rate), int64(g.rate), int64(g.lag)
	step := int32(m.Timestamp + ts - g.lastTS)
	switch off := int64(step - int32(gone)); {
	case off >= 0: // the lag that there was is made up for
		if g.fresh && millis(m.Arrival)-g.since <= uint32(firstLag/time.Millisecond) {
			return 0, off <= longest*rate
		}
		return uint32(max(was-off, 0)), off <= was+most*rate
	case off >= -most*rate, step >= 0 && off >= -longest*rate:
		return uint32(min(was+min(-off, int64(gone)), longest*rate)), true
	}
	return 0, false
}

// elapsed returns the time between two arrivals in units of the RTP clock; 0 if the second
// is the earlier one.
func elapsed(from, to mono.Time, rate uint32) uint32 {
	if to <= from {
		return 0
	}
	if d := uint64(to - from); d < 1<<32 { // as good as always; the product fits
		return uint32(d * uint64(rate) / uint64(time.Second))
	}
	return recv.Clock{Rate: rate}.RTP(mono.Time(to.Sub(from)))
}

// newest takes a packet above all others. The caller has asked far.
func (g *munger) newest(m *packet.Meta) Out {
	if g.begun {
		lag, ok := g.follows(m, g.ts)
		if g.lag = lag; !ok {
			g.jump(m)
		}
	}
	g.next = m.Seq + 1
	out := Out{Index: m.Seq + g.delta, Timestamp: m.Timestamp + g.ts}
	g.advance(out.Index)
	g.lastTS, g.lastAt = out.Timestamp, m.Arrival
	return out
}

// jump begins a run with m, whose timestamp goes on by the time that has passed.
func (g *munger) jump(m *packet.Meta) {
	ts := g.continued(m) - m.Timestamp
	if g.from != m.Seq {
		g.close(m.Seq)
	}
	g.open(m.Seq, g.delta, ts)
	g.lag = 0
}

// late takes a packet below the newest: one that was reordered, or recovered. False: it
// was sent before, or its run is forgotten, or its number is too far back, or its
// timestamp is none that a packet of that age can have.
func (g *munger) late(m *packet.Meta) (Out, bool) {
	r, ok := g.find(m.Seq)
	if !ok {
		return Out{}, false
	}
	out := Out{Index: m.Seq + r.delta, Timestamp: m.Timestamp + r.ts}
	if !g.free(out.Index) {
		return Out{}, false
	}
	off := int64(int32(out.Timestamp - g.lastTS))
	if max(off, -off) > 2*int64(g.rate)*int64(maxTimestampStep/time.Second) {
		return Out{}, false
	}
	if out.Index > g.head { // what came before it on its way here was skipped
		g.advance(out.Index)
		g.lastTS, g.lastAt = out.Timestamp, m.Arrival
		return out, true
	}
	g.set(out.Index)
	return out, true
}

// skip closes the gap of a packet that is not sent on. It returns false when the number is
// already counted with, so that something has to be sent under it.
func (g *munger) skip(seq uint64) bool {
	if seq < g.next {
		r, ok := g.find(seq)
		return !ok || !g.free(seq+r.delta)
	}
	g.next = seq + 1
	if g.from != seq { // else nothing has been sent in the run, nor is missing from it
		g.close(seq)
	}
	g.open(seq+1, g.delta-1, g.ts)
	return true
}

// close ends the open run before seq, and forgets the oldest if there is no room.
func (g *munger) close(seq uint64) {
	if g.closed == nil {
		g.closed = g.tables.takeRuns()
	}
	if g.n == maxRuns {
		copy(g.closed[:], g.closed[1:])
		g.n--
	}
	g.closed[g.n-1] = run{first: g.from, end: seq, delta: g.delta, ts: g.ts}
	g.n++
}

// trim gives the table of closed runs back if nothing in them can be sent or asked for any
// more, since all of it is behind the window.
func (g *munger) trim() {
	if g.closed == nil || g.n == 0 {
		return
	}
	for _, r := range g.closed[:g.n-1] {
		if last := r.end - 1 + r.delta; last > g.head || g.head-last < Window {
			return
		}
	}
	g.n = 1
	g.tables.putRuns(&g.closed)
}

// find returns the run that has the source's packet seq; false if there is none.
func (g *munger) find(seq uint64) (run, bool) {
	if g.n == 0 {
		return run{}, false
	}
	if seq >= g.from {
		return run{first: g.from, end: openEnd, delta: g.delta, ts: g.ts}, true
	}
	for i := int(g.n) - 2; i >= 0; i-- {
		if r := &g.closed[i]; seq >= r.first {
			return *r, seq < r.end // else it was skipped
		}
	}
	return run{}, false
}

// original returns which source packet has been given, or is waited for under, the output
// sequence number seq; false when there is none within the window.
func (g *munger) original(seq uint16) (uint64, bool) {
	back := uint64(uint16(g.head) - seq)
	if !g.begun || back >= Window || back > g.head-g.first {
		return 0, false
	}
	index := g.head - back
	if ext := index - g.delta; ext >= g.from && ext != openEnd {
		return ext, true
	}
	for i := int(g.n) - 2; i >= 0; i-- {
		r := &g.closed[i]
		if ext := index - r.delta; ext >= r.first && ext < r.end {
			return ext, true
		}
	}
	return 0, false
}

// advance makes index the newest one given. The numbers of each 64 are in given from when
// the head has left them; word has those around it.
func (g *munger) advance(index uint64) {
	switch at := g.head / 64; {
	case !g.begun:
		g.begun, g.word = true, 0
	case index/64 != at:
		g.given[at%uint64(len(g.given))] = g.word
		for at++; at < index/64; at++ { // far has bounded this to maxGap numbers
			g.given[at%uint64(len(g.given))] = 0
		}
		g.word = 0
	}
	g.head = index
	g.word |= 1 << (index % 64)
}

func (g *munger) set(index uint64) {
	if index/64 == g.head/64 {
		g.word |= 1 << (index % 64)
		return
	}
	g.given[index/64%uint64(len(g.given))] |= 1 << (index % 64)
}

// free reports whether index, which is in a run, is within the window and has not been
// given. It is above the newest one given if only skipped packets have come after it.
func (g *munger) free(index uint64) bool {
	if index > g.head {
		return true
	}
	if g.head-index >= Window || index < g.first {
		return false
	}
	word := g.word
	if index/64 != g.head/64 {
		word = g.given[index/64%uint64(len(g.given))]
	}
	return word>>(index%64)&1 == 0
}
