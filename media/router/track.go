// Package router says who receives what: from a published track to its sinks, on every
// shard, without a lock.
//
// Two structures share the work. Table is one for the process: it has a Track for every
// published RTP stream, type-stable and found by {index, generation}, with the few words
// that shards share about it. Fanout is one for each shard and belongs to its goroutine
// alone: from a track to the sinks on that shard. A sink is a small value (a subscriber's
// stream or a tap), never an interface, so that a packet costs no dynamic call.
//
// A track ends in two phases. Its owner marks it closing and tells every shard that reads
// it; each drops its sinks and acknowledges by clearing its bit; the last one wakes the
// owner, which empties the retransmission ring and raises the generation. Until then no
// memory of the track is used again, so a reader on another shard can never see another
// track's packets under the name it knew.
//
// The package never touches packets, sockets or clocks; of payloads it has copies of the last ones
// of audio (Redundancy).
package router

import (
	"fmt"
	"sync/atomic"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtx"
	"tsubame/netio/ring"
)

// MaxShards bounds the number of shards: it sizes the readers' bit set of a track.
const MaxShards = 256

// The states of a track. It goes round them in this order, and only the owner moves it on
// from live.
const (
	stateFree uint32 = iota
	stateReserved
	stateLive
	stateClosing
	stateReaping
)

// Info is what a track is. The owner writes it before the track goes live; it does not
// change until every reader has acknowledged the end.
type Info struct {
	Owner  int    // the shard of the publisher's connection
	Conn   uint32 // the publisher's connection
	Slot   int    // the stream's place in that connection
	Kind   param.Kind
	Codec  param.Codec
	RTX    rtx.ID
	HasRTX bool // there is a retransmission ring
	// Repairs: packets lost on the way from the publisher are asked for by the owner.
	Repairs bool
}

// Track is what the shards share about one published RTP stream.
type Track struct {
	gen     atomic.Uint32
	state   atomic.Uint32
	readers [MaxShards / 64]atomic.Uint64
	lossy   atomic.Bool
	owner   atomic.Int32 // info.Owner, for shards that hold no bit
	info    Info

	// Clock maps the stream's RTP time to ours: written by the owner, read by every
	// shard that sends the stream on.
	Clock recv.SharedClock
}

// Info returns what the track is; only for holders of a bit in its readers' set and for
// its owner.
func (t *Track) Info() Info { return t.info }

// MarkLossy notes that packets of the track were dropped between shards, so that a key
// frame is needed. It reports whether the note is new: the caller then asks for one.
func (t *Track) MarkLossy() bool { return t.lossy.CompareAndSwap(false, true) }

// ClearLossy is called by the owner when a key frame has been asked for.
func (t *Track) ClearLossy() { t.lossy.Store(false) }

// NextReader returns the first shard at or after from that reads the track, or -1.
func (t *Track) NextReader(from int) int {
	for w := from >> 6; w < len(t.readers); w++ {
		bits := t.readers[w].Load()
		if w == from>>6 {
			bits &= ^uint64(0) << (from & 63)
		}
		if bits != 0 {
			return w<<6 + trailingZeros(bits)
		}
	}
	return -1
}

func (t *Track) anyReader() bool { return t.NextReader(0) >= 0 }

// Table has the tracks of the process.
type Table struct {
	tracks []Track
	free   *ring.IndexPool
}

// NewTable makes a table of n tracks.
func NewTable(n int) *Table {
	return &Table{tracks: make([]Track, n), free: ring.NewIndexPool(n)}
}

// Len returns how many tracks there can be.
func (t *Table) Len() int { return len(t.tracks) }

// Free returns how many tracks there is room for.
func (t *Table) Free() int { return t.free.Free() }

// Reserve names a new track; false when the table is full. Any goroutine may call it. The
// name leads nowhere until the publisher's shard calls Open.
func (t *Table) Reserve() (param.TrackID, bool) {
	i, ok := t.free.Get()
	if !ok {
		return param.TrackID{}, false
	}
	tr := &t.tracks[i]
	gen := tr.gen.Add(1)
	if gen == 0 { // the zero TrackID names nothing
		gen = tr.gen.Add(1)
	}
	tr.state.Store(stateReserved)
	return param.TrackID{Index: i, Gen: gen}, true
}

// Cancel takes back a name that Reserve gave and that was never opened.
func (t *Table) Cancel(id param.TrackID) {
	tr := t.at(id)
	if tr == nil || !tr.state.CompareAndSwap(stateReserved, stateFree) {
		panic(fmt.Sprintf("router: cancel of track %v, which is not reserved", id))
	}
	tr.gen.Add(1)
	t.free.Put(id.Index)
}

