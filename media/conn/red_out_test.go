package conn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tsubame/media/codec"
	"tsubame/media/router"
	"tsubame/media/rtcp"
	"tsubame/media/srtp"
	"tsubame/netio/packet"
)

func TestViewersWithRedundancyGetThePacketBeforeOnceMore(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(40)
	var got [3]*numbers
	for i := range got {
		got[i] = newNumbers(t, all)
	}
	for i := range all {
		c.arrive(opusType, all[i], []byte(all[i].payload)) // the publisher has no redundancy
		for v, h := range c.fanOut() {
			got[v].take(h)
			want := []uint8{redType, 62, opusType}[v]
			if i == 0 { // there is nothing to add
				want = []uint8{opusType, 109, opusType}[v]
			}
			if len(h) != 1 || h[0].payloadType != want {
				t.Fatalf("viewer %d, packet %d: %+v", v, i, h)
			}
		}
	}
	for v, n := range got {
		n.once(all)
		want := len(all) - 1
		if v == 2 {
			want = 0
		}
		if len(n.repeats) != want {
			t.Errorf("viewer %d: %d payloads came again, want %d", v, len(n.repeats), want)
		}
		for payload, times := range n.repeats {
			if times != 1 {
				t.Errorf("viewer %d: %q came again %d times", v, payload, times)
			}
		}
	}
	if n := c.env.Count.REDOut.Load(); n != 2*39 {
		t.Errorf("%d packets with redundancy", n)
	}
}

// Whatever is lost on the way to a viewer, as long as no more in a row than its redundancy, it
// has every payload; and so has the way to us, at the same time.
func TestAnyLossUpToTheRedundancyLeavesTheViewerEveryPayload(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 8))
		up, down := 1+r.IntN(3), 1+r.IntN(redLevels)
		c := newRedCall(t, sound)
		if down == 2 {
			c.report(0, 100)
		}
		all := speech(150)
		n := newNumbers(t, all)
		has, lostUp, lostDown := make(map[string]bool), 0, 0
		for i := range all {
			if edge := i < 2 || i >= len(all)-4; !edge && lostUp < up && r.IntN(3) == 0 {
				lostUp++
				continue
			}
			lostUp = 0
			c.arrive(redType, all[i], red(all, i, up))
			for _, h := range c.fanOut()[0] {
				n.take([]heard{h})
				if s := n.all[h.payload]; s != all[0] && s.timestamp-all[0].timestamp < uint32(len(all)-3)*tick && lostDown < down && r.IntN(3) == 0 {
					lostDown++
					continue
				}
				lostDown = 0
				has[h.payload] = true
				for _, x := range h.redundancy {
					has[x.payload] = true
				}
			}
		}
		n.once(all)
		if len(has) != len(all) {
			t.Errorf("%d of %d payloads", len(has), len(all))
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d and %d levels", seed, up, down)
		}
	}
}

// report brings a receiver report of the viewer v: what it lost of its stream, in 1/256.
func (c *redCall) report(v int, lost uint8) { c.reportOf(c.viewers[v], uint32(5000+v), lost) }

func (c *redCall) reportOf(p *peer, ssrc uint32, lost uint8) {
	c.now = c.now.Add(time.Second)
	rr := rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: ssrc, FractionLost: lost}})
	p.conn.HandleRTCP(&c.env, c.now, p.control(rr))
}

// levels says packets until the viewer v has been sent one with redundancy as it is now.
func (c *redCall) levels(all []spoken, v int) int {
	c.t.Helper()
	for _, s := range all {
		c.arrive(opusType, s, []byte(s.payload))
		if h := c.fanOut()[v]; len(h) == 1 && s == all[len(all)-1] {
			return len(h[0].redundancy)
		}
	}
	c.t.Fatal("nothing came")
	return 0
}

