package session

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
)

var (
	roles  = []sora.Role{sora.SendRecv, sora.SendOnly, sora.RecvOnly}
	codecs = []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265}
	others = []string{"A", "B", "C", "D"}
)

// drawTracks returns what somebody publishes: nothing, audio, or audio and video in some
// codec.
func drawTracks(t *rapid.T) []offer.Track {
	tracks := pairOf(100 * rapid.Uint32Range(1, 50).Draw(t, "track"))
	tracks[1].Codec = rapid.SampledFrom(codecs).Draw(t, "codec")
	if tracks[1].Codec == param.VP9 && rapid.Bool().Draw(t, "profile") {
		tracks[1].Params = offer.VP9Params(2)
	}
	return tracks[:rapid.IntRange(0, 2).Draw(t, "kinds")]
}

func drawConnect(t *rapid.T) sora.Message {
	m := connectMessage(rapid.SampledFrom(roles).Draw(t, "role"))
	m.Connect.Video.CodecType = rapid.SampledFrom(codecs).Draw(t, "own codec").String()
	if rapid.Bool().Draw(t, "go-sora") {
		m.Connect.SoraClient = "go-sora v0.1.0"
	}
	return m
}

// declining answers with one section inactive, or declined.
func (w *world) declining(t *rapid.T) {
	sections := offertest.Sections(w.lastSDP)
	one := sections[rapid.IntRange(0, len(sections)-1).Draw(t, "section")].MID
	w.peer.Still = map[string]bool{one: true}
	if rapid.Bool().Draw(t, "decline") && one != sections[0].MID {
		w.peer.Decline = map[string]bool{one: true}
	}
	w.answer(rapid.Bool().Draw(t, "then"))
	w.peer, w.declined = offertest.Peer{}, true
}

// Row SIG-07.
func TestAnyHistoryIsSoundAndSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := statsConfig()
		cfg.Rand = newSeeded(rapid.Byte().Draw(t, "seed"))
		w := newWorld(t.Fatalf, cfg)
		w.late = rapid.Bool().Draw(t, "late")
		m := drawConnect(t)
		w.client(m)
		role := m.Connect.Role
		t.Repeat(map[string]func(*rapid.T){
			"answer": func(t *rapid.T) {
				if w.offers > 0 {
					w.answer(rapid.Bool().Draw(t, "then"))
				}
			},
			"answer declining": func(t *rapid.T) {
				if w.offers > 0 {
					w.declining(t)
				}
			},
			"result":      func(t *rapid.T) { w.next() },
			"established": func(t *rapid.T) { w.feed(MediaEstablished{}) },
			"publish": func(t *rapid.T) {
				var events []Event
				for range rapid.IntRange(1, 4).Draw(t, "at once") {
					id, tracks := rapid.SampledFrom(others).Draw(t, "who"), drawTracks(t)
					if w.remotes[id] = tracks; len(tracks) == 0 {
						delete(w.remotes, id)
					}
					events = append(events, RemoteChanged{id, tracks})
					if w.announced && rapid.Bool().Draw(t, "told") {
						events = append(events, Notify{notification("n"), id})
					}
				}
				// Before it has answered Join, the channel says nothing; then it says all.
				if w.s.State() >= WaitAnswer {
					w.feed(events...)
				}
			},
			"notify": func(t *rapid.T) {
				if w.announced {
					w.feed(Notify{notification("n"), rapid.SampledFrom(append(others, "")).Draw(t, "after")})
				}
			},
			"pong": func(t *rapid.T) {
				if !w.offered || w.closed {
					return
				}
				before := w.s.Stats()
				stats := make([]byte, rapid.SampledFrom([]int{0, 10, maxStats, maxStats + 1}).Draw(t, "bytes"))
				w.client(sora.Message{Type: sora.TypePong, Stats: stats})
				if after := w.s.Stats(); !w.asked && (after.At != before.At || after.Dropped != before.Dropped) || len(after.JSON) > maxStats {
					t.Fatalf("kept %d bytes, asked %v", len(after.JSON), w.asked)
				}
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms")) * time.Millisecond)
				w.feed(Tick{})
			},
			"end": func(t *rapid.T) {
				if rapid.IntRange(0, 30).Draw(t, "really") == 0 {
					w.feed(rapid.SampledFrom([]Event{Vanished{}, Kicked{CodeNormal, ReasonShutdown}, MediaClosed{MediaConsentLost},
						Message{sora.Message{Type: sora.TypeDisconnect}}}).Draw(t, "how"))
				}
			},
			"": func(t *rapid.T) {
				if w.closed != (w.s.State() == Closed) || w.closed != w.s.Deadline().IsZero() {
					t.Fatalf("closed %v in state %v with a deadline %v", w.closed, w.s.State(), w.s.Deadline())
				}
			},
		})
		if !w.closed {
			w.settle(t, role)
		}
	})
}

// settle leaves the session alone with a client that answers: it comes to rest with exactly
// the streams that the channel publishes and the client did not decline.
func (w *world) settle(t *rapid.T, role sora.Role) {
	w.late = false
	for len(w.queue) > 0 {
		w.next()
	}
	if w.s.State() == WaitAnswer {
		w.answer(false)
	}
	w.feed(MediaEstablished{})
	for range 10 {
		if w.offers > 0 {
			w.answer(false)
		}
		w.client(sora.Message{Type: sora.TypePong})
		w.now = w.now.Add(reOfferEvery)
		w.feed(Tick{})
	}
	if w.offers != 0 || w.s.offer.Changed() || len(w.s.held) != 0 {
		t.Fatalf("%d offers are out, changed %v, %d notifications are held", w.offers, w.s.offer.Changed(), len(w.s.held))
	}
	for ssrc, sub := range w.subscribed {
		tracks := w.remotes[sub.CNAME]
		if !role.Receives() || !slices.ContainsFunc(tracks, func(o offer.Track) bool { return o.ID == sub.Track && o.Codec == sub.Codec }) {
			t.Fatalf("SSRC %d still carries %v of %s", ssrc, sub.Track, sub.CNAME)
		}
	}
	want := 0
	for _, tracks := range w.remotes {
		want += len(tracks)
	}
	if got := len(w.subscribed); role.Receives() && (got > want || got < want && !w.declined) {
		t.Fatalf("%d subscriptions for %d tracks, declined %v", got, want, w.declined)
	}
}