// Open brings a reserved track to life. The publisher's shard calls it.
func (t *Table) Open(id param.TrackID, info Info) *Track {
	tr := t.at(id)
	if tr == nil || tr.state.Load() != stateReserved {
		panic(fmt.Sprintf("router: open of track %v, which is not reserved", id))
	}
	tr.info = info
	tr.owner.Store(int32(info.Owner))
	tr.lossy.Store(false)
	tr.Clock.Reset()
	tr.state.Store(stateLive)
	return tr
}

// Live returns the track that id names, or nil when it is not open (any more).
func (t *Table) Live(id param.TrackID) *Track {
	tr := t.at(id)
	if tr == nil || tr.state.Load() != stateLive {
		return nil
	}
	return tr
}

// Reserved reports whether id names a track that is yet to be opened.
func (t *Table) Reserved(id param.TrackID) bool {
	tr := t.at(id)
	return tr != nil && tr.state.Load() == stateReserved
}

// Index returns the track at an index, whatever its state: for its owner, which is told
// of it by index alone.
func (t *Table) Index(i uint32) *Track { return &t.tracks[i] }

// ID returns the present name of the track at an index.
func (t *Table) ID(i uint32) param.TrackID {
	return param.TrackID{Index: i, Gen: t.tracks[i].gen.Load()}
}

func (t *Table) at(id param.TrackID) *Track {
	if int(id.Index) >= len(t.tracks) || id.Gen == 0 {
		return nil
	}
	tr := &t.tracks[id.Index]
	if tr.gen.Load() != id.Gen {
		return nil
	}
	return tr
}

// Close begins the end of a track: phase one. The owner calls it, then tells every reader
// (NextReader) to call Fanout.Drop. It reports whether there is none, in which case the
// owner goes on to Reap at once.
func (t *Table) Close(id param.TrackID) (alone bool) {
	tr := t.at(id)
	if tr == nil || !tr.state.CompareAndSwap(stateLive, stateClosing) {
		panic(fmt.Sprintf("router: close of track %v, which is not live", id))
	}
	return !tr.anyReader()
}

// Closing reports whether the track at an index is between Close and Reap.
func (t *Table) Closing(i uint32) bool { return t.tracks[i].state.Load() == stateClosing }

// Reap is phase two: when the track is closing, owned by shard and read by nobody, it
// returns what the owner has to free, once. The owner frees the ring and then calls
// Release. Being told twice, or of an index that has gone on to another owner, is harmless.
func (t *Table) Reap(i uint32, shard int) (Info, bool) {
	tr := &t.tracks[i]
	if tr.state.Load() != stateClosing || tr.owner.Load() != int32(shard) || tr.anyReader() {
		return Info{}, false
	}
	if !tr.state.CompareAndSwap(stateClosing, stateReaping) {
		return Info{}, false
	}
	return tr.info, true
}

// Release gives the reaped track's index back under a new generation.
func (t *Table) Release(i uint32) {
	tr := &t.tracks[i]
	if !tr.state.CompareAndSwap(stateReaping, stateFree) {
		panic(fmt.Sprintf("router: release of track %d, which was not reaped", i))
	}
	tr.gen.Add(1)
	t.free.Put(i)
}

// enter sets shard's bit in the readers' set. It fails when the track is not, or no more,
// what id names. The order matters: the bit first, then another look at the state, so
// that either this shard sees the end coming or the owner sees the bit.
func (t *Table) enter(id param.TrackID, shard int) (Info, bool) {
	tr := t.Live(id)
	if tr == nil {
		return Info{}, false
	}
	tr.readers[shard>>6].Or(1 << (shard & 63))
	if tr.gen.Load() != id.Gen || tr.state.Load() != stateLive {
		return Info{}, false
	}
	return tr.info, true
}

// leave clears shard's bit and reports whether the owner has to be told that the track,
// which is closing, has no reader left.
func (t *Table) leave(i uint32, shard int) (last bool) {
	tr := &t.tracks[i]
	old := tr.readers[shard>>6].And(^(uint64(1) << (shard & 63)))
	if old&(1<<(shard&63)) == 0 {
		return false
	}
	return tr.state.Load() == stateClosing && !tr.anyReader()
}

// Owner returns the shard that owned the track at an index when it was last opened.
func (t *Table) Owner(i uint32) int { return int(t.tracks[i].owner.Load()) }
