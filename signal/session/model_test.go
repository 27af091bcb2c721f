package session

import (
	"regexp"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
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
	asking     bool // an authentication is under way
	announced  bool
	closed     bool
	nextTrack  uint32
	published  map[param.TrackID]string
	subscribed map[uint32]param.Subscribe
	ssrcs      map[uint32]bool
	remotes    map[string][]offer.Track // what the channel publishes
	declined   bool                     // the client has declined something

	// late leaves results of actions in the queue until they are taken out one by one. chaos
	// is for events that nobody asked for: tracks are not what media made them then.
	late, chaos bool
	answered    sora.Type // the last reply to a re-offer; 0: none yet
	goSora      bool      // the client says that it is go-sora
	asked       bool      // a ping has asked for statistics
}

func newWorld(fail func(string, ...any), cfg *Config) *world {
	w := &world{fail: fail, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), published: map[param.TrackID]string{},
		subscribed: map[uint32]param.Subscribe{}, ssrcs: map[uint32]bool{}, remotes: map[string][]offer.Track{}}
	w.s = New(cfg, w.now)
	return w
}

func (w *world) feed(events ...Event) {
	for _, e := range events {
		w.happens(e)
	}
	for _, a := range w.s.Handle(nil, w.now, events...) {
		w.check(a)
	}
	for len(w.queue) > 0 && !w.late && !w.chaos {
		w.next()
	}
}

// happens notes what an event means before the session is told of it.
func (w *world) happens(e Event) {
	switch e := e.(type) {
	case Opened:
		w.mediaOpen = w.mediaOpen || w.s.State() == Opening
	case Authenticated, Denied:
		w.asking = w.asking && w.s.State() != Authenticating
	case Announced:
		// Without a notification there is none to wait for.
		w.self = w.self || w.s.State() == Established && e.JSON == nil
	case Message:
		switch state := w.s.State(); {
		case e.Type == sora.TypeConnect && state == WaitConnect:
			w.goSora = e.Connect.SoraClient != ""
		case e.Type == sora.TypeAnswer && state == WaitAnswer:
			w.offers = 0
		case e.Type == sora.TypeAnswer && state == Established && w.old():
			w.offers, w.answered = 0, sora.TypeUpdate
		case (e.Type == sora.TypeReAnswer || e.Type == sora.TypeUpdate) && state == Established:
			w.offers, w.answered = 0, e.Type
		}
	}
}

// next hands over the oldest result.
func (w *world) next() {
	if len(w.queue) == 0 {
		return
	}
	e := w.queue[0]
	w.queue = w.queue[1:]
	if j, ok := e.(Joined); ok {
		for id, tracks := range w.remotes {
			j.Remotes = append(j.Remotes, RemoteChanged{id, tracks})
		}
		e = j
	}
	w.feed(e)
}

// reasonForm is what every reason looks like; which there are is in values.go, refuse.go and
// the packages offer and sora.
var reasonForm = regexp.MustCompile(`^[A-Z0-9]+(-[A-Z0-9]+)*$`)

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
		if w.mediaOpen || w.inChannel || w.asking {
			w.fail("closed with media %v, channel %v", w.mediaOpen, w.inChannel)
		}
		if a.Code != 0 && a.Code != CodeNormal && a.Code != CodeError || !reasonForm.MatchString(a.Reason) || len(a.Reason) > 123 {
			w.fail("close %d %q", a.Code, a.Reason)
		}
	case Authenticate:
		if a.Request.ConnectionID == "" || w.asking {
			w.fail("asked %+v", a.Request)
		}
		w.asking = true
		w.queue = append(w.queue, Authenticated{&webhook.AuthAnswer{Allowed: true}})
	case CancelAuthentication:
		if !w.asking {
			w.fail("cancelled what nobody asked")
		}
		w.asking = false
	case Report:
		if !w.asked {
			w.fail("reported what nobody asked for")
		}
	case OpenMedia:
		w.queue = append(w.queue, opened)
	case CloseMedia:
		w.mediaOpen = false
		w.published, w.subscribed = nil, nil
	case Join:
		w.inChannel = true
		w.queue = append(w.queue, Joined{SessionID: "S"})
	case Leave:
		w.inChannel = false
	case SetRemote:
		w.needMedia(a)
	case RestartICE:
		w.needMedia(a)
		if w.offers != 0 {
			w.fail("ICE is restarted while an offer is unanswered")
		}
		w.queue = append(w.queue, restarted)
	case Publish:
		w.needMedia(a)
		w.nextTrack++
		id := param.TrackID{Index: w.nextTrack}
		w.published[id] = a.Publish.MID
		w.queue = append(w.queue, Published{a.Publish.MID, id, true})
	case Unpublish:
		if _, ok := w.published[a.Track]; !ok && !w.chaos {
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
		if !w.inChannel || w.announced || len(a.Tracks) != len(w.published) && !w.chaos {
			w.fail("announced %v with %v", a.Tracks, w.published)
		}
		w.announced = true
		w.queue = append(w.queue, Announced{JSON: notification("self")})
	case Update:
		if !w.announced || len(a.Tracks) != len(w.published) && !w.chaos {
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

// restarted is what media answers to RestartICE.
var restarted = Restarted{"ufragAfterRestart", "passwordafterrestartpassword", []string{"1 1 udp 1 192.0.2.2 3478 typ host"}}

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
	case m.Type == "re-offer" || m.Type == "update":
		if w.offers != 0 || !w.self {
			w.fail("%s with %d unanswered, created %v", m.Type, w.offers, w.self)
		}
		if w.old() != (m.Type == "update") {
			w.fail("%s to a client that answered %v, go-sora %v", m.Type, w.answered, w.goSora)
		}
		w.lastSDP = m.SDP
		w.offers++
	case m.Type == "notify" && !w.self:
		if m.Text != "self" {
			w.fail("%s before its own connection.created", m.Text)
		}
		w.self = true
	case m.Type == "ping":
		w.asked = w.asked || m.Stats
	case m.Type != "notify":
		w.fail("there is no message %s", m.Type)
	}
}

// old reports whether the client's re-offers are to be called update.
func (w *world) old() bool { return w.answered == sora.TypeUpdate || w.answered == 0 && w.goSora }

// answer answers the outstanding offer, whichever it is, in the words of now or of then.
func (w *world) answer(then bool) {
	kind := sora.TypeReAnswer
	if then {
		kind = sora.TypeUpdate
	}
	if w.s.State() == WaitAnswer {
		kind = sora.TypeAnswer
	}
	w.client(sora.Message{Type: kind, SDP: w.peer.Answer(w.lastSDP)})
}

func connectMessage(role sora.Role) sora.Message {
	return sora.Message{Type: sora.TypeConnect, Connect: &sora.Connect{Role: role, ChannelID: "room", Multistream: true,
		Audio: sora.Audio{Enabled: true}, Video: sora.Video{Enabled: true}}}
}
