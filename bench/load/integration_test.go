package load

import (
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/bench/impair"
	"tsubame/bench/report"
)

// runReal runs a scenario against a server of its own and fails on what no server may do.
func runReal(t *testing.T, sc Scenario) *report.Result {
	t.Helper()
	s := harness.Start(t, harness.Options{})
	sc.URL, sc.PID = s.SignalingURL(), s.PID()
	r, err := Run(t.Context(), sc, func(one report.Sample) { t.Logf("%+v", one) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *r)
	whole(t, r)
	t.Logf("%.2f us of server CPU and %.2f us of client CPU a packet", r.PerPacket().Seconds()*1e6,
		r.ClientCPU.Seconds()*1e6/float64(r.Forwarded))
	return r
}

// whole fails on what no server may do.
func whole(t *testing.T, r *report.Result) {
	t.Helper()
	if r.Connected != r.Peers || r.Failed != 0 || len(r.Problems) > 0 {
		t.Errorf("%d of %d peers connected, %d failed: %q", r.Connected, r.Peers, r.Failed, r.Problems)
	}
	if r.Forwarded == 0 || r.Sent == 0 {
		t.Fatal("nothing was forwarded")
	}
	if r.Lost > r.ClientLoss {
		t.Errorf("%d of %d packets lost, %d of them by the clients' sockets", r.Lost, r.Expected, r.ClientLoss)
	}
	if r.Duplicated != 0 {
		t.Errorf("%d packets came twice", r.Duplicated)
	}
}

// conferenceClip is real encoded media: all publishers of a room send the same payloads.
const conferenceClip = "vp8-240p20-150k"

func TestConferenceIsForwardedWithoutLoss(t *testing.T) {
	r := runReal(t, Scenario{
		Rooms: 2, Clients: 6, Role: SendRecv, Audio: true, Video: true,
		Duration: 2 * time.Second, Latency: true, Clip: conferenceClip,
	})
	if want := r.Sent * 5; r.Expected != want {
		t.Errorf("%d packets expected, want %d: each of %d at five others", r.Expected, want, r.Sent)
	}
	if r.Audio.Count == 0 || r.FrameFirst.Count == 0 || r.FrameLast.Count == 0 {
		t.Errorf("latencies of %d audio packets, %d first and %d last ones of frames", r.Audio.Count, r.FrameFirst.Count, r.FrameLast.Count)
	}
}

// In silence everybody stays, and nothing is sent.
func TestSilenceComesAfterTheMeasuredPart(t *testing.T) {
	r := runReal(t, Scenario{
		Rooms: 1, Clients: 3, Role: SendRecv, Audio: true, Duration: 2 * time.Second, Silence: 3 * time.Second,
	})
	silent := 0
	for _, s := range r.Samples {
		if s.Phase != report.Silent {
			continue
		}
		if silent++; s.Sent != 0 || s.Forwarded != 0 || s.Connected != 3 {
			t.Errorf("in silence: %+v", s)
		}
	}
	if last := r.Samples[len(r.Samples)-1]; silent == 0 || last.Phase != report.Leaving {
		t.Errorf("%d samples of silence, the last one of all is of %q", silent, last.Phase)
	}
}

func TestBroadcastIsForwardedWithoutLoss(t *testing.T) {
	r := runReal(t, Scenario{
		Rooms: 1, Clients: 41, Role: Broadcast, Audio: true, Video: true, PayloadSize: 1100, PacketRate: 600,
		FrameRate: 50, Duration: 2 * time.Second,
	})
	if want := r.Sent * 40; r.Expected != want {
		t.Errorf("%d packets expected, want %d: each of %d at 40 viewers", r.Expected, want, r.Sent)
	}
	if r.KeyFrame.Count != 40 {
		t.Errorf("%d of 40 viewers saw a whole key frame", r.KeyFrame.Count)
	}
}

// Over the other profile, and on two threads.
func TestAudioIsForwardedWithoutLoss(t *testing.T) {
	r := runReal(t, Scenario{
		Rooms: 3, Clients: 8, Role: SendRecv, Audio: true, Duration: 2 * time.Second, Profile: "cm", Shards: 2,
	})
	if want := r.Sent * 7; r.Expected != want {
		t.Errorf("%d packets expected, want %d: each of %d at seven others", r.Expected, want, r.Sent)
	}
}

func TestPeersThatLeaveAndComeBackLoseNothing(t *testing.T) {
	r := runReal(t, Scenario{
		Rooms: 2, Clients: 5, Role: SendRecv, Audio: true, Duration: 2 * time.Second, Churn: 2 * time.Second,
	})
	if r.Join.Count <= uint64(r.Peers) {
		t.Errorf("%d joins of %d peers: nobody came back", r.Join.Count, r.Peers)
	}
}

// Video comes again, Opus does not: without NACK, what a link loses is lost for good.
func TestLossIsSeenAndVideoComesAgain(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	var seed atomic.Uint64
	r, err := Run(t.Context(), Scenario{
		URL: s.SignalingURL(), Rooms: 1, Clients: 4, Role: SendRecv, Audio: true, Video: true, Bitrate: 1_000_000, FrameRate: 20,
		Duration: 2 * time.Second, Latency: true,
		Impair: func(int, int) *impair.Link {
			link, err := impair.NewLink(impair.Config{Loss: 0.02, Delay: 10 * time.Millisecond, Seed: seed.Add(1)})
			if err != nil {
				t.Error(err)
			}
			return link
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Connected != r.Peers || len(r.Problems) > 0 {
		t.Errorf("%d of %d peers connected: %q", r.Connected, r.Peers, r.Problems)
	}
	if r.Recovered == 0 {
		t.Error("no packet came by retransmission over links that lose one of 50")
	}
	if r.Lost == 0 || r.Lost*10 > r.Expected {
		t.Errorf("%d of %d packets are lost for good, where about one of 25 Opus packets is", r.Lost, r.Expected)
	}
	if r.Audio.Count == 0 || r.FrameLast.Count == 0 || r.Audio.P50 < 20*time.Millisecond {
		t.Errorf("half of %d audio packets and %d frames over two links of 10 ms took less than %v", r.Audio.Count, r.FrameLast.Count, r.Audio.P50)
	}
	t.Logf("%d of %d recovered, %d lost", r.Recovered, r.Expected, r.Lost)
}
