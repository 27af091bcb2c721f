package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
)

// world plays everything around one session, lets the client, media and the channel do what
// they like, and checks what the session asks for against what may be asked for at all.
type world struct {
	fail func(format string, args ...any)
	s    *Session
	now  time.Time
	peer offertest.Peer

	queue      []Event // results of actions, to be handed over
	lastSDP    string
	offers     int // without an answer
	offered    bool
	self       bool // own connection.created is out
	mediaOpen  bool
	inChannel  bool
	announced  bool
	closed     bool
	nextTrack  uint32
	published  map[param.TrackID]string
	subscribed map[uint32]param.Subscribe
	ssrcs      map[uint32]bool
	remotes    map[string][]offer.Track // what the channel publishes
	declined   bool                     // the client has declined something
}

func newWorld(fail func(string, ...any), cfg *Config) *world {
	w := &world{fail: fail, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), published: map[param.TrackID]string{},
		subscribed: map[uint32]param.Subscribe{}, ssrcs: map[uint32]bool{}, remotes: map[string][]offer.Track{}}
	w.s = New(cfg, w.now)
	return w
}

func (w *world) feed(e Event) {
	for _, a := range w.s.Handle(nil, w.now, e) {
		w.check(a)
	}
	for len(w.queue) > 0 {
		next := w.queue[0]
		w.queue = w.queue[1:]
		w.feed(next)
	}
}

func (w *world) client(m sora.Message) { w.feed(Message{m}) }

// check is the model: which action may come when.
func (w *world) check(a Action) {
	if w.closed {
		w.fail("%T after Close", a)
	}
	switch a := a.(type) {
	case Send:
		w.sent(string(a.JSON))
	case Close:
		w.closed = true
		if w.mediaOpen || w.inChannel {
			w.fail("closed with media %v, channel %v", w.mediaOpen, w.inChannel)
		}
		if a.Code != 0 && a.Code != CodeNormal && a.Code != CodeError || a.Reason == "" || len(a.Reason) > 123 {
			w.fail("close %d %q", a.Code, a.Reason)
		}
	case OpenMedia:
		w.mediaOpen = true
		w.queue = append(w.queue, opened)
	case CloseMedia:
		w.mediaOpen = false
		w.published, w.subscribed = nil, nil
	case Join:
		w.inChannel = true
		j := Joined{SessionID: "S"}
		for id, tracks := range w.remotes {
			j.Remotes = append(j.Remotes, RemoteChanged{id, tracks})
		}
		w.queue = append(w.queue, j)
	case Leave:
		w.inChannel = false
	case SetRemote:
		w.needMedia(a)
	case Publish:
		w.needMedia(a)
		w.nextTrack++
		id := param.TrackID{Index: w.nextTrack}
		w.published[id] = a.Publish.MID
		w.queue = append(w.queue, Published{a.Publish.MID, id, true})
	case Unpublish:
		if _, ok := w.published[a.Track]; !ok {
			w.fail("unpublished %v", a.Track)
		}
		delete(w.published, a.Track)
	case Subscribe:
		w.needMedia(a)
		if _, dup := w.subscribed[a.Subscribe.SSRC]; dup {
			w.fail("SSRC %d subscribed twice", a.Subscribe.SSRC)
		}
		w.subscribed[a.Subscribe.SSRC] = a.Subscribe
	case Unsubscribe:
		if _, ok := w.subscribed[a.SSRC]; !ok {
			w.fail("unsubscribed %d", a.SSRC)
		}
		delete(w.subscribed, a.SSRC)
	case Announce:
		if !w.inChannel || w.announced || len(a.Tracks) != len(w.published) {
			w.fail("announced %v with %v", a.Tracks, w.published)
		}
		w.announced = true
		w.queue = append(w.queue, Announced{JSON: notification("self")})
	case Update:
		if !w.announced || len(a.Tracks) != len(w.published) {
			w.fail("updated %v with %v", a.Tracks, w.published)
		}
	case Log:
		if a.Event == "" || a.Detail == "" {
			w.fail("%+v", a)
		}
	default:
		w.fail("unknown action %T", a)
	}
}

