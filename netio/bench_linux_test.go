package netio

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// idleShard opens a group whose only shard and thread are driven by the test's own goroutine.
func idleShard(t testing.TB, plain bool, h Handler) (*shard, *thread) {
	t.Helper()
	return carried(open(t, Config{IPv4: true, IPv6: true, Shards: 1, Plain: plain}), h)
}

// client is a connected socket that sends and drains without allocating.
type client struct {
	fd  int
	buf []byte
}

func dial(t testing.TB, port int) *client {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		t.Fatal(err)
	}
	return &client{fd, make([]byte, 1100)}
}

func (c *client) send(t testing.TB, n int) {
	for range n {
		if _, err := unix.Write(c.fd, c.buf); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *client) drain() (n int) {
	for {
		if _, err := unix.Read(c.fd, c.buf); err != nil {
			return n
		}
		n++
	}
}

// One iteration that receives and answers 64 datagrams and one that finds nothing, with the
// sleep in between.
func TestIterationDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: counts are checked without it")
		return
	}
	s, thread := idleShard(t, false, &funcs{batch: echo, timers: func(now mono.Time, _ *mmsg.TxQueue) mono.Time { return now.Add(1) }})
	c := dial(t, int(s.ports[0].socket.LocalPort()))
	if n := testing.AllocsPerRun(100, func() {
		c.send(t, 64)
		s.next = Now().Add(patience)
		thread.sleep()
		thread.turn()
		if got := c.drain(); got != 64 {
			t.Fatalf("%d of 64 came back", got)
		}
		s.turn()
		if s.busy {
			t.Fatal("an iteration without work was busy")
		}
		s.next = s.next.Add(50_000)
		thread.sleep()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkEcho is the time for one datagram, received, handled and sent, with so many in an
// iteration, the question to the kernel that finds it included; the client's part is not.
func BenchmarkEcho(b *testing.B) {
	for _, plain := range []bool{false, true} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("plain=%v/batch=%d", plain, n), func(b *testing.B) {
				b.ReportAllocs()
				s, thread := idleShard(b, plain, &funcs{batch: echo})
				c := dial(b, int(s.ports[0].socket.LocalPort()))
				for done := 0; done < b.N; done += n {
					b.StopTimer()
					c.drain()
					c.send(b, n)
					b.StartTimer()
					s.next = Now().Add(patience)
					thread.sleep()
					thread.turn()
				}
			})
		}
	}
}

// BenchmarkIdleTurn is what an iteration costs that finds nothing.
func BenchmarkIdleTurn(b *testing.B) {
	for _, plain := range []bool{false, true} {
		b.Run(fmt.Sprintf("plain=%v", plain), func(b *testing.B) {
			b.ReportAllocs()
			s, _ := idleShard(b, plain, &funcs{})
			for b.Loop() {
				s.readAll()
				s.turn()
			}
		})
	}
}

func BenchmarkNow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Now()
	}
}
