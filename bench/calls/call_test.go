package calls

import (
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

func TestSendrecvOfTwo(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		a := w.join(w.peer(bot.SendRecv))
		if n := requireNotify(t, a, "connection.created", a); n.ChannelConnections != 1 {
			t.Errorf("the first is told of %d connections", n.ChannelConnections)
		}
		b := w.join(w.peer(bot.SendRecv))
		if n := requireNotify(t, a, "connection.created", b); n.ChannelConnections != 2 || n.Role != bot.SendRecv {
			t.Errorf("the first is told of the second: %+v", n)
		}
		requireFrames(t, 50, among(a, b)...)
		requireIntact(t, among(a, b)...)

		leave(t, b)
		if n := requireNotify(t, a, "connection.destroyed", b); n.ChannelConnections != 1 {
			t.Errorf("after one has left there are %d connections", n.ChannelConnections)
		}
		eventually(t, "the streams of the other have ended", func() (bool, any) {
			s := flow{b, a}.stream(param.Video)
			return s.SSRC == 0, s
		})
		requireClean(t, a)
	})
}

func TestSendrecvOfThree(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		all := []*bot.Bot{w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))}
		requireFrames(t, 50, among(all...)...)
		requireIntact(t, among(all...)...)

		// Those who stay are not disturbed by the one who leaves.
		leave(t, all[1])
		requireNotify(t, all[0], "connection.destroyed", all[1])
		requireFrames(t, 25, among(all[0], all[2])...)
		requireIntact(t, among(all[0], all[2])...)
	})
}

func TestSendonlyToRecvonly(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		publisher, viewer := w.join(w.peer(bot.SendOnly)), w.join(w.peer(bot.RecvOnly))
		requireFrames(t, 50, flow{publisher, viewer})
		requireIntact(t, flow{publisher, viewer})
		if n := len(publisher.Stats().Receiving); n != 0 {
			t.Errorf("a publisher receives %d streams", n)
		}
		if n := len(viewer.Stats().Sending); n != 0 {
			t.Errorf("a viewer sends %d tracks", n)
		}
		requireClean(t, publisher)
	})
}

func TestViewerFirstAndPublisherLater(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		viewer := w.join(w.peer(bot.RecvOnly))
		requireNotify(t, viewer, "connection.created", viewer)
		if n := len(viewer.Stats().Receiving); n != 0 {
			t.Errorf("%d streams of nobody", n)
		}
		publisher := w.join(w.peer(bot.SendOnly))
		requireNotify(t, viewer, "connection.created", publisher)
		requireFrames(t, 50, flow{publisher, viewer})
		requireIntact(t, flow{publisher, viewer})
	})
}

// A bot sends a key frame at its start and when it is asked, never else, and the late viewer
// asks for none: the server does, on its own account.
func TestLateJoinerGetsAKeyFrame(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		publisher, early := w.join(w.peer(bot.SendOnly)), w.join(w.peer(bot.RecvOnly))
		requireFrames(t, 50, flow{publisher, early})
		before := track(publisher, param.Video)
		cfg := w.peer(bot.RecvOnly)
		cfg.NoPLI = true
		late := w.join(cfg)
		requireFrames(t, 25, flow{publisher, late})
		after, got := track(publisher, param.Video), flow{publisher, late}.stream(param.Video)
		if after.PLI+after.FIR == before.PLI+before.FIR || after.KeyFrames == before.KeyFrames {
			t.Errorf("the publisher was not asked: before %+v, after %+v", before, after)
		}
		// The first picture is the one that was asked for, so nothing before it was sent.
		if got.KeyFrames == 0 || got.PLIs != 0 {
			t.Errorf("%+v", got)
		}
		requireIntact(t, flow{publisher, late}, flow{publisher, early})
	})
}

// Forty viewers come at the same time, and each of them needs a key frame: the publisher is
// asked for one every half second at most, and all of them see the picture.
//
// Row RTP-08.
func TestMassJoinAsksForFewKeyFrames(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		publisher := w.join(w.peer(bot.SendOnly))
		before, begin := track(publisher, param.Video), time.Now()
		viewers := w.crowd(40, func(int) bot.Config { return w.peer(bot.RecvOnly) })
		var flows []flow
		for _, v := range viewers {
			if err := v.WaitConnected(within(t)); err != nil {
				t.Fatal(err)
			}
			flows = append(flows, flow{publisher, v})
		}
		requireFrames(t, 5, flows...)
		requireIntact(t, flows...)
		after, took := track(publisher, param.Video), time.Since(begin)
		if n := after.PLI + after.FIR - before.PLI - before.FIR; n == 0 || n > 2+uint64(took/(500*time.Millisecond)) {
			t.Errorf("%d requests for key frames within %v", n, took)
		}
	})
}

// One viewer stays while publishers come and go: sections that were released are used again,
// and no packet of one is taken for the other's.
func TestJoinLeaveJoinJoinLeave(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		viewer := w.join(w.peer(bot.RecvOnly))
		one := w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, flow{one, viewer})
		leave(t, one)
		requireNotify(t, viewer, "connection.destroyed", one)

		one, two := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, flow{one, viewer}, flow{two, viewer}, flow{two, one}, flow{one, two})
		leave(t, one)
		requireNotify(t, viewer, "connection.destroyed", one)
		requireFrames(t, 25, flow{two, viewer})
		requireIntact(t, flow{two, viewer})
		leave(t, two)
		requireNotify(t, viewer, "connection.destroyed", two)
		requireClean(t, viewer)
	})
}

func TestAudioOnlyAndVideoOnly(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		cfg := w.peer(bot.SendOnly)
		cfg.Video = false
		speaker := w.join(cfg)
		cfg.Audio, cfg.Video = false, true
		camera := w.join(cfg)
		viewer := w.join(w.peer(bot.RecvOnly))
		eventually(t, "sound and pictures came", func() (bool, any) {
			s, v := flow{speaker, viewer}.stream(param.Audio), flow{camera, viewer}.stream(param.Video)
			return s.Frames >= 25 && v.Frames >= 25, []bot.ReceiveStats{s, v}
		})
		for _, nothing := range []bot.ReceiveStats{flow{speaker, viewer}.stream(param.Video), flow{camera, viewer}.stream(param.Audio)} {
			if nothing.Packets != 0 {
				t.Errorf("of what nobody sends: %+v", nothing)
			}
		}
		requireClean(t, viewer)
	})
}
