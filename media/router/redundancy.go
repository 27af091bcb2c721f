package router

import "tsubame/media/param"

// MaxRemembered is the longest payload that is remembered, in bytes: a block of RED has 1,023
// at most, and with anything longer two of a kind would not fit into one packet. Opus has 160
// bytes in 20 ms at 64 kbps.
const MaxRemembered = 480

// Redundancy remembers the last payloads of an audio track, for the viewers on one shard that
// are sent redundant audio. It has copies, so that it holds no buffers. There is one for each
// track and shard with such a viewer, of 2 KiB; it belongs to the shard's goroutine.
type Redundancy struct {
	// By number, modulo their count: those before the newest, and some for packets that come
	// out of order.
	last [4]remembered
}

type remembered struct {
	seq       uint64 // Meta.Seq; 0: none
	timestamp uint32
	n         uint16
	payload   [MaxRemembered]byte
}

// Note remembers a payload by its Meta.Seq and timestamp. An empty one, or one that is too
// long, is not; nor is one that is late by more than there is room for.
func (r *Redundancy) Note(seq uint64, timestamp uint32, payload []byte) {
	e := &r.last[seq%uint64(len(r.last))]
	if len(payload) == 0 || len(payload) > MaxRemembered || seq <= e.seq {
		return
	}
	e.seq, e.timestamp = seq, timestamp
	e.n = uint16(copy(e.payload[:], payload))
}

// Find returns the timestamp and the payload of the packet seq; false if it is not remembered.
// The payload is lent until the next call of Note.
func (r *Redundancy) Find(seq uint64) (timestamp uint32, payload []byte, ok bool) {
	e := &r.last[seq%uint64(len(r.last))]
	if e.seq != seq || seq == 0 {
		return 0, nil, false
	}
	return e.timestamp, e.payload[:e.n], true
}

func (r *Redundancy) reset() {
	for i := range r.last {
		r.last[i].seq = 0
	}
}

// Remember makes the track one whose last payloads are remembered on this shard, for as long as
// it has a sink here. Nothing happens if it has none.
func (f *Fanout) Remember(id param.TrackID) {
	l := f.Find(id)
	if l == nil || l.Redundancy != nil {
		return
	}
	if n := len(f.memories); n > 0 {
		l.Redundancy = f.memories[n-1]
		f.memories = f.memories[:n-1]
		return
	}
	l.Redundancy = new(Redundancy)
}

// unremember takes the memory of a track that has no sink left.
func (f *Fanout) unremember(l *Local) {
	if l.Redundancy != nil {
		l.Redundancy.reset()
		f.memories = append(f.memories, l.Redundancy)
	}
}
