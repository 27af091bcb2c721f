package stream

import (
	"io"
	"net"
	"testing"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// still is a stream without its goroutines: the benchmark takes both their parts.
func still(t testing.TB, carrier flow.Carrier) *Stream {
	t.Helper()
	s, err := newStream(nil, Info{Carrier: carrier}, newHome(), Config{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written takes the writer's part: everything goes, and the writer sleeps again.
func (s *Stream) drained() {
	for b := s.out.readable(); len(b) > 0; b = s.out.readable() {
		s.out.take(len(b))
	}
	s.out.release()
	select {
	case <-s.work:
	default:
	}
	s.asleep.Store(1)
}

// arrive takes the reader's part: n frames of RFC 4571 with size bytes each.
func (s *Stream) arrive(n, size int) {
	for range n {
		b := s.in.place(0, maxWire)
		b[0], b[1] = byte(size>>8), byte(size)
		s.in.advance(lengthSize + size)
	}
	s.in.publish()
	s.full.Store(1) // and it waits
}

// taken takes the home shard's part.
func (s *Stream) taken() (n int) {
	for _, ok := s.Next(); ok; _, ok = s.Next() {
		n++
		if n%8 == 0 {
			s.Release()
		}
	}
	s.Release()
	select {
	case <-s.room:
	default:
	}
	return n
}

func TestShardsSideDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		return
	}
	s := still(t, flow.FramedStream)
	s.drained()
	frame := make([]byte, 1200)
	if n := testing.AllocsPerRun(100, func() {
		for range 150 { // some are refused
			s.Send(mmsg.Video, frame)
			s.Send(mmsg.Control, frame)
		}
		s.Flush()
		s.drained()
	}); n != 0 {
		t.Errorf("Send and Flush: %v allocations", n)
	}
	if s.Counters().Dropped[mmsg.Video].Load() == 0 || s.Counters().Wakes.Load() < 100 {
		t.Error("nothing was refused, or the writer never slept")
	}
	if n := testing.AllocsPerRun(100, func() {
		s.arrive(40, 1200)
		if n := s.taken(); n != 40 {
			t.Fatalf("%d frames of 40", n)
		}
	}); n != 0 {
		t.Errorf("Next and Release: %v allocations", n)
	}
}

// An iteration of the shard's: 16 frames and a flush, with the wake of a writer that sleeps.
func BenchmarkSend(b *testing.B) {
	s := still(b, flow.FramedStream)
	s.drained()
	frame := make([]byte, 1200)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !s.Send(mmsg.Video, frame) {
			b.Fatal("refused")
		}
		if i%16 == 15 {
			s.Flush()
			s.drained()
		}
	}
}

func BenchmarkSendRefused(b *testing.B) {
	s := still(b, flow.FramedStream)
	frame := make([]byte, 1200)
	for s.Send(mmsg.Video, frame) {
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Send(mmsg.Video, frame)
	}
}

// Frames that came, 16 a time.
func BenchmarkNext(b *testing.B) {
	s := still(b, flow.FramedStream)
	b.SetBytes(1200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%16 == 0 {
			s.arrive(16, 1200)
		}
		if _, ok := s.Next(); !ok {
			b.Fatal("nothing there")
		}
		if i%16 == 15 {
			s.Release()
			select {
			case <-s.room:
			default:
			}
		}
	}
}

// The whole way to a peer on the loopback that reads: the writer's and the kernel's part too.
func BenchmarkToPeer(b *testing.B) {
	h := newHome()
	c, peer := tcpPair(b)
	s := h.serve(b, c, nil, flow.FramedStream, Config{FirstFrame: patience})
	go io.Copy(io.Discard, peer)
	frame := make([]byte, 1200)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		for !s.Send(mmsg.Control, frame) {
			s.Flush()
		}
		if s.out.used() > 16<<10 {
			s.Flush()
		}
	}
	s.Flush()
	b.ReportMetric(float64(s.Counters().Written.Load())/float64(max(s.Counters().Writes.Load(), 1)), "B/write")
	s.Close()
	h.ended(b, Closed)
}

// The whole way from a peer on the loopback.
func BenchmarkFromPeer(b *testing.B) {
	h := newHome()
	c, peer := tcpPair(b)
	s := h.serve(b, c, nil, flow.FramedStream, Config{})
	go func() {
		var many []byte
		for i := range 16 {
			many = append(many, framedBytes(numbered(i, 1200))...)
		}
		for err := error(nil); err == nil; {
			_, err = peer.Write(many)
		}
	}()
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		for {
			if _, ok := s.Next(); ok {
				break
			}
			s.Release()
			<-h.ready
		}
	}
	s.Close()
	h.ended(b, Closed)
}

// BenchmarkIdleStreams tells what a stream costs that has carried a frame each way and waits
// for the next, the peer's end (a net.Conn) included, the kernel's own memory not.
func BenchmarkIdleStreams(b *testing.B) {
	const streams = 500
	for b.Loop() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		h := newHome()
		before := resident(b)
		var all []*Stream
		for range streams {
			c, peer := dial(b, l)
			s := h.serve(b, c, nil, flow.TURNStream, Config{})
			write(b, peer, binding)
			h.frames(b, s, 1)
			s.Send(mmsg.Control, binding)
			s.Flush()
			read(b, peer, len(binding))
			all = append(all, s)
		}
		b.ReportMetric(float64(resident(b)-before)/streams, "resident-B/stream")
		for _, s := range all {
			s.Close()
		}
		for range streams {
			h.ended(b, Closed)
		}
		l.Close()
	}
}
