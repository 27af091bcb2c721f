// Package bot is one small real peer: it speaks the signaling protocol as a client, checks
// and nominates a path by ICE, does a DTLS handshake, and sends and receives SRTP with what
// goes with it (reports, NACK, RTX, key frame requests). Tests drive it by the thousand, and
// the benchmark client grows from it. It encodes nothing: payloads are shaped like those of
// the codecs and carry stamps by which receivers verify them.
//
// It never shares code with the server where that would hide a mistake: the wire formats
// are those of the pion libraries. All methods of a Bot may be called from any goroutine; what
// they return is a copy. A bot has one goroutine for the WebSocket, one a socket, and one that
// paces; those of DTLS live as long as the handshake.
package bot

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	piondtls "github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	benchpeer "tsubame/bench/peer"
	"tsubame/media/param"
)

// Roles of a bot in its channel.
const (
	SendRecv = "sendrecv"
	SendOnly = "sendonly"
	RecvOnly = "recvonly"
)

// SRTP protection profiles to offer.
const (
	GCM = piondtls.SRTP_AEAD_AES_128_GCM
	CM  = piondtls.SRTP_AES128_CM_HMAC_SHA1_80
)

// ErrBadFingerprint says that the server showed another certificate than its SDP names.
var ErrBadFingerprint = benchpeer.ErrBadFingerprint

// Config says what a bot does. URL, Channel and Role are needed, the rest has defaults.
type Config struct {
	URL      string // ws://host:port/signaling
	Channel  string
	Role     string
	ClientID string         // default: the server's choice
	Connect  map[string]any // more members of the connect message, or other values for them

	Audio, Video bool // what connect asks for
	// Codec is what video is sent as; default VP8. It should not be among Without, which the
	// bot speaks in neither direction.
	Codec     param.Codec
	Without   []param.Codec
	Bitrate   int  // of video in bits per second; default 500,000
	FrameRate int  // of video; default 25
	Paused    bool // send nothing until Resume

	// ICE. Each entry of LocalAddrs gets a socket; an invalid address stands for any, port 0
	// for a free one. Default: one on any address of the family of the first candidate.
	LocalAddrs []netip.AddrPort
	// Arrange may drop and reorder the pairs before the first check; default: in the order of
	// the candidates' priorities, all sockets for each.
	Arrange func([]Path) []Path
	// Candidates replaces those of the offer.
	Candidates    []netip.AddrPort
	NominateAfter time.Duration // after the first answer to a check
	Aggressive    bool          // every check nominates (RFC 5245 section 8.1.1.2)

	// Where the bot is, if that is elsewhere: a network namespace, or a link of some quality.
	Listen func(network string, local *net.UDPAddr) (*net.UDPConn, error) // default: net.ListenUDP
	HTTP   *http.Client                                                   // of the WebSocket

	Profiles []piondtls.SRTPProtectionProfile // default: GCM, CM
	DTLSMTU  int                              // of the handshake's datagrams; small ones cut the ClientHello

	// RED is how many packets before it a packet of audio carries once more (RFC 2198), where that
	// was offered; such audio is received too then. 0: it is left out of the answer.
	RED int

	NoNACK, NoPLI bool // do not ask, whatever was negotiated
	TransportCC   bool // send transport-wide feedback where it was negotiated

	// Misbehaviour, for tests.
	WrongUfrag             bool // in checks
	WrongPassword          bool // in checks
	WrongFingerprint       bool // in the answer
	SilentAfterClientHello bool // neither sends nor reads DTLS after its first flight
	NoPong                 bool

	// Outgoing and Incoming see every datagram as it is on the wire and may drop it by
	// returning false. They run under the bot's lock and must not call the bot.
	Outgoing, Incoming func(datagram []byte) bool
}

// withDefaults fills in what is not given.
func (c Config) withDefaults() (Config, error) {
	if c.URL == "" || c.Channel == "" {
		return c, errors.New("bot: URL and Channel are needed")
	}
	if c.Role != SendRecv && c.Role != SendOnly && c.Role != RecvOnly {
		return c, fmt.Errorf("bot: role %q", c.Role)
	}
	if c.Codec == 0 {
		c.Codec = param.VP8
	}
	if !slices.Contains(videoCodecs, c.Codec) {
		return c, fmt.Errorf("bot: %v is no video codec", c.Codec)
	}
	if c.Bitrate <= 0 {
		c.Bitrate = 500_000
	}
	if c.FrameRate <= 0 {
		c.FrameRate = 25
	}
	if c.Listen == nil {
		c.Listen = net.ListenUDP
	}
	if len(c.Profiles) == 0 {
		c.Profiles = []piondtls.SRTPProtectionProfile{GCM, CM}
	}
	return c, nil
}

// Bot is one peer.
type Bot struct {
	cfg  Config
	ws   *websocket.Conn
	dtls benchpeer.Handshaker

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{} // tells the pacer that something is due earlier

	connected chan struct{} // closed when media may flow
	failed    chan struct{} // closed with err
	ended     chan struct{} // closed when the signaling has ended

	mu       sync.Mutex
	err      error
	closing  bool
	signal   signaling
	agent    *agent
	sockets  []*socket
	offer    *offer
	answer   answer
	started  time.Time // Dial
	dtlsFrom time.Time // start of the handshake
	hello    helloGate
	local    *srtp.Context // nil: no keys yet
	remote   *srtp.Context
	profile  string
	senders  []*sender
	receive  map[uint32]*receiver // by SSRC, and by that of RTX
	known    []*receiver          // all there ever were, in order
	out      outgoing
	feedback transportFeedback
	nextRR   time.Time
	scratch  []byte
	early    [][]byte // media that came before the keys
	counts   counts
}

