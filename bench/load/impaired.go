package load

import (
	"time"

	"tsubame/netio"
	"tsubame/netio/mmsg"
)

// commit sends the first n bytes of a slot to the server, through the peer's relay if it has one.
func (s *shard) commit(p *peer, slot []byte, n int, class mmsg.Class) {
	if p.relay != nil {
		if n = p.relay.wrap(slot, n); n == 0 {
			return
		}
	}
	s.transmit(p, slot, n, class)
}

// deliver moves on what has passed the links of the shard's peers. A datagram that has passed
// one arrives now, so that latencies are those of the links too.
func (s *shard) deliver() {
	now := netio.Wall(netio.Now())
	var arrived int64
	if s.latency {
		arrived = time.Now().UnixNano()
	}
	for _, p := range s.peers {
		for p.down != nil {
			b, ok := p.down.Pop(now)
			if !ok {
				break
			}
			s.datagram(p, b, arrived)
		}
		for p.up != nil {
			b, ok := p.up.Pop(now)
			if !ok {
				break
			}
			if slot := s.queue.Slot(); slot != nil && len(b) <= len(slot) {
				s.queue.Commit(copy(slot, b), p.key, mmsg.Video)
			}
		}
	}
}
