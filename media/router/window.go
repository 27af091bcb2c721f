package router

import (
	"time"

	"tsubame/media/param"
	"tsubame/netio/count"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// MaxRun is how many packets of one track travel together at most. It holds the frames of
// what browsers send up to some 6 Mbps at 30 frames a second; longer ones, key frames above
// all, go in several runs.
const MaxRun = 32

// Run is packets of one track that travel together: to a shard as one entry of its media
// lane, to a viewer as datagrams that stand next to each other in the transmit queue.
type Run struct {
	Track param.TrackID
	N     uint8
	Video bool
	Refs  [MaxRun]packet.Ref
	// Pads are the bytes of RTP padding that stand behind each packet's payload. They are
	// not in the packet's Meta: the retransmission ring has shown that to readers already.
	Pads [MaxRun]uint8
}

// Bounds of one window. When one is reached, the frame that has waited longest goes.
const (
	windowFrames  = 256  // tracks that wait at once
	windowPackets = 1024 // packets that wait at once: Holders.FrameWindow of netio/packet
)

// WindowCounters count runs by what ended them.
type WindowCounters struct {
	WindowMarker count.Word // the frame's last packet came
	WindowNext   count.Word // a packet of another frame came
	WindowLate   count.Word // an older packet came: recovered, or out of order
	WindowCap    count.Word // the run was full, or the window
	WindowTimer  count.Word // the first packet had waited long enough
	WindowEnded  count.Word // the track ended
	WindowHeld   count.Word // gauge: packets that wait
}

// Held is one packet that Window.Add takes, and the reference that comes with it.
type Held struct {
	Track     param.TrackID
	Ref       packet.Ref
	Timestamp uint32
	Seq       uint64 // extended
	End       bool   // the last packet of its frame
}

// Window holds the packets of each video track until their frame is complete, so that they
// are forwarded as one run. A frame cannot be decoded before its last packet has come, so
// waiting costs the picture nothing, and no packet waits longer than the time that NewWindow
// was given. What is released is in the order of sequence numbers as far as it was held, and
// never behind a packet that came later.
//
// It belongs to one shard, that of the publishers. It neither touches packets nor reads a
// clock: references go in, and come out with the runs that Take returns.
type Window struct {
	wait   time.Duration
	count  *WindowCounters
	tracks []windowTrack // by track index
	frames []frame
	free   []int16
	open   frameList // frames that wait, the oldest first
	ready  frameList // runs to be taken
	taken  int16     // the run that the last Take lent, or none
	held   int
}

// windowTrack is what the window remembers of a track.
type windowTrack struct {
	newest uint64 // highest sequence number seen
	gen    uint32
	frame  int16 // that waits, or none
}

// frame is a run that is being gathered.
type frame struct {
	run        Run
	seqs       [MaxRun]uint64
	due        mono.Time
	timestamp  uint32
	next, prev int16
}

// frameList is a queue of frames, linked by their indices.
type frameList struct{ first, last int16 }

const none = -1

// NewWindow makes a window for tracks of an index below n in which packets wait for so long;
// 0 makes one that is Off.
func NewWindow(n int, wait time.Duration, c *WindowCounters) *Window {
	w := &Window{
		wait: wait, count: c, taken: none,
		open: frameList{none, none}, ready: frameList{none, none},
	}
	if w.Off() {
		return w
	}
	w.tracks = make([]windowTrack, n)
	// The frames that wait, those that one Add makes ready, and the one that is taken.
	w.frames = make([]frame, windowFrames+4)
	for i := range w.frames {
		w.free = append(w.free, int16(i))
	}
	return w
}

// Off reports whether nothing is held: Add may not be called then.
func (w *Window) Off() bool { return w.wait <= 0 }

// Add takes one packet over. The caller calls Take until it says nil before it adds another.
func (w *Window) Add(now mono.Time, p *Held) {
	t := &w.tracks[p.Track.Index]
	if t.gen != p.Track.Gen {
		*t = windowTrack{gen: p.Track.Gen, frame: none}
	}
	if w.held >= windowPackets {
		w.release(w.open.first, &w.count.WindowCap)
	}
	late := p.Seq < t.newest
	if !late {
		t.newest = p.Seq
		if t.frame != none && w.frames[t.frame].timestamp != p.Timestamp {
			w.release(t.frame, &w.count.WindowNext)
		}
	}
	if t.frame == none {
		w.begin(now, t, p)
	}
	f := &w.frames[t.frame]
	f.insert(p)
	w.held++
	switch {
	case late:
		w.release(t.frame, &w.count.WindowLate)
	case p.End:
		w.release(t.frame, &w.count.WindowMarker)
	case f.run.N == MaxRun:
		w.release(t.frame, &w.count.WindowCap)
	default:
		w.count.WindowHeld.Set(uint64(w.held))
	}
}

// begin makes p's frame the one of its track that waits.
func (w *Window) begin(now mono.Time, t *windowTrack, p *Held) {
	if len(w.free) <= 3 {
		w.release(w.open.first, &w.count.WindowCap)
	}
	last := len(w.free) - 1
	i := w.free[last]
	w.free = w.free[:last]
	f := &w.frames[i]
	f.run.Track, f.run.N, f.run.Video = p.Track, 0, true
	f.timestamp, f.due = p.Timestamp, now.Add(w.wait)
	w.push(&w.open, i)
	t.frame = i
}

// insert puts p in its place by sequence number, which is the last one as a rule.
func (f *frame) insert(p *Held) {
	i := int(f.run.N)
	for ; i > 0 && f.seqs[i-1] > p.Seq; i-- {
		f.seqs[i], f.run.Refs[i] = f.seqs[i-1], f.run.Refs[i-1]
	}
	f.seqs[i], f.run.Refs[i] = p.Seq, p.Ref
	f.run.N++
}

// release makes a frame that waits ready to be taken.
func (w *Window) release(i int16, reason *count.Word) {
	f := &w.frames[i]
	w.remove(&w.open, i)
	w.push(&w.ready, i)
	w.tracks[f.run.Track.Index].frame = none
	w.held -= int(f.run.N)
	w.count.WindowHeld.Set(uint64(w.held))
	reason.Inc()
}

// Expire releases the frames that have waited long enough at now.
func (w *Window) Expire(now mono.Time) {
	for w.Deadline().Due(now) {
		w.release(w.open.first, &w.count.WindowTimer)
	}
}

// Deadline returns when Expire will find something, or mono.Never.
func (w *Window) Deadline() mono.Time {
	if w.open.first == none {
		return mono.Never
	}
	return w.frames[w.open.first].due // all wait equally long, so that the first is the oldest
}

// End releases what a track has waiting, because it ends.
func (w *Window) End(id param.TrackID) {
	if w.Off() {
		return
	}
	if t := &w.tracks[id.Index]; t.gen == id.Gen && t.frame != none {
		w.release(t.frame, &w.count.WindowEnded)
	}
}

// EndAll releases everything.
func (w *Window) EndAll() {
	for w.open.first != none {
		w.release(w.open.first, &w.count.WindowEnded)
	}
}

// Held returns how many packets wait.
func (w *Window) Held() int { return w.held }

// Take returns the run that was released first, with its references, or nil when there is
// none. It is lent until the next call of Take, and its padding is the caller's to set.
func (w *Window) Take() *Run {
	if w.taken != none {
		w.free = append(w.free, w.taken)
		w.taken = none
	}
	i := w.ready.first
	if i == none {
		return nil
	}
	w.remove(&w.ready, i)
	w.taken = i
	return &w.frames[i].run
}

func (w *Window) push(l *frameList, i int16) {
	f := &w.frames[i]
	f.prev, f.next = l.last, none
	if l.last == none {
		l.first = i
	} else {
		w.frames[l.last].next = i
	}
	l.last = i
}

func (w *Window) remove(l *frameList, i int16) {
	f := &w.frames[i]
	if f.prev == none {
		l.first = f.next
	} else {
		w.frames[f.prev].next = f.next
	}
	if f.next == none {
		l.last = f.prev
	} else {
		w.frames[f.next].prev = f.prev
	}
}