func (w *world) needMedia(a Action) {
	if !w.mediaOpen {
		w.fail("%T without media", a)
	}
}

// sent checks the order rules of what the client sees.
func (w *world) sent(json string) {
	m, err := kindOf(json)
	if err != nil {
		w.fail("%s: %v", json, err)
	}
	switch {
	case m.Type == "offer":
		if w.offered {
			w.fail("a second offer")
		}
		w.offered, w.lastSDP = true, m.SDP
		w.offers++
	case !w.offered:
		w.fail("%s before offer", m.Type)
	case m.Type == "re-offer":
		if w.offers != 0 || !w.self {
			w.fail("re-offer with %d unanswered, created %v", w.offers, w.self)
		}
		w.lastSDP = m.SDP
		w.offers++
	case m.Type == "notify" && !w.self:
		if m.Text != "self" {
			w.fail("%s before its own connection.created", m.Text)
		}
		w.self = true
	}
}

// answer answers the outstanding offer, whichever it is.
func (w *world) answer() {
	kind := sora.TypeReAnswer
	if w.s.State() == WaitAnswer {
		kind = sora.TypeAnswer
	}
	w.offers = 0
	w.client(sora.Message{Type: kind, SDP: w.peer.Answer(w.lastSDP)})
}

func connectMessage(role sora.Role) sora.Message {
	return sora.Message{Type: sora.TypeConnect, Connect: &sora.Connect{Role: role, ChannelID: "room", Multistream: true,
		Audio: sora.Audio{Enabled: true}, Video: sora.Video{Enabled: true}}}
}

// Row SIG-05.
func TestEverySequenceOfMessagesUpToFive(t *testing.T) {
	steps := []struct {
		name string
		do   func(*world)
	}{
		{"connect", func(w *world) { w.client(connectMessage(sora.SendRecv)) }},
		{"answer", func(w *world) {
			w.offers = 0
			w.client(sora.Message{Type: sora.TypeAnswer, SDP: w.peer.Answer(w.lastSDP)})
		}},
		{"re-answer", func(w *world) {
			w.offers = 0
			w.client(sora.Message{Type: sora.TypeReAnswer, SDP: w.peer.Answer(w.lastSDP)})
		}},
		{"candidate", func(w *world) { w.client(sora.Message{Type: sora.TypeCandidate}) }},
		{"pong", func(w *world) { w.client(sora.Message{Type: sora.TypePong}) }},
		{"disconnect", func(w *world) { w.client(sora.Message{Type: sora.TypeDisconnect}) }},
		{"malformed", func(w *world) { w.feed(Malformed{Reason: "INVALID-JSON"}) }},
		{"established", func(w *world) { w.feed(MediaEstablished{}) }},
		{"publisher", func(w *world) { w.feed(RemoteChanged{"A", pairOf(100)}) }},
		{"publisher gone", func(w *world) { w.feed(RemoteChanged{"A", nil}) }},
	}
	cfg := testConfig()
	// A path that has closed the session is not followed further: a closed session ignores
	// everything, which the steps that follow one close show once.
	var explore func(path []int)
	explore = func(path []int) {
		names := func() (out []string) {
			for _, i := range path {
				out = append(out, steps[i].name)
			}
			return out
		}
		w := newWorld(func(format string, args ...any) { t.Fatalf("%v: %s", names(), fmt.Sprintf(format, args...)) }, cfg)
		for _, i := range path {
			before, ended := w.s.State(), w.closed
			steps[i].do(w)
			if after := w.s.State(); after < before || w.closed != (after == Closed) {
				t.Fatalf("%v: from %v to %v, closed %v", names(), before, after, w.closed)
			}
			if ended {
				return
			}
		}
		if len(path) == 5 {
			return
		}
		for i := range steps {
			explore(append(path[:len(path):len(path)], i))
		}
	}
	explore(nil)
}

