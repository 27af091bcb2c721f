package stream

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

func TestFramesComeAsTheyWereSent(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	const frames = 2000
	go func() {
		for i := range frames {
			peer.Write(framedBytes(numbered(i, 4+i*13%1200)))
		}
	}()
	for i, f := range h.frames(t, s, frames) {
		if !bytes.Equal(f, numbered(i, 4+i*13%1200)) {
			t.Fatalf("frame %d: %x", i, f)
		}
	}
	if n := s.Counters().FramesIn.Load(); n != frames {
		t.Errorf("counted %d", n)
	}
	peer.Close()
	h.ended(t, PeerClosed)
}

func TestFramesOfTURNComeWithoutTheirPadding(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.TURNStream, Config{})
	write(t, peer, append(bytes.Clone(binding), 0x40, 0, 0, 1, 9, 0xff, 0xff, 0xff, 0x40, 1, 0, 0))
	got := h.frames(t, s, 3)
	for i, want := range [][]byte{binding, {0x40, 0, 0, 1, 9}, {0x40, 1, 0, 0}} {
		if !bytes.Equal(got[i], want) {
			t.Errorf("frame %d: %x", i, got[i])
		}
	}
	s.Close()
	h.ended(t, Closed)
}

// Row TURN-09.
func TestSingleBytesMakeAFrame(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.TURNStream, Config{})
	peer.SetNoDelay(true)
	for range 3 {
		for i := range binding {
			write(t, peer, binding[i:i+1])
		}
		if got := h.frames(t, s, 1); !bytes.Equal(got[0], binding) {
			t.Fatalf("%x", got[0])
		}
	}
	s.Close()
	h.ended(t, Closed)
}

func TestBytesThatWereReadBeforeComeFirst(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	all := append(framedBytes([]byte("one")), framedBytes([]byte("two"))...)
	s := h.serve(t, c, all[:7], flow.FramedStream, Config{})
	write(t, peer, all[7:])
	got := h.frames(t, s, 2)
	if string(got[0]) != "one" || string(got[1]) != "two" {
		t.Errorf("%q", got)
	}
	s.Close()
	h.ended(t, Closed)
}

func TestMoreBytesReadBeforeThanARingHolds(t *testing.T) {
	h := newHome()
	c, _ := tcpPair(t)
	var first []byte
	const frames = 200
	for i := range frames {
		first = append(first, framedBytes(numbered(i, 1000))...)
	}
	s := h.serve(t, c, first, flow.FramedStream, Config{})
	for i, f := range h.frames(t, s, frames) {
		if !bytes.Equal(f, numbered(i, 1000)) {
			t.Fatalf("frame %d: %.8x", i, f)
		}
	}
	s.Close()
	h.ended(t, Closed)
}

func TestWhatIsSentArrivesFramed(t *testing.T) {
	for _, carrier := range []flow.Carrier{flow.FramedStream, flow.TURNStream} {
		h := newHome()
		c, peer := tcpPair(t)
		s := h.serve(t, c, nil, carrier, Config{})
		var want []byte
		for i := range 100 {
			f := numbered(i, 4+4*i)
			if !s.Send(mmsg.Video, f) {
				t.Fatal("refused")
			}
			if carrier == flow.FramedStream {
				f = framedBytes(f)
			}
			want = append(want, f...)
		}
		s.Flush()
		if got := read(t, peer, len(want)); !bytes.Equal(got, want) {
			t.Errorf("carrier %d: other bytes arrived", carrier)
		}
		if n := s.Counters().FramesOut.Load(); n != 100 {
			t.Errorf("counted %d frames", n)
		}
		if n := s.Counters().BytesOut.Load(); n != uint64(len(want)) {
			t.Errorf("counted %d bytes", n)
		}
		s.Close()
		h.ended(t, Closed)
	}
}

func TestNothingLeavesBeforeFlush(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.TURNStream, Config{})
	until(t, "the writer to sleep", func() bool { return s.asleep.Load() == 1 })
	for range 10 {
		s.Send(mmsg.Audio, []byte{1, 2, 3, 4})
	}
	if s.Queued() != 0 || s.asleep.Load() != 1 || s.Counters().Wakes.Load() != 0 {
		t.Error("the writer was told")
	}
	s.Flush()
	s.Flush()
	if n := s.Counters().Wakes.Load(); n != 1 {
		t.Errorf("woken %d times", n)
	}
	read(t, peer, 40)
	until(t, "the count", func() bool { return s.Counters().Writes.Load() > 0 })
	if n := s.Counters().Writes.Load(); n != 1 {
		t.Errorf("%d writes for one flush", n)
	}
	s.Close()
	h.ended(t, Closed)
}

