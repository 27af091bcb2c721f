package session

import (
	"fmt"
	"testing"
	"time"

	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
)

// What a publisher's browser sends, more or less.
const benchConnect = `{"type":"connect","role":"sendrecv","channel_id":"room","client_id":"somebody","metadata":{"access_token":"0123456789abcdef"},
	"signaling_notify_metadata":{"name":"Somebody"},"sora_client":"Sora JavaScript SDK 2026.1.0","environment":"Mozilla/5.0",
	"audio":{"codec_type":"OPUS","bit_rate":64,"opus_params":{"stereo":true,"usedtx":true}},"video":{"codec_type":"AV1","bit_rate":1500}}`

func benchConfig() *Config {
	cfg := testConfig()
	cfg.Rand, cfg.NewID = nil, nil
	return cfg
}

// remotesOf returns n publishers of audio and video, each in the next codec.
func remotesOf(n int) (out []RemoteChanged) {
	for i := range n {
		tracks := pairOf(uint32(10 + 10*i))
		tracks[1].Codec = codecs[i%len(codecs)]
		out = append(out, RemoteChanged{fmt.Sprintf("CONNECTION%016d", i), tracks})
	}
	return out
}

// From the frame of a connect to the bytes of the offer, in a channel with that many others.
func BenchmarkConnectToOffer(b *testing.B) {
	for _, n := range []int{0, 12, 100} {
		b.Run(fmt.Sprintf("others=%d", n), func(b *testing.B) {
			cfg, now, joined := benchConfig(), time.Unix(0, 0), Joined{SessionID: sora.NewID(), Remotes: remotesOf(n)}
			frame := []byte(benchConnect)
			actions, size := make([]Action, 0, 8), 0
			b.ReportAllocs()
			for b.Loop() {
				m, err := sora.Decode(frame)
				if err != nil {
					b.Fatal(err)
				}
				s := New(cfg, now)
				actions = s.Handle(actions[:0], now, Message{m})
				actions = s.Handle(actions[:0], now, opened)
				actions = s.Handle(actions[:0], now, joined)
				size = len(actions[0].(Send).JSON)
			}
			b.ReportMetric(float64(size), "offer-bytes")
		})
	}
}

// benchViewer returns a viewer of n publishers, established.
func benchViewer(tb testing.TB, n int) (s *Session, now time.Time, remotes []RemoteChanged, answer func(actions []Action) string) {
	now, remotes = time.Unix(0, 0), remotesOf(n)
	answer = func(actions []Action) string {
		for _, a := range actions {
			if send, ok := a.(Send); ok {
				if m, _ := kindOf(string(send.JSON)); m.SDP != "" {
					return new(offertest.Peer).Answer(m.SDP)
				}
			}
		}
		tb.Fatal("no offer")
		return ""
	}
	s = New(benchConfig(), now)
	s.Handle(nil, now, Message{connectMessage(sora.RecvOnly)})
	s.Handle(nil, now, opened)
	sdp := answer(s.Handle(nil, now, Joined{SessionID: "S", Remotes: remotes}))
	s.Handle(nil, now, Message{sora.Message{Type: sora.TypeAnswer, SDP: sdp}})
	s.Handle(nil, now, MediaEstablished{})
	s.Handle(nil, now, Announced{JSON: notification("self")})
	if s.State() != Established {
		tb.Fatalf("state %v", s.State())
	}
	return s, now, remotes, answer
}

// One of twelve publishers leaves and comes back: two re-offers with their re-answers.
func BenchmarkReOfferReAnswer(b *testing.B) {
	s, now, remotes, answer := benchViewer(b, 12)
	gone, back := RemoteChanged{ConnectionID: remotes[5].ConnectionID}, remotes[5]
	// An answer names no SSRC of ours, so that the same two fit every round.
	without := answer(s.Handle(nil, now, gone))
	s.Handle(nil, now, Message{sora.Message{Type: sora.TypeReAnswer, SDP: without}})
	with := answer(s.Handle(nil, now, back))
	s.Handle(nil, now, Message{sora.Message{Type: sora.TypeReAnswer, SDP: with}})
	actions := make([]Action, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(2 * reOfferEvery)
		actions = s.Handle(actions[:0], now, gone)
		actions = s.Handle(actions[:0], now, Message{sora.Message{Type: sora.TypeReAnswer, SDP: without}})
		actions = s.Handle(actions[:0], now, back)
		actions = s.Handle(actions[:0], now, Message{sora.Message{Type: sora.TypeReAnswer, SDP: with}})
	}
	if s.State() != Established || len(actions) != 2 {
		b.Fatalf("state %v, %d actions", s.State(), len(actions))
	}
}

// A client that says nothing new costs nothing: candidates and pongs, thousands a second.
func TestPongsAndCandidatesDoNotAllocate(t *testing.T) {
	s, now, _, _ := benchViewer(t, 2)
	actions := make([]Action, 0, 8)
	pong, candidate := Event(Message{sora.Message{Type: sora.TypePong}}), Event(Message{sora.Message{Type: sora.TypeCandidate}})
	n := testing.AllocsPerRun(100, func() {
		actions = s.Handle(actions[:0], now, pong)
		actions = s.Handle(actions[:0], now, candidate)
	})
	if n != 0 || s.State() != Established {
		t.Errorf("%v allocations, state %v", n, s.State())
	}
}

// A notification that waits for nothing costs the action that carries it: in a channel of a
// thousand every join makes a thousand of them.
func TestANotificationCostsOneAllocation(t *testing.T) {
	s, now, _, _ := benchViewer(t, 2)
	actions := make([]Action, 0, 8)
	told := Event(Notify{JSON: notification("n"), After: "somebody"})
	n := testing.AllocsPerRun(100, func() { actions = s.Handle(actions[:0], now, told) })
	if n != 1 || len(actions) != 1 {
		t.Errorf("%v allocations, %d actions", n, len(actions))
	}
}
