package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v3"

	"tsubame/media/dtls"
	"tsubame/media/param"
	signaloffer "tsubame/signal/offer"
)

// rig is the least server that bots can call each other through: offers by signal/offer, a
// responder to checks, DTLS by media/dtls, SRTP by the pion library, and forwarding of every
// packet under other numbers. One lock guards all of it.
type rig struct {
	t    testing.TB
	http *httptest.Server
	dtls *dtls.Server

	candidates int              // sockets a peer
	lose       func(*peer) bool // forget a packet on its way to a viewer
	roleError  bool             // answer checks with 487
	other      bool             // answer checks from another socket
	impostor   bool             // put another fingerprint into the offer

	mu    sync.Mutex
	peers []*peer
	next  uint32
}

// peer is one bot as the rig sees it.
type peer struct {
	rig     *rig
	id      string
	role    string
	ws      *websocket.Conn
	offer   *signaloffer.State
	ufrag   string
	sockets []*net.UDPConn
	left    bool

	path         *net.UDPConn // where the last nominated check came to
	from         netip.AddrPort
	nominations  int
	endpoint     *dtls.Endpoint
	out, in      *srtp.Context
	remote       param.Remote
	answers      int
	publish      map[uint32]*published // by SSRC and by RTX SSRC
	subscribe    []*subscribed
	disconnected string // reason
	closed       bool   // close_notify
	dtlsError    error
	dtlsDone     bool
	result       dtls.Result
	records      int // DTLS datagrams
	rtcp         []rtcp.Packet
	plain        int // RTP packets opened
	refused      int // datagrams that were not
}

type published struct {
	param.Publish
	id      param.TrackID
	highest uint16
	started bool
}

type subscribed struct {
	param.Subscribe
	from   *published
	cache  map[uint16][]byte
	rtxSeq uint16
}

const rigPassword = "passwordpasswordpassword"

func newRig(t testing.TB) *rig {
	t.Helper()
	d, err := dtls.NewServer(dtls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dtls: d, candidates: 1}
	r.http = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.mu.Lock()
		for _, p := range r.peers {
			p.leave()
			_ = p.ws.CloseNow()
		}
		r.mu.Unlock()
		r.http.Close()
		r.dtls.Wait()
	})
	return r
}

func (r *rig) url() string { return "ws" + strings.TrimPrefix(r.http.URL, "http") + "/signaling" }

// config is a bot's to call this rig.
func (r *rig) config(role string) Config {
	return Config{URL: r.url(), Channel: "room", Role: role, Audio: true, Video: true}
}

// peer returns the rig's view of a bot.
func (r *rig) peer(b *Bot) *peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		if p.id == b.ID() {
			return p
		}
	}
	r.t.Fatal("the rig does not know this bot")
	return nil
}

// look runs f under the lock.
func (r *rig) look(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// serve is one signaling connection.
func (r *rig) serve(w http.ResponseWriter, q *http.Request) {
	ws, err := websocket.Accept(w, q, nil)
	if err != nil {
		return
	}
	ctx := context.Background()
	_, text, err := ws.Read(ctx)
	if err != nil {
		return
	}
	p := r.join(ws, text)
	for {
		_, text, err := ws.Read(ctx)
		if err != nil {
			break
		}
		if !p.message(text) {
			break
		}
	}
	r.look(p.leave)
	_ = ws.Close(websocket.StatusNormalClosure, "TYPE-DISCONNECT")
}

// join takes connect and sends the offer.
func (r *rig) join(ws *websocket.Conn, text []byte) *peer {
	var m struct {
		Type, Role string
		Video      any
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Type != "connect" {
		r.t.Errorf("the first message: %s, %v", text, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	p := &peer{rig: r, id: fmt.Sprintf("CONNECTION%d", r.next), role: m.Role, ws: ws, publish: make(map[uint32]*published)}
	p.ufrag = fmt.Sprintf("u%07d", r.next)
	cfg := signaloffer.Config{
		ConnectionID: p.id, Fingerprint: r.dtls.Fingerprint(), Ufrag: p.ufrag, Password: rigPassword,
		PlaceholderVideo: true,
	}
	if r.impostor {
		cfg.Fingerprint = param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)}
	}
	if m.Role != RecvOnly {
		cfg.Audio, cfg.Video = &signaloffer.OwnAudio{}, &signaloffer.OwnVideo{Codec: videoCodec(m.Video)}
	}
	for i := range r.candidates {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			r.t.Error(err)
			break
		}
		p.sockets = append(p.sockets, conn)
		cfg.Candidates = append(cfg.Candidates, fmt.Sprintf("%d 1 udp %d 127.0.0.1 %d typ host",
			i+1, 2130706431-i*256, conn.LocalAddr().(*net.UDPAddr).Port))
		go p.read(i, conn)
	}
	p.offer = signaloffer.New(cfg)
	r.peers = append(r.peers, p)
	for _, q := range r.peers {
		if q != p {
			p.offer.SetRemote(q.id, q.tracks())
		}
	}
	p.say(map[string]any{"type": "offer", "sdp": p.offer.Offer(), "connection_id": p.id, "client_id": p.id, "session_id": "S"})
	return p
}

// videoCodec is what connect asks for.
func videoCodec(video any) param.Codec {
	m, _ := video.(map[string]any)
	for _, c := range videoCodecs {
		if m["codec_type"] == c.String() {
			return c
		}
	}
	return param.VP8
}

func (p *peer) say(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		p.rig.t.Error(err)
	}
	_ = p.ws.Write(context.Background(), websocket.MessageText, text)
}

