// Package stream is where TCP and TLS become frames: it carries the frames of TURN
// (RFC 8656 section 12.5) and of ICE-TCP (RFC 4571) between one connection and the shard
// that is its home.
//
// A Stream has two rings of bytes. Its reader, on the goroutine that called Serve, reads
// into one and cuts frames there; its writer, on a goroutine of its own, writes what stands
// in the other. The home shard sees frames only: Next and Release take them out of the first
// ring, Send and Flush put them into the second. These four are the shard's alone; they
// never block, never make anything and never wake a goroutine more than once. What Next
// returns lives until Release. All else may be called by any goroutine.
//
// Nothing here is without bound. A shard that does not take frames stops the reader, and so
// at last the peer (TCP's own back-pressure). A peer that does not read loses video first,
// then audio, then everything, and is closed when it has taken nothing for a while. One that
// sends nothing, or what is no frame, is closed. The package never looks into frames beyond
// their length, never retransmits or reorders, and knows nothing of who may connect: that is
// for those who accept connections.
//
// An idle stream costs about 16 KiB: two pages of its rings (320 KiB by default, but mapped,
// and touched from the front only as far as they fill), the stacks of two goroutines, and
// 2 KiB for itself; BenchmarkIdleStreams measures it. 5,000 of them are 80 MB, and 1.7 GB if
// all their rings were full at a time. What a ring has touched stays with it until the
// stream ends. TLS has its own besides.
package stream

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// Sizes and times, and what Config has where it says nothing.
const (
	InBytes           = 64 << 10  // of the ring from the peer to the shard
	DefaultQueueBytes = 256 << 10 // of the ring from the shard to the peer
	MinQueueBytes     = 16 << 10
	MaxQueueBytes     = 16 << 20

	DefaultFirstFrame   = 5 * time.Second
	DefaultProofTimeout = 15 * time.Second
	// DefaultIdleTimeout is longer than the default lifetime of a TURN allocation: a client that
	// only keeps one, to fall back on, is heard of every nine or ten minutes.
	DefaultIdleTimeout  = 11 * time.Minute
	DefaultStallTimeout = 10 * time.Second

	// linger is what is left for writing what was flushed before Close.
	linger = time.Second

	// writeBytes is the most that is written at once, and so what a peer has to take within
	// the stall timeout if so much waits for it: one record of TLS.
	writeBytes = 16 << 10
)

// Config is what all streams of one kind have in common. The zero Config has the defaults.
type Config struct {
	QueueBytes   int           // of the ring to the peer; rounded up to a power of two within Min and MaxQueueBytes
	FirstFrame   time.Duration // within which the first frame that is not empty has to be complete
	ProofTimeout time.Duration // within which Prove has to be called, whatever frames come
	IdleTimeout  time.Duration // after which a stream without a whole frame is closed
	StallTimeout time.Duration // after which a peer that takes nothing of what waits is closed
	Totals       *Totals       // where what is over is added up; nil: nowhere
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.FirstFrame, DefaultFirstFrame)
	set(&c.ProofTimeout, DefaultProofTimeout)
	set(&c.IdleTimeout, DefaultIdleTimeout)
	set(&c.StallTimeout, DefaultStallTimeout)
	if c.QueueBytes <= 0 {
		c.QueueBytes = DefaultQueueBytes
	}
	c.QueueBytes = min(max(c.QueueBytes, MinQueueBytes), MaxQueueBytes)
	c.QueueBytes = 1 << bits.Len(uint(c.QueueBytes-1))
	if c.Totals == nil {
		c.Totals = new(Totals)
	}
	return c
}

// Info says what is known of a connection that has shown to be TURN or ICE-TCP.
type Info struct {
	Local   netip.AddrPort // the address of ours that it came to
	Remote  netip.AddrPort // the peer's, by the PROXY header if there was one
	Carrier flow.Carrier   // flow.TURNStream or flow.FramedStream
	TLS     bool
}

// Sink is the plane that streams deliver to. All its methods are called by the goroutine in
// Serve, one after the other for one stream, and must not block.
type Sink interface {
	// Open admits s or says that there is no room. It calls s.SetPlace before it returns
	// true. If it says false, it has not kept s and nothing else is called for it.
	Open(s *Stream) bool

	// Ready says that frames wait: the home shard has to call Next, and go on calling it
	// until it reports false. Until then Ready is not repeated, so that a shard which stops
	// before has to come back by itself.
	Ready(s *Stream)

	// Gone says that s is over, once: no frame comes any more beyond those that wait, and
	// Send takes nothing.
	Gone(s *Stream)
}

