package bwe

import (
	"encoding/binary"
	"testing"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// missing is a message that says of so many packets from base on that they were not received, but
// for the last one of them.
func missing(base, count uint16) []byte {
	b := []byte{0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}
	b = binary.BigEndian.AppendUint16(b, base)
	b = binary.BigEndian.AppendUint16(b, count)
	b = binary.BigEndian.AppendUint32(b, 1<<8)
	for left := count - 1; left > 0; {
		run := min(left, 1<<13-1)
		b = binary.BigEndian.AppendUint16(b, run)
		left -= run
	}
	b = binary.BigEndian.AppendUint16(b, 0x2001) // one with a small delta
	b = append(b, 4)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}

// sentSome is an estimator that remembers the packets [first, first+n).
func sentSome(first uint16, n int) ours {
	o := newOurs(Config{}, 0)
	now := simStart
	for i := range n {
		now = now.Add(ms)
		o.Sent(now, first+uint16(i), 1000)
	}
	return o
}

// Row RTP-10.
func TestOnlyWhatIsSaidAboutKnownPacketsIsTaken(t *testing.T) {
	const n = 100
	first := uint16(65500)
	for _, c := range []struct {
		name        string
		base, count uint16
		lost        uint32
		received    bool // the last one
	}{
		{"just them", first, n, n - 1, true},
		{"a part", first + 10, 20, 19, true},
		{"others before, too", first - 1000, 1050, 49, true},
		{"others behind, too", first + 90, 500, 10, false},
		{"others on both sides", first - 1000, 3000, n, false},
		{"only others before", first - 100, 100, 0, false},
		{"only others behind", first + n, 100, 0, false},
		{"the last one of the others", first - 100, 101, 0, true},
		{"as many as may be", first - (MaxStatuses - n), MaxStatuses, n - 1, true},
		{"more than may be", first - (MaxStatuses - n), MaxStatuses + 1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := sentSome(first, n)
			o.feedback(simStart.Add(second), missing(c.base, c.count))
			if o.Stats().Lost != c.lost {
				t.Errorf("%d lost, want %d", o.Stats().Lost, c.lost)
			}
			last := o.history.find(c.base + c.count - 1)
			if got := last != nil && last.fate == received; got != c.received {
				t.Errorf("the last one received: %v", got)
			}
		})
	}
}

// Row RTP-10.
func TestMoreFeedbackThanAnybodySendsIsNotRead(t *testing.T) {
	var e Estimator
	e.Init(simStart, Config{}, nil)
	now := simStart
	allowed := func(each int, forSo int) (n int) {
		for range forSo {
			for range each {
				if e.Allow(now) {
					n++
				}
			}
			now = now.Add(ms)
		}
		return n
	}
	if n := allowed(1, 1000); n > intakeBurst+intakeRate || n < intakeRate {
		t.Errorf("%d of 1000 in a second", n)
	}
	now = now.Add(second)
	if n := allowed(intakeBurst, 1); n != intakeBurst {
		t.Errorf("%d of what was held up", n)
	}
	now = now.Add(second)
	for range 200 { // as one for each frame of three tracks
		now = now.Add(10 * ms)
		if !e.Allow(now) {
			t.Fatal("an honest one is refused")
		}
	}
}

// BenchmarkFeedbackOfLies is what a message costs that says the most about packets that are
// not known, or says the same again about as many as are.
func BenchmarkFeedbackOfLies(b *testing.B) {
	const first = 60000
	for _, c := range []struct {
		name        string
		sent        int
		base, count uint16
	}{
		{"more than may be", 128, first - 16000, 16382},
		{"none known", 128, first - 10000, MaxStatuses},
		{"a few known", 128, first - MaxStatuses + 64, MaxStatuses},
		{"all known", MaxStatuses, first, MaxStatuses},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			o := sentSome(first, c.sent)
			message := missing(c.base, c.count)
			now := mono.Time(0)
			for b.Loop() {
				now = simStart.Add(second)
				r := rtcp.NewReader(message)
				p, _ := r.Next()
				if t, err := p.TWCC(); err == nil {
					o.Feedback(now, &t)
				}
			}
		})
	}
}
