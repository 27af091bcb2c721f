package stream

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// short are timeouts for tests with real sockets.
func short() Config {
	return Config{
		QueueBytes: 64 << 10, FirstFrame: 200 * time.Millisecond, IdleTimeout: 300 * time.Millisecond,
		StallTimeout: 400 * time.Millisecond, Totals: new(Totals),
	}
}

// Row ICE-13.
func TestPeerThatSendsNothingIsClosed(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	h.serve(t, c, nil, flow.FramedStream, short())
	h.ended(t, NoFirstFrame)
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer read %v", err)
	}
}

// The deadline is of the frame, not of the byte: nothing prolongs it but a whole frame.
// Row ICE-13.
// Row TURN-09.
func TestPeerThatSendsAByteASecondIsClosedAfterFive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		begin := time.Now()
		h.serve(t, c, nil, flow.TURNStream, Config{})
		sender := make(chan struct{})
		go func() {
			defer close(sender)
			second := time.NewTicker(time.Second) // of a clock that is virtual
			defer second.Stop()
			for i := 0; ; i++ {
				if _, err := peer.Write(binding[i%20 : i%20+1]); err != nil {
					return
				}
				<-second.C
			}
		}()
		h.ended(t, NoFirstFrame)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		peer.Close()
		<-sender
	})
}

// Row ICE-13.
func TestEmptyFramesDoNotStandForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		begin := time.Now()
		h.serve(t, c, []byte{0, 0, 0, 0}, flow.FramedStream, Config{})
		h.ended(t, NoFirstFrame)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		peer.Close()
	})
}

// Row ICE-13.
func TestPeerThatFallsSilentIsClosedAfterElevenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		begin := time.Now()
		s := h.serve(t, c, []byte{0, 1, 5}, flow.FramedStream, Config{})
		h.frames(t, s, 1)
		s.Prove()
		<-time.After(10 * time.Minute) // of a clock that is virtual
		peer.Write([]byte{0, 0})       // a sign of life
		<-time.After(10 * time.Minute)
		peer.Write([]byte{0, 9, 1}) // and none: it is not whole
		h.ended(t, Idle)
		if took := time.Since(begin); took != 21*time.Minute {
			t.Errorf("after %v", took)
		}
		peer.Close()
	})
}

// Frames that anybody can make keep nobody's place: neither one nor many.
//
// Rows ICE-13 and TURN-09.
func TestPeerThatProvesNothingIsClosedAfterFifteenSeconds(t *testing.T) {
	for name, every := range map[string]time.Duration{"one frame": time.Hour, "a frame a second": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := virtualHome()
				c, peer := net.Pipe()
				begin := time.Now()
				h.serve(t, c, binding, flow.TURNStream, Config{})
				sender := make(chan struct{})
				go func() {
					defer close(sender)
					tick := time.NewTicker(every)
					defer tick.Stop()
					for range 100 {
						<-tick.C
						if _, err := peer.Write(binding); err != nil {
							return
						}
					}
				}()
				h.ended(t, Unproven)
				if took := time.Since(begin); took != 15*time.Second {
					t.Errorf("after %v", took)
				}
				peer.Close()
				<-sender
			})
		})
	}
}

func TestPeerThatHasProvenItselfStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		begin := time.Now()
		s := h.serve(t, c, binding, flow.TURNStream, Config{})
		<-time.After(14 * time.Second)
		s.Prove()
		h.ended(t, Idle)
		if took := time.Since(begin); took != 11*time.Minute {
			t.Errorf("after %v", took)
		}
		peer.Close()
	})
}

func TestPeerWhoseProofHasEndedHasFifteenSecondsAgain(t *testing.T) {
	for name, again := range map[string]bool{"and nothing comes": false, "and a new one comes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := virtualHome()
				c, peer := net.Pipe()
				begin := time.Now()
				s := h.serve(t, c, binding, flow.TURNStream, Config{})
				s.Prove()
				<-time.After(time.Minute)
				s.Unprove()
				want, after := Unproven, 75*time.Second
				if again {
					<-time.After(14 * time.Second)
					s.Unprove() // once is enough
					s.Prove()
					want, after = Idle, 11*time.Minute
				}
				h.ended(t, want)
				if took := time.Since(begin); took != after {
					t.Errorf("after %v", took)
				}
				peer.Close()
			})
		})
	}
}

