// Package packet is the memory that packets live in: fixed size classes of buffers in a
// few large slabs without pointers, named by a number (Ref), counted by references.
//
// A buffer is written by the shard that took it, and immutable from the moment it is
// shared until its last reference is released. Memory that Bytes, Data, Payload and Meta
// return is valid as long as the caller holds a reference, and not an instant longer.
// The Arena may be used by any goroutine; a Magazine, which is where buffers are taken
// from and given back to without a lock, belongs to one shard goroutine. The package
// never grows: when a class is empty Get says no, to Video first, and counts it.
package packet

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tsubame/netio/mono"
	"tsubame/netio/slab"
)

// Ref names one buffer of an arena; 0 names none. The upper bits are the size class, the
// lower ones the buffer's number in it plus one.
type Ref uint32

const (
	indexBits = 28
	indexMask = 1<<indexBits - 1

	maxClasses  = 8         // far below what the class bits of a Ref can hold
	maxSize     = 1<<16 - 1 // Meta.HeaderLen is 16 bits, and no datagram is longer
	maxCount    = indexMask // index + 1 has to fit
	maxMagazine = 1 << 12   // beyond it buffers rot in magazines
	cacheLine   = 64        // bytes; of amd64 and of most arm64 cores
	headPad     = 64 - 2*4 - metaSize
	metaSize    = 32 // a test compares it with unsafe.Sizeof
)

// Flags are facts about a packet that every subscriber's shard would otherwise have to
// find out again.
type Flags uint16

// The flags.
const (
	FlagMarker           Flags = 1 << iota // RTP marker bit
	FlagKeyFrame                           // the first packet of a key frame
	FlagFrameStart                         // first packet of a frame; H.264, H.265 and AV1 tell it of key frames only
	FlagFrameEnd                           // last packet of a frame
	FlagAudioLevel                         // Meta.AudioLevel is set (RFC 6464)
	FlagVideoOrientation                   // Meta.VideoOrientation is set
	FlagRecovered                          // came by RTX (RFC 4588), not first-hand
)

// Meta is what the receiving shard learned about a packet. It has no pointers, lives in
// the buffer's header, is zero after Get, and is immutable once the buffer is shared.
type Meta struct {
	Arrival          mono.Time
	Seq              uint64 // extended sequence number
	Timestamp        uint32 // RTP timestamp
	HeaderLen        uint16 // the payload starts here (for RTX: behind the OSN)
	Flags            Flags
	Padding          uint8 // bytes of RTP padding at the end
	AudioLevel       uint8 // as on the wire: V bit and -dBov
	VideoOrientation uint8 // as on the wire
	TL0PicIdx        uint8
	PictureID        uint16
	TID              uint8
}

// head is a buffer's header: exactly one cache line, so that two shards that count
// references of neighboring buffers do not fight for a line. The headers of a class
// stand in a slab of their own: Go types instead of casts into bytes, payloads that start
// on a line, and a leak check that walks 64 bytes a buffer instead of 1,664.
type head struct {
	refs atomic.Int32
	n    uint32 // bytes in use
	meta Meta
	_    [headPad]byte
}

// class is one size class: headers, bytes, and the depot of free buffers.
type class struct {
	heads   []head
	bytes   []byte
	size    int
	count   int
	reserve int32 // the depot is kept at this level from Video
	tag     Ref   // class bits of its refs

	_ [cacheLine]byte
	// free mirrors the depot's level for readers without the lock. It is written once
	// a batch, not once a buffer, and has a line of its own.
	free atomic.Int32
	_    [cacheLine]byte

	mu    sync.Mutex // guards what follows: the depot
	stack []Ref      // buffers that were in use before
	fresh int        // buffers from here on were never handed out: their pages are untouched
}

// ClassConfig describes one size class.
type ClassConfig struct {
	Size  int // payload capacity in bytes
	Count int // buffers
}

// Config describes an arena.
type Config struct {
	Classes []ClassConfig // by ascending size
	// Reserve is the share of each class, 0 to below 1, that Video may not use.
	Reserve float64
	// MagazineSize is how many free buffers of a class one shard keeps for itself at
	// most; 0 means 64. It is lowered to an eighth of a class that is small, so that
	// a few idle shards cannot hold all there is.
	MagazineSize int
}

// Arena owns the buffers. It is made once and lives as long as what moves packets.
type Arena struct {
	classes  []*class
	magazine int

	mu        sync.Mutex // guards what follows, and orders scrapes and Close
	magazines []*Magazine
	slabs     slab.Set
}

