package router

import (
	"math/bits"

	"tsubame/media/param"
)

func trailingZeros(v uint64) int { return bits.TrailingZeros64(v) }

// Sink is one receiver of a track on one shard: a subscriber's stream or a tap.
type Sink struct {
	Conn uint32 // the subscriber's connection; unused for a tap
	Slot uint32 // the stream's place in that connection
	Tap  *Tap   // not nil: this is a tap
}

// Local is a shard's view of one track. It is lent until the next call of a Fanout method.
type Local struct {
	ID    param.TrackID
	Info  Info
	Track *Track
	Sinks []Sink

	Redundancy *Redundancy // nil: no sink is sent redundant audio
}

// Fanout has the sinks of one shard. Only that shard's goroutine may call it.
type Fanout struct {
	shard  int
	table  *Table
	tracks map[uint32]*Local
	spare  []*Local // emptied, to be used again

	memories []*Redundancy // the same
}

// NewFanout makes the table of one shard.
func NewFanout(shard int, table *Table) *Fanout {
	return &Fanout{shard: shard, table: table, tracks: make(map[uint32]*Local)}
}

// Tracks returns how many tracks have a sink here.
func (f *Fanout) Tracks() int { return len(f.tracks) }

// Find returns the sinks of a track, or nil when there is none or id is out of date.
func (f *Fanout) Find(id param.TrackID) *Local {
	l := f.tracks[id.Index]
	if l == nil || l.ID.Gen != id.Gen {
		return nil
	}
	return l
}

// Result of an operation that may have been the last use of a closing track here.
type Result struct {
	Owner int    // the shard to tell
	Track uint32 // of the track at this index
	Last  bool   // that it has no reader left, and to Reap it
}

// Add makes s a receiver of the track. It returns what the track is, or false when it is
// gone; the Result then says whether its owner waited for this shard.
func (f *Fanout) Add(id param.TrackID, s Sink) (Info, bool, Result) {
	if l := f.Find(id); l != nil {
		l.Sinks = append(l.Sinks, s)
		return l.Info, true, Result{}
	}
	if l := f.tracks[id.Index]; l != nil {
		// The index has another generation here, which its owner has asked us to drop,
		// or is about to: id must be older, or that would be gone.
		return Info{}, false, Result{}
	}
	info, ok := f.table.enter(id, f.shard)
	if !ok {
		if f.table.leave(id.Index, f.shard) {
			return Info{}, false, Result{Owner: f.table.Owner(id.Index), Track: id.Index, Last: true}
		}
		return Info{}, false, Result{}
	}
	l := f.take()
	l.ID, l.Info, l.Track = id, info, f.table.Index(id.Index)
	l.Sinks = append(l.Sinks, s)
	f.tracks[id.Index] = l
	return info, true, Result{}
}

// Remove takes s off the track's receivers; nothing happens if it is not among them.
func (f *Fanout) Remove(id param.TrackID, s Sink) Result {
	l := f.Find(id)
	if l == nil {
		return Result{}
	}
	for i := range l.Sinks {
		if l.Sinks[i] == s {
			last := len(l.Sinks) - 1
			l.Sinks[i] = l.Sinks[last]
			l.Sinks[last] = Sink{}
			l.Sinks = l.Sinks[:last]
			break
		}
	}
	if len(l.Sinks) > 0 {
		return Result{}
	}
	return f.forget(l)
}

// Drop removes every sink of the track at an index, on its owner's request. It appends the
// dropped sinks to dst, for the caller to tell them.
func (f *Fanout) Drop(i uint32, dst []Sink) ([]Sink, Result) {
	l := f.tracks[i]
	if l == nil {
		return dst, Result{}
	}
	dst = append(dst, l.Sinks...)
	return dst, f.forget(l)
}

func (f *Fanout) forget(l *Local) Result {
	i, owner := l.ID.Index, l.Info.Owner
	delete(f.tracks, i)
	clear(l.Sinks)
	f.unremember(l)
	*l = Local{Sinks: l.Sinks[:0]}
	f.spare = append(f.spare, l)
	return Result{Owner: owner, Track: i, Last: f.table.leave(i, f.shard)}
}

func (f *Fanout) take() *Local {
	if n := len(f.spare); n > 0 {
		l := f.spare[n-1]
		f.spare = f.spare[:n-1]
		return l
	}
	return &Local{}
}
