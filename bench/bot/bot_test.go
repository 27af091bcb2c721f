package bot

import (
	"errors"
	"runtime"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"tsubame/media/param"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received returns what a bot receives of a kind from whom publishes in the room.
func received(b *Bot, kind param.Kind) ReceiveStats {
	for _, r := range b.Stats().Receiving {
		if r.Kind == kind && r.Active {
			return r
		}
	}
	return ReceiveStats{}
}

func TestTwoBotsSeeAndHearEachOther(t *testing.T) {
	for _, profile := range []piondtls.SRTPProtectionProfile{GCM, CM} {
		r := newRig(t)
		cfg := r.config(SendRecv)
		cfg.Profiles = []piondtls.SRTPProtectionProfile{profile}
		bots := []*Bot{r.call(cfg), r.call(cfg)}
		for i, b := range bots {
			other := bots[1-i].Stats()
			until(t, "50 pictures and 50 audio packets came", func() bool {
				return received(b, param.Video).Frames >= 50 && received(b, param.Audio).Frames >= 50
			})
			for _, kind := range []param.Kind{param.Audio, param.Video} {
				s := received(b, kind)
				if s.BadPayload != 0 || s.Verified != s.Packets || s.Lost != 0 || s.Shifts != 0 || s.Duplicates != 0 {
					t.Errorf("bot %d, %v: %+v", i, kind, s)
				}
				if s.Source != other.Sending[int(kind-param.Audio)].SSRC {
					t.Errorf("bot %d, %v: source %d, sending %+v", i, kind, s.Source, other.Sending)
				}
				if s.Latency.Count == 0 || s.Latency.Max > patience {
					t.Errorf("bot %d, %v: latency %+v", i, kind, s.Latency)
				}
			}
			if s := b.Stats(); s.Undecryptable != 0 || s.UnknownSSRC != 0 || !s.Connected || s.ICE.Bad != 0 {
				t.Errorf("bot %d: %+v", i, s)
			}
		}
		for _, b := range bots {
			if err := b.Close(within(t)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestViewerFirstAndPublisherLater(t *testing.T) {
	r := newRig(t)
	viewer := r.call(r.config(RecvOnly))
	if len(viewer.Stats().Sending) != 0 {
		t.Fatal("a viewer sends")
	}
	publisher := r.call(r.config(SendOnly))
	until(t, "pictures came", func() bool { return received(viewer, param.Video).Frames > 10 })
	if s := viewer.Stats(); s.Offers < 2 {
		t.Errorf("%d offers", s.Offers)
	}
	if len(publisher.Stats().Receiving) != 0 {
		t.Error("a publisher receives")
	}
	if _, err := viewer.WaitNotify(within(t), func(n Notify) bool {
		return n.EventType == "connection.created" && n.ConnectionID == publisher.ID() && n.Role == SendOnly
	}); err != nil {
		t.Error(err)
	}
	// It leaves: the stream stays in the statistics, inactive.
	if err := publisher.Close(within(t)); err != nil {
		t.Error(err)
	}
	until(t, "the stream ended", func() bool { return received(viewer, param.Video).SSRC == 0 })
	if n := len(viewer.Stats().Receiving); n != 2 {
		t.Errorf("%d streams remembered", n)
	}
	if _, err := viewer.WaitNotify(within(t), func(n Notify) bool { return n.EventType == "connection.destroyed" }); err != nil {
		t.Error(err)
	}
}

func TestLostPacketsAreAskedForAndRepaired(t *testing.T) {
	r := newRig(t)
	n := 0
	r.lose = func(*peer) bool { n++; return n%10 == 0 }
	viewer := r.call(r.config(RecvOnly))
	cfg := r.config(SendOnly)
	cfg.Audio = false
	lost := 0
	cfg.Outgoing = func(b []byte) bool { // on the way to the rig as well
		if b[0] >= 128 && b[1]&0x7f == 96 {
			lost++
			return lost%25 != 0
		}
		return true
	}
	publisher := r.call(cfg)
	defer func() {
		if t.Failed() {
			t.Logf("viewer %+v", viewer.Stats())
			t.Logf("publisher %+v", publisher.Stats())
		}
	}()
	until(t, "packets were repaired on both legs", func() bool {
		return received(viewer, param.Video).Recovered >= 20 && publisher.Stats().Sending[0].Resent >= 5
	})
	s := received(viewer, param.Video)
	if s.BadPayload != 0 || s.NACKs == 0 || s.RTXPackets < s.Recovered {
		t.Errorf("%+v", s)
	}
	until(t, "pictures go on", func() bool { return received(viewer, param.Video).Frames >= s.Frames+25 })
}

func TestPictureEndsWithAGapAndBeginsWithAKeyFrame(t *testing.T) {
	r := newRig(t)
	viewerConfig := r.config(RecvOnly)
	viewerConfig.NoNACK = true
	viewer := r.call(viewerConfig)
	cfg := r.config(SendOnly)
	cfg.Audio = false
	publisher := r.call(cfg)
	until(t, "pictures came", func() bool { return received(viewer, param.Video).Frames >= 10 })
	keys := publisher.Stats().Sending[0].KeyFrames
	r.look(func() {
		once := false
		r.lose = func(*peer) bool { first := !once; once = true; return first }
	})
	until(t, "a key frame was asked for and sent", func() bool {
		s := publisher.Stats().Sending[0]
		return s.PLI > 0 && s.KeyFrames > keys
	})
	before := received(viewer, param.Video).Frames
	until(t, "pictures go on", func() bool {
		s := received(viewer, param.Video)
		return s.KeyFrames >= 2 && s.Frames > before+10
	})
	s := received(viewer, param.Video)
	if s.Lost == 0 || s.PLIs == 0 || s.NACKs != 0 || s.MaxFreeze < giveUp {
		t.Errorf("%+v", s)
	}
}

func TestKeyFrameOnFIR(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.Audio = false
	b := r.call(cfg)
	ssrc := b.Stats().Sending[0].SSRC
	p := r.peer(b)
	until(t, "the first key frame came", func() bool {
		n := 0
		r.look(func() { n = p.plain })
		return n > 0
	})
	r.look(func() {
		p.send(&rtcp.FullIntraRequest{SenderSSRC: 1, MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: 1}}})
	})
	until(t, "another one", func() bool {
		s := b.Stats().Sending[0]
		return s.KeyFrames == 2 && s.FIR == 1
	})
}

func TestReportsBothWays(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendRecv)
	cfg.TransportCC = true
	a, b := r.call(cfg), r.call(cfg)
	until(t, "the rig's report came", func() bool {
		s := a.Stats().Sending[1]
		return s.RTT > 0 && s.FractionLost == 25 && s.TotalLost == 3 && s.REMB >= 600_000
	})
	p := r.peer(b)
	reported := func() (rr, twcc bool) {
		r.look(func() {
			for _, packet := range p.rtcp {
				switch x := packet.(type) {
				case *rtcp.ReceiverReport:
					rr = rr || len(x.Reports) == 2 && x.Reports[0].FractionLost == 0
				case *rtcp.TransportLayerCC:
					twcc = twcc || x.PacketStatusCount > 0
				}
			}
		})
		return rr, twcc
	}
	until(t, "reports and transport feedback came", func() bool { rr, twcc := reported(); return rr && twcc })
}

func TestPauseAndResume(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.Paused = true
	b := r.call(cfg)
	p := r.peer(b)
	<-time.After(100 * time.Millisecond)
	r.look(func() {
		if p.plain != 0 {
			t.Errorf("%d packets while paused", p.plain)
		}
	})
	b.Resume()
	until(t, "packets came", func() bool {
		n := 0
		r.look(func() { n = p.plain })
		return n > 20
	})
	keys := b.Stats().Sending[1].KeyFrames
	b.Pause()
	b.Resume()
	until(t, "a key frame", func() bool { return b.Stats().Sending[1].KeyFrames > keys })
}

func TestCloseSaysGoodbyeOnBothPaths(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	p := r.peer(b)
	if err := b.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); s.CloseCode != 1000 || s.CloseReason != "TYPE-DISCONNECT" {
		t.Errorf("%+v", s)
	}
	if b.Err() != nil {
		t.Error(b.Err())
	}
	r.look(func() {
		if p.disconnected != "NO-ERROR" {
			t.Errorf("disconnect %q", p.disconnected)
		}
	})
	if err := b.Close(within(t)); err != nil {
		t.Error(err)
	}
}

// Where signaling is silent about the end, close_notify tells it.
func TestCloseNotifyIsSaidByAParkedSession(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	p := r.peer(b)
	b.CloseNotify()
	until(t, "close_notify came", func() bool {
		var closed bool
		r.look(func() { closed = p.closed })
		return closed
	})
}

func TestCloseNotifyIsHeardByAParkedSession(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	r.look(func() { r.peers[0].endpoint.Close() })
	until(t, "it is heard", func() bool { return b.Stats().DTLSClosed })
}

func TestKillSaysNothing(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	p := r.peer(b)
	b.Kill()
	until(t, "the WebSocket is gone", func() bool {
		var left bool
		r.look(func() { left = p.left })
		return left
	})
	r.look(func() {
		if p.closed || p.disconnected != "" {
			t.Errorf("close_notify %v, disconnect %q", p.closed, p.disconnected)
		}
	})
}

func TestFreezeIsSilence(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	p := r.peer(b)
	b.Freeze()
	sent := b.Stats().Sent
	r.look(func() { p.say(map[string]any{"type": "ping"}) })
	<-time.After(200 * time.Millisecond)
	if n := b.Stats().Sent; n != sent {
		t.Errorf("%d datagrams sent", n-sent)
	}
	r.look(func() {
		if p.left || p.closed || p.disconnected != "" {
			t.Errorf("the rig heard: %v %v %q", p.left, p.closed, p.disconnected)
		}
	})
	if err := b.Close(within(t)); err != nil {
		t.Error(err)
	}
}

func TestServerThatClosesTheSignalingIsAnError(t *testing.T) {
	r := newRig(t)
	b := r.call(r.config(SendRecv))
	r.look(func() { go func() { _ = r.peers[0].ws.Close(4490, "SOME-REASON") }() })
	select {
	case <-b.Failed():
	case <-time.After(patience):
		t.Fatal("not noticed")
	}
	var closed *SignalingClosed
	if !errors.As(b.Err(), &closed) || closed.Code != 4490 || closed.Reason != "SOME-REASON" {
		t.Error(b.Err())
	}
}

func TestABotHasFewGoroutines(t *testing.T) {
	r := newRig(t)
	r.call(r.config(RecvOnly)) // whatever the first one starts for all
	const bots = 20
	before := runtime.NumGoroutine()
	for range bots {
		r.call(r.config(RecvOnly))
	}
	// Of the rig's: HTTP connection 1, socket 1, endpoint 4. The WebSocket library adds none.
	const rigs = 6
	until(t, "what the handshakes needed is gone", func() bool {
		return runtime.NumGoroutine()-before <= bots*(rigs+3)
	})
}

func TestRawDatagramsAndStrangers(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.Paused = true
	b := r.call(cfg)
	p := r.peer(b)
	count := func() (refused, plain int) {
		r.look(func() { refused, plain = p.refused, p.plain })
		return refused, plain
	}
	if err := b.SendRaw([]byte("\x80garbage that is not SRTP")); err != nil {
		t.Fatal(err)
	}
	until(t, "it was refused", func() bool { n, _ := count(); return n == 1 })
	s, err := b.Stranger()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send([]byte("\x80from another port")); err != nil {
		t.Fatal(err)
	}
	until(t, "it was refused", func() bool { n, _ := count(); return n == 2 })
	if _, err := s.Receive(time.Now().Add(20 * time.Millisecond)); err == nil {
		t.Error("a stranger got an answer")
	}
	packet, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 99}, Payload: []byte("x")}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SendRTP(packet); err != nil {
		t.Fatal(err)
	}
	until(t, "it was opened", func() bool { _, n := count(); return n == 1 })
	if err := b.SendRTCP(&rtcp.Goodbye{Sources: []uint32{99}}); err != nil {
		t.Fatal(err)
	}
	until(t, "BYE came", func() bool {
		found := false
		r.look(func() {
			for _, packet := range p.rtcp {
				_, bye := packet.(*rtcp.Goodbye)
				found = found || bye
			}
		})
		return found
	})
}