// Stream is one connection.
type Stream struct {
	conn net.Conn
	info Info
	sink Sink
	cfg  Config
	via  flow.Via

	in      ring            // reader to shard
	out     ring            // shard to writer
	limit   [3]int          // how full out may be, by class
	memory  []byte          // of both rings
	cleanup runtime.Cleanup // gives it back

	start  time.Time
	proof  atomic.Int64  // until when Prove has to be called, in nanoseconds from start; 0: it was
	reason atomic.Uint32 // Reason; running until something ends it
	done   chan struct{} // closed with that
	end    time.Time     // set before done is closed: until when the writer may go on

	_       [line]byte
	ready   atomic.Uint32 // the shard was told and has not seen the ring empty since
	full    atomic.Uint32 // the reader waits for room
	room    chan struct{} // ends that; one token
	asleep  atomic.Uint32 // the writer waits for work
	work    chan struct{} // ends that; one token
	written chan struct{} // closed when the writer is over

	counters Counters
}

// Serve runs the stream over c until it is over, and returns why, which is a Reason. first
// are the bytes that were read of c already. c is closed when Serve returns, and nobody else
// may use it meanwhile. The reader runs on the caller's goroutine.
func Serve(c net.Conn, first []byte, info Info, sink Sink, cfg Config) error {
	cfg = cfg.withDefaults()
	s, err := newStream(c, info, sink, cfg)
	if err != nil {
		_ = c.Close()
		cfg.Totals.began()
		cfg.Totals.ended(Failed, new(Counters))
		return Failed
	}
	t := s.cfg.Totals
	t.began()
	if !sink.Open(s) {
		_ = c.Close()
		t.ended(Refused, &s.counters)
		s.cleanup.Stop()
		forget(s.memory)
		return Refused
	}
	tune(c)
	go s.writeLoop()
	s.finish(s.readLoop(first))
	<-s.written
	_ = c.Close() // TLS says goodbye here, within its own deadline
	why := s.Reason()
	t.ended(why, &s.counters)
	sink.Gone(s)
	// The memory is the shard's as long as it holds s, but for its pages nobody has to wait
	// until the collector comes by: nobody reads the ring to the peer any more (the shard may
	// be in Send for the last time), and of the other one only what waits is of use.
	discard(s.out.buf)
	for _, b := range s.in.spare() {
		discard(b)
	}
	runtime.KeepAlive(s)
	return why
}

func newStream(c net.Conn, info Info, sink Sink, cfg Config) (*Stream, error) {
	mem, err := memory(InBytes + cfg.QueueBytes)
	if err != nil {
		return nil, err
	}
	s := &Stream{
		conn: c, info: info, sink: sink, cfg: cfg, memory: mem, start: time.Now(),
		done: make(chan struct{}), room: make(chan struct{}, 1),
		work: make(chan struct{}, 1), written: make(chan struct{}),
	}
	s.proof.Store(int64(cfg.ProofTimeout))
	s.in.init(mem[:InBytes:InBytes])
	s.out.init(mem[InBytes:])
	s.limit = [mmsg.Classes]int{
		mmsg.Control: cfg.QueueBytes,
		mmsg.Audio:   cfg.QueueBytes / 8 * 7,
		mmsg.Video:   cfg.QueueBytes / 2,
	}
	// Not when Serve ends: the shard may still look at frames, and is never waited for.
	s.cleanup = runtime.AddCleanup(s, forget, mem)
	return s, nil
}

// SetPlace says which place s has in the sink's table. Only Open may call it, once.
func (s *Stream) SetPlace(place uint32) { s.via = flow.OverStream(s.info.Carrier, place) }

// Via returns how what s carries travels, not relayed. Valid from SetPlace on.
func (s *Stream) Via() flow.Via { return s.via }

// Key returns the flow that s is. Valid from SetPlace on.
func (s *Stream) Key() flow.Key {
	k := flow.KeyOf(s.info.Local.Addr(), s.info.Remote)
	k.Via = s.via
	return k
}

// Info returns what Serve was told.
func (s *Stream) Info() Info { return s.info }

// Counters returns what s has done so far.
func (s *Stream) Counters() *Counters { return &s.counters }

// Reason returns why s has ended, or 0 while it runs.
func (s *Stream) Reason() Reason { return Reason(s.reason.Load()) }

