package session

import (
	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// Event is something that happened to a session.
type Event interface{ event() }

type (
	// Message is a decoded message of the client.
	Message struct{ sora.Message }
	// Malformed is a message that could not be decoded; Reason is the close reason, Detail
	// is for the log.
	Malformed struct{ Reason, Detail string }
	// Tick says that a deadline may have come.
	Tick struct{}
	// Vanished says that the transport is gone without a word.
	Vanished struct{}
	// Kicked ends the session from the server's side.
	Kicked struct {
		Code   int
		Reason string
	}

	// Authenticated is the result of Authenticate: the client may connect, as Answer says,
	// which nobody changes from then on.
	Authenticated struct{ Answer *webhook.AuthAnswer }
	// Denied is its other result. Reason is the close reason, which may be anybody's text;
	// empty: none was given. Detail is for the log.
	Denied struct{ Reason, Detail string }

	// Opened is the result of OpenMedia: our ICE credentials, the values of the a=candidate
	// lines that hold at this moment, and the TURN server with this connection's credentials.
	Opened struct {
		Ufrag, Password string
		Candidates      []string
		ICEServer       sora.ICEServer
	}
	// OpenFailed is the other result of OpenMedia.
	OpenFailed struct{}
	// Published is the result of a Publish; OK false: there was no room.
	Published struct {
		MID   string
		Track param.TrackID
		OK    bool
	}
	// MediaEstablished says that ICE, DTLS and the fingerprint are fine.
	MediaEstablished struct{}
	// MediaSilent says that nothing comes from the client's media any more.
	MediaSilent struct{}
	// MediaLapsed says that it may be sent nothing any more, until it is heard (RFC 7675).
	MediaLapsed struct{}
	// MediaHeard ends both.
	MediaHeard struct{}
	// MediaUnstable says how unstable the client's network is: 0, stable, to 3.
	MediaUnstable struct{ Level int }
	// Restarted is the result of RestartICE: our new credentials, and the candidates.
	Restarted struct {
		Ufrag, Password string
		Candidates      []string
	}
	// RestartRefused is the other result of RestartICE: it is too soon.
	RestartRefused struct{}
	// MediaClosed says that media has ended by itself; Reason is a MediaReason constant.
	MediaClosed struct{ Reason string }

	// Joined is the channel's answer to Join, with what it publishes at this moment.
	Joined struct {
		SessionID string
		Remotes   []RemoteChanged
		Handed    *Layer // what the session webhook handed out; nil: nothing
	}
	// JoinRefused is its other answer; Reason is the close reason. Leave follows all the same.
	JoinRefused struct{ Reason string }
	// Announced is the channel's answer to Announce; JSON is this client's own
	// connection.created, nil if notifications are off.
	Announced struct{ JSON []byte }
	// RemoteChanged says what another connection publishes now; nothing: it left.
	RemoteChanged struct {
		ConnectionID string
		Tracks       []offer.Track
	}
	// Notify is a notification for the client. After names the connection whose streams
	// have to be offered first; empty: none.
	Notify struct {
		JSON  []byte
		After string
	}
)

func (Message) event()          {}
func (Malformed) event()        {}
func (Tick) event()             {}
func (Vanished) event()         {}
func (Kicked) event()           {}
func (Authenticated) event()    {}
func (Denied) event()           {}
func (Opened) event()           {}
func (OpenFailed) event()       {}
func (Published) event()        {}
func (MediaEstablished) event() {}
func (MediaSilent) event()      {}
func (MediaLapsed) event()      {}
func (MediaHeard) event()       {}
func (MediaUnstable) event()    {}
func (Restarted) event()        {}
func (RestartRefused) event()   {}
func (MediaClosed) event()      {}
func (Joined) event()           {}
func (JoinRefused) event()      {}
func (Announced) event()        {}
func (RemoteChanged) event()    {}
func (Notify) event()           {}

// Action is something that has to be done for a session.
type Action interface{ action() }

type (
	// Send sends a message to the client.
	Send struct{ JSON []byte }
	// Close ends the transport, with a close frame of this code; 0: it is gone already.
	// It is the last action of a session.
	Close struct {
		Code   int
		Reason string
		Detail string // for the log; empty: none
		// Foreign says that Reason is somebody else's text: of those there is no end.
		Foreign bool
	}

	// Log writes a line about this session. It changes nothing.
	Log struct {
		Event  string // one of the Event constants
		Detail string
	}

	// Authenticate asks whether the client may connect; Authenticated or Denied has to
	// follow. Counts of the channel are left to whoever asks.
	Authenticate struct {
		Request *webhook.AuthRequest
		Token   string // what the client has shown; empty: nothing
	}
	// CancelAuthentication says that nobody waits for that any more.
	CancelAuthentication struct{}
	// Report hands over the statistics that the client was asked for.
	Report struct{ JSON []byte }

	// OpenMedia opens the media connection; Opened or OpenFailed has to follow.
	OpenMedia struct{ Reach Reach }
	// SetRemote hands the client's transport parameters to media.
	SetRemote struct{ Remote param.Remote }
	// Publish starts receiving a track; Published has to follow.
	Publish struct{ Publish param.Publish }
	// Unpublish stops receiving it.
	Unpublish struct{ Track param.TrackID }
	// Subscribe starts sending a track to the client.
	Subscribe struct{ Subscribe param.Subscribe }
	// Unsubscribe stops sending it.
	Unsubscribe struct{ SSRC uint32 }
	// RestartICE makes new ICE credentials beside those that are in use; Restarted or
	// RestartRefused has to follow.
	RestartICE struct{ Reach Reach }
	// CloseMedia ends the media connection.
	CloseMedia struct{}

	// Join enters the channel; Joined or JoinRefused has to follow.
	Join struct{ Member Member }
	// Announce tells the channel that the connection is established; Announced has to
	// follow.
	Announce struct{ Tracks []offer.Track }
	// Update tells the channel that an announced connection publishes something else now.
	Update struct{ Tracks []offer.Track }
	// Leave leaves the channel, or withdraws a Join that has not been answered.
	Leave struct{ End Close }
)

func (Send) action()                 {}
func (Close) action()                {}
func (Log) action()                  {}
func (Authenticate) action()         {}
func (CancelAuthentication) action() {}
func (Report) action()               {}
func (OpenMedia) action()            {}
func (SetRemote) action()            {}
func (Publish) action()              {}
func (Unpublish) action()            {}
func (Subscribe) action()            {}
func (Unsubscribe) action()          {}
func (RestartICE) action()           {}
func (CloseMedia) action()           {}
func (Join) action()                 {}
func (Announce) action()             {}
func (Update) action()               {}
func (Leave) action()                {}

// Member is who a session is in its channel. What its slices and pointers refer to does not
// change any more.
type Member struct {
	ChannelID    string
	ConnectionID string
	ClientID     string
	BundleID     string
	Role         sora.Role
	Audio        bool
	Video        bool
	Notify       bool // the client is told of others
	// What others are shown, JSON; nil: none.
	AuthnMetadata []byte
	AuthzMetadata []byte
	MetadataExt   []byte
	// What webhooks and logs are told.
	EventMetadata  []byte // JSON; nil: none
	Media          webhook.Media
	Client         webhook.Client
	RecordingBlock bool
	StatsExporter  bool
	WantsStats     bool // somebody wants this client's statistics
}
