package calls

import (
	"math/rand/v2"
	"testing"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// videoCodecs are all that clients may send.
var videoCodecs = []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265}

// publishers joins one publisher of each codec. They begin when the server has the keys of
// all of them, and of those who are there already, so that it misses none of what they send.
func (w *world) publishers(others ...*bot.Bot) (all []*bot.Bot) {
	w.t.Helper()
	for _, c := range videoCodecs {
		cfg := w.peer(bot.SendOnly)
		cfg.Codec, cfg.Paused = c, true
		all = append(all, w.join(cfg))
	}
	eventually(w.t, "all are established", func() (bool, any) {
		n := w.grown("established")
		return n == uint64(len(others)+len(all)), n
	})
	for _, b := range all {
		b.Resume()
	}
	return all
}

// to are the flows from several to one.
func to(viewer *bot.Bot, from []*bot.Bot) (flows []flow) {
	for _, b := range from {
		flows = append(flows, flow{b, viewer})
	}
	return flows
}

// requireCodecs holds that each flow is in its publisher's codec.
func requireCodecs(t *testing.T, flows ...flow) {
	t.Helper()
	for _, f := range flows {
		sent, got := track(f.from, param.Video), f.stream(param.Video)
		if sent.Codec == 0 || got.Codec != sent.Codec {
			t.Errorf("%v: sent as %v, received as %v", f, sent.Codec, got.Codec)
		}
	}
}

// One who is there from the beginning, and one who comes later and asks for nothing: the
// server asks each publisher, whatever its codec, and shows nothing before its key frame.
func TestPublishersOfAllCodecsBesideEachOther(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		early := w.join(w.peer(bot.RecvOnly))
		all := w.publishers(early)
		requireFrames(t, 25, to(early, all)...)
		requireCodecs(t, to(early, all)...)

		var before []bot.SendStats
		for _, b := range all {
			before = append(before, track(b, param.Video))
		}
		cfg := w.peer(bot.RecvOnly)
		cfg.NoPLI = true
		late := w.join(cfg)
		requireFrames(t, 25, to(late, all)...)
		requireCodecs(t, to(late, all)...)
		for i, f := range to(late, all) {
			after, got := track(f.from, param.Video), f.stream(param.Video)
			if after.PLI+after.FIR == before[i].PLI+before[i].FIR || after.KeyFrames == before[i].KeyFrames {
				t.Errorf("%v was not asked: before %+v, after %+v", after.Codec, before[i], after)
			}
			if got.KeyFrames == 0 || got.PLIs != 0 {
				t.Errorf("%v: %+v", after.Codec, got)
			}
		}
		requireIntact(t, to(early, all)...)
		requireIntact(t, to(late, all)...)

		// Every key frame that was sent has been recognised, once.
		sent := uint64(0)
		for _, b := range all {
			b.Pause()
			sent += track(b, param.Video).KeyFrames
		}
		eventually(t, "all key frames are counted", func() (bool, any) {
			n := w.grown("key_frames")
			return n >= sent, n
		})
		w.requireGrown("key_frames", sent)
		w.requireGrown("blind_starts", 0)
	})
}

func TestEachOfAChannelSendsInACodecOfItsOwn(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		var all []*bot.Bot
		for _, c := range []param.Codec{param.AV1, param.VP8, param.H264} {
			cfg := w.peer(bot.SendRecv)
			cfg.Codec = c
			all = append(all, w.join(cfg))
		}
		requireFrames(t, 25, among(all...)...)
		requireCodecs(t, among(all...)...)
		requireIntact(t, among(all...)...)
	})
}

// One viewer stays while publishers of all codecs come and go: the sections are used again,
// each time for another codec.
func TestSectionIsUsedAgainForAnotherCodec(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		viewer := w.join(w.peer(bot.RecvOnly))
		for _, c := range append(videoCodecs, videoCodecs[0]) {
			cfg := w.peer(bot.SendOnly)
			cfg.Codec = c
			publisher := w.join(cfg)
			requireFrames(t, 10, flow{publisher, viewer})
			requireCodecs(t, flow{publisher, viewer})
			requireIntact(t, flow{publisher, viewer})
			leave(t, publisher)
			requireNotify(t, viewer, "connection.destroyed", publisher)
		}
		requireClean(t, viewer)
	})
}

// The viewer rejects that one section; it gets all others, the sound of that publisher too.
func TestViewerWithoutH265DoesNotGetThatStream(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		all := w.publishers()
		hevc := all[len(all)-1]
		cfg := w.peer(bot.RecvOnly)
		cfg.Without = []param.Codec{param.H265}
		viewer, other := w.join(cfg), w.join(w.peer(bot.RecvOnly))
		requireFrames(t, 25, to(viewer, all[:len(all)-1])...)
		requireFrames(t, 25, to(other, all)...)
		eventually(t, "the sound of the H.265 publisher came", func() (bool, any) {
			s := flow{hevc, viewer}.stream(param.Audio)
			return s.Frames >= 25, s
		})
		if s := (flow{hevc, viewer}).stream(param.Video); s.Packets != 0 {
			t.Errorf("a viewer without H.265 got it: %+v", s)
		}
		requireIntact(t, to(viewer, all[:len(all)-1])...)
		requireIntact(t, to(other, all)...)

		// What comes later is not held up by the section that was rejected.
		cfg = w.peer(bot.SendOnly)
		cfg.Codec = param.VP9
		late := w.join(cfg)
		requireFrames(t, 25, flow{late, viewer})
		requireIntact(t, flow{late, viewer})
	})
}

// A client may ask to send what it cannot: it is heard, and not seen.
func TestPublisherThatCannotSendWhatItAskedForIsOnlyHeard(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		cfg := w.peer(bot.SendOnly)
		cfg.Codec, cfg.Without = param.H265, []param.Codec{param.H265}
		publisher, viewer := w.join(cfg), w.join(w.peer(bot.RecvOnly))
		eventually(t, "it is heard", func() (bool, any) {
			s := flow{publisher, viewer}.stream(param.Audio)
			return s.Frames >= 25, s
		})
		if s := (flow{publisher, viewer}).stream(param.Video); s.SSRC != 0 {
			t.Errorf("a stream of video: %+v", s)
		}
		requireClean(t, viewer)
		requireClean(t, publisher)
	})
}

// Packets that were lost are repaired under the payload types of each codec.
func TestEveryCodecIsRepaired(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		viewer := w.peer(bot.RecvOnly)
		luck := rand.New(rand.NewPCG(1, 2)) // a fixed interval could hit the same stream each time
		viewer.Incoming = func(b []byte) bool { return !isMedia(b) || luck.IntN(20) != 0 }
		v := w.join(viewer)
		all := w.publishers(v)
		eventually(t, "lost packets of every codec were sent again", func() (bool, any) {
			for _, f := range to(v, all) {
				if s := f.stream(param.Video); s.Recovered < 3 || s.Frames < 25 {
					return false, s
				}
			}
			return true, nil
		})
		for _, f := range to(v, all) {
			s := f.stream(param.Video)
			if s.BadPayload != 0 || s.WrongType != 0 || s.Shifts != 0 || s.Verified != s.Packets-s.Padding {
				t.Errorf("%v: %+v", f, s)
			}
		}
		requireCodecs(t, to(v, all)...)
	})
}

// isMedia tells RTP from all else on the wire (RFC 7983, RFC 5761 section 4).
func isMedia(b []byte) bool { return len(b) > 12 && b[0]>>6 == 2 && b[1]&0x7f >= 96 }