func TestAViewerWithLossGetsASecondLevelUntilItIsOver(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(400)
	next := func() []spoken { s := all[:3]; all = all[3:]; return s }
	step := func(what string, lost uint8, reports, want int) {
		t.Helper()
		for range reports {
			c.report(0, lost)
		}
		if got := c.levels(next(), 0); got != want {
			t.Errorf("%s: %d levels, want %d", what, got, want)
		}
		if got := c.levels(next(), 1); got != 1 {
			t.Errorf("%s: the other viewer has %d levels", what, got)
		}
	}
	step("no report", 0, 0, 1)
	step("4 %", 10, 20, 1)
	step("5 %", redLossHigh, 1, 2)
	step("3 %", 8, 50, 2)
	step("none, not for long", 0, redCalm-1, 2)
	step("3 % again", 8, 1, 2)
	step("none, not for long", 0, redCalm-1, 2)
	step("none for long", 0, 1, 1)
	step("all", 255, 1, 2)
}

// Row RTP-16.
func TestRedundancyIsLeftOutWhereItDoesNotFit(t *testing.T) {
	for _, x := range []struct {
		name     string
		sizes    []int
		step     uint32
		one, two int // blocks of the last packet at each number of levels
	}{
		{name: "small", sizes: []int{80, 80, 80}, step: tick, one: 1, two: 2},
		{name: "two do not fit", sizes: []int{400, 400, 300}, step: tick, one: 1, two: 1},
		{name: "just fit", sizes: []int{400, 400, maxREDPayload - 800 - 9}, step: tick, one: 1, two: 2},
		{name: "one byte more", sizes: []int{400, 400, maxREDPayload - 800 - 8}, step: tick, one: 1, two: 1},
		{name: "none fits", sizes: []int{100, 100, 900}, step: tick, one: 0, two: 0},
		{name: "more than an MTU", sizes: []int{100, 100, 1100}, step: tick, one: 0, two: 0},
		{name: "the one before is too long to be remembered", sizes: []int{100, router.MaxRemembered + 1, 100}, step: tick, one: 1, two: 1},
		{name: "the longest that is remembered", sizes: []int{router.MaxRemembered, router.MaxRemembered, 20}, step: tick, one: 1, two: 2},
		{name: "a pause that can just be said", sizes: []int{80, 80, 80}, step: codec.MaxREDOffset, one: 1, two: 1},
		{name: "a pause of Opus", sizes: []int{80, 80, 1}, step: 20 * tick, one: 0, two: 0},
		{name: "time that stands still", sizes: []int{80, 80, 80}, step: 0, one: 0, two: 0},
		{name: "time that goes back", sizes: []int{80, 80, 80}, step: 1<<32 - tick, one: 0, two: 0},
	} {
		c := newRedCall(t, sound)
		c.report(1, 100)
		var last [3][]heard
		for i, size := range x.sizes {
			s := spoken{uint16(i), 5000 + uint32(i)*x.step, strings.Repeat(fmt.Sprint(i), size)}
			c.arrive(opusType, s, []byte(s.payload))
			last = c.fanOut()
			for v := range last {
				if len(last[v]) != 1 || last[v][0].payload != s.payload {
					t.Fatalf("%s: viewer %d got %d packets", x.name, v, len(last[v]))
				}
			}
		}
		if one, two := len(last[0][0].redundancy), len(last[1][0].redundancy); one != x.one || two != x.two {
			t.Errorf("%s: %d and %d blocks, want %d and %d", x.name, one, two, x.one, x.two)
		}
	}
}

func TestAPacketsRedundancyIsWhatIsKnownOfThoseBeforeIt(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(10)
	n := newNumbers(t, all)
	for _, i := range []int{0, 1, 3, 2, 4, 7, 8} { // 2 is late, 5 and 6 never come
		c.arrive(opusType, all[i], []byte(all[i].payload))
		h := c.fanOut()[0]
		n.take(h)
		want := map[int]string{1: all[0].payload, 3: all[1].payload, 2: all[1].payload, 4: all[3].payload, 7: all[4].payload, 8: all[7].payload}[i]
		got := ""
		for _, x := range h[0].redundancy {
			got += x.payload
		}
		if got != want {
			t.Errorf("with packet %d came %q, want %q", i, got, want)
		}
	}
}

