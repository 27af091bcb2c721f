package ws

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/channel"
	"tsubame/signal/webhook"
)

// app is an application that lets everybody in whose token is not "bad", and keeps what it
// heard.
type app struct {
	mu       sync.Mutex
	tokens   []string
	failed   []string
	messages []string
}

func (a *app) Authenticate(_ context.Context, _ *webhook.AuthRequest, token string, done func(channel.Verdict)) {
	a.mu.Lock()
	a.tokens = append(a.tokens, token)
	a.mu.Unlock()
	v := channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true}}
	if token == "bad" {
		v = channel.Verdict{Reason: "TOKEN-INVALID"}
	}
	go done(v)
}

func (a *app) SessionCreated(_ *webhook.SessionEvent, done func(*webhook.SessionAnswer, error)) {
	go done(&webhook.SessionAnswer{}, nil)
}

func (a *app) Connection(e *webhook.ConnectionEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Type == webhook.ConnectionFailed {
		a.failed = append(a.failed, e.ChannelID+" "+e.Message)
	}
}

func (a *app) Signaling(d channel.Direction, channelID, connectionID string, message []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind, _, _ := strings.Cut(string(message), ",")
	a.messages = append(a.messages, d.String()+" "+channelID+" "+kind)
}

func (a *app) Session(*webhook.SessionEvent)    {}
func (a *app) Stats(*webhook.StatsEvent, bool)  {}
func (a *app) Ended(*webhook.ConnectionLog)     {}
func (a *app) SessionEnded(*webhook.SessionLog) {}
func (a *app) has(list *[]string, want string) func() bool {
	return func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return strings.Join(*list, "; ") == want
	}
}

func newAppRig(t *testing.T) (*rig, *app) {
	r, a := newRig(t), &app{}
	r.hooks, r.logSignaling = a, true
	return r, a
}

// dialWith connects with a header.
func (r *rig) dialWith(name, value string) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+r.addr+"/signaling", &websocket.DialOptions{HTTPHeader: http.Header{name: {value}}})
	if err != nil {
		r.t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	r.t.Cleanup(func() { conn.CloseNow() })
	return &client{t: r.t, conn: conn}
}

func TestTheRequestMayShowAToken(t *testing.T) {
	r, a := newAppRig(t)
	r.start()
	for _, value := range []string{"Bearer tok.en", "bearer  spaced ", "Basic dXNlcg==", ""} {
		c := r.dialWith("Authorization", value)
		c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
		c.expect("offer")
	}
	c := r.dialWith("Authorization", "Bearer bad")
	c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
	c.expectClose(4490, "TOKEN-INVALID")
	if a.mu.Lock(); strings.Join(a.tokens, ",") != "tok.en,spaced,,,bad" {
		t.Errorf("tokens %q", a.tokens)
	}
	a.mu.Unlock()
}

func TestRefusedConnectsAreTold(t *testing.T) {
	r, a := newAppRig(t)
	r.session.ConnectTimeout = time.Minute
	r.start()
	c := r.dial()
	c.write(`{"type":"connect","channel_id":"room","role":"recvonly","simulcast":true}`)
	c.expectClose(4490, "SIMULCAST-NOT-SUPPORTED")
	c = r.dial()
	c.write(`{`)
	c.expectClose(4490, "INVALID-JSON")
	r.eventually("the application has heard", a.has(&a.failed, "room SIMULCAST-NOT-SUPPORTED"))
}

func TestMessagesOfClientsAreLogged(t *testing.T) {
	r, a := newAppRig(t)
	r.start()
	c, _ := r.join("recvonly", "")
	c.write(`{"type":"candidate","candidate":"x"}`)
	c.write(`{"type":"pong"}`)
	c.write(`{"type":"disconnect"}`)
	c.expectClose(1000, "TYPE-DISCONNECT")
	r.eventually("all is logged", a.has(&a.messages, `recv room {"type":"connect"; send room {"type":"offer"; recv room {"type":"answer"; `+
		`send room {"type":"notify"; recv room {"type":"candidate"; recv room {"type":"disconnect"}`))
}
