package recv

import (
	"testing"
	"time"

	"tsubame/netio/mono"
)

// Row RTP-08.
func TestKeyFrameStormIsOneRequestAWindow(t *testing.T) {
	var k KeyFrames
	var sent []mono.Time
	for i := range 5000 { // five seconds
		now := at(ms(i))
		for range 1000 / 10 {
			k.Request(now)
		}
		if k.Due(now) {
			sent = append(sent, now)
		}
		if k.Due(now) {
			t.Fatal("due twice at one instant")
		}
		// The encoder answers every request after 80 ms.
		if n := len(sent); n > 0 && now == sent[n-1].Add(ms(80)) {
			k.Arrived(now)
		}
	}
	if len(sent) != 10 {
		t.Errorf("%d requests in 5 s of storm, want 10", len(sent))
	}
	for i := 1; i < len(sent); i++ {
		if d := sent[i].Sub(sent[i-1]); d < KeyFrameInterval {
			t.Errorf("requests %v apart", d)
		}
	}
	if k.Folded() == 0 {
		t.Error("nothing was folded")
	}
}

func TestFirstRequestGoesOutAtOnce(t *testing.T) {
	var k KeyFrames
	if k.Due(start) || k.Deadline() != mono.Never {
		t.Fatal("due before anybody asked")
	}
	k.Request(start)
	if k.Deadline() != start || !k.Due(start) {
		t.Fatal("not due at once")
	}
	k.Arrived(at(ms(100)))
	if k.Deadline() != mono.Never || k.Waiting(at(time.Hour)) != 0 {
		t.Fatal("still wanted after it came")
	}
}

func TestViewerThatComesAfterTheKeyFrameGetsItsOwn(t *testing.T) {
	var k KeyFrames
	k.Request(start)
	k.Due(start)
	k.Arrived(at(ms(50)))
	k.Request(at(ms(60)))
	if d := k.Deadline(); d != at(KeyFrameInterval) {
		t.Fatalf("due after %v, want %v", d.Sub(start), KeyFrameInterval)
	}
	if !k.Due(at(KeyFrameInterval)) {
		t.Fatal("not due")
	}
}

// Row RTP-09.
func TestUnansweredRequestsBackOffAndGoOn(t *testing.T) {
	var k KeyFrames
	k.Request(start)
	var gaps []time.Duration
	now := start
	for range 8 {
		if !k.Due(now) {
			t.Fatal("not due at its deadline")
		}
		k.Request(now) // viewers keep asking; that changes nothing
		gaps = append(gaps, k.Deadline().Sub(now))
		now = k.Deadline()
	}
	want := []time.Duration{ms(500), ms(500), ms(1000), ms(2000), ms(4000), ms(4000), ms(4000), ms(4000)}
	for i := range want {
		if gaps[i] != want[i] {
			t.Fatalf("gaps %v, want %v", gaps, want)
		}
	}
	if w := k.Waiting(now); w != now.Sub(start) {
		t.Errorf("waiting for %v, want %v", w, now.Sub(start))
	}
	k.Arrived(now)
	k.Request(now.Add(time.Minute))
	if !k.Due(now.Add(time.Minute)) || k.Deadline() != now.Add(time.Minute+KeyFrameInterval) {
		t.Error("the back-off did not end with the answer")
	}
}

func TestRequestsEscalateWithTheThird(t *testing.T) {
	var k KeyFrames
	for round := range 3 {
		k.Request(start.Add(time.Duration(round) * time.Minute))
		for i, want := range []bool{false, false, true, true} {
			if now := k.Deadline(); !k.Due(now) || k.Escalates() != want {
				t.Errorf("round %d, request %d: escalates %v", round, i, k.Escalates())
			}
		}
		if round == 0 {
			k.Arrived(k.Deadline())
		} else {
			k.Forget()
		}
	}
}

// Row RTP-09.
func TestPublisherThatIgnoresRequestsIsToldOfOnce(t *testing.T) {
	var k KeyFrames
	told := 0
	ask := func(from mono.Time, d time.Duration) (last mono.Time) {
		k.Request(from)
		for last = from; last.Sub(from) < d; last = last.Add(ms(10)) {
			k.Request(last)
			k.Due(last)
			if k.Ignored(last) {
				told++
				if w := k.Waiting(last); w < KeyFrameIgnored || w > KeyFrameIgnored+ms(10) {
					t.Errorf("told of after %v", w)
				}
			}
		}
		return last
	}
	now := ask(start, KeyFrameIgnored-ms(10))
	if told != 0 {
		t.Fatal("told of too early")
	}
	now = ask(now, time.Minute)
	k.Forget()
	now = ask(now, time.Minute)
	if told != 1 || !k.Ignoring() {
		t.Errorf("told of %d times, want once", told)
	}
	k.Arrived(now)
	if k.Ignoring() {
		t.Error("still after one has come")
	}
	if ask(now, time.Minute); told != 2 {
		t.Errorf("told of %d times after a key frame in between, want twice", told)
	}
}