// message takes one of the bot's; false ends the session.
func (p *peer) message(text []byte) bool {
	var m struct{ Type, SDP, Reason string }
	if err := json.Unmarshal(text, &m); err != nil {
		p.rig.t.Errorf("%s: %v", text, err)
		return false
	}
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	switch m.Type {
	case "answer", "re-answer":
		a, err := p.offer.Answer(m.SDP)
		if err != nil {
			p.rig.t.Errorf("%s: %v\n%s", m.Type, err, m.SDP)
			return false
		}
		p.answers++
		p.answered(a)
	case "disconnect":
		p.disconnected = m.Reason
		return false
	}
	return true
}

// answered takes what an answer means.
func (p *peer) answered(a signaloffer.Answer) {
	p.remote = a.Remote
	if p.answers == 1 && p.result.PeerCertificate != nil {
		defer p.verify()
	}
	for _, pub := range a.Publish {
		if p.publish[pub.SSRC] != nil {
			continue
		}
		p.rig.next++
		t := &published{Publish: pub, id: param.TrackID{Index: p.rig.next}}
		p.publish[pub.SSRC] = t
		if pub.RTXSSRC != 0 {
			p.publish[pub.RTXSSRC] = t
		}
	}
	for _, sub := range a.Subscribe {
		for _, q := range p.rig.peers {
			for _, t := range q.publish {
				if t.id == sub.Track {
					p.subscribe = append(p.subscribe, &subscribed{Subscribe: sub, from: t, cache: make(map[uint16][]byte)})
					q.ask(t)
					break
				}
			}
		}
	}
	p.reoffer()
	if len(a.Publish) > 0 && p.out != nil {
		p.announce()
	}
}

// tracks are what others may receive of this peer.
func (p *peer) tracks() (out []signaloffer.Track) {
	for ssrc, t := range p.publish {
		if ssrc == t.SSRC && p.out != nil && !p.left {
			out = append(out, signaloffer.Track{Kind: t.Kind, Codec: t.Codec, ID: t.id})
		}
	}
	return out
}

// announce tells the others of this peer's tracks.
func (p *peer) announce() {
	for _, q := range p.rig.peers {
		if q != p && !q.left {
			q.offer.SetRemote(p.id, p.tracks())
			q.reoffer()
		}
	}
}

func (p *peer) reoffer() {
	if p.role != SendOnly && p.answers > 0 && p.offer.Changed() && !p.offer.Outstanding() {
		p.say(map[string]any{"type": "re-offer", "sdp": p.offer.Offer()})
	}
}

func (p *peer) notify(event string) {
	for _, q := range p.rig.peers {
		if !q.left {
			q.say(map[string]any{"type": "notify", "event_type": event, "connection_id": p.id, "role": p.role})
		}
	}
}

func (p *peer) leave() {
	if p.left {
		return
	}
	p.left = true
	for _, s := range p.sockets {
		_ = s.Close()
	}
	if p.endpoint != nil {
		p.endpoint.Close()
	}
	p.announce()
	p.notify("connection.destroyed")
}