// New reserves all memory of an arena, on Linux outside of Go's heap. The pages are not
// touched: a class that is never used costs no resident memory, and its size is nothing to
// the garbage collector. Close gives it back.
func New(cfg Config) (*Arena, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &Arena{magazine: cfg.MagazineSize}
	if a.magazine == 0 {
		a.magazine = 64
	}
	for i, cc := range cfg.Classes {
		c := &class{
			size:    cc.Size,
			count:   cc.Count,
			reserve: int32(float64(cc.Count) * cfg.Reserve),
			tag:     Ref(i) << indexBits,
		}
		if err := c.allocate(&a.slabs); err != nil {
			return nil, errors.Join(err, a.slabs.Release())
		}
		c.free.Store(int32(cc.Count))
		a.classes = append(a.classes, c)
	}
	slab.Guard(a, &a.slabs)
	return a, nil
}

// allocate reserves the memory of a class.
func (c *class) allocate(s *slab.Set) (err error) {
	if c.heads, err = slab.Make[head](s, c.count); err != nil {
		return err
	}
	if c.bytes, err = slab.Make[byte](s, c.count*stride(c.size)); err != nil {
		return err
	}
	stack, err := slab.Make[Ref](s, c.count)
	c.stack = stack[:0]
	return err
}

func (cfg *Config) check() error {
	if len(cfg.Classes) == 0 || len(cfg.Classes) > maxClasses {
		return fmt.Errorf("packet: %d size classes, want 1 to %d", len(cfg.Classes), maxClasses)
	}
	last := 0
	for _, cc := range cfg.Classes {
		if cc.Size <= last || cc.Size > maxSize {
			return fmt.Errorf("packet: class of %d bytes after one of %d: sizes ascend up to %d", cc.Size, last, maxSize)
		}
		if cc.Count < 1 || cc.Count > maxCount {
			return fmt.Errorf("packet: class of %d bytes with %d buffers, want 1 to %d", cc.Size, cc.Count, maxCount)
		}
		last = cc.Size
	}
	if !(cfg.Reserve >= 0 && cfg.Reserve < 1) { // also refuses NaN
		return errors.New("packet: the reserve is a share from 0 to below 1")
	}
	if cfg.MagazineSize < 0 || cfg.MagazineSize > maxMagazine {
		return fmt.Errorf("packet: magazine of %d buffers, want 0 to %d", cfg.MagazineSize, maxMagazine)
	}
	return nil
}

// stride is the distance of two payloads: whole cache lines, so that no two buffers, which
// different shards may write at the same time, share one.
func stride(size int) int { return (size + cacheLine - 1) &^ (cacheLine - 1) }

// at returns the class of r and r's number in it. A Ref that names nothing panics here or
// at the slice that the number is used on.
func (a *Arena) at(r Ref) (*class, int) {
	return a.classes[r>>indexBits], int(r&indexMask) - 1
}

func (a *Arena) head(r Ref) *head {
	c, i := a.at(r)
	return &c.heads[i]
}

// Bytes returns the buffer's whole capacity, which is at least what Get was asked for.
// Only the one owner of an unshared buffer may write to it.
func (a *Arena) Bytes(r Ref) []byte {
	c, i := a.at(r)
	off := i * stride(c.size)
	return c.bytes[off : off+c.size : off+c.size]
}

// Data returns the bytes in use: as many as SetLen said, none before.
func (a *Arena) Data(r Ref) []byte {
	c, i := a.at(r)
	off := i * stride(c.size)
	return c.bytes[off : off+int(c.heads[i].n) : off+c.size]
}

// SetLen says how many bytes are in use. Only the owner of an unshared buffer may call
// it; a length beyond the capacity panics.
func (a *Arena) SetLen(r Ref, n int) {
	c, i := a.at(r)
	if uint(n) > uint(c.size) {
		panic(fmt.Sprintf("packet: length %d of a buffer of %d bytes", n, c.size))
	}
	c.heads[i].n = uint32(n)
}

// Meta returns the buffer's header for reading, and for writing as long as the buffer is
// not shared.
func (a *Arena) Meta(r Ref) *Meta { return &a.head(r).meta }

// Payload returns the RTP payload: Data without Meta.HeaderLen bytes in front and
// Meta.Padding bytes at the end.
func (a *Arena) Payload(r Ref) []byte {
	c, i := a.at(r)
	h := &c.heads[i]
	off := i * stride(c.size)
	end := off + int(h.n) - int(h.meta.Padding)
	return c.bytes[off+int(h.meta.HeaderLen) : end : end]
}