// The time that the shard takes is not the peer's.
func TestWaitingForTheShardIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		s := h.serve(t, c, []byte{0, 1, 5}, flow.FramedStream, Config{})
		h.frames(t, s, 1)
		s.Prove()
		const frames = 100
		go func() {
			for i := range frames {
				peer.Write(framedBytes(numbered(i, 1000)))
			}
		}()
		<-time.After(time.Hour) // of a clock that is virtual
		h.frames(t, s, frames)
		if s.Reason() != running {
			t.Errorf("ended: %v", s.Reason())
		}
		s.Close()
		h.ended(t, Closed)
		peer.Close()
	})
}

func TestPeerThatReadsNothingIsClosedAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe() // has no buffer at all
		s := h.serve(t, c, nil, flow.FramedStream, Config{FirstFrame: time.Hour})
		s.Prove()
		<-time.After(time.Minute) // nothing waits: nothing stalls
		begin := time.Now()
		s.Send(mmsg.Control, []byte{1})
		s.Flush()
		h.ended(t, Stalled)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("after %v", took)
		}
		peer.Close()
	})
}

func TestCloseGivesTheWriterOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := virtualHome()
		c, peer := net.Pipe()
		s := h.serve(t, c, nil, flow.FramedStream, Config{})
		s.Send(mmsg.Control, []byte{1})
		s.Flush()
		<-time.After(time.Second / 2) // of a clock that is virtual; the writer is in Write
		begin := time.Now()
		s.Close()
		h.ended(t, Closed)
		if took := time.Since(begin); took != linger {
			t.Errorf("after %v", took)
		}
		peer.Close()
	})
}

// Row ICE-13.
// Row TURN-09.
func TestLyingLengthEndsTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		carrier flow.Carrier
		b       []byte
	}{
		"RFC 4571":          {flow.FramedStream, []byte{0, 1, 5, 0xff, 0xff}},
		"STUN":              {flow.TURNStream, append(append([]byte{}, binding...), 0, 1, 0xff, 0xfc)},
		"ChannelData":       {flow.TURNStream, []byte{0x40, 0, 0, 1, 5, 0, 0, 0, 0x40, 0, 0xff, 0xff}},
		"missing padding":   {flow.TURNStream, append([]byte{0x40, 0, 0, 1, 5}, append(binding, binding...)...)},
		"reserved channels": {flow.TURNStream, append(append([]byte{}, binding...), 0x7f)},
	} {
		h := newHome()
		conn, peer := tcpPair(t)
		s := h.serve(t, conn, nil, c.carrier, Config{})
		write(t, peer, c.b)
		h.frames(t, s, 1) // the one before the lie
		h.ended(t, BadFrame)
		peer.SetReadDeadline(time.Now().Add(patience))
		if _, err := peer.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the peer's connection is open", name)
		}
	}
}

// Row TURN-09.
func TestHalfOpenConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"its writing side": func(peer *net.TCPConn) { peer.CloseWrite() },
		"reset":            func(peer *net.TCPConn) { peer.SetLinger(0); peer.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome()
			c, peer := tcpPair(t)
			s := h.serve(t, c, nil, flow.TURNStream, Config{})
			write(t, peer, binding)
			h.frames(t, s, 1)
			write(t, peer, binding[:7])
			end(peer)
			h.ended(t, PeerClosed)
		})
	}
}

// untilStuck fills a stream until its writer has not come on for a hundred looks: the peer's
// window is closed and the kernel holds all that it takes.
func untilStuck(t *testing.T, s *Stream, fill func()) {
	t.Helper()
	written, looks := uint64(0), 0
	until(t, "the kernel to be full", func() bool {
		fill()
		if now := s.Counters().Written.Load(); now != written {
			written, looks = now, 0
		}
		looks++
		return looks > 100 && s.Queued() > 0
	})
}

