package bot

import (
	"testing"

	"tsubame/media/param"
)

// Publishers of every codec and with lost packets, so that retransmissions are of the right
// payload type too.
func TestEveryVideoCodecIsSentAndVerified(t *testing.T) {
	r := newRig(t)
	n := 0
	r.lose = func(*peer) bool { n++; return n%20 == 0 }
	viewer := r.call(r.config(RecvOnly))
	for _, c := range videoCodecs {
		cfg := r.config(SendOnly)
		cfg.Audio, cfg.Codec = false, c
		publisher := r.call(cfg)
		if s := publisher.Stats().Sending; len(s) != 1 || s[0].Codec != c {
			t.Fatalf("%v: sending %+v", c, s)
		}
		until(t, c.String()+" came and was repaired", func() bool {
			s := received(viewer, param.Video)
			return s.Codec == c && s.Frames >= 25 && s.Recovered >= 3
		})
		s := received(viewer, param.Video)
		if s.BadPayload != 0 || s.WrongType != 0 || s.KeyFrames == 0 || s.Shifts != 0 {
			t.Errorf("%v: %+v", c, s)
		}
		if err := publisher.Close(within(t)); err != nil {
			t.Error(err)
		}
		until(t, "the stream has ended", func() bool { return received(viewer, param.Video).SSRC == 0 })
	}
}

func TestStreamInACodecThatTheBotDoesNotSpeakIsNotReceived(t *testing.T) {
	r := newRig(t)
	cfg := r.config(RecvOnly)
	cfg.Without = []param.Codec{param.H265}
	viewer, all := r.call(cfg), r.call(r.config(RecvOnly))
	cfg = r.config(SendOnly)
	cfg.Codec = param.H265
	r.call(cfg)
	until(t, "pictures came to who takes them", func() bool { return received(all, param.Video).Frames >= 10 })
	until(t, "sound came", func() bool { return received(viewer, param.Audio).Frames >= 10 })
	if s := received(viewer, param.Video); s.Packets != 0 {
		t.Errorf("%+v", s)
	}
}
