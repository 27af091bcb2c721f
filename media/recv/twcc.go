package recv

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// The schedule and the bounds of transport-wide feedback.
const (
	twccWindow  = 512                    // packets remembered
	twccSlow    = 100 * time.Millisecond // after the first packet that is not reported
	twccFast    = 50 * time.Millisecond  // when there are twccMany of them
	twccMany    = 50
	twccFull    = 400                    // numbers to report: at once, the window is filling up
	twccBack    = 500 * time.Millisecond // how late a packet may be and still be reported
	twccConfirm = 3                      // packets that have to agree on a jump
	twccNear    = 64                     // how far apart those may be
)

// TWCC records when the packets of one connection arrived and builds the feedback that the
// sender's bandwidth estimation runs on (draft-holmer-rmcat-transport-wide-cc-extensions-01).
// The zero value is ready.
//
// It holds the last 512 transport-wide sequence numbers. A packet that comes after its
// number was reported as missing is reported in the next feedback, which then begins with
// it. A gap wider than the window is followed only when a few packets agree on it; what
// was not reported by then never is, and the sender counts it as it counts lost feedback.
type TWCC struct {
	arrivals [twccWindow]uint32 // of first, first+1, ..., see arrival; 0: has not arrived
	first    uint64
	n        int       // entries in use
	next     int       // the first one that the next feedback covers
	pending  int       // arrived, but not reported
	since    mono.Time // arrival of the oldest of those
	due      mono.Time
	count    uint8 // feedback messages built, modulo 256

	jumpLast  uint16
	jumpCount uint8
	jumps     uint64
}

// Record notes that the packet with transport-wide sequence number seq arrived at now. It returns
// how many numbers were skipped between it and the highest before it.
func (t *TWCC) Record(now mono.Time, seq uint16) (skipped int) {
	if t.n == 0 {
		t.restart(now, 1<<16+uint64(seq))
		return 0
	}
	highest := t.first + uint64(t.n) - 1
	switch d := int(int16(seq - uint16(highest))); {
	case d > 0 && d < twccWindow:
		t.jumpCount = 0
		t.extend(d)
		t.arrived(now, t.n-1)
		return d - 1
	case d <= 0 && -d < t.n:
		at := t.n - 1 + d
		if t.arrivals[at] == 0 {
			t.late(now, at)
		}
	case d <= 0 && d > -twccWindow:
		// Older than all that is remembered; nobody waits for it any more.
	default:
		t.jump(now, seq)
	}
	return 0
}

// extend makes room for d more numbers at the end, at the cost of the oldest.
func (t *TWCC) extend(d int) {
	if excess := t.n + d - twccWindow; excess > 0 {
		// Move by more than is needed, so as not to move for every packet. What was
		// reported is kept for a while only for the sake of late packets.
		excess = max(excess, min(t.next, twccWindow/4))
		copy(t.arrivals[:], t.arrivals[excess:t.n])
		t.first += uint64(excess)
		t.n -= excess
		if excess > t.next { // nobody has called AppendFeedback for too long
			t.next = excess
		}
		t.next -= excess
		t.recount()
	}
	clear(t.arrivals[t.n : t.n+d])
	t.n += d
}

// recount counts what the next feedback has to report.
func (t *TWCC) recount() {
	t.pending = 0
	for _, at := range t.arrivals[t.next:t.n] {
		if at != 0 {
			t.pending++
		}
	}
}

// late takes a packet that came after its number was reported as missing.
func (t *TWCC) late(now mono.Time, at int) {
	for _, then := range t.arrivals[at+1 : t.n] {
		if then == 0 {
			continue
		}
		if micros(now)-then <= uint32(twccBack/time.Microsecond) {
			t.arrived(now, at)
		}
		return
	}
}

func (t *TWCC) arrived(now mono.Time, at int) {
	t.arrivals[at] = arrival(now)
	if at < t.next {
		t.next = at
	}
	if t.pending == 0 {
		t.since = now
		t.due = now.Add(twccSlow)
	}
	t.pending++
	switch {
	case t.n-t.next >= twccFull:
		t.due = min(t.due, now)
	case t.pending >= twccMany:
		t.due = min(t.due, t.since.Add(twccFast))
	}
}

// arrival is how an instant is remembered: in microseconds modulo 1<<32, more than an hour, and
// never 0. Feedback has units of 250 us (rtcp.TWCCDelta), of which this changes none.
func arrival(now mono.Time) uint32 { return max(micros(now), 1) }

// times writes the arrivals from number i on to dst, up to the end, and returns those. None is
// later than now.
func (t *TWCC) times(dst *[twccWindow]mono.Time, i int, now mono.Time) []mono.Time {
	base := now - now%mono.Time(time.Microsecond)
	at := arrival(now)
	for j, then := range t.arrivals[i:t.n] {
		dst[j] = mono.Never
		if then != 0 {
			dst[j] = base.Add(-time.Duration(at-then) * time.Microsecond)
		}
	}
	return dst[:t.n-i]
}

func (t *TWCC) restart(now mono.Time, first uint64) {
	t.first, t.n, t.next, t.pending, t.jumpCount = first, 0, 0, 0, 0
	t.extend(1)
	t.arrived(now, 0)
}

// jump takes a number that is a window or more away from all others.
func (t *TWCC) jump(now mono.Time, seq uint16) {
	if d := seq - t.jumpLast; t.jumpCount == 0 || d == 0 || d > twccNear {
		t.jumpCount = 0
	}
	t.jumpLast = seq
	t.jumpCount++
	if t.jumpCount < twccConfirm {
		return
	}
	t.jumps++
	highest := t.first + uint64(t.n) - 1
	t.restart(now, highest+uint64(seq-uint16(highest)))
}

// Deadline returns when AppendFeedback is to be called; Never when there is nothing new.
func (t *TWCC) Deadline() mono.Time { return t.due }

// AppendFeedback appends one feedback message about what has arrived since the last, if
// there is anything; whether it is due is the caller's business. The message has at most
// rtcp.MaxTWCCSize bytes; when not everything fits, Deadline stays in the past and the
// caller calls again.
func (t *TWCC) AppendFeedback(dst []byte, now mono.Time, senderSSRC, mediaSSRC uint32) []byte {
	if t.pending == 0 {
		t.due = mono.Never
		return dst
	}
	base := uint16(t.first) + uint16(t.next)
	before := len(dst)
	var times [twccWindow]mono.Time
	dst, covered := rtcp.AppendTWCC(dst, senderSSRC, mediaSSRC, t.count, base, t.times(&times, t.next, now))
	if len(dst) > before {
		t.count++
	}
	t.next += covered
	if t.next < t.n {
		t.recount()
		t.due = now
		return dst
	}
	t.pending, t.due = 0, mono.Never
	return dst
}

// Jumps returns how often the numbering was followed over a gap wider than the window.
func (t *TWCC) Jumps() uint64 { return t.jumps }
