package load

import (
	"time"

	"tsubame/netio"
	"tsubame/netio/mmsg"
)

// commit queues the first n bytes of a slot to the server, or gives them to the peer's link.
func (s *shard) commit(p *peer, slot []byte, n int, class mmsg.Class) {
	if p.up != nil {
		p.up.Push(netio.Wall(netio.Now()), slot[:n]) // the turn may have begun long ago
		return
	}
	s.queue.Commit(n, p.key, class)
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
