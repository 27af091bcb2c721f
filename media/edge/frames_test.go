package edge

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tsubame/media/router"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// frameByFrame is what a server does unless it is told otherwise.
func frameByFrame(c *Config) { c.FrameWindow = time.Millisecond }

// frameOf makes the datagrams of one frame of the publisher's, with payloads of the lengths
// given; the last one has the marker.
func (c *call) frameOf(keyFrame bool, ts uint32, lengths ...int) (datagrams [][]byte) {
	for i, n := range lengths {
		payload := make([]byte, n)
		copy(payload, vp8(keyFrame, byte(i)))
		if i > 0 {
			payload[0] = 0
		}
		c.seq++
		h := header{PayloadType: 96, Marker: i == len(lengths)-1, Seq: c.seq, Timestamp: ts, SSRC: 1000}
		datagrams = append(datagrams, c.pub.packet(h, "", payload))
	}
	return datagrams
}

func (c *call) runs() uint64 { return c.sum(func(c *Counters) uint64 { return c.Runs.Load() }) }

func TestFrameLeavesAsOneRunWithItsMarker(t *testing.T) {
	c := newCall(t, 2, []int{0, 1}, frameByFrame)
	before := c.runs()
	for _, b := range c.frameOf(true, 3000, 100, 100, 100, 100) {
		if n := len(c.take()); n != 0 {
			t.Fatalf("%d packets were sent before the frame was whole", n)
		}
		c.deliver(0, c.pub.key, b)
		c.settle()
	}
	sent := c.take()
	for i, v := range c.viewers {
		if n := len(v.received(sent)); n != 4 {
			t.Errorf("viewer %d got %d packets, want 4", i, n)
		}
	}
	if n := c.runs() - before; n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
	if n := c.p.shards[0].count.Window.WindowMarker.Load(); n != 1 {
		t.Errorf("window_marker %d, want 1", n)
	}
	c.finish()
}

func TestIncompleteFrameLeavesAfterTheFrameWindow(t *testing.T) {
	c := newCall(t, 1, []int{0}, frameByFrame)
	s, frame := c.p.shards[0], c.frameOf(true, 3000, 100, 100, 100)
	c.deliver(0, c.pub.key, frame[0])
	c.deliver(0, c.pub.key, frame[1])
	due := c.now.Add(time.Millisecond)
	if next := s.HandleTimers(c.now, c.outs[0]); next > due {
		t.Fatalf("the shard means to sleep until %d, a packet is due at %d", next, due)
	}
	c.now = due - 1
	s.HandleTimers(c.now, c.outs[0])
	c.collect(0)
	if n := len(c.viewers[0].received(c.take())); n != 0 {
		t.Fatalf("%d packets left early", n)
	}
	c.now = due
	s.HandleTimers(c.now, c.outs[0])
	c.collect(0)
	if n := len(c.viewers[0].received(c.take())); n != 2 {
		t.Fatalf("%d packets left in time, want 2", n)
	}
	if n := s.count.Window.WindowTimer.Load(); n != 1 {
		t.Errorf("window_timer %d, want 1", n)
	}
	c.finish()
}

func TestAudioNeverWaits(t *testing.T) {
	c := newCall(t, 1, []int{0}, frameByFrame)
	track := c.pub.publish(audioIn)
	spec := videoOut(track, 7000)
	spec.Kind, spec.Codec, spec.RTXSSRC = audioIn.Kind, audioIn.Codec, 0
	c.viewers[0].c.Subscribe(spec)
	c.settle()
	c.take()
	h := header{PayloadType: 111, Seq: 1, Timestamp: 960, SSRC: 2000}
	c.deliver(0, c.pub.key, c.pub.packet(h, "", []byte{0x78, 1, 2, 3}))
	if n := len(c.viewers[0].received(c.take())); n != 1 {
		t.Fatalf("%d packets, want the one at once", n)
	}
	c.finish()
}

// What waits goes out before its track ends, whichever way that happens.
func TestTrackThatEndsLeavesNothingWaiting(t *testing.T) {
	for name, end := range map[string]func(*call){
		"unpublish": func(c *call) { c.pub.c.Unpublish(c.track) },
		"close":     func(c *call) { c.pub.c.Close() },
	} {
		c := newCall(t, 2, []int{0, 1}, frameByFrame)
		frame := c.frameOf(true, 3000, 100, 100)
		c.deliver(0, c.pub.key, frame[0])
		end(c)
		c.settle()
		sent := c.take()
		for i, v := range c.viewers {
			if n := len(v.received(sent)); n != 1 {
				t.Errorf("%s: viewer %d got %d packets, want 1", name, i, n)
			}
		}
		if n := c.p.shards[0].window.Held(); n != 0 {
			t.Errorf("%s: %d packets wait for ever", name, n)
		}
		c.finish()
	}
}

