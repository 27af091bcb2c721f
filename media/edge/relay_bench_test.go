package edge

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tsubame/netio/flow"
)

// BenchmarkFanOutByWay is a publisher with 64 viewers who are reached in different ways, in one
// run: frames of 6 packets of 1,100 bytes. Into streams it is without their rings and sockets
// (see netio/stream).
func BenchmarkFanOutByWay(b *testing.B) {
	const viewers = 64
	for _, way := range []string{"direct", "TURN-UDP", "TURN-UDP unbound", "TURN-TCP", "ICE-TCP"} {
		for _, frame := range []int{1, 6} {
			b.Run(fmt.Sprintf("%s/%d", way, frame), func(b *testing.B) {
				s := prepareStock(frame, payloadSize, frameByFrame, make([]int, viewers)...)
				s.way = way
				s.refill(b)
				s.measure(b)
			})
		}
	}
}

// moveViewers has the viewers go on by another way.
func (s *stock) moveViewers(way string) {
	for i, v := range s.call.viewers {
		remote := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.8"), uint16(10000+i)).String()
		switch way {
		case "", "direct":
			return
		case "TURN-UDP", "TURN-UDP unbound":
			relay := v.over(key("192.0.2.1", remote), 0, 0, 0)
			if way == "TURN-UDP" {
				relay.bind(0x4000)
			}
			v.via(relay)
		case "TURN-TCP":
			_, k := s.stream(flow.TURNStream, "192.0.2.1", s.remoteOn(0, i), false)
			relay := v.over(k, 0, 0, 0)
			relay.bind(0x4000)
			relay.pipe.discard = true
			v.via(relay)
		case "ICE-TCP":
			pipe, k := s.stream(flow.FramedStream, "192.0.2.1", s.remoteOn(0, i), false)
			pipe.discard = true
			v.to(k, 0)
		}
		s.now = s.now.Add(300 * time.Millisecond)
		s.deliver(v.shard, v.key, v.check(true))
		s.settle()
	}
	s.take()
	s.call.frame(true)
	s.settle()
	s.advance(2 * time.Millisecond)
	s.take()
}
