// Package configs reads the server's configuration file: `key = value` lines in the
// grammar of sora.conf, and variables of the environment over them. It knows every key, its
// default, range and unit, whether it can change while the server runs, and hands each
// part of the server a small struct of plain values. It imports nothing of ours, opens
// nothing but the file it is given and the certificates and keys that this names, and keeps
// no state: any goroutine may call it, and what it returns belongs to the caller.
// tsubame.conf beside it is the commented reference; a test holds the two together.
package configs

import (
	"net/netip"
	"time"
)

// Config is everything that can be set, by the part of the server that reads it.
type Config struct {
	Server    Server
	Signaling Signaling
	Session   Session
	Addresses Addresses
	Media     Media
	TURN      TURN
	TCP       TCP
	Debug     Debug
	Log       Log
	LogFiles  LogFiles
	Webhooks  Webhooks
	Exporter  Exporter
	Tokens    Tokens
	// Idle has the values of keys that nothing follows, where they ask for something. It is not
	// to be written to.
	Idle map[string]string
}

// Server is what the process as a whole follows.
type Server struct {
	Label           string        // name of this server in messages to others
	NodeName        string        // name of this node in messages to others, NAME@ADDRESS
	Dev             bool          // for development: loopback addresses are advertised too
	MaxConnections  int           // connections at a time
	ShutdownTimeout time.Duration // how long ending may take
}

// Signaling is for the HTTP and WebSocket edge.
type Signaling struct {
	Port           uint16 // TCP; 0: any
	LoopbackOnly   bool
	AllowedOrigins []string       // host patterns that a page may come from; none: all
	ConnectTimeout time.Duration  // from accept to the first message
	MaxHalfOpen    int            // sockets that have not sent connect
	MaxHalfOpenPer int            // the same, per source address
	SendQueueBytes int            // what may wait for a slow reader
	MaxPerAddress  int            // sockets of one source address in all; 0: no bound
	RatePerAddress int            // new sockets of one source address a second; 0: no bound
	MaxJoining     int            // sessions between connect and established media
	ShedAtLoad     int            // percent of a shard's time in use beyond which joins are shed; 0: never
	Proxies        []netip.Prefix // whose X-Forwarded-For is believed
	DevTools       bool           // the page at / is served
}