// Row ICE-13.
func TestEmptyFramesAreASignOfLifeAndNothingElse(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	write(t, peer, []byte{0, 0, 0, 0, 0, 1, 5, 0, 0})
	wait(t, h.ready, "word of the frame")
	if got := h.frames(t, s, 1); !bytes.Equal(got[0], []byte{5}) {
		t.Errorf("%x", got)
	}
	// Far more of them than the ring holds: the shard does not hear of them, nor has to
	// make room.
	if _, ok := s.Next(); ok {
		t.Fatal("an empty frame was handed out")
	}
	write(t, peer, make([]byte, 4*InBytes))
	until(t, "all of them", func() bool { return s.Counters().EmptyIn.Load() == 3+2*InBytes })
	if len(h.ready) != 0 || s.Counters().FramesIn.Load() != 1 || s.Counters().BytesIn.Load() != 9+4*InBytes {
		t.Errorf("told %d times, %d frames, %d bytes", len(h.ready), s.Counters().FramesIn.Load(), s.Counters().BytesIn.Load())
	}
	write(t, peer, []byte{0, 1, 6})
	if got := h.frames(t, s, 1); !bytes.Equal(got[0], []byte{6}) {
		t.Errorf("%x", got)
	}
	s.Close()
	h.ended(t, Closed)
}

// A shard that takes nothing stops the peer, and loses nothing by it.
func TestReaderStopsWhileTheShardDoesNotTake(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	const frames = 20000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range frames {
			peer.Write(framedBytes(numbered(i, 1000)))
		}
	}()
	until(t, "the reader to wait", func() bool { return s.full.Load() == 1 })
	if n := s.Counters().BytesIn.Load(); n > InBytes {
		t.Errorf("%d bytes were taken into %d", n, InBytes)
	}
	select {
	case <-sent:
		t.Error("the peer was not stopped")
	default:
	}
	// Less than half: the reader sleeps on.
	for range InBytes / 4 / 1002 {
		s.Next()
	}
	s.Release()
	if s.full.Load() != 1 {
		t.Error("woken for little")
	}
	first := int(InBytes / 4 / 1002)
	for i, f := range h.frames(t, s, frames-first) {
		if !bytes.Equal(f, numbered(first+i, 1000)) {
			t.Fatalf("frame %d: %.8x", first+i, f)
		}
	}
	s.Close()
	h.ended(t, Closed)
}

func TestViewsStayUntilRelease(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	go func() {
		for i := range 500 {
			peer.Write(framedBytes(numbered(i, 1000)))
		}
	}()
	until(t, "the reader to wait", func() bool { return s.full.Load() == 1 })
	var views [][]byte
	for f, ok := s.Next(); ok; f, ok = s.Next() {
		views = append(views, f)
	}
	if s.full.Load() != 1 {
		t.Error("the reader went on")
	}
	for i, f := range views {
		if !bytes.Equal(f, numbered(i, 1000)) {
			t.Fatalf("frame %d: %.8x", i, f)
		}
	}
	s.Release()
	h.frames(t, s, 500-len(views))
	s.Close()
	h.ended(t, Closed)
}

func TestShardIsToldOnceUntilItHasLooked(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	for i := range 20 {
		write(t, peer, []byte{0, 1, byte(i)})
		until(t, "the frame", func() bool { return s.Counters().FramesIn.Load() == uint64(i+1) })
	}
	wait(t, h.ready, "word")
	if len(h.ready) != 0 {
		t.Errorf("told %d times", 1+len(h.ready))
	}
	h.frames(t, s, 20)
	if _, ok := s.Next(); ok {
		t.Error("a frame too many")
	}
	write(t, peer, []byte{0, 1, 9})
	wait(t, h.ready, "word of the next frame")
	s.Close()
	h.ended(t, Closed)
}

func TestFramesThatWaitAtTheEndCanBeTaken(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	write(t, peer, []byte{0, 1, 5, 0, 1, 6})
	peer.Close()
	h.ended(t, PeerClosed)
	if got := h.frames(t, s, 2); got[0][0] != 5 || got[1][0] != 6 {
		t.Errorf("%x", got)
	}
	if s.Send(mmsg.Control, []byte{1, 2, 3, 4}) {
		t.Error("a stream that is over took a frame")
	}
	s.Flush()
	s.Close()
	if s.Reason() != PeerClosed {
		t.Errorf("the reason changed to %v", s.Reason())
	}
}

