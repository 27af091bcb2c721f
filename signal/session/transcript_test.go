package session

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
)

// seeded is a deterministic source of random bytes.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(n byte) seeded { return seeded{rand.NewChaCha8([32]byte{n})} }

// received is what a client reads of a message here.
type received struct{ Type, SDP, Text string }

func kindOf(text string) (received, error) {
	var m received
	err := json.Unmarshal([]byte(text), &m)
	return m, err
}

// script drives one session and keeps what it did, one line an action.
type script struct {
	t       *testing.T
	s       *Session
	now     time.Time
	peer    offertest.Peer
	lastSDP string
}

func testConfig() *Config {
	return &Config{
		Version: "test", Fingerprint: param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)},
		ConnectTimeout: 10 * time.Second, JoinTimeout: 10 * time.Second, AnswerTimeout: time.Minute,
		CreatedTimeout: time.Minute, PingInterval: 5 * time.Second, PongTimeout: time.Minute,
		Allow:    Allow{ClientID: true, OpusParams: true, VP8: true, VP9: true, AV1: true, H264: true, H265: true},
		Defaults: Defaults{VideoCodec: param.VP8, VideoBitrate: 500_000}, Rand: newSeeded(1), NewID: func() string { return "SELF" },
	}
}

func newScript(t *testing.T, cfg *Config) *script {
	sc := &script{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	sc.s = New(cfg, sc.now)
	return sc
}

// feed hands over an event and compares what came of it.
func (sc *script) feed(e Event, want ...string) {
	sc.t.Helper()
	sc.same(sc.describe(sc.s.Handle(nil, sc.now, e)), want)
}

// client hands over a message of the client, through the decoder.
func (sc *script) client(frame string, want ...string) {
	sc.t.Helper()
	m, err := sora.Decode([]byte(frame))
	if err != nil {
		sc.t.Fatalf("%s: %v", frame, err)
	}
	sc.feed(Message{m}, want...)
}

// answers sends the answer to the last offer.
func (sc *script) answers(kind string, want ...string) {
	sc.t.Helper()
	b := sora.AppendString(nil, sc.peer.Answer(sc.lastSDP))
	sc.client(`{"type":"`+kind+`","sdp":`+string(b)+`}`, want...)
}

// after moves the clock and ticks.
func (sc *script) after(d time.Duration, want ...string) {
	sc.t.Helper()
	sc.now = sc.now.Add(d)
	sc.feed(Tick{}, want...)
}

func (sc *script) same(got, want []string) {
	sc.t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		sc.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (sc *script) describe(actions []Action) (lines []string) {
	for _, a := range actions {
		lines = append(lines, sc.line(a))
	}
	return lines
}

func (sc *script) line(a Action) string {
	switch a := a.(type) {
	case Send:
		return "send " + sc.message(a.JSON)
	case Close:
		return fmt.Sprintf("close %d %s", a.Code, a.Reason)
	case Publish:
		return fmt.Sprintf("publish %v max %d", a.Publish.Kind, a.Publish.MaxBitrate)
	case Unpublish:
		return fmt.Sprintf("unpublish %d", a.Track.Index)
	case Subscribe:
		return fmt.Sprintf("subscribe %v %d", a.Subscribe.Kind, a.Subscribe.Track.Index)
	case Unsubscribe:
		return "unsubscribe"
	case SetRemote:
		return "set remote " + a.Remote.Ufrag
	case Announce:
		return "announce" + trackList(a.Tracks)
	case Update:
		return "update" + trackList(a.Tracks)
	case Join:
		return "join " + a.Member.ChannelID
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "session."))
}

func trackList(tracks []offer.Track) (s string) {
	for _, t := range tracks {
		s += fmt.Sprintf(" %v %d", t.Kind, t.ID.Index)
	}
	return s
}

// message describes a message to the client: an offer by its sections, a notification by
// its text.
func (sc *script) message(b []byte) string {
	m, err := kindOf(string(b))
	if err != nil {
		sc.t.Fatalf("%s: %v", b, err)
	}
	if m.SDP == "" {
		return strings.TrimSpace(m.Type + " " + m.Text)
	}
	sc.lastSDP = m.SDP
	for _, s := range offertest.Sections(m.SDP) {
		name := "own"
		if id := s.Attribute("msid"); id != "" {
			name, _, _ = strings.Cut(id, " ")
		}
		if s.Port == 0 {
			name = "-"
		}
		m.Type += " " + name
	}
	return m.Type
}

func notification(text string) []byte {
	return []byte(`{"type":"notify","text":"` + text + `"}`)
}

func pairOf(n uint32) []offer.Track {
	return []offer.Track{
		{Kind: param.Audio, Codec: param.Opus, ID: param.TrackID{Index: n}},
		{Kind: param.Video, Codec: param.VP8, ID: param.TrackID{Index: n + 1}},
	}
}

func (sc *script) mids() (audio, video string) {
	for _, s := range offertest.Sections(sc.lastSDP) {
		switch {
		case audio == "" && s.Kind == "audio":
			audio = s.MID
		case video == "" && s.Kind == "video":
			video = s.MID
		}
	}
	return audio, video
}

var opened = Opened{Ufrag: "srvU", Password: "serverpasswordserverpass", Candidates: []string{"1 1 udp 1 192.0.2.1 3478 typ host"}}

// establish brings a publisher, or a viewer, to Established in a channel without others.
func (sc *script) establish(role string) {
	sc.t.Helper()
	sc.client(`{"type":"connect","role":"`+role+`","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	if role == "recvonly" {
		sc.feed(Joined{SessionID: "S"}, "send offer default")
		sc.answers("answer", "set remote peerU")
		sc.feed(MediaEstablished{}, "announce")
	} else {
		sc.feed(Joined{SessionID: "S"}, "send offer own own")
		audio, video := sc.mids()
		sc.answers("answer", "set remote peerU", "publish audio max 0", "publish video max 500000")
		sc.feed(Published{MID: audio, Track: param.TrackID{Index: 1}, OK: true})
		sc.feed(Published{MID: video, Track: param.TrackID{Index: 2}, OK: true})
		sc.feed(MediaEstablished{}, "announce audio 1 video 2")
	}
	sc.feed(Announced{JSON: notification("self created")}, "send notify self created")
}
