package load

import (
	"encoding/binary"
	"unsafe"

	"tsubame/media/prefetch"
	"tsubame/netio/mmsg"
)

// With thousands of viewers nothing of one is in the cache when its packet comes, and the way
// from its address to its keys and counters is a chain of pointers. A batch is known as a whole,
// so each link is asked for some datagrams before it is read: the peer, then its key and the
// place in its table, then the stream. Packets of one viewer often stand next to each other;
// asking twice costs little.
const (
	warmPeer   = 12 // datagrams ahead
	warmKeys   = 7
	warmStream = 4

	hotLines       = 2  // cache lines of a peer that each packet needs
	hotStreamLines = 3  // likewise of a stream, beside one of those seen
	twccTail       = 72 // bytes at the end of recv.TWCC that each packet needs
)

// warmFirst asks for what the first datagrams of a batch need at once.
func (s *shard) warmFirst(b *mmsg.RxBatch) {
	for i := range min(warmPeer, b.Len()) {
		s.warmPeer(b, i)
	}
	for i := range min(warmKeys, b.Len()) {
		s.warmKeys(b, i)
	}
	for i := range min(warmStream, b.Len()) {
		s.warmStream(b, i)
	}
}

// warmAhead asks for what datagrams after i need.
func (s *shard) warmAhead(b *mmsg.RxBatch, i int) {
	n := b.Len()
	if i+warmPeer < n {
		s.warmPeer(b, i+warmPeer)
	}
	if i+warmKeys < n {
		s.warmKeys(b, i+warmKeys)
	}
	if i+warmStream < n {
		s.warmStream(b, i+warmStream)
	}
}

// warmFeedback asks for what leads to the key of the RTCP that goes, and for who it is from.
func (p *peer) warmFeedback() {
	prefetch.Lines(unsafe.Pointer(p.secured), 2)
	prefetch.Lines(unsafe.Pointer(&p.key), 2)
}

func (s *shard) warmPeer(b *mmsg.RxBatch, i int) {
	p := s.find(b.Key(i).Local)
	s.found[i] = p
	if p != nil {
		prefetch.Lines(unsafe.Pointer(p), hotLines)
		prefetch.Lines(unsafe.Add(unsafe.Pointer(&p.twcc), unsafe.Sizeof(p.twcc)-twccTail), 2)
	}
}

func (s *shard) warmKeys(b *mmsg.RxBatch, i int) {
	p := s.found[i]
	if p == nil || p.incoming.aead == nil {
		return
	}
	p.incoming.warm()
	if len(p.table.slots) > 0 {
		prefetch.Line(unsafe.Pointer(&p.table.slots[p.table.home(ssrcOf(s.within(b.Packet(i))))]))
	}
}

func (s *shard) warmStream(b *mmsg.RxBatch, i int) {
	p, packet := s.found[i], s.within(b.Packet(i))
	if p == nil {
		return
	}
	if one, _ := p.table.find(ssrcOf(packet)); one != nil {
		prefetch.Lines(unsafe.Pointer(one), hotStreamLines)
		prefetch.Line(unsafe.Pointer(&one.seen[binary.BigEndian.Uint16(packet[2:])/64%(windowSize/64)]))
	}
}
