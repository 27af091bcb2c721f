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
	last [4]remembered // two levels and, for packets that come out of order, some more
}

type remembered struct {
	seq       uint64 // Meta.Seq; 0: none
	timestamp uint32
	n         uint16
	payload   [MaxRemembered]byte
}

// Note remembers a payload by its Meta.Seq and timestamp, in place of the oldest. An empty one,
// or one that is too long, is not remembered; nor is one that is late by more than there is room
// for.
func (r *Redundancy) Note(seq uint64, timestamp uint32, payload []byte) {
	e := &r.last[0]
	for i := range r.last {
		if r.last[i].seq < e.seq {
			e = &r.last[i]
		}
	}
	if len(payload) == 0 || len(payload) > MaxRemembered || seq <= e.seq {
		return
	}
	e.seq, e.timestamp = seq, timestamp
	e.n = uint16(copy(e.payload[:], payload))
}

// Before returns the packet that is remembered and next before seq, whatever was lost or had no
// payload in between: its own Meta.Seq, timestamp and payload. The payload is lent until the next
// call of Note.
func (r *Redundancy) Before(seq uint64) (before uint64, timestamp uint32, payload []byte, ok bool) {
	var found *remembered
	for i := range r.last {
		if e := &r.last[i]; e.seq != 0 && e.seq < seq && e.seq > before {
			found, before = e, e.seq
		}
	}
	if found == nil {
		return 0, 0, nil, false
	}
	return before, found.timestamp, found.payload[:found.n], true
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