// A peer with a closed receive window first loses video, then audio, then all, and is closed
// at last. Another one gets everything meanwhile, and what the slow one reads in the end is
// whole.
// Row ICE-14.
func TestSlowReaderLosesVideoThenAudioThenItsConnection(t *testing.T) {
	slow, good := newHome(), newHome()
	cfg := Config{QueueBytes: 64 << 10, FirstFrame: patience, StallTimeout: time.Second}
	slowConn, slowPeer := tcpPair(t)
	slowPeer.SetReadBuffer(4 << 10)
	goodConn, goodPeer := tcpPair(t)
	s := slow.serve(t, slowConn, nil, flow.FramedStream, cfg)
	g := good.serve(t, goodConn, nil, flow.FramedStream, cfg)
	echo := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, goodPeer)
		echo <- int(n)
	}()

	frame := numbered(1, 1000)
	sentToGood := 0
	fill := func(c mmsg.Class, limit int) {
		t.Helper()
		for range 8 {
			if g.Send(mmsg.Video, frame) {
				sentToGood += lengthSize + len(frame)
			}
		}
		g.Flush()
		for s.Send(c, frame) {
		}
		s.Flush()
		if used := s.out.used(); used > limit {
			t.Fatalf("%v taken up to %d of %d", c, used, limit)
		}
	}
	queue := s.cfg.QueueBytes
	untilStuck(t, s, func() { fill(mmsg.Video, queue/2) })
	if used := s.out.used(); used < queue/2-2*maxWire {
		t.Errorf("video refused at %d of %d", used, queue)
	}
	if !s.Send(mmsg.Audio, frame) || !s.Send(mmsg.Control, frame) {
		t.Error("audio or control refused with video")
	}
	fill(mmsg.Audio, queue/8*7)
	if used := s.out.used(); used < queue/8*7-2*maxWire {
		t.Errorf("audio refused at %d of %d", used, queue)
	}
	if s.Send(mmsg.Video, frame) || !s.Send(mmsg.Control, frame) {
		t.Error("video taken, or control refused with audio")
	}
	fill(mmsg.Control, queue)
	if used := s.out.used(); used < queue-2*maxWire {
		t.Errorf("control refused at %d of %d", used, queue)
	}
	for c := range mmsg.Classes {
		if s.Counters().Dropped[c].Load() == 0 {
			t.Errorf("no refusal of %v counted", mmsg.Class(c))
		}
	}
	slow.ended(t, Stalled)

	if g.Reason() != running {
		t.Errorf("the good reader's stream ended: %v", g.Reason())
	}
	g.Close()
	good.ended(t, Closed)
	if n := wait(t, echo, "the good reader's bytes"); n != sentToGood {
		t.Errorf("the good reader got %d bytes of %d", n, sentToGood)
	}
	got, _ := io.ReadAll(slowPeer) // a reset cuts it short
	frames, err := peekAll(framed, got)
	if err != nil || len(frames) == 0 {
		t.Errorf("the slow reader got %d frames, %v", len(frames), err)
	}
	for _, f := range frames {
		if len(f) != len(frame) {
			t.Fatalf("a frame of %d bytes", len(f))
		}
	}
}

// A reader that recovers before the stall timeout is kept, and may have video again.
// Row ICE-14.
func TestReaderThatRecoversIsKept(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{QueueBytes: 64 << 10})
	frame := numbered(1, 1000)
	untilStuck(t, s, func() {
		for s.Send(mmsg.Video, frame) {
		}
		s.Flush()
	})
	go io.Copy(io.Discard, peer)
	until(t, "video to be taken", func() bool {
		ok := s.Send(mmsg.Video, frame)
		s.Flush()
		return ok
	})
	until(t, "the queue to be empty", func() bool { return s.Queued() == 0 })
	s.Close()
	h.ended(t, Closed)
}

// Row ICE-13.
func TestHundredsOfIdleSocketsAllEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHome()
	cfg := short()
	cfg.FirstFrame = time.Second
	const sockets = 500
	for range sockets {
		c, _ := dial(t, l)
		h.serve(t, c, nil, flow.FramedStream, cfg)
	}
	if n := cfg.Totals.Opened.Load(); n != sockets {
		t.Errorf("%d were opened", n)
	}
	for range sockets {
		h.ended(t, NoFirstFrame)
	}
	if cfg.Totals.Open.Load() != 0 || cfg.Totals.Ended[NoFirstFrame].Load() != sockets {
		t.Errorf("%d are open, %d ended", cfg.Totals.Open.Load(), cfg.Totals.Ended[NoFirstFrame].Load())
	}
	l.Close()
	goleak.VerifyNone(t, before)
}