func TestTheLastOfARunHasTheOthersAsItsRedundancy(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(6)
	n := newNumbers(t, all)
	for _, s := range all {
		c.arrive(opusType, s, []byte(s.payload)) // they wait for each other, as in a batch
	}
	got := c.fanOut()[1]
	n.take(got)
	n.once(all)
	if len(n.repeats) != len(all)-1 {
		t.Errorf("%d came again", len(n.repeats))
	}
}

func TestAnotherSourcesPacketsAreNoRedundancy(t *testing.T) {
	for gap, want := range map[uint64]int{1: 1, redReach: 1, redReach + 1: 0, sourceGap: 0} {
		c := newRedCall(t, sound)
		memory, red := new(router.Redundancy), new(redRun)
		c.env.red = red
		memory.Note(70000, 4000, []byte("old"))
		c.env.AddRedundancy(memory, []Packet{{Meta: &packet.Meta{Seq: 70000 + gap, Timestamp: 4960}, Body: []byte("new")}})
		if got := int(red[0][0].heads); red[0][0].n == 0 && want != 0 || got != want {
			t.Errorf("%d numbers on: %d blocks", gap, got)
		}
	}
}

// BenchmarkAudio is what an audio packet of 100 bytes costs from the datagram to sealed datagrams
// for 16 viewers, with and without redundancy on either side.
func BenchmarkAudio(b *testing.B) {
	for _, x := range []struct {
		name    string
		up      bool
		red     uint8
		viewers int
		lost    uint8
	}{
		{"plain", false, 0, 16, 0}, {"redIn", true, 0, 16, 0}, {"redOut", false, redType, 16, 0},
		{"redOutTwoLevels", false, redType, 16, 100}, {"redBoth", true, redType, 16, 0},
	} {
		b.Run(x.name, func(b *testing.B) { benchmarkAudio(b, x.up, x.red, x.viewers, x.lost) })
	}
}

func benchmarkAudio(b *testing.B, up bool, redViewers uint8, viewers int, lost uint8) {
	c := newRedCall(b, sound)
	c.viewers = nil
	id := c.pub.conn.pubs[0].track
	local := c.env.Fanout.Find(id)
	for i := range viewers {
		v := c.connect(uint32(10+i), srtp.AEAD_AES_128_GCM)
		v.conn.Subscribe(&c.env, c.now, listen(id, 5000, opusType, redViewers))
		c.reportOf(v, 5000, lost)
		c.viewers = append(c.viewers, v)
	}
	if redViewers == 0 {
		local.Redundancy = nil
	}
	const batch = 1024
	var datagrams [batch][]byte
	all := make([]spoken, batch+1)
	seq, ts := uint16(0), uint32(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%batch == 0 {
			b.StopTimer()
			for i := range all {
				all[i] = spoken{seq, ts, strings.Repeat("x", 100)}
				if i > 0 {
					h, payload := all[i], []byte(all[i].payload)
					typ := uint8(opusType)
					if up {
						typ, payload = redType, red(all, i, 1)
					}
					datagrams[i-1] = c.pub.packet(header(typ, h), payload)
				}
				if i < batch {
					seq, ts = seq+1, ts+tick
				}
			}
			b.StartTimer()
		}
		c.now = c.now.Add(20 * time.Millisecond)
		c.pub.conn.HandleRTP(&c.env, c.now, datagrams[n%batch])
		c.route(func(run []Packet) {
			if local.Redundancy != nil {
				c.env.AddRedundancy(local.Redundancy, run)
			}
			for _, v := range c.viewers {
				v.conn.Send(&c.env, c.now, 0, run)
			}
		})
		c.env.Out.Reset()
	}
	if out := c.env.Count.RTPOut.Load(); out < uint64(b.N*viewers) {
		b.Fatalf("%d packets went out for %d", out, b.N)
	}
}
