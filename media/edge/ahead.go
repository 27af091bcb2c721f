package edge

import (
	"unsafe"

	"tsubame/media/conn"
	"tsubame/media/prefetch"
	"tsubame/media/rtp"
	"tsubame/netio/mmsg"
)

// A batch of feedback from thousands of viewers finds nothing of theirs in the cache: the path,
// the connection, its replay window and its keys, one behind the other, are some fifteen lines
// of memory for each datagram. Those of the datagrams to come are asked for while others are
// handled, one link of the chain at a time.

// aheadSteps is how many datagrams ahead the first link is asked for: the slot of its
// path, then the connection's place, the connection's entry, then what conn knows of.
const aheadSteps = 3 + conn.WarmReceiveSteps

// Asking ahead costs some 40 ns a datagram, and gains nothing for the first few of a batch, nor
// where all that is needed has stayed in the cache: hence so many datagrams in the batch, and
// so many paths, at least.
const (
	aheadFrom  = 8
	aheadPaths = 64
)

// hint is what asking ahead has found out about a datagram. It is never relied on: handling the
// datagrams before may have changed anything.
type hint struct {
	hash  uint64
	index uint32 // of the connection
	live  *live  // nil: it is none of this shard's any more
	rtcp  bool
	none  bool // not media, or by a path that leads nowhere
}

// hints is more than aheadSteps, a power of two.
const hints = 16

// ahead asks for what the datagrams behind datagram i of a batch will want, each one step
// further. i begins at -aheadSteps. Of a shard that is behind most feedback is not wanted.
func (s *shard) ahead(in *mmsg.RxBatch, i int, behind bool) {
	for step := range aheadSteps {
		j := i + 1 + step
		if j < 0 || j >= in.Len() {
			continue
		}
		h := &s.hints[j%hints]
		if step == aheadSteps-1 {
			b := in.Packet(j)
			*h = hint{none: rtp.Classify(b) != rtp.ClassRTP, rtcp: rtp.IsRTCP(b)}
			if behind && !h.none {
				_, h.none = soleFeedback(b)
			}
			if !h.none {
				k := in.Key(j)
				h.hash = s.flows.hash(&k)
				s.flows.ask(h.hash)
			}
			continue
		}
		if h.none {
			continue
		}
		switch step {
		case aheadSteps - 2:
			k := in.Key(j)
			n, ok := s.flows.find(&k, h.hash)
			h.index, h.none = n, !ok
			prefetch.Line(unsafe.Pointer(&s.live[n]))
		case aheadSteps - 3:
			h.live = s.live[h.index]
			prefetch.Line(unsafe.Pointer(h.live))
		default:
			if h.live != nil {
				h.live.WarmReceive(step, h.rtcp)
			}
		}
	}
}
