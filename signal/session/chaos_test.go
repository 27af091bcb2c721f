package session

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/param"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// drawMessage returns anything that a client can say, sense or not.
func drawMessage(t *rapid.T, w *world) Event {
	m := sora.Message{Type: rapid.SampledFrom([]sora.Type{sora.TypePong, sora.TypeCandidate, sora.TypeReAnswer, sora.TypeUpdate,
		sora.TypeAnswer, sora.TypeConnect, sora.TypeDisconnect}).Draw(t, "type")}
	switch m.Type {
	case sora.TypeConnect:
		m = drawConnect(t)
		c := m.Connect
		c.Audio.Enabled, c.Video.Enabled = rapid.Bool().Draw(t, "audio"), rapid.Bool().Draw(t, "video")
		c.Spotlight = rapid.IntRange(0, 9).Draw(t, "spotlight") == 7
		c.BundleID = rapid.SampledFrom([]string{"", "", "b"}).Draw(t, "bundle_id")
		if rapid.IntRange(0, 9).Draw(t, "params") == 7 {
			c.Video.H264 = &sora.H264Params{ProfileLevelID: "42e01f", BFrame: sora.True}
		}
		c.Video.CodecType = rapid.SampledFrom([]string{c.Video.CodecType, "", "PCMU"}).Draw(t, "codec_type")
	case sora.TypeAnswer, sora.TypeReAnswer, sora.TypeUpdate:
		m.SDP = rapid.SampledFrom([]string{w.peer.Answer(w.lastSDP), w.peer.Answer(w.lastSDP), "v=0", ""}).Draw(t, "sdp")
	case sora.TypeCandidate:
		m.Candidate = &sora.Candidate{Candidate: "candidate:1", SDPMLineIndex: -1}
	case sora.TypePong:
		m.Stats = rapid.SampledFrom([][]byte{nil, []byte("[]")}).Draw(t, "stats")
	}
	return Message{m}
}

// drawEvent returns anything that can happen to a session, asked for or not: a result
// without its action, a track that nobody knows, a channel that speaks too early. One in
// fifty ends any session.
func drawEvent(t *rapid.T, w *world) Event {
	mids := []string{"", "audio_nobody"}
	if w.s.offer != nil {
		a, v := w.s.offer.MIDs()
		mids = append(mids, a, v)
	}
	who := rapid.SampledFrom(others)
	if rapid.IntRange(0, 49).Draw(t, "end") == 37 {
		return rapid.SampledFrom([]Event{Malformed{"INVALID-JSON", "here"}, Vanished{}, Kicked{CodeNormal, ReasonShutdown}, MediaClosed{MediaConsentLost},
			MediaClosed{MediaDTLSClosed}, MediaClosed{MediaBadFingerprint}, MediaClosed{MediaDTLSFailed}, MediaClosed{MediaRequested}, MediaClosed{"new"}}).Draw(t, "how")
	}
	switch rapid.IntRange(0, 11).Draw(t, "event") {
	case 0, 1:
		return drawMessage(t, w)
	case 2:
		return RemoteChanged{who.Draw(t, "who"), drawTracks(t)}
	case 3:
		return Notify{notification("n"), who.Draw(t, "after")}
	case 4:
		return MediaEstablished{}
	case 5:
		return Published{rapid.SampledFrom(mids).Draw(t, "mid"), param.TrackID{Index: rapid.Uint32Range(0, 9).Draw(t, "index")}, rapid.IntRange(0, 9).Draw(t, "full") != 7}
	case 6:
		return rapid.SampledFrom([]Event{opened, opened, OpenFailed{}}).Draw(t, "opened")
	case 7:
		return rapid.SampledFrom([]Event{Joined{SessionID: "S", Remotes: []RemoteChanged{{"A", pairOf(10)}}}, Joined{}, JoinRefused{ReasonServerBusy}}).Draw(t, "joined")
	case 8:
		return rapid.SampledFrom([]Event{Announced{JSON: notification("self")}, Announced{}}).Draw(t, "announced")
	case 10:
		return rapid.SampledFrom([]Event{Authenticated{&webhook.AuthAnswer{Allowed: true, Notify: sora.False}}, Authenticated{&webhook.AuthAnswer{ConnectionLifetime: time.Second}},
			Denied{"NO", ""}, Denied{}, Denied{strings.Repeat("X", 200), "long"}}).Draw(t, "verdict")
	case 9:
		return rapid.SampledFrom([]Event{MediaSilent{}, MediaSilent{}, MediaLapsed{}, MediaHeard{}, MediaUnstable{2}, MediaUnstable{0}, restarted, RestartRefused{}}).Draw(t, "path")
	}
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 10_000).Draw(t, "ms")) * time.Millisecond)
	return Tick{}
}

// lead brings a session as far as a state, as a client that behaves would.
func (w *world) lead(t *rapid.T, to State) {
	if to > WaitConnect {
		w.client(drawConnect(t))
	}
	for range 20 {
		switch state := w.s.State(); {
		case state >= to:
			return
		case state == WaitAnswer && len(w.queue) == 0:
			w.answer(false)
		case state == WaitEstablished && len(w.queue) == 0:
			w.feed(MediaEstablished{})
		default:
			w.next()
		}
	}
}

// Row SIG-05.
func TestAnySequenceOfEventsEndsInADocumentedState(t *testing.T) {
	reached := map[State]int{}
	reOffered := 0
	// The search draws 100 sessions at a time, few of which get far.
	for range 20 {
		rapid.Check(t, func(t *rapid.T) { chaos(t, reached, &reOffered) })
	}
	// One that gets nowhere shows nothing.
	for s := WaitConnect; s <= Closed; s++ {
		if reached[s] == 0 {
			t.Errorf("no event in state %v", s)
		}
	}
	if reOffered == 0 {
		t.Error("no session was re-offered")
	}
}

// chaos plays one session and counts how many events there were in which state.
func chaos(t *rapid.T, reached map[State]int, reOffered *int) {
	cfg := statsConfig()
	cfg.Rand = newSeeded(rapid.Byte().Draw(t, "seed"))
	cfg.Ask, cfg.AskTimeout = rapid.Bool().Draw(t, "ask"), time.Second
	cfg.Defaults.NotifyICEState = rapid.Bool().Draw(t, "ice_state")
	cfg.Allow.H264Params = rapid.Bool().Draw(t, "h264_params")
	w := newWorld(t.Fatalf, cfg)
	w.chaos = true
	w.lead(t, State(rapid.IntRange(0, int(Established)).Draw(t, "from")))
	for range rapid.IntRange(1, 40).Draw(t, "events") {
		before := w.s.State()
		reached[before]++
		// Half of the time what was asked for happens: otherwise nothing gets far.
		if len(w.queue) > 0 && rapid.Bool().Draw(t, "result") {
			w.next()
		} else {
			w.feed(drawEvent(t, w))
		}
		after := w.s.State()
		if after < before || after > Closed || w.closed != (after == Closed) || w.closed != w.s.Deadline().IsZero() {
			t.Fatalf("from %v to %v, closed %v, deadline %v", before, after, w.closed, w.s.Deadline())
		}
	}
	if w.answered != 0 {
		*reOffered++
	}
	// Time alone ends a session whose client has gone silent.
	for range 1000 {
		if w.closed {
			return
		}
		w.now = w.s.Deadline()
		w.feed(Tick{})
	}
	t.Fatalf("state %v after a thousand deadlines", w.s.State())
}
