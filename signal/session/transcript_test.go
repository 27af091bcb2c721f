package session

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// The tests of this package are transcripts. A line at the margin is what happens to a
// session; the indented lines below it are everything that the session then does, in
// order:
//
//	client: {"type":"connect","role":"recvonly","channel_id":"room"}
//		media: open
//	media: opened
//		channel: join room
//	channel: joined
//		server: offer default-audio
//
// client and server are the two ends of the WebSocket, media and channel the parts of the
// server that a session works with, clock moves the time, log is what an operator reads. An
// offer is told by its m-sections: own-video is where the client sends, A-video carries the
// video of the connection A, default-audio is the placeholder of a client that sends
// nothing, and a section that has been released is in brackets.
//
// What may happen:
//
//	client: {...}                          a message as it is on the wire
//	client: connect sendrecv               the same with nothing but what it must have
//	client: pong                           a message without members
//	client: answer                         with what a browser would answer to the last offer
//	client: answer, own-video inactive     the same but for a section, which may be declined too
//	client: vanishes
//	app: allows, denies NO-REASON-LIKE-THIS, denies      what is allowed is in transcript.handed
//	media: opened, opened with TURN, full, established, published audio 1, published audio full, closed consent-lost
//	media: silent, lapsed, heard, unstable 2, restarted, restart refused
//	channel: joined, joined with A 10      A publishes the tracks 10 (audio) and 11 (video)
//	channel: refused SERVER-BUSY
//	channel: announced, announced silently
//	channel: A publishes 10, A publishes audio 10, A publishes nothing
//	channel: notify hello, notify hello after A
//	server: shuts down
//	clock: 5s
//
// Lines that end in & are handed over together with the next one.
type transcript struct {
	t    *testing.T
	s    *Session
	now  time.Time
	sdp  string // of the last offer
	ice  int    // how often media has restarted ICE
	json []string
	seen []string // the transcript as it really went
	// handed is what the application hands out.
	handed webhook.AuthAnswer
	asked  *Authenticate // the last question to it
	reach  Reach         // of the last media that was opened or restarted
	// weaken makes answers show a fingerprint of a hash that is too weak.
	weaken bool
}

// play plays a transcript and returns the session as it is at the end.
func play(t *testing.T, cfg *Config, text string) *transcript {
	t.Helper()
	p := &transcript{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	p.s = New(cfg, p.now)
	p.goOn(text)
	return p
}

// goOn plays what follows.
func (p *transcript) goOn(text string) {
	p.t.Helper()
	var want []string
	var events []Event
	p.seen = nil
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if line[0] == '\t' {
			want = append(want, "\t"+trimmed)
			continue
		}
		want = append(want, trimmed)
		p.seen = append(p.seen, trimmed)
		line, more := strings.CutSuffix(trimmed, " &")
		if events = append(events, p.event(line)); more {
			continue
		}
		for _, a := range p.s.Handle(nil, p.now, events...) {
			p.seen = append(p.seen, "\t"+p.line(a))
		}
		events = nil
	}
	for i := range max(len(want), len(p.seen)) {
		if i >= len(want) || i >= len(p.seen) || want[i] != p.seen[i] {
			p.t.Fatalf("it went\n%s\nand from line %d on it was to go\n%s", strings.Join(p.seen, "\n"), i+1, strings.Join(want[min(i, len(want)):], "\n"))
		}
	}
}

// event reads a line at the margin.
func (p *transcript) event(line string) Event {
	who, what, _ := strings.Cut(line, ": ")
	word, rest, _ := strings.Cut(what, " ")
	switch who {
	case "client":
		return p.clientEvent(what)
	case "media":
		return p.mediaEvent(word, rest)
	case "channel":
		return p.channelEvent(word, rest)
	case "app":
		if word == "denies" {
			return Denied{Reason: rest, Detail: "it said so"}
		}
		p.handed.Allowed = true
		return Authenticated{&p.handed}
	case "clock":
		d, err := time.ParseDuration(what)
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
		return Tick{}
	case "server":
		return Kicked{CodeNormal, ReasonShutdown}
	}
	p.t.Fatalf("no such line: %s", line)
	return nil
}

