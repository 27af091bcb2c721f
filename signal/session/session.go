// Package session is the state machine of one signaling session: what a client may say
// when, what it is told, and which media follows from it. It is pure: messages, timers,
// media and channel events come in as values together with the time, actions go out as
// values in the order in which they are to be carried out. It has no goroutine, socket or
// clock and knows no transport. One goroutine at a time may use a Session; what it returns
// belongs to the caller.
//
// What a client asks for is first held against what there is and what is allowed
// (refuse.go). Then the application is asked about it, if there is one (connect.go), and what it
// says is mixed with what the client and configuration say (settings.go); from then on only
// the Settings count. Tests are transcripts: join_test.go shows a whole session, and
// transcript_test.go says how to read one.
package session

import (
	"io"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
)

// State is where a session stands. Its only ways are down this list, or to Closed.
type State uint8

// The states.
const (
	WaitConnect     State = iota // nothing has been said
	Authenticating               // the application is asked whether the client may connect
	Opening                      // a media connection is being opened
	Joining                      // the channel is being joined
	WaitAnswer                   // the offer is out
	WaitEstablished              // ICE and DTLS are under way
	Established                  // announced, or about to be, to the channel
	Closed
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"wait-connect", "authenticating", "opening", "joining", "wait-answer", "wait-established", "established", "closed"}[s]
}

// Config is what all sessions of a server have in common.
type Config struct {
	Version        string            // of the server, told to clients
	Fingerprint    param.Fingerprint // of the server's certificate
	ConnectTimeout time.Duration     // to the first message
	JoinTimeout    time.Duration     // from connect to offer: our own work
	AnswerTimeout  time.Duration     // from offer or re-offer to its answer
	CreatedTimeout time.Duration     // from answer to established media
	// Ask has every connect authenticated. AskTimeout is for whoever is asked, and longer than
	// theirs: they answer, if only that they could not.
	Ask           bool
	AskTimeout    time.Duration
	PingInterval  time.Duration
	PongTimeout   time.Duration
	StatsInterval time.Duration // between pings that ask for statistics; 0: none does
	// Gather is the most that a change of streams waits for others to share its re-offer; 0:
	// none waits.
	Gather    time.Duration
	RelayOnly bool // clients are told to send nothing but through our TURN server
	OpusRED   bool // clients are offered Opus with redundancy
	Allow     Allow
	Defaults  Defaults
	Rand      io.Reader     // of mids and SSRCs; nil: crypto/rand
	NewID     func() string // of connections; nil: sora.NewID
}

// Allow says what clients may ask for.
type Allow struct {
	ClientID   bool
	BundleID   bool
	OpusParams bool
	VP9Params  bool
	AV1Params  bool
	H264Params bool
	H265Params bool
	H264BFrame bool // with b_frame in h264_params
	H265BFrame bool
	VP8        bool // as the codec of what a client sends, here and below
	VP9        bool
	AV1        bool
	H264       bool
	H265       bool
}

// Defaults hold where a client asks for nothing.
type Defaults struct {
	VideoCodec   param.Codec // of what a client sends
	AudioBitrate uint64      // bits per second; 0: the client's choice
	VideoBitrate uint64      // bits per second; 0: the client's choice
	NotifyOff    bool        // clients are not told of others
	// NotifyICEState tells clients of their own ICE connection state.
	NotifyICEState bool
	// NotifyMetadataExt shows others what authentication hands out as extended metadata.
	NotifyMetadataExt bool
	Lifetime          time.Duration // of a connection; 0: no end
}

// Bounds of one session.
const (
	// maxHeld is how many notifications wait for a re-offer; beyond it they go out at
	// once, ahead of the streams they announce.
	maxHeld = 256
	// maxMessages is how many messages a client may send unasked in rateWindow. A browser
	// sends some twenty candidates and then a pong every few seconds.
	maxMessages = 500
	rateWindow  = 10 * time.Second
)