// counts are those that belong to no track.
type counts struct {
	sent, received           uint64 // datagrams
	sentBytes, receivedBytes uint64
	undecryptable            uint64
	replayed                 uint64
	unknownSSRC              uint64
	rtcp                     uint64
	dtlsTime                 time.Duration
	connectTime              time.Duration
	dtlsClosed               bool
}

// Dial opens the WebSocket, says connect, and goes on in the background: WaitConnected tells
// when media flows. ctx bounds the WebSocket handshake only.
func Dial(ctx context.Context, cfg Config) (*Bot, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	fingerprint, err := benchpeer.Fingerprint()
	if err != nil {
		return nil, err
	}
	if cfg.WrongFingerprint {
		fingerprint.Value = slices.Clone(fingerprint.Value)
		fingerprint.Value[0] ^= 0xff
	}
	b := &Bot{
		cfg: cfg, agent: newAgent(), started: time.Now(),
		wake:      make(chan struct{}, 1),
		connected: make(chan struct{}), failed: make(chan struct{}), ended: make(chan struct{}),
		receive: make(map[uint32]*receiver),
		answer: answer{
			session: uint64(mathrand.Int64()), fingerprint: fingerprint,
			cname:   fmt.Sprintf("bot%08x", mathrand.Uint32()),
			senders: make(map[string]*sender), takes: cfg.Role != SendOnly,
		},
	}
	b.agent.nominateAfter, b.agent.aggressive = cfg.NominateAfter, cfg.Aggressive
	b.out.rtp = b.sealRTP
	b.dtls.Send, b.dtls.Closed = b.sendDTLS, b.dtlsClosed
	b.dtls.MTU, b.dtls.Profiles = cfg.DTLSMTU, cfg.Profiles
	b.ctx, b.stop = context.WithCancel(context.Background())
	if err := b.dial(ctx); err != nil {
		b.stop()
		return nil, err
	}
	b.running.Go(b.readSignaling)
	b.running.Go(b.pace)
	return b, nil
}

// ID returns the connection id that the server gave; empty before the offer.
func (b *Bot) ID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.signal.connectionID
}

// WaitConnected returns when the handshake has ended on a validated path, with an error if
// the bot failed before or ctx ended.
func (b *Bot) WaitConnected(ctx context.Context) error {
	select {
	case <-b.connected:
		return nil
	case <-b.failed:
		return b.Err()
	case <-ctx.Done():
		return fmt.Errorf("bot: not connected: %w (%s)", ctx.Err(), b.progress())
	}
}

// progress says how far it got, for errors.
func (b *Bot) progress() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.offer == nil:
		return "no offer came"
	case b.agent.current() == nil:
		return fmt.Sprintf("no check was answered: %+v", b.agent.counts)
	}
	return "the DTLS handshake did not end"
}

// Failed is closed when something went wrong that Err names: the handshake failed, the server
// ended the signaling, or consent was lost.
func (b *Bot) Failed() <-chan struct{} { return b.failed }

// Err returns what went wrong first; nil if nothing has.
func (b *Bot) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// fail records the first error; the caller holds the lock.
func (b *Bot) fail(err error) {
	if b.err == nil && !b.closing {
		b.err = err
		close(b.failed)
	}
}

// Close says disconnect, waits until the server has closed the WebSocket or ctx ends, says
// close_notify, and frees everything. It may be repeated.
func (b *Bot) Close(ctx context.Context) error {
	b.mu.Lock()
	first := !b.closing
	b.closing = true
	b.mu.Unlock()
	var err error
	if first {
		err = b.disconnect(ctx)
	}
	b.dtls.End(true)
	b.free()
	return err
}

// CloseNotify ends the DTLS session and nothing else.
func (b *Bot) CloseNotify() { b.dtls.End(true) }

// Kill frees everything without a word on the media path, and closes the TCP connection as
// the kernel does when a process dies.
func (b *Bot) Kill() {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	b.dtls.End(false)
	b.free()
}

// Freeze falls silent for good, as when a cable is pulled: nothing is sent any more, nothing
// answered, and no connection closed. Kill or Close must still follow, and say nothing then.
func (b *Bot) Freeze() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signal.frozen = true
	b.cfg.Outgoing = func([]byte) bool { return false }
	b.cfg.Incoming = func([]byte) bool { return false }
}

// free ends the goroutines and sockets.
func (b *Bot) free() {
	b.stop()
	_ = b.ws.CloseNow()
	b.mu.Lock()
	for _, s := range b.sockets {
		s.close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// Pause stops all that the bot sends on its tracks; Resume starts it again, video with a key
// frame.
func (b *Bot) Pause() { b.setPaused(true) }

// Resume ends a Pause.
func (b *Bot) Resume() { b.setPaused(false) }

func (b *Bot) setPaused(paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg.Paused = paused
	for _, t := range b.senders {
		t.paused = paused
		if !paused && t.kind == param.Video {
			t.wantKey = true
		}
	}
	b.nudge()
}

// nudge makes the pacer look again.
func (b *Bot) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// pace is the goroutine that does what is due.
func (b *Bot) pace() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
		timer.Reset(max(0, time.Until(b.step(time.Now()))))
	}
}

// step does what is due and returns when something is due again.
func (b *Bot) step(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := now.Add(time.Second)
	if b.offer == nil || b.closing {
		return next
	}
	next = earlier(next, b.agent.poll(now, b.sendCheck))
	if b.agent.counts.ConsentLost {
		b.fail(errors.New("bot: consent lost"))
	}
	if b.local == nil {
		return next
	}
	b.out.now = now
	for _, t := range b.senders {
		next = earlier(next, t.poll(now, &b.out))
	}
	return earlier(next, b.reports(now))
}
