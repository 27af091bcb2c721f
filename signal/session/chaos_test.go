package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/param"
	"tsubame/signal/sora"
)

// drawMessage returns anything that a client can say, sense or not.
func drawMessage(t *rapid.T, w *world) Event {
	m := sora.Message{Type: rapid.SampledFrom([]sora.Type{sora.TypeConnect, sora.TypeAnswer, sora.TypeReAnswer, sora.TypeUpdate,
		sora.TypeCandidate, sora.TypePong, sora.TypeDisconnect}).Draw(t, "type")}
	switch m.Type {
	case sora.TypeConnect:
		m = drawConnect(t)
		c := m.Connect
		c.Audio.Enabled, c.Video.Enabled = rapid.Bool().Draw(t, "audio"), rapid.Bool().Draw(t, "video")
		c.Spotlight = rapid.IntRange(0, 9).Draw(t, "spotlight") == 0
		c.BundleID = rapid.SampledFrom([]string{"", "", "b"}).Draw(t, "bundle_id")
		if rapid.IntRange(0, 9).Draw(t, "params") == 0 {
			c.Video.H264 = &sora.H264Params{ProfileLevelID: "42e01f", BFrame: sora.True}
		}
		c.Video.CodecType = rapid.SampledFrom([]string{c.Video.CodecType, "", "PCMU"}).Draw(t, "codec_type")
	case sora.TypeAnswer, sora.TypeReAnswer, sora.TypeUpdate:
		m.SDP = rapid.SampledFrom([]string{w.peer.Answer(w.lastSDP), "v=0", ""}).Draw(t, "sdp")
	case sora.TypeCandidate:
		m.Candidate = &sora.Candidate{Candidate: "candidate:1", SDPMLineIndex: -1}
	case sora.TypePong:
		m.Stats = rapid.SampledFrom([][]byte{nil, []byte("[]")}).Draw(t, "stats")
	}
	return Message{m}
}

// drawEvent returns anything that can happen to a session, asked for or not: a result
// without its action, a track that nobody knows, a channel that speaks too early.
func drawEvent(t *rapid.T, w *world) Event {
	mids := []string{"", "audio_nobody"}
	if w.s.offer != nil {
		a, v := w.s.offer.MIDs()
		mids = append(mids, a, v)
	}
	who := rapid.SampledFrom(others)
	switch rapid.IntRange(0, 13).Draw(t, "event") {
	case 0, 1, 2, 3:
		return drawMessage(t, w)
	case 4:
		return Malformed{"INVALID-JSON", "here"}
	case 5:
		return rapid.SampledFrom([]Event{opened, OpenFailed{}}).Draw(t, "opened")
	case 6:
		return Published{rapid.SampledFrom(mids).Draw(t, "mid"), param.TrackID{Index: rapid.Uint32Range(0, 9).Draw(t, "index")}, rapid.IntRange(0, 9).Draw(t, "ok") > 0}
	case 7:
		return MediaEstablished{}
	case 8:
		return MediaClosed{rapid.SampledFrom([]string{MediaConsentLost, MediaDTLSClosed, MediaBadFingerprint, MediaDTLSFailed, MediaRequested, "new"}).Draw(t, "reason")}
	case 9:
		return rapid.SampledFrom([]Event{Joined{SessionID: "S", Remotes: []RemoteChanged{{"A", pairOf(10)}}}, JoinRefused{ReasonServerBusy}}).Draw(t, "joined")
	case 10:
		return rapid.SampledFrom([]Event{Announced{JSON: notification("self")}, Announced{}}).Draw(t, "announced")
	case 11:
		return RemoteChanged{who.Draw(t, "who"), drawTracks(t)}
	case 12:
		return Notify{notification("n"), who.Draw(t, "after")}
	}
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "ms")) * time.Millisecond)
	return rapid.SampledFrom([]Event{Tick{}, Tick{}, Tick{}, Vanished{}, Kicked{CodeNormal, ReasonShutdown}}).Draw(t, "clock")
}

// Row SIG-05.
func TestAnySequenceOfEventsEndsInADocumentedState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := statsConfig()
		cfg.Rand = newSeeded(rapid.Byte().Draw(t, "seed"))
		cfg.Allow.H264Params = rapid.Bool().Draw(t, "h264_params")
		cfg.Allow.AV1 = rapid.Bool().Draw(t, "av1")
		w := newWorld(t.Fatalf, cfg)
		w.chaos = true
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			before := w.s.State()
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
		// Time alone ends a session whose client has gone silent.
		for range 1000 {
			if w.closed {
				return
			}
			w.now = w.s.Deadline()
			w.feed(Tick{})
		}
		t.Fatalf("state %v after a thousand deadlines", w.s.State())
	})
}