func (p *transcript) clientEvent(what string) Event {
	frame := what
	word, role, _ := strings.Cut(what, " ")
	switch word = strings.TrimSuffix(word, ","); word {
	case "vanishes":
		return Vanished{}
	case "connect":
		frame = `{"type":"connect","role":"` + role + `","channel_id":"room"}`
	case "answer", "re-answer", "update":
		frame = `{"type":"` + word + `","sdp":` + string(sora.AppendString(nil, p.answer(what))) + `}`
	case "pong", "disconnect", "candidate":
		frame = `{"type":"` + word + `"}`
	}
	m, err := sora.Decode([]byte(frame))
	if err != nil {
		e := err.(*sora.Error)
		return Malformed{e.Reason, e.Detail}
	}
	return Message{m}
}

// answer writes an answer to the last offer: "re-answer, A-video inactive, A-audio declined".
func (p *transcript) answer(what string) string {
	peer := offertest.Peer{Still: map[string]bool{}, Decline: map[string]bool{}}
	parts := strings.Split(what, ", ")
	for _, part := range parts[1:] {
		name, how, _ := strings.Cut(part, " ")
		mid := ""
		for _, s := range offertest.Sections(p.sdp) {
			if sectionName(&s) == name {
				mid = s.MID
			}
		}
		switch {
		case mid == "":
			p.t.Fatalf("no section %s in the last offer", name)
		case how == "inactive":
			peer.Still[mid] = true
		case how == "declined":
			peer.Decline[mid] = true
		default:
			p.t.Fatalf("no such answer: %s", part)
		}
	}
	sdp := peer.Answer(p.sdp)
	if p.weaken {
		sdp = strings.ReplaceAll(sdp, "sha-256", "sha-1")
	}
	return sdp
}

