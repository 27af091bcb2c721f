package channel_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tsubame/media/param"
	"tsubame/signal/channel"
	"tsubame/signal/channel/fakeplane"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

type rig struct {
	t        *testing.T
	plane    *fakeplane.Plane
	registry *channel.Registry
}

func newRig(t *testing.T) *rig { return newRigWith(t, true) }

func newRigWith(t *testing.T, notify bool) *rig {
	return newRigOf(t, func(c *channel.Config) { c.Notify = notify })
}

func newRigOf(t *testing.T, edit func(*channel.Config)) *rig {
	r := &rig{t: t, plane: &fakeplane.Plane{}}
	cfg := channel.Config{
		Plane: r.plane, Notify: true, JoiningFor: time.Hour, Candidates: func() []string { return nil },
		Session: session.Config{ConnectTimeout: time.Minute, AnswerTimeout: time.Minute, CreatedTimeout: time.Minute,
			PingInterval: time.Hour, PongTimeout: time.Hour,
			Allow:    session.Allow{ClientID: true, BundleID: true, OpusParams: true, VP8: true, VP9: true, AV1: true, H264: true, H265: true},
			Defaults: session.Defaults{VideoCodec: param.VP8}},
	}
	edit(&cfg)
	r.registry = channel.NewRegistry(cfg)
	t.Cleanup(func() {
		r.close()
		if n := r.plane.OpenConns(); n != 0 {
			t.Errorf("%d media connections were left open", n)
		}
		if c, s := r.registry.Counts(); c != 0 || s != 0 {
			t.Errorf("%d channels, %d sessions were left", c, s)
		}
	})
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.registry.Close(ctx); err != nil {
		r.t.Errorf("close: %v", err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

type message struct {
	Type         string
	SDP          string
	Event        string          `json:"event_type"`
	ConnectionID string          `json:"connection_id"`
	SessionID    string          `json:"session_id"`
	Total        int             `json:"channel_connections"`
	SendRecv     int             `json:"channel_sendrecv_connections"`
	SendOnly     int             `json:"channel_sendonly_connections"`
	RecvOnly     int             `json:"channel_recvonly_connections"`
	Minutes      *int            `json:"minutes"`
	Data         []message       `json:"data"`
	Metadata     json.RawMessage `json:"authn_metadata"`
	Authz        json.RawMessage `json:"authz_metadata"`
	Ext          json.RawMessage `json:"metadata"`
	Transport    string          `json:"turn_transport_type"`
	Level        int             `json:"unstable_level"`
	Config       json.RawMessage `json:"config"`
}

// client is the other end of a session: a transport in memory.
type client struct {
	t    *testing.T
	peer *channel.Peer
	sdp  offertest.Peer
	id   string

	news   chan struct{}
	mu     sync.Mutex
	inbox  []message
	next   int
	full   bool // Send reports a full queue
	closed bool
	code   int
	reason string
	block  chan struct{} // if set, Send waits for it
	onSend func(message) // if set, called by Send
}

// Send implements channel.Transport.
func (c *client) Send(b []byte) bool {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		c.t.Errorf("%s: %v", b, err)
	}
	c.mu.Lock()
	block, onSend := c.block, c.onSend
	if c.full {
		c.mu.Unlock()
		return false
	}
	c.inbox = append(c.inbox, m)
	c.mu.Unlock()
	c.signal()
	if onSend != nil {
		onSend(m)
	}
	if block != nil {
		<-block
	}
	return true
}

// Close implements channel.Transport.
func (c *client) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.t.Error("closed twice")
	}
	c.closed, c.code, c.reason = true, code, reason
	c.signal()
}

func (c *client) signal() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// read returns the next message; it may fail in goroutines other than the test's.
func (c *client) read() (message, bool) {
	deadline := time.After(time.Minute)
	for {
		c.mu.Lock()
		if c.next < len(c.inbox) {
			m := c.inbox[c.next]
			c.next++
			c.mu.Unlock()
			return m, true
		}
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return message{}, false
		}
		select {
		case <-c.news:
		case <-deadline:
			c.t.Error("nothing to read")
			return message{}, false
		}
	}
}

func (c *client) expect(kind string) message {
	c.t.Helper()
	m, ok := c.read()
	if !ok || m.Type != kind && m.Event != kind {
		c.t.Fatalf("got %+v, want %s", m, kind)
	}
	return m
}

func (c *client) expectClosed(code int, reason string) {
	c.t.Helper()
	<-c.peer.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed || c.code != code || c.reason != reason {
		c.t.Errorf("closed %v by %d %s, want %d %s", c.closed, c.code, c.reason, code, reason)
	}
}

func (c *client) deliver(frame string) bool {
	m, err := sora.Decode([]byte(frame))
	if err != nil {
		c.t.Errorf("%s: %v", frame, err)
		return false
	}
	return c.peer.Deliver(session.Message{Message: m})
}

func (c *client) answer(kind, sdp string) bool {
	return c.deliver(`{"type":"` + kind + `","sdp":` + string(sora.AppendString(nil, c.sdp.Answer(sdp))) + `}`)
}

// connect starts a session with a connect of these members.
func (r *rig) connect(channelID, role, members string) *client {
	c := &client{t: r.t, news: make(chan struct{}, 1)}
	r.connectAs(c, channelID, role, members)
	return c
}

func (r *rig) connectAs(c *client, channelID, role, members string) {
	m, err := sora.Decode([]byte(`{"type":"connect","channel_id":"` + channelID + `","role":"` + role + `"` + members + `}`))
	if err != nil {
		r.t.Errorf("connect: %v", err)
		return
	}
	s := r.registry.NewSession(time.Now())
	c.peer = r.registry.Start(s, s.Handle(nil, time.Now(), session.Message{Message: m}), c, "192.0.2.1")
}

// join connects and stays for its own connection.created.
func (r *rig) join(channelID, role, members string) (*client, message) {
	r.t.Helper()
	c := r.connect(channelID, role, members)
	o := c.expect("offer")
	c.id = o.ConnectionID
	c.answer("answer", o.SDP)
	return c, c.expect("connection.created")
}

func (c *client) leave() {
	c.t.Helper()
	c.deliver(`{"type":"disconnect"}`)
	c.expectClosed(1000, "TYPE-DISCONNECT")
}

// connectMessage reads a connect.
func connectMessage(t *testing.T, frame string) session.Event {
	t.Helper()
	m, err := sora.Decode([]byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	return session.Message{Message: m}
}