// read is the goroutine of a socket.
func (p *peer) read(index int, conn *net.UDPConn) {
	b := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		p.rig.look(func() { p.datagram(index, conn, from, b[:n]) })
	}
}

func (p *peer) datagram(index int, conn *net.UDPConn, from netip.AddrPort, b []byte) {
	switch first := b[0]; {
	case p.left:
	case first < 4:
		p.check(index, conn, from, b)
	case first < 64 && conn == p.path && from == p.from:
		p.records++
		if p.endpoint == nil {
			var err error
			if p.endpoint, err = p.rig.dtls.Start(1, from.Addr(), p); err != nil {
				p.rig.t.Error(err)
				return
			}
		}
		p.endpoint.Feed(b)
	case first >= 128 && p.in != nil && conn == p.path && from == p.from:
		p.media(b)
	default:
		p.refused++
	}
}

// check answers a Binding request as an ICE-lite agent.
func (p *peer) check(index int, conn *net.UDPConn, from netip.AddrPort, b []byte) {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	var user stun.Username
	integrity := stun.NewShortTermIntegrity(rigPassword)
	if m.Decode() != nil || user.GetFrom(m) != nil || integrity.Check(m) != nil ||
		!strings.HasPrefix(user.String(), p.ufrag+":") {
		p.refused++
		return
	}
	if stun.Fingerprint.Check(m) != nil || !m.Contains(stun.AttrICEControlling) || !m.Contains(stun.AttrPriority) {
		p.rig.t.Errorf("a check lacks an attribute: %v", m)
	}
	reply := []stun.Setter{m, stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, integrity, stun.Fingerprint}
	if p.rig.roleError {
		reply[1], reply[2] = stun.BindingError, stun.CodeRoleConflict
	}
	out, err := stun.Build(reply...)
	if err != nil {
		p.rig.t.Error(err)
		return
	}
	if p.rig.other {
		conn = p.sockets[len(p.sockets)-1-index]
	}
	_, _ = conn.WriteToUDPAddrPort(out.Raw, from)
	nominated := m.Contains(stun.AttrUseCandidate)
	if nominated {
		p.nominations++
	}
	if nominated || p.path == nil {
		p.path, p.from = conn, from
	}
}

// Records, Done and Closed make a peer a dtls.Sink.
func (p *peer) Records(_ uint64, b []byte) { p.rig.look(func() { p.write(b) }) }

func (p *peer) Done(_ uint64, result dtls.Result, err error) {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	p.dtlsDone, p.dtlsError = true, err
	if err != nil {
		return
	}
	p.result = result
	if p.answers > 0 {
		p.verify()
	}
}

// verify compares the certificate with the answer, whichever of them came last, and lets
// media pass.
func (p *peer) verify() {
	if !dtls.Matches(p.result.PeerCertificate, p.remote.Fingerprints) {
		p.dtlsError = fmt.Errorf("bad fingerprint")
		p.endpoint.Close()
		return
	}
	var err error
	k := p.result.Keys
	profile := srtp.ProtectionProfile(k.Profile.ID())
	if p.out, err = srtp.CreateContext(k.LocalKey, k.LocalSalt, profile); err != nil {
		p.rig.t.Error(err)
	}
	if p.in, err = srtp.CreateContext(k.RemoteKey, k.RemoteSalt, profile, srtp.SRTPReplayProtection(1024)); err != nil {
		p.rig.t.Error(err)
	}
	p.notify("connection.created")
	p.announce()
}

func (p *peer) Closed(uint64) { p.rig.look(func() { p.closed = true }) }

func (p *peer) write(b []byte) {
	if p.path != nil {
		_, _ = p.path.WriteToUDPAddrPort(b, p.from)
	}
}

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dial makes a bot that the test ends.
func dial(t testing.TB, cfg Config) *Bot {
	t.Helper()
	b, err := Dial(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

// call dials and waits until both ends let media flow.
func (r *rig) call(cfg Config) *Bot {
	r.t.Helper()
	b := dial(r.t, cfg)
	if err := b.WaitConnected(within(r.t)); err != nil {
		r.t.Fatal(err)
	}
	p := r.peer(b)
	until(r.t, "the rig takes media", func() bool {
		ready := false
		r.look(func() { ready = p.out != nil })
		return ready
	})
	return b
}

// until polls cond.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(2 * time.Millisecond)
	}
}
