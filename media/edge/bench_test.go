package edge

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// stock is the datagrams of a publisher, sealed beforehand in batches of a frame each. Since
// none may come twice, there is a limit; refill makes a call anew when it is reached.
type stock struct {
	*call
	batches []*mmsg.RxBatch
	next    int
	viewers []int
	frame   int // packets
	size    int // bytes of each payload, or one less
	change  func(*Config)

	negotiate func(*param.Subscribe)

	way   string        // by which viewers are reached: see moveViewers
	began int64         // thread time at the last refill
	cpu   time.Duration // of the batches before that
}

const (
	stockPackets = 8192
	payloadSize  = 1100
)

func newStock(b *testing.B, frame, size int, change func(*Config), viewers ...int) *stock {
	s := prepareStock(frame, size, change, viewers...)
	s.refill(b)
	return s
}

func prepareStock(frame, size int, change func(*Config), viewers ...int) *stock {
	runtime.LockOSThread() // threadTime is this thread's; the benchmark's goroutine ends with it
	s := &stock{viewers: viewers, frame: frame, size: size, change: change, negotiate: func(*param.Subscribe) {}}
	for range stockPackets / frame {
		s.batches = append(s.batches, mmsg.NewRxBatch(frame))
	}
	return s
}

// refill makes frames as Chromium does, whose packets differ by a byte.
func (s *stock) refill(b *testing.B) {
	s.call = newCallOf(b, 2, s.viewers, s.change, s.negotiate)
	s.outs[0].SetFlusher(s.outs[0].Reset)
	s.call.frame(true)
	s.settle()
	s.advance(2 * time.Millisecond)
	s.take()
	s.moveViewers(s.way)
	lengths := make([]int, s.frame)
	for i := range lengths {
		lengths[i] = s.size - i%2
	}
	for _, batch := range s.batches {
		batch.Reset()
		for _, d := range s.frameOf(false, 3000*uint32(s.seq), lengths...) {
			batch.Append(s.pub.key, d)
		}
	}
	s.next = 0
	runtime.GC() // what the sealing has left is not to be collected on the clock
	s.began = threadTime()
}

// batch returns the next batch, and moves the clock to when it would come.
func (s *stock) batch(b *testing.B) *mmsg.RxBatch {
	if s.next == len(s.batches) {
		b.StopTimer()
		s.cpu += time.Duration(threadTime() - s.began)
		s.refill(b)
		b.StartTimer()
	}
	s.now = s.now.Add(3 * time.Millisecond)
	s.next++
	return s.batches[s.next-1]
}

// report says what one packet cost, for each viewer if there are any, in processor time: the
// machine may be busy with something else.
func (s *stock) report(b *testing.B) {
	s.cpu += time.Duration(threadTime() - s.began)
	ns := float64(s.cpu) / float64(b.N*s.frame)
	b.ReportMetric(ns, "cpu-ns/packet")
	if n := len(s.viewers); n > 0 {
		b.ReportMetric(ns/float64(n), "cpu-ns/viewer")
	}
}

// threadTime is the processor time that this thread has used, in nanoseconds.
func threadTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

func BenchmarkSTUNReply(b *testing.B) {
	r := newRig(b, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	in := mmsg.NewRxBatch(1)
	in.Append(pathA, p.check(true))
	b.ReportAllocs()
	for b.Loop() {
		r.p.shards[0].HandleBatch(r.now, in, r.outs[0])
		r.outs[0].Reset()
	}
}

func BenchmarkDropUnknown(b *testing.B) {
	r := newRig(b, 1, nil)
	in := mmsg.NewRxBatch(2)
	in.Append(pathA, make([]byte, 1000))
	in.Append(pathA, []byte{0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 3, 232, 1, 2, 3, 4})
	b.ReportAllocs()
	for b.Loop() {
		r.p.shards[0].HandleBatch(r.now, in, r.outs[0])
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, frame := range []int{1, 6} {
		for name, change := range map[string]func(*Config){"by packet": nil, "by frame": frameByFrame} {
			b.Run(fmt.Sprintf("%d/%s", frame, name), func(b *testing.B) {
				s := newStock(b, frame, payloadSize, change)
				b.ReportAllocs()
				for b.Loop() {
					in := s.batch(b)
					s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
				}
				s.report(b)
			})
		}
	}
}

// BenchmarkFanOut is the whole way: receive, window, route, rewrite, seal, into the queue.
func BenchmarkFanOut(b *testing.B) {
	plain := func(c *Config) { frameByFrame(c); c.NoPadding = true }
	for _, frame := range []int{1, 6} {
		for _, n := range []int{1, 8, 64} {
			for name, change := range map[string]func(*Config){"padded": frameByFrame, "plain": plain} {
				b.Run(fmt.Sprintf("%d/%d/%s", frame, n, name), func(b *testing.B) {
					s := newStock(b, frame, payloadSize, change, make([]int, n)...)
					s.measure(b)
				})
			}
		}
	}
}

// measure handles batches for as long as the benchmark wants.
func (s *stock) measure(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		in := s.batch(b)
		s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
		s.outs[0].Reset()
	}
	s.report(b)
}

// BenchmarkFanOutSmall is the same with packets of the size of audio, of which the cipher is
// the smaller part.
func BenchmarkFanOutSmall(b *testing.B) {
	for _, n := range []int{64, 200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStock(b, 1, 100, func(c *Config) { c.MaxConnections = 4096 }, make([]int, n)...)
			s.measure(b)
		})
	}
}

// BenchmarkHandOver is what it costs to bring a run to another shard, without what is done
// with it there: its only sink is a tap that is closed.
func BenchmarkHandOver(b *testing.B) {
	for _, n := range []int{1, 6} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			runtime.LockOSThread()
			c := newCall(b, 2, nil, nil)
			tap, err := router.NewTap(1)
			if err != nil {
				b.Fatal(err)
			}
			tap.Close()
			from, to := c.p.shards[0], c.p.shards[1]
			to.env.Fanout.Add(c.track, router.Sink{Tap: tap})
			run := router.Run{Track: c.track, N: uint8(n)}
			began := threadTime()
			b.ReportAllocs()
			for b.Loop() {
				from.begin(c.now, c.outs[0])
				for i := range n {
					ref, ok := from.env.Mag.Get(payloadSize, packet.Video)
					if !ok {
						b.Fatal("no buffer")
					}
					run.Refs[i] = ref
				}
				from.routeRun(c.now, &run)
				from.finish(c.now)
				to.HandleMessages(c.now, c.outs[1])
			}
			b.ReportMetric(float64(threadTime()-began)/float64(b.N*n), "cpu-ns/packet")
		})
	}
}