func TestShutdownGivesBackWhatWaits(t *testing.T) {
	c := newCall(t, 1, nil, frameByFrame)
	before := c.p.arena.Outstanding()
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 100, 100)[0])
	if n := c.p.shards[0].window.Held(); n != 1 {
		t.Fatalf("%d packets wait, want 1", n)
	}
	c.p.shards[0].shutdown()
	// The retransmission ring keeps its own reference.
	if n := c.p.arena.Outstanding(); n != before+1 {
		t.Fatalf("%d buffers are out, want %d", n, before+1)
	}
}

func TestPacketsOfAFrameAreBroughtToOneLength(t *testing.T) {
	c := newCall(t, 2, []int{0, 1}, frameByFrame)
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 1100, 1099, 1100, 1084, 500)...)
	c.settle()
	sent := c.take()
	for _, v := range c.viewers {
		var sizes []int
		first, last := -1, -1
		for i, d := range sent {
			if d.key == v.key {
				sizes = append(sizes, len(d.bytes))
				if last = i; first < 0 {
					first = i
				}
			}
		}
		if last-first != len(sizes)-1 {
			t.Error("the datagrams of a frame do not stand next to each other")
		}
		if len(sizes) != 5 || sizes[0] != sizes[1] || sizes[0] != sizes[2] || sizes[0] != sizes[3] || sizes[4] != sizes[0]-600 {
			t.Errorf("datagrams of %v bytes: want four of one length, and the last as it came", sizes)
		}
		for i, b := range v.received(sent) {
			want := []int{1100, 1099, 1100, 1084, 500}[i]
			whole := len(b)
			if b = unpad(t, b); whole-len(b) != []int{0, 1, 0, 16, 0}[i] {
				t.Errorf("packet %d has %d bytes of padding", i, whole-len(b))
			}
			if !bytes.HasSuffix(b, append([]byte{byte(i), byte(i)}, make([]byte, want-10)...)) {
				t.Errorf("packet %d without padding is not what was sent", i)
			}
		}
	}
	padded := c.sum(func(c *Counters) uint64 { return c.Conn.PaddedPackets.Load() })
	size := c.sum(func(c *Counters) uint64 { return c.Conn.PaddedBytes.Load() })
	if padded != 2 || size != 17 {
		t.Errorf("padded_packets %d, padded_bytes %d: want 2 and 17", padded, size)
	}
	c.finish()
}

func TestNothingIsPaddedWherePaddingIsOff(t *testing.T) {
	c := newCall(t, 1, []int{0}, func(c *Config) { frameByFrame(c); c.NoPadding = true })
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 1100, 1099, 1100)...)
	for i, b := range c.viewers[0].received(c.take()) {
		if b[0]&0x20 != 0 {
			t.Errorf("packet %d is padded", i)
		}
	}
	c.finish()
}

// Recorders and forwarders get what was published, and so do viewers who ask again.
func TestTapSeesNoPadding(t *testing.T) {
	c := newCall(t, 1, []int{0}, frameByFrame)
	tap, err := router.NewTap(8)
	if err != nil {
		t.Fatal(err)
	}
	c.p.OpenTap(c.track, tap)
	c.settle()
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 1100, 1090, 1100)...)
	mag := c.p.arena.Magazine()
	for i, want := range []int{1100, 1090, 1100} {
		p, ok := tap.Pop()
		if !ok {
			t.Fatalf("packet %d did not reach the tap", i)
		}
		if n := len(c.p.arena.Payload(p.Ref)); n != want {
			t.Errorf("packet %d has a payload of %d bytes, want %d", i, n, want)
		}
		mag.Release(p.Ref)
	}
	c.finishTap(tap, mag)
}

// finishTap takes a tap down, and then everything.
func (c *call) finishTap(tap *router.Tap, mag *packet.Magazine) {
	c.t.Helper()
	c.p.CloseTap(c.track, tap)
	c.settle()
	tap.Free(mag)
	mag.Drain()
	c.finish()
}