// Session is one signaling session.
type Session struct {
	cfg       *Config
	state     State
	member    Member
	bearer    string         // what the transport's request showed; until connect
	layers    *Layers        // from connect to joined
	settings  Settings       // from Opening on
	sessionID string         // of the channel, from joined on
	server    sora.ICEServer // until the offer
	offer     *offer.State

	mediaOpen  bool
	inChannel  bool        // Join went out and was not refused
	mediaUp    bool        // ICE, DTLS and the fingerprint are fine
	announced  bool        // the channel has confirmed
	publishing int         // Publish actions without a result
	sent       []sentTrack // at most one audio and one video, in this order
	held       []Notify

	lifeBy   time.Time // zero: no end
	stageBy  time.Time // deadline of the stage before Established
	answerBy time.Time // of an outstanding re-offer
	pingAt   time.Time // zero until the answer
	pongBy   time.Time
	statsAt  time.Time // from when on the next ping asks for statistics

	reOfferAt time.Time     // of one that is held back; zero: none is
	reOffered time.Time     // when the last one was sent
	gather    time.Duration // from then on, how long the next one is held back
	gathering bool          // reOfferAt is for that reason
	// reOffersFull is when all of reOfferBurst may go at once again (the generic cell rate
	// algorithm): each re-offer moves it reOfferEvery ahead.
	reOffersFull time.Time

	path    path    // what becomes of it when the client's media is silent
	network network // what the client is told of its own
	ice     iceState

	statsAsked bool // by a ping that no statistics have followed yet
	stats      Stats
	oldStyle   bool // the client's re-offers are called update

	windowEnd time.Time
	messages  int

	out []Action
}

// sentTrack is one track that the client sends.
type sentTrack struct {
	publish param.Publish
	id      param.TrackID
	known   bool // media has answered
}

// New starts a session whose transport has just been accepted. It keeps cfg, which must
// not change any more.
func New(cfg *Config, now time.Time) *Session {
	return &Session{cfg: cfg, stageBy: now.Add(cfg.ConnectTimeout)}
}

// State returns where the session stands.
func (s *Session) State() State { return s.state }

// Member returns who this is. It is complete from Joining on.
func (s *Session) Member() Member { return s.member }

// SessionID returns the id of the channel's session; empty before it has been joined.
func (s *Session) SessionID() string { return s.sessionID }

// SetBearer notes the token of the request's Authorization header. It has to come before the
// first message.
func (s *Session) SetBearer(token string) { s.bearer = token }

