package load

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tsubame/bench/proc"
	"tsubame/netio/flow"
)

// crowd is many viewers of one publisher on one thread.
type crowd struct {
	shard *shard
	far   []*far
}

func newCrowd(t testing.TB, viewers, size int) *crowd {
	c := &crowd{}
	for i := range viewers {
		f := newFar(t, size)
		if i == 0 {
			c.shard = f.rig.shard
			c.shard.table, c.shard.peers, c.shard.wake = make([]*peer, viewers), nil, nil
		}
		p := f.rig.peer
		p.id, p.slot, p.at = uint32(i), i, i
		p.key = flow.KeyOf(addressOf(p.id), netip.MustParseAddrPort("127.0.0.1:5004"))
		f.key, f.rig.shard = p.key, c.shard
		if i > 0 { // one publisher, to whom each viewer's packets are other ones here
			f.rig.origin, p.room = c.far[0].rig.origin, c.far[0].rig.peer.room
		}
		c.shard.table[i] = p
		c.shard.peers, c.shard.wake = append(c.shard.peers, p), append(c.shard.wake, 1<<62)
		c.far = append(c.far, f)
	}
	return c
}

// turn brings one packet to every viewer and returns the processor time that took the client.
func (c *crowd) turn(t testing.TB) (spent time.Duration) {
	s := c.shard
	s.now = s.now.Add(11 * time.Millisecond) // so that one packet of five or six makes feedback due
	for first := 0; first < len(c.far); first += batchSize {
		s.batch.Reset()
		for _, f := range c.far[first:min(first+batchSize, len(c.far))] {
			f.packet(t)
		}
		from, _ := proc.Thread()
		s.read(s.batch)
		to, _ := proc.Thread()
		spent += to - from
		s.queue.Reset()
	}
	return spent
}

func TestManyViewersOnOneThreadGetWhatIsTheirs(t *testing.T) {
	c := newCrowd(t, 200, 100)
	c.shard.engine.at.Store(int32(measuring))
	for range 20 {
		c.turn(t)
	}
	for i, p := range c.shard.peers {
		if p.streams[0].packets != 20 {
			t.Fatalf("viewer %d has %d packets of 20", i, p.streams[0].packets)
		}
	}
	if c.shard.total.undecryptable+c.shard.total.malformed+c.shard.total.unknown != 0 {
		t.Errorf("%+v", c.shard.total)
	}
}

// What a datagram costs between the system calls, where the caches hold all viewers and where
// they do not. Sealing the packets, which is not measured, pushes out what the kernel would.
func BenchmarkReceiveOfMany(b *testing.B) {
	for _, size := range []int{100, 800} {
		for _, viewers := range []int{50, 5000} {
			b.Run(fmt.Sprintf("%dbytes/%dviewers", size, viewers), func(b *testing.B) {
				runtime.LockOSThread() // whose time is read
				defer runtime.UnlockOSThread()
				c := newCrowd(b, viewers, size)
				var spent time.Duration
				packets := 0
				for b.Loop() {
					spent += c.turn(b)
					packets += viewers
				}
				b.ReportMetric(float64(spent)/float64(packets), "ns/packet")
			})
		}
	}
}

func TestViewersSendFeedbackAsOftenAsABrowser(t *testing.T) {
	f := newFar(t, 100)
	s := f.rig.shard
	s.wake[0] = 1 << 62 // no reports
	f.rig.phase(measuring)
	const seconds = 10
	for ms := 0; ms < seconds*1000; ms += 5 { // one poll
		s.now = s.now.Add(5 * time.Millisecond)
		s.batch.Reset()
		if ms%10 == 0 {
			f.packet(t)
		}
		s.read(s.batch)
		s.queue.Reset()
	}
	if n := s.sentControl; n < 16*seconds-1 || n > 16*seconds+1 {
		t.Errorf("%d feedback packets in %d s, want 16 a second", n, seconds)
	}
}
