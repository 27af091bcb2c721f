package recv

import (
	"time"

	"tsubame/netio/mono"
)

// maxTail is how many packets behind the newest one are asked for on suspicion.
const maxTail = 3

// tail is what is suspected to be missing behind the newest packet. That the last packet of a frame
// was lost shows only with the next frame: after 33 ms, or after 200 of a slide that is shared.
// Transport-wide numbers tell sooner that something was lost, though not of which stream.
type tail struct {
	to    uint64    // up to here
	at    mono.Time // when to ask for it; Never: not
	asked uint64    // up to here it was
	again uint32    // when to ask for that again, in microseconds
}

// Suspect says that n packets of the publisher are missing, which may be the ones behind the newest
// of this stream: they are asked for, once, unless something of the stream comes while a gap is
// held for reordering. A publisher that has not sent such packets has none to repeat. Whether
// there are any shows with the next one that comes; from then on they are asked for as all are.
func (s *Stream) Suspect(now mono.Time, n int) {
	to := s.highest + uint64(min(n, maxTail))
	if !s.started || !s.cfg.NACK || n <= 0 || to <= s.tail.asked {
		return
	}
	if s.tail.at == mono.Never {
		s.tail.at = now.Add(time.Duration(s.missing.hold) * time.Microsecond)
	}
	s.tail.to = max(s.tail.to, to)
}

// Suspected reports whether seq is behind the newest packet and was asked for on suspicion: its
// retransmission is an answer, though nothing of the stream has told of it yet. Others that come
// from there are none.
func (s *Stream) Suspected(seq uint16) bool {
	d := int(int16(seq - uint16(s.highest)))
	return s.started && d > 0 && s.highest+uint64(d) <= s.tail.asked
}

// appendTail appends what is suspected to be missing.
func (s *Stream) appendTail(now mono.Time, answer time.Duration, dst []uint16) []uint16 {
	t := &s.tail
	if answer <= 0 {
		answer = DefaultRTT + answerTime
	}
	for ext := max(s.highest, t.asked) + 1; ext <= t.to; ext++ {
		dst = append(dst, uint16(ext))
		s.stats.Suspected++
	}
	t.at, t.asked = mono.Never, t.to
	t.again = micros(now.Add(spacing(answer, 0, false)))
	return dst
}
