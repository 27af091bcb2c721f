package turn

import (
	"net"
	"sync/atomic"
	"testing"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// gate is a connection that nobody reads from while it is shut.
type gate struct {
	net.Conn
	opened atomic.Pointer[chan struct{}] // nil: it is open
}

func (g *gate) shut() {
	c := make(chan struct{})
	g.opened.Store(&c)
}

func (g *gate) open() {
	if c := g.opened.Swap(nil); c != nil {
		close(*c)
	}
}

func (g *gate) Read(b []byte) (int, error) {
	if c := g.opened.Load(); c != nil {
		<-*c
	}
	return g.Conn.Read(b)
}

// gated starts a bot by v whose connection has a gate, and a small window.
func (w *world) gated(v way, cfg bot.Config) (*bot.Bot, *gate) {
	w.t.Helper()
	g := &gate{}
	b, _ := w.bridged(v, cfg, func(c net.Conn) net.Conn {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(32 << 10)
		}
		g.Conn = c
		return g
	})
	// Before the bridge ends, which waits for its reader.
	w.t.Cleanup(g.open)
	requireConnected(w.t, b)
	return b, g
}

// source is a bot whose video fills any queue soon, beside sound that does not.
func (w *world) source() bot.Config {
	cfg := w.peer(bot.SendOnly)
	cfg.Bitrate, cfg.FrameRate = 3_000_000, 25
	return cfg
}

// eachSlow runs a test with somebody who may stop to read: by every way that is a stream.
func eachSlow(t *testing.T, f func(t *testing.T, w *world, v way)) {
	t.Parallel()
	for _, v := range []way{overTCP, overTLS, iceOverTCP} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			f(t, start(t, nil), v)
		})
	}
}

// Who does not read for a while loses video, from frame to frame, and no sound; when he reads
// again his video goes on with a key frame. Nobody else is told to wait.
//
// Row ICE-14.
func TestSlowReaderLosesVideoOnly(t *testing.T) {
	eachSlow(t, func(t *testing.T, w *world, v way) {
		from, other := w.join(w.source()), w.join(w.peer(bot.RecvOnly))
		slow, g := w.gated(v, w.peer(bot.RecvOnly))
		requireFrames(t, 10, flow{from, slow}, flow{from, other})
		g.shut()
		w.waitGrown("drop_stream_video", 1)
		requireFrames(t, 5, flow{from, other})
		keys := flow{from, slow}.stream(param.Video).KeyFrames
		g.open()
		eventually(t, "a key frame", func() (bool, any) {
			s := flow{from, slow}.stream(param.Video)
			return s.KeyFrames > keys, s
		})
		requireFrames(t, 25, flow{from, slow}, flow{from, other})
		w.requireGrown("drop_stream_audio", 0)
		w.requireGrown("drop_stream_control", 0)
		if s := (flow{from, slow}).stream(param.Audio); s.Lost != 0 || s.Verified != s.Packets {
			t.Errorf("sound: %+v", s)
		}
		if s := (flow{from, slow}).stream(param.Video); s.BadPayload != 0 || s.Verified != s.Packets || s.Duplicates != 0 {
			t.Errorf("picture: %+v", s)
		}
		requireIntact(t, flow{from, other})
	})
}

// Who does not read at all is closed when nothing has gone out for ten seconds. Its queue was
// bounded until then, and nobody else has missed anything.
//
// Row ICE-14.
func TestReaderThatStopsIsClosed(t *testing.T) {
	eachSlow(t, func(t *testing.T, w *world, v way) {
		from, other := w.join(w.source()), w.join(w.peer(bot.RecvOnly))
		slow, g := w.gated(v, w.peer(bot.RecvOnly))
		requireFrames(t, 10, flow{from, slow}, flow{from, other})
		g.shut()
		w.waitGrown("stream_ended_stalled", 1)
		w.waitGrown("drop_stream_video", 1)
		eventually(t, "its allocation and its place have gone", func() (bool, any) {
			n := w.grown("turn_allocations") + w.grown("stream_open")
			return n == 0, n
		})
		requireFrames(t, 25, flow{from, other})
		requireIntact(t, flow{from, other})
	})
}
