package conn

import (
	"testing"
	"time"

	"tsubame/media/bwe"
)

// missing is feedback that says of so many packets that they were not received.
func missing(count int) []byte {
	run := uint16(count)
	return []byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, byte(run >> 8), byte(run), 0, 0, 1, 0, byte(run >> 8), byte(run), 0, 0}
}

// Row RTP-10.
func TestFeedbackOnMoreThanIsRememberedIsBad(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	for _, c := range []struct{ count, bad, taken int }{{bwe.MaxStatuses, 0, 1}, {bwe.MaxStatuses + 1, 1, 1}} {
		message := missing(c.count)
		v.conn.HandleRTCP(&r.env, r.now, v.control(message))
		if bad, taken := int(r.env.Count.RTCPBad.Load()), int(v.conn.out.est.Stats().Feedbacks); bad != c.bad || taken != c.taken {
			t.Errorf("%d statuses: %d bad, %d taken", c.count, bad, taken)
		}
	}
}

// Row RTP-10.
func TestFloodOfFeedbackIsDropped(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	const many = 900 // fewer than the policer of all RTCP lets pass
	for range many {
		v.conn.HandleRTCP(&r.env, r.now, v.control(missing(1)))
		r.now = r.now.Add(time.Second / many)
	}
	taken, dropped := int(v.conn.out.est.Stats().Feedbacks), int(r.env.Count.DropPolicer.Load())
	if taken > many/2 || taken+dropped != many {
		t.Errorf("%d taken, %d dropped of %d", taken, dropped, many)
	}
}