// Deadline returns when the session next wants a Tick; zero: not at all.
func (s *Session) Deadline() time.Time {
	if s.state == Closed {
		return time.Time{}
	}
	first := s.stageBy
	for _, t := range []time.Time{s.lifeBy, s.answerBy, s.pingAt, s.pongBy, s.reOfferAt, s.restartDue(), s.networkDue()} {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// Handle takes events that have come by now and appends to dst what has to be done about
// them, in order. Streams that change with several of them share one re-offer. A closed
// session ignores every event.
func (s *Session) Handle(dst []Action, now time.Time, events ...Event) []Action {
	s.out = dst
	for _, e := range events {
		if s.state == Closed {
			break
		}
		s.event(now, e)
	}
	s.restartICE(now)
	s.renegotiate(now)
	s.tellICE(now)
	s.tellNetwork(now)
	out := s.out
	s.out = nil
	return out
}

func (s *Session) event(now time.Time, e Event) {
	switch e := e.(type) {
	case Message:
		s.message(now, e.Message)
	case Malformed:
		s.fault(e.Reason, e.Detail)
	case Tick:
		s.tick(now)
	case Vanished:
		s.close(0, ReasonVanished)
	case Kicked:
		s.close(e.Code, e.Reason)
	case Authenticated:
		s.authenticated(now, e)
	case Denied:
		s.denied(e)
	case Opened:
		s.opened(e)
	case OpenFailed:
		if s.state == Opening {
			s.close(CodeError, ReasonServerFull)
		}
	case Joined:
		s.onJoined(now, e)
	case JoinRefused:
		if s.state == Joining {
			s.close(CodeError, e.Reason)
		}
	case RemoteChanged:
		s.remoteChanged(e)
	case Announced:
		s.onAnnounced(e)
	case Notify:
		s.notify(e)
	case Published:
		s.published(e)
	case MediaEstablished:
		s.mediaUp = true
		s.ice.is = iceConnected
		s.establish()
	case MediaSilent:
		s.ice.is = iceDisconnected
		s.mediaSilent(now)
	case MediaLapsed:
		s.ice.is = iceFailed
		s.mediaLapsed()
	case MediaHeard:
		s.ice.is = iceConnected
		s.path = path{}
	case MediaUnstable:
		s.network.level = e.Level
	case Restarted:
		s.restarted(e)
	case RestartRefused:
		// restartICE has set the time of the next attempt.
	case MediaClosed:
		s.mediaClosed(e)
	default:
		panic("session: unknown event")
	}
}

func (s *Session) do(a Action) { s.out = append(s.out, a) }

// log asks for a line of log.
func (s *Session) log(event, detail string) { s.do(Log{Event: event, Detail: detail}) }

func (s *Session) send(json []byte) { s.do(Send{JSON: json}) }

// fault ends the session for something that the client did; detail is for the log.
func (s *Session) fault(reason, detail string) {
	s.end(Close{Code: CodeError, Reason: reason, Detail: detail})
}

func (s *Session) close(code int, reason string) { s.end(Close{Code: code, Reason: reason}) }

// end ends the session from any state. Others hear of it before its media goes.
func (s *Session) end(c Close) {
	if s.state == Closed {
		return
	}
	if s.state == Authenticating {
		s.do(CancelAuthentication{})
	}
	s.state = Closed
	if s.inChannel {
		s.do(Leave{End: c})
	}
	if s.mediaOpen {
		s.do(CloseMedia{})
	}
	s.do(c)
	s.offer, s.held, s.sent, s.layers = nil, nil, nil, nil
}

// message takes a message of the client, by the table of which type fits which state.
func (s *Session) message(now time.Time, m sora.Message) {
	s.path.spoke = s.path.silent
	offered := s.state >= WaitAnswer
	reoffered := s.state == Established && s.offer.Outstanding()
	// Some versions of go-sora answer an update with answer.
	reanswer := m.Type == sora.TypeReAnswer || m.Type == sora.TypeUpdate || m.Type == sora.TypeAnswer && s.oldStyle
	if !(reoffered && reanswer) && s.tooMany(now) {
		s.close(CodeError, ReasonTooManyMessages)
		return
	}
	switch {
	case m.Type == sora.TypeDisconnect:
		s.end(Close{Code: CodeNormal, Reason: ReasonDisconnect, Detail: m.Reason})
	case m.Type == sora.TypeConnect && s.state == WaitConnect:
		s.connect(now, m.Connect)
	case m.Type == sora.TypeAnswer && s.state == WaitAnswer:
		s.answer(now, m.SDP)
	case reanswer && reoffered:
		s.oldStyle = m.Type != sora.TypeReAnswer
		s.answer(now, m.SDP)
	case m.Type == sora.TypeCandidate && offered:
		// Accepted and not needed: connectivity checks tell the same.
	case m.Type == sora.TypePong && offered:
		s.pong(now, &m)
	default:
		s.fault(ReasonUnexpectedMessage, m.Type.String()+" in state "+s.state.String())
	}
}

// tooMany counts a message that nobody has asked the client for. Answers to re-offers, of
// which there is never more than one, are as many as others come and go.
func (s *Session) tooMany(now time.Time) bool {
	if now.After(s.windowEnd) {
		s.windowEnd, s.messages = now.Add(rateWindow), 0
	}
	s.messages++
	return s.messages > maxMessages
}

// tick looks after the deadlines.
func (s *Session) tick(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case due(s.lifeBy):
		s.close(CodeNormal, ReasonLifetime)
	case due(s.stageBy):
		s.close(CodeError, map[State]string{
			WaitConnect:     ReasonConnectTimeout,
			Authenticating:  ReasonAuthError,
			Opening:         ReasonServerBusy,
			Joining:         ReasonServerBusy,
			WaitAnswer:      ReasonAnswerTimeout,
			WaitEstablished: ReasonCreatedTimeout,
		}[s.state])
	case due(s.answerBy):
		s.close(CodeError, ReasonAnswerTimeout)
	case due(s.pongBy):
		s.close(CodeError, ReasonPongTimeout)
	case due(s.pingAt):
		s.ping(now)
	}
}
