package ws

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
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

// rig is a server on a loopback port.
type rig struct {
	t        *testing.T
	plane    *fakeplane.Plane
	registry *channel.Registry
	handler  *Handler
	server   *http.Server
	addr     string
	// What the test may change before start.
	session        session.Config
	edge           Config
	maxConnections int
	maxJoining     int // of the registry
	hooks          channel.Hooks
	logSignaling   bool
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, plane: &fakeplane.Plane{},
		// Nothing of this comes in the way of a test, however slow the machine is.
		session: session.Config{Version: "test", ConnectTimeout: time.Minute, AnswerTimeout: time.Minute,
			CreatedTimeout: time.Minute, PingInterval: time.Hour, PongTimeout: 2 * time.Hour,
			Allow:    session.Allow{ClientID: true, BundleID: true, OpusParams: true, VP8: true, VP9: true, AV1: true, H264: true, H265: true},
			Defaults: session.Defaults{VideoCodec: param.VP8, VideoBitrate: 500_000}},
		edge: Config{MaxHalfOpen: 1000, MaxHalfOpenPer: 1000, SendQueueBytes: 1 << 20}}
}

func (r *rig) start() *rig {
	r.t.Helper()
	r.registry = channel.NewRegistry(channel.Config{Plane: r.plane, Session: r.session, Notify: true, MaxConnections: r.maxConnections,
		MaxJoining: r.maxJoining, Hooks: r.hooks, HookTimeout: time.Minute, LogSignaling: r.logSignaling, JoiningFor: time.Hour,
		Candidates: func() []string { return []string{"1 1 udp 2130706431 127.0.0.1 3478 typ host"} }})
	r.handler = NewHandler(r.registry, r.edge)
	mux := http.NewServeMux()
	mux.Handle("/signaling", r.handler)
	mux.Handle("/.ok", OK(r.handler))
	r.server = NewServer(r.handler, mux)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = l.Addr().String()
	served := make(chan struct{})
	go func() {
		r.server.Serve(l)
		close(served)
	}()
	r.t.Cleanup(func() {
		if err := r.shutdown(); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
		r.server.Close()
		<-served
		if n := r.plane.OpenConns(); n != 0 {
			r.t.Errorf("%d media connections were left open", n)
		}
		if c, s := r.registry.Counts(); c != 0 || s != 0 {
			r.t.Errorf("%d channels and %d sessions were left", c, s)
		}
		r.eventually("the room is empty", func() bool { n, _ := r.handler.room.size(); return n == 0 })
	})
	return r
}

func (r *rig) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return r.handler.Shutdown(ctx)
}

// get returns the status of an HTTP request.
func (r *rig) get(path string) int {
	r.t.Helper()
	resp, err := http.Get("http://" + r.addr + path)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

// eventually waits for a condition.
func (r *rig) eventually(what string, is func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("never: %s", what)
		}
	}
}

// client is a WebSocket client that answers what has to be answered.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	peer offertest.Peer
	id   string // connection id
}

func (r *rig) dial() *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+r.addr+"/signaling", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	r.t.Cleanup(func() { conn.CloseNow() })
	return &client{t: r.t, conn: conn}
}

func (c *client) write(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

type received struct {
	Type         string
	SDP          string
	ConnectionID string          `json:"connection_id"`
	SessionID    string          `json:"session_id"`
	ClientID     string          `json:"client_id"`
	EventType    string          `json:"event_type"`
	Connections  int             `json:"channel_connections"`
	Data         []received      `json:"data"`
	Authn        json.RawMessage `json:"authn_metadata"`
}

func (c *client) read() (received, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	kind, b, err := c.conn.Read(ctx)
	if err != nil {
		return received{}, err
	}
	var m received
	if err := json.Unmarshal(b, &m); err != nil || kind != websocket.MessageText {
		c.t.Fatalf("%v frame %s: %v", kind, b, err)
	}
	return m, nil
}

// expect reads the next message, which has to be of the type; for a notify the event type.
func (c *client) expect(kind string) received {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", kind, err)
	}
	if m.Type != kind && m.EventType != kind {
		c.t.Fatalf("got %+v, want %s", m, kind)
	}
	return m
}

// expectClose reads until the server closes.
func (c *client) expectClose(code int, reason string) {
	c.t.Helper()
	for {
		_, err := c.read()
		if err == nil {
			continue
		}
		want := websocket.CloseError{Code: websocket.StatusCode(code), Reason: reason}
		if !strings.Contains(err.Error(), want.Error()) {
			c.t.Errorf("closed by %v, want %v", err, want)
		}
		return
	}
}

func (c *client) answer(kind, sdp string) {
	c.t.Helper()
	c.write(`{"type":"` + kind + `","sdp":` + string(sora.AppendString(nil, c.peer.Answer(sdp))) + `}`)
}

// join connects and stays for its own connection.created.
func (r *rig) join(role, members string) (*client, received) {
	r.t.Helper()
	c := r.dial()
	c.write(`{"type":"connect","channel_id":"room","role":"` + role + `"` + members + `}`)
	o := c.expect("offer")
	c.id = o.ConnectionID
	c.answer("answer", o.SDP)
	return c, c.expect("connection.created")
}