// Session is for the state machine of one signaling session.
type Session struct {
	PingInterval    time.Duration
	PongTimeout     time.Duration
	AnswerTimeout   time.Duration // from offer or re-offer to its answer
	CreatedTimeout  time.Duration // from answer to an established connection
	StatsInterval   time.Duration // between pings that ask for statistics; 0: none does
	Notify          bool          // clients are told of each other
	UpdatedInterval time.Duration // between notifications connection.updated; 0: none
	// ConnectionLifetime is how long a connection may last; 0: as long as it likes.
	ConnectionLifetime      time.Duration
	NotifyICEState          bool   // clients are told of their own ICE states
	NotifyMetadataExt       bool   // the extended metadata of notifications can be changed
	ForwardingFilterAllowed bool   // clients may send forwarding filters
	DefaultCodec            string // of video: VP8, VP9, AV1, H264 or H265
	DefaultAudioBPS         uint64 // bits per second; 0: the client's choice
	DefaultVideoBPS         uint64 // bits per second; 0: the client's choice
	OpusRED                 bool   // clients are offered Opus with redundancy (RFC 2198)
	Allow                   Allow
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

// Addresses decides which addresses clients are told to send media to.
type Addresses struct {
	IPv4   []netip.Addr // advertised instead of what the interfaces have; need not be local
	IPv6   bool         // use IPv6 at all
	IPv6s  []netip.Addr // as IPv4
	Public string       // "stun:HOST:PORT" to ask for the public address; empty: do not ask
}

// Media is for the sockets and shards of the data plane.
type Media struct {
	Port       uint16 // UDP; 0: any
	Shards     int    // 0: as many as CPUs the process may use
	RecvBuffer int    // bytes of a socket's receive buffer
	SendBuffer int    // bytes of a socket's send buffer
	PlainIO    bool   // one packet a system call, for kernels that lack the batched calls
	Steering   bool   // let the kernel pick the shard by the program that we attach

	Share         bool          // shards share threads while the load is low
	GSO           bool          // send runs of equal datagrams as one (UDP_SEGMENT)
	RestartAfter  time.Duration // silence of a client's media after which it is offered an ICE restart; 0: never
	ConsentGrace  time.Duration // how long a connection outlives its client's consent
	FrameWindow   time.Duration // how long a video packet may wait for the rest of its frame; 0: not at all
	Equalise      bool          // pad packets of a frame to one length, so that they make one run
	KeyFrameCache int           // bytes of each video track that are held for viewers who start; 0: none
	CacheAge      time.Duration // how old the key frame may be that they start with
	CPUs          []int         // that shards are bound to, by turns; empty: to none
	DTLSParking   bool          // keep only the state of a DTLS endpoint that has nothing to do
}

// TURN is for the TURN server that is built in, and for the URLs by which clients find it.
type TURN struct {
	On        bool
	RelayOnly bool // clients are told to send nothing but through it
	Realm     string
	FQDN      string // host in URLs instead of the addresses; empty: none
	TCP       bool
	TCPPort   uint16 // in URLs
	TLS       bool   // mint a URL for TLS
	TLSFQDN   string // host of that URL; empty: FQDN
	TLSPort   uint16 // in that URL
	TCPOnly   bool   // for tests: mint URLs for TCP only
	TLSOnly   bool   // for tests: mint the URL for TLS only
}

// TCP is for media over TCP, and for the one port that everything can share.
type TCP struct {
	ListenPort uint16         // plain: TURN and ICE; 0: any
	ICE        bool           // ICE candidates for it
	QueueBytes int            // what may wait for one client that reads slowly
	Proxies    []netip.Prefix // whose PROXY protocol is believed
	// MaxPerAddress bounds the connections of one source address; 0: no bound of its own.
	MaxPerAddress int
	TLSPort       uint16 // TLS, and all that is inside; 0: off
	// Where the certificate comes from: files, or ACME for the domains.
	CertificateFile string
	PrivateKeyFile  string
	ACMEDomains     []string
	ACMEEmail       string
	ACMEDirectory   string // https URL of the authority
	ACMEStorage     string // folder of keys and certificates
	Passthrough     string // HOST:PORT of the server for names that are not ours; empty: none
	// PassthroughProxy is the version, 1 or 2, of the PROXY protocol that it is spoken to in;
	// 0: none.
	PassthroughProxy int
}

// Debug is for those who look into the running process.
type Debug struct {
	Listen string // HOST:PORT of pprof; empty: off
}

// Log says how to log.
type Log struct {
	Format string // "text" or "json"
	Level  string // "debug", "info", "warn" or "error"
}

// LogFiles is for the logs that are files of JSON lines.
type LogFiles struct {
	Dir      string // folder; empty: no files
	MaxBytes int64  // a longer file is put aside; 0: never
	Keep     int    // files put aside of each log that are kept; 0: all

	Signaling bool // messages of clients, and to them, are logged
}

// Webhooks is for what an application is asked and told over HTTP.
type Webhooks struct {
	AuthURL, SessionURL, EventURL, StatsURL string // empty: none

	Timeout        time.Duration // until an answer has come
	BasicAuth      bool          // with User and Password
	User, Password string
	Insecure       bool   // the application's certificate is not checked
	CAFile         string // PEM; who signs it; empty: the system's authorities
	CertFile       string // PEM; our certificate and its chain; empty: none
	KeyFile        string // PEM; the private key for it

	Workers     int // that send events, each its share of the channels
	QueueEvents int // events that wait, in all

	SessionGrace      time.Duration // how long a session outlives its last connection
	ConnectionUpdated time.Duration // between events connection.updated
	SessionUpdated    time.Duration // between events session.updated

	// Events that are not sent.
	IgnoreConnectionCreated, IgnoreConnectionUpdated, IgnoreConnectionDestroyed, IgnoreConnectionFailed bool
	IgnoreSessionUpdated, IgnoreSessionVanished                                                         bool
	IgnoreRecordingStarted, IgnoreArchiveStarted, IgnoreSpotlight                                       bool

	// LegacySignalingError: connection.failed comes for whoever fails before connect too.
	LegacySignalingError bool

	AuthLog, StatsLog bool // the logs of these webhooks are written
}

// Exporter is for the statistics exporter.
type Exporter struct {
	URL                       string // of the collector; empty: none
	Number                    int    // of exporters at a time
	CertFile, KeyFile, CAFile string // as those of Webhooks
}

// Tokens is for joining by a token that an application has signed.
type Tokens struct {
	Keys    []TokenKey // none: tokens are not looked at
	Require bool       // nobody joins without
}

// TokenKey is a key that tokens are verified with.
type TokenKey struct {
	ID   string // kid
	Alg  string // HS256, RS256 or ES256
	File string // the secret, or the public key as PEM
}

// Defaults returns the configuration of a server without a file.
func Defaults() Config {
	var c Config
	for i := range keys {
		k := &keys[i]
		if k.def == "" {
			continue
		}
		if err := k.set(&c, k.def); err != nil {
			panic("configs: default of " + k.name + ": " + err.Error())
		}
	}
	return c
}