// Queued returns how many bytes wait for the peer.
func (s *Stream) Queued() int { return s.out.waiting() }

// Prove says that the peer has shown credentials. Until then frames are no reason to keep s for
// longer than Config.ProofTimeout: anybody can make some. Any goroutine may call it.
func (s *Stream) Prove() { s.proof.Store(0) }

// Unprove takes that back: what the peer had by its credentials has ended. It has ProofTimeout
// again to show some. Any goroutine may call it.
func (s *Stream) Unprove() {
	proof := time.Since(s.start) + s.cfg.ProofTimeout
	if !s.proof.CompareAndSwap(0, int64(proof)) {
		return
	}
	_ = s.conn.SetReadDeadline(s.start.Add(proof)) // the reader waits by another one
	if s.over() {                                  // finish may have set its own before
		_ = s.conn.SetReadDeadline(s.start)
	}
}

// Close ends s. What was flushed before has a second to go out. It does not wait, may be
// repeated, and may be called by any goroutine.
func (s *Stream) Close() { s.finish(Closed) }

// finish ends s for a reason, unless it has ended for another.
func (s *Stream) finish(why Reason) {
	if !s.reason.CompareAndSwap(uint32(running), uint32(why)) {
		return
	}
	now := time.Now()
	s.end = now
	if why == Closed {
		s.end = now.Add(linger)
	}
	close(s.done)
	// Whoever sets a deadline looks at reason afterwards; so either they see it or these
	// come after theirs.
	_ = s.conn.SetReadDeadline(now)
	_ = s.conn.SetWriteDeadline(s.end)
}

func (s *Stream) over() bool { return s.reason.Load() != uint32(running) }

// Next returns the next frame that came, without its framing and never empty, or reports
// false if there is none; then the sink is told of the next one. It is a view that is valid
// until Release, as long as s is held. Only the home shard may call it.
func (s *Stream) Next() (frame []byte, ok bool) {
	b := s.in.readable()
	for len(b) == 0 {
		s.ready.Store(0)
		// The reader publishes and then looks at ready: one of us sees the other.
		if !s.in.ready() || !s.ready.CompareAndSwap(0, 1) {
			return nil, false
		}
		b = s.in.readable()
	}
	// It is whole and right: the reader looked at it before.
	frame, n, _ := Deframer(s.info.Carrier).Peek(b)
	s.in.take(n)
	return frame, true
}

// Release gives the room of all frames that Next returned back to the reader, and has it go
// on if it waits for room and half of the ring is free. Only the home shard may call it.
func (s *Stream) Release() {
	s.in.release()
	if s.full.Load() != 0 && s.in.waiting() <= InBytes/2 && s.full.CompareAndSwap(1, 0) {
		wake(s.room)
	}
}

// Send queues frame, whole, or reports false: s is over, or so full that what is of class c
// has no place any more. Video is refused from half of the queue on, audio from seven
// eighths on, control when it does not fit. The framing of RFC 4571 is added; a frame of
// TURN comes padded to a multiple of 4. A frame that is longer than MaxFrame, empty or not
// padded panics. frame is not kept. Nothing leaves before Flush. Only the home shard may
// call it.
func (s *Stream) Send(c mmsg.Class, frame []byte) bool {
	head := 0
	if s.info.Carrier == flow.FramedStream {
		head = lengthSize
	} else if len(frame)%4 != 0 {
		panic("stream: a frame of TURN without its padding")
	}
	if len(frame) == 0 || len(frame) > MaxFrame {
		panic("stream: a frame that no peer would take")
	}
	if s.over() {
		return false
	}
	n := head + len(frame)
	if s.out.used()+n > s.limit[c] {
		s.counters.Dropped[c].Inc()
		return false
	}
	b := s.out.place(0, n)
	if b == nil {
		s.counters.Dropped[c].Inc()
		return false
	}
	if head != 0 {
		binary.BigEndian.PutUint16(b, uint16(len(frame)))
	}
	copy(b[head:], frame)
	s.out.advance(n)
	s.counters.FramesOut.Inc()
	s.counters.BytesOut.Add(uint64(n))
	return true
}

// Flush hands what was sent to the writer, and wakes it if it sleeps. Only the home shard
// may call it.
func (s *Stream) Flush() {
	if s.out.publish() && s.asleep.Load() != 0 && s.asleep.CompareAndSwap(1, 0) {
		s.counters.Wakes.Inc()
		wake(s.work)
	}
}

// wake leaves a token, unless one is there.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