func (p *transcript) mediaEvent(word, rest string) Event {
	switch word {
	case "opened":
		o := opened
		if rest == "with TURN" {
			o.ICEServer = sora.ICEServer{URLs: []string{"turn:192.0.2.1:3478?transport=udp"}, Username: "user", Credential: "secret"}
		}
		return o
	case "full":
		return OpenFailed{}
	case "established":
		return MediaEstablished{}
	case "closed":
		return MediaClosed{rest}
	case "silent":
		return MediaSilent{}
	case "lapsed":
		return MediaLapsed{}
	case "heard":
		return MediaHeard{}
	case "unstable":
		level, err := strconv.Atoi(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		return MediaUnstable{level}
	case "restarted":
		p.ice++
		return Restarted{fmt.Sprint("ufrag", p.ice), "passwordofarestartpassword", []string{"1 1 udp 1 192.0.2.2 3478 typ host"}}
	case "restart":
		return RestartRefused{}
	case "published":
		kind, track, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(track)
		for _, s := range offertest.Sections(p.sdp) {
			if s.Kind == kind {
				return Published{MID: s.MID, Track: param.TrackID{Index: uint32(n)}, OK: err == nil}
			}
		}
	}
	p.t.Fatalf("no such line: media: %s %s", word, rest)
	return nil
}

func (p *transcript) channelEvent(word, rest string) Event {
	f := strings.Fields(rest)
	switch {
	case word == "joined":
		j := Joined{SessionID: "S"}
		for i := 1; i+1 < len(f); i += 2 {
			j.Remotes = append(j.Remotes, RemoteChanged{f[i], tracksOf(f[i+1])})
		}
		return j
	case word == "refused":
		return JoinRefused{rest}
	case word == "announced" && rest == "silently":
		return Announced{}
	case word == "announced":
		return Announced{JSON: notification("self")}
	case word == "notify" && len(f) == 3:
		return Notify{notification(f[0]), f[2]}
	case word == "notify":
		return Notify{notification(rest), ""}
	case len(f) >= 2 && f[0] == "publishes":
		return RemoteChanged{word, tracksOf(f[1:]...)}
	}
	p.t.Fatalf("no such line: channel: %s %s", word, rest)
	return nil
}

// tracksOf reads "nothing", "10" for a pair, "10 AV1" for one with that codec, "audio 10" or
// "video 10".
func tracksOf(words ...string) []offer.Track {
	if words[0] == "nothing" {
		return nil
	}
	if words[0] == "audio" || words[0] == "video" {
		n, _ := strconv.Atoi(words[1])
		if words[0] == "audio" {
			return pairOf(uint32(n))[:1]
		}
		return pairOf(uint32(n) - 1)[1:]
	}
	n, _ := strconv.Atoi(words[0])
	tracks := pairOf(uint32(n))
	if len(words) > 1 {
		tracks[1].Codec = videoCodecs[words[1]]
	}
	return tracks
}

// line writes what the session does.
func (p *transcript) line(a Action) string {
	switch a := a.(type) {
	case Send:
		return "server: " + p.message(a.JSON)
	case Close:
		return fmt.Sprintf("server: close %d %s", a.Code, a.Reason)
	case Log:
		return "log: " + a.Event + ": " + a.Detail
	case Authenticate:
		p.asked = &a
		if a.Token != "" {
			return "app: authenticate " + a.Token
		}
		return "app: authenticate"
	case CancelAuthentication:
		return "app: cancel"
	case Report:
		return "app: report " + string(a.JSON)
	case OpenMedia:
		p.reach = a.Reach
		return "media: open"
	case SetRemote:
		return "media: set remote"
	case Publish:
		return fmt.Sprintf("media: publish %v max %d", a.Publish.Codec, a.Publish.MaxBitrate)
	case Unpublish:
		return fmt.Sprintf("media: unpublish %d", a.Track.Index)
	case Subscribe:
		return fmt.Sprintf("media: subscribe %v %d of %s", a.Subscribe.Codec, a.Subscribe.Track.Index, a.Subscribe.CNAME)
	case Unsubscribe:
		return "media: unsubscribe"
	case RestartICE:
		p.reach = a.Reach
		return "media: restart ICE"
	case CloseMedia:
		return "media: close"
	case Join:
		return "channel: join " + a.Member.ChannelID
	case Announce:
		return "channel: announce" + trackList(a.Tracks)
	case Update:
		return "channel: update" + trackList(a.Tracks)
	case Leave:
		return "channel: leave"
	}
	p.t.Fatalf("unknown action %T", a)
	return ""
}

func trackList(tracks []offer.Track) (s string) {
	for _, t := range tracks {
		s += fmt.Sprintf(" %v %d", t.Codec, t.ID.Index)
		if t.Params != "" {
			s += " (" + t.Params + ")"
		}
	}
	return s
}

// message describes a message of the server.
func (p *transcript) message(b []byte) string {
	m, err := kindOf(string(b))
	if err != nil {
		p.t.Fatalf("%s: %v", b, err)
	}
	p.json = append(p.json, string(b))
	text := m.Type
	if m.Stats {
		text += " stats"
	}
	if m.Text != "" {
		text += " " + m.Text
	}
	if m.Event == sora.ICEStateEvent {
		text += fmt.Sprintf(" ice %s, was %s", m.Current, m.Previous)
	}
	if m.Event == "network.status" {
		text += fmt.Sprintf(" network.status %d", m.Level)
	}
	if m.SDP != "" {
		if p.sdp != "" && ufragOf(m.SDP) != ufragOf(p.sdp) {
			text += " (" + ufragOf(m.SDP) + ")"
		}
		p.sdp = m.SDP
		for _, s := range offertest.Sections(m.SDP) {
			text += " " + sectionName(&s)
		}
	}
	return text
}

func sectionName(s *offertest.Section) string {
	if s.Port == 0 {
		return "[" + s.Kind + "]"
	}
	if id := s.Attribute("msid"); id != "" {
		owner, _, _ := strings.Cut(id, " ")
		return owner + "-" + s.Kind
	}
	return "own-" + s.Kind
}

// received is what a client reads of a message here.
type received struct {
	Current  string `json:"current_state"`
	Previous string `json:"previous_state"`

	Type, SDP, Text string
	Stats           bool
	Event           string `json:"event_type"`
	Level           int    `json:"unstable_level"`
}

// ufragOf returns our ICE user fragment in an offer.
func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r")
	return ufrag
}

func kindOf(text string) (received, error) {
	var m received
	err := json.Unmarshal([]byte(text), &m)
	return m, err
}
