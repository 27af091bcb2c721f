package send

import "testing"

// Row ICE-14: what a viewer was not sent is made up for by the next key frame, under numbers
// that go on.
func TestInterruptedVideoGoesOnAtTheNextKeyFrame(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(11, 0), 101)
	s.Interrupt()
	if !s.Waiting() {
		t.Fatal("does not wait")
	}
	wantRefused(t, s, pkt(12, 0))
	wantRefused(t, s, pkt(13, 0))
	wantOut(t, s, pkt(14, keyFrame), 102)
	wantOut(t, s, pkt(15, 0), 103)
}

func TestInterruptedAudioGoesOnAtOnce(t *testing.T) {
	s := newAudio()
	wantOut(t, s, pkt(10, 0), 100)
	s.Interrupt()
	wantOut(t, s, pkt(11, 0), 101)
}