func TestCloseSendsWhatWasFlushed(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.TURNStream, Config{})
	want := make([]byte, 0, 100*1000)
	for i := range 100 {
		f := numbered(i, 1000)
		s.Send(mmsg.Video, f)
		want = append(want, f...)
	}
	s.Flush()
	s.Close()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived of %d, %v", len(got), len(want), err)
	}
	h.ended(t, Closed)
}

func TestCloseEndsAReaderThatWaitsForTheShard(t *testing.T) {
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	go func() {
		for peerErr := error(nil); peerErr == nil; {
			_, peerErr = peer.Write(framedBytes(numbered(1, 1000)))
		}
	}()
	until(t, "the reader to wait", func() bool { return s.full.Load() == 1 })
	s.Close()
	h.ended(t, Closed)
}

func TestSinkThatHasNoRoomHearsNothingMore(t *testing.T) {
	h := newHome()
	h.refuse = true
	c, peer := tcpPair(t)
	totals := new(Totals)
	err := Serve(c, []byte{0, 1, 5}, Info{Carrier: flow.FramedStream}, h, Config{Totals: totals})
	if err != Refused || totals.Ended[Refused].Load() != 1 || totals.Open.Load() != 0 || totals.Opened.Load() != 1 {
		t.Errorf("%v, %+v", err, totals.Ended[Refused].Load())
	}
	if len(h.gone) != 0 || len(h.ready) != 0 {
		t.Error("the sink was told")
	}
	if n, err := peer.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of what should be closed", n)
	}
}

func TestStreamKnowsItsFlow(t *testing.T) {
	h := newHome()
	c, _ := tcpPair(t)
	s := h.serve(t, c, nil, flow.TURNStream, Config{})
	want := flow.KeyOf(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("198.51.100.7:4000"))
	want.Via = flow.OverStream(flow.TURNStream, 7)
	if s.Key() != want || s.Via() != want.Via || s.Info().Carrier != flow.TURNStream {
		t.Errorf("%+v, want %+v", s.Key(), want)
	}
	s.Close()
	h.ended(t, Closed)
}

func TestFramesThatNoPeerTakesPanic(t *testing.T) {
	for name, c := range map[string]struct {
		carrier flow.Carrier
		frame   []byte
	}{
		"TURN without padding": {flow.TURNStream, make([]byte, 5)},
		"empty":                {flow.FramedStream, nil},
		"too long":             {flow.FramedStream, make([]byte, MaxFrame+1)},
	} {
		s, err := newStream(nil, Info{Carrier: c.carrier}, nil, Config{}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: taken", name)
				}
			}()
			s.Send(mmsg.Control, c.frame)
		}()
	}
}

func TestTotalsAddUpWhatIsOver(t *testing.T) {
	totals := new(Totals)
	for range 3 {
		h := newHome()
		c, peer := tcpPair(t)
		s := h.serve(t, c, nil, flow.TURNStream, Config{Totals: totals})
		if totals.Open.Load() != 1 {
			t.Errorf("%d open", totals.Open.Load())
		}
		write(t, peer, binding)
		h.frames(t, s, 1)
		s.Send(mmsg.Audio, make([]byte, 40))
		s.Flush()
		read(t, peer, 40)
		peer.Close()
		h.ended(t, PeerClosed)
	}
	got := []uint64{
		uint64(totals.Opened.Load()), uint64(totals.Open.Load()), totals.Ended[PeerClosed].Load(),
		totals.FramesIn.Load(), totals.BytesIn.Load(), totals.FramesOut.Load(), totals.BytesOut.Load(),
	}
	for i, want := range []uint64{3, 0, 3, 3, 60, 3, 120} {
		if got[i] != want {
			t.Errorf("figure %d is %d, want %d", i, got[i], want)
		}
	}
}

func TestConfigIsBroughtIntoBounds(t *testing.T) {
	for asked, want := range map[int]int{
		0: DefaultQueueBytes, -1: DefaultQueueBytes, 1: MinQueueBytes, 100_000: 128 << 10,
		1 << 17: 1 << 17, 1 << 30: MaxQueueBytes,
	} {
		if got := (Config{QueueBytes: asked}).withDefaults().QueueBytes; got != want {
			t.Errorf("a queue of %d became %d, want %d", asked, got, want)
		}
	}
	c := Config{}.withDefaults()
	if c.FirstFrame != 5*time.Second || c.ProofTimeout != 15*time.Second || c.IdleTimeout != 11*time.Minute || c.StallTimeout != 10*time.Second {
		t.Errorf("%+v", c)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(Reasons) {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.String()] = true
	}
	if Stalled.Error() != "stream: stalled" || Reason(200).String() != "reason_200" {
		t.Error(Stalled.Error(), Reason(200))
	}
}