// Row SIG-07.
func TestAnyHistoryIsSoundAndSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig()
		cfg.Rand = newSeeded(rapid.Byte().Draw(t, "seed"))
		w := newWorld(t.Fatalf, cfg)
		role := rapid.SampledFrom([]sora.Role{sora.SendRecv, sora.SendOnly, sora.RecvOnly}).Draw(t, "role")
		w.client(connectMessage(role))
		publish := func(id string, n uint32, kinds int) {
			tracks := pairOf(n)[:kinds]
			if kinds == 0 {
				tracks = nil
				delete(w.remotes, id)
			} else {
				w.remotes[id] = tracks
			}
			w.feed(RemoteChanged{id, tracks})
		}
		t.Repeat(map[string]func(*rapid.T){
			"answer": func(t *rapid.T) {
				if w.offers == 0 {
					return
				}
				w.answer()
			},
			"answer declining": func(t *rapid.T) {
				if w.offers == 0 {
					return
				}
				sections := offertest.Sections(w.lastSDP)
				one := sections[rapid.IntRange(0, len(sections)-1).Draw(t, "section")].MID
				w.peer.Still = map[string]bool{one: true}
				if len(sections) > 1 && rapid.Bool().Draw(t, "decline") && one != sections[0].MID {
					w.peer.Decline = map[string]bool{one: true}
				}
				w.answer()
				w.peer, w.declined = offertest.Peer{}, true
			},
			"established": func(t *rapid.T) { w.feed(MediaEstablished{}) },
			"publish": func(t *rapid.T) {
				id := rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "who")
				publish(id, 100*rapid.Uint32Range(1, 50).Draw(t, "track"), rapid.IntRange(0, 2).Draw(t, "kinds"))
			},
			"notify": func(t *rapid.T) {
				if !w.announced {
					return
				}
				id := rapid.SampledFrom([]string{"A", "B", "C", "D", ""}).Draw(t, "after")
				w.feed(Notify{notification("n"), id})
			},
			"pong": func(t *rapid.T) {
				if !w.offered || w.closed {
					return
				}
				w.client(sora.Message{Type: sora.TypePong})
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms")) * time.Millisecond)
				w.feed(Tick{})
			},
			"end": func(t *rapid.T) {
				if rapid.IntRange(0, 30).Draw(t, "really") != 0 {
					return
				}
				w.feed(rapid.SampledFrom([]Event{Vanished{}, Kicked{CodeNormal, ReasonShutdown}, MediaClosed{MediaConsentLost},
					Message{sora.Message{Type: sora.TypeDisconnect}}}).Draw(t, "how"))
			},
			"": func(t *rapid.T) {
				if w.closed != (w.s.State() == Closed) {
					t.Fatalf("closed %v in state %v", w.closed, w.s.State())
				}
			},
		})
		if w.closed {
			return
		}
		// Left alone with a client that answers, the session comes to rest with exactly the
		// streams that the channel publishes and the client did not decline.
		if w.s.State() == WaitAnswer {
			w.answer()
		}
		w.feed(MediaEstablished{})
		for range 10 {
			if w.offers > 0 {
				w.answer()
			}
		}
		if w.offers != 0 || w.s.offer.Changed() || len(w.s.held) != 0 {
			t.Fatalf("%d offers are out, changed %v, %d notifications are held", w.offers, w.s.offer.Changed(), len(w.s.held))
		}
		w.settled(t, role)
	})
}

func (w *world) settled(t *rapid.T, role sora.Role) {
	for ssrc, sub := range w.subscribed {
		tracks := w.remotes[sub.CNAME]
		if !role.Receives() || !slices.ContainsFunc(tracks, func(o offer.Track) bool { return o.ID == sub.Track }) {
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