func TestFramesAllocateNothing(t *testing.T) {
	c := newCall(t, 2, []int{0, 0, 1}, frameByFrame)
	c.frame(true)
	c.settle()
	const n = 300
	batches := make([]*mmsg.RxBatch, n+2)
	for i := range batches {
		batches[i] = mmsg.NewRxBatch(4)
		for _, b := range c.frameOf(false, 3000*uint32(i+2), 1000, 999, 1000, 300) {
			batches[i].Append(c.pub.key, b)
		}
	}
	i := 0
	step := func() {
		c.p.shards[0].HandleBatch(c.now, batches[i], c.outs[0])
		c.p.shards[0].HandleTimers(c.now, c.outs[0])
		c.p.shards[1].HandleMessages(c.now, c.outs[1])
		c.outs[0].Reset()
		c.outs[1].Reset()
		c.now = c.now.Add(time.Millisecond)
		i++
	}
	step()
	if allocs := testing.AllocsPerRun(n, step); allocs != 0 && !raceEnabled {
		t.Fatalf("%v allocations for each frame of 4 packets to 3 viewers", allocs)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.PaddedPackets.Load() }); n == 0 {
		t.Error("nothing was padded")
	}
	c.finish()
}

// Where viewers are many, what serving them takes is asked for ahead; all get everything all
// the same, a tap among them too.
func TestManyViewersAllGetEachPacket(t *testing.T) {
	c := newCall(t, 1, make([]int, warmFrom+10), func(c *Config) { frameByFrame(c); c.MaxConnections = 1024 })
	c.outs[0] = mmsg.NewTxQueue(4096)
	tap, err := router.NewTap(8)
	if err != nil {
		t.Fatal(err)
	}
	c.p.OpenTap(c.track, tap)
	c.settle()
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 100, 99, 100)...)
	sent := c.take()
	for i, v := range c.viewers {
		if n := len(v.received(sent)); n != 3 {
			t.Fatalf("viewer %d got %d packets, want 3", i, n)
		}
	}
	mag := c.p.arena.Magazine()
	for range 3 {
		p, ok := tap.Pop()
		if !ok {
			t.Fatal("the tap has missed a packet")
		}
		mag.Release(p.Ref)
	}
	c.finishTap(tap, mag)
}

// Runs for many viewers do not keep a shard from its sockets for long.
func TestMediaLaneIsServedByWhatItCosts(t *testing.T) {
	const viewers, frames = 64, 10
	at := make([]int, viewers)
	for i := range at {
		at[i] = 1
	}
	c := newCall(t, 2, at, frameByFrame)
	c.outs[1].SetFlusher(func() { c.collect(1) })
	lengths := make([]int, router.MaxRun)
	for i := range lengths {
		lengths[i] = 100
	}
	for i := range frames {
		c.deliver(0, c.pub.key, c.frameOf(i == 0, 3000*uint32(i), lengths...)...)
	}
	s, sent, turns := c.p.shards[1], uint64(0), 0
	for more := true; more; turns++ {
		more = s.HandleMessages(c.now, c.outs[1])
		n := s.count.Conn.RTPOut.Load() - sent
		if sent += n; n > sendBudget+viewers*router.MaxRun {
			t.Fatalf("%d packets in one turn", n)
		}
	}
	if sent != viewers*frames*router.MaxRun || turns < 2 {
		t.Fatalf("%d packets in %d turns, want %d", sent, turns, viewers*frames*router.MaxRun)
	}
	c.collect(1)
	all := c.take()
	for i, v := range c.viewers {
		if n := len(v.received(all)); n != frames*router.MaxRun {
			t.Fatalf("viewer %d got %d packets", i, n)
		}
	}
	c.finish()
}

func TestOtherShardsAreWokenBeforeALongFanOut(t *testing.T) {
	c := newCall(t, 2, append(make([]int, 20), 1), frameByFrame)
	other := c.p.shards[1].waker
	c.outs[0] = mmsg.NewTxQueue(8)
	woken := false
	c.outs[0].SetFlusher(func() {
		fds := []unix.PollFd{{Fd: int32(other.FD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err == nil && n == 1 {
			woken = true
		}
		c.collect(0)
	})
	other.PrepareSleep()
	c.deliver(0, c.pub.key, c.frameOf(true, 3000, 100, 100, 100, 100)...)
	if !woken {
		t.Error("the other shard slept while this one served all its viewers")
	}
	c.settle()
	sent := c.take()
	for i, v := range c.viewers {
		if n := len(v.received(sent)); n != 4 {
			t.Errorf("viewer %d got %d packets, want 4", i, n)
		}
	}
	other.Drain()
	c.finish()
}
