package channel_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/webhook"
)

// app is an application: channel.Hooks with answers that take their time. What it was told is
// kept as one line each, and whole.
type app struct {
	authDelay    func(channelID string) time.Duration // nil: none
	auth         func(r *webhook.AuthRequest, token string) channel.Verdict
	sessionDelay time.Duration
	session      func(n int) (*webhook.SessionAnswer, error) // of the n-th question, from 1

	mu        sync.Mutex
	lines     []string
	requests  []webhook.AuthRequest
	tokens    []string
	cancelled int
	questions int
	sessions  []webhook.SessionEvent
	events    []webhook.ConnectionEvent
	stats     []webhook.StatsEvent
	exported  int
	ended     []webhook.ConnectionLog
	logs      []webhook.SessionLog
	messages  []string
	failed    []string // reasons
}

func allow(*webhook.AuthRequest, string) channel.Verdict {
	return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true}}
}

// Authenticate implements channel.Hooks.
func (a *app) Authenticate(ctx context.Context, r *webhook.AuthRequest, token string, done func(channel.Verdict)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests, a.tokens = append(a.requests, *r), append(a.tokens, token)
	delay := time.Duration(0)
	if a.authDelay != nil {
		delay = a.authDelay(r.ChannelID)
	}
	answer := a.auth
	if answer == nil {
		answer = allow
	}
	go func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			done(answer(r, token))
		case <-ctx.Done():
			a.mu.Lock()
			a.cancelled++
			a.mu.Unlock()
			done(channel.Verdict{Reason: "GONE"})
		}
	}()
}

// SessionCreated implements channel.Hooks.
func (a *app) SessionCreated(e *webhook.SessionEvent, done func(*webhook.SessionAnswer, error)) {
	a.tell(e.Type + " " + e.ChannelID)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, *e)
	a.questions++
	n, answer := a.questions, a.session
	time.AfterFunc(a.sessionDelay, func() {
		if answer == nil {
			done(&webhook.SessionAnswer{}, nil)
			return
		}
		done(answer(n))
	})
}

// Session implements channel.Hooks.
func (a *app) Session(e *webhook.SessionEvent) {
	a.tell(e.Type + " " + e.ChannelID)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, *e)
}

// Connection implements channel.Hooks.
func (a *app) Connection(e *webhook.ConnectionEvent) {
	a.tell(fmt.Sprintf("%s %s %s %d", e.Type, e.ChannelID, cmp.Or(e.ClientID, "-"), e.Counts.Total))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, *e)
	if e.Type == webhook.ConnectionFailed {
		a.failed = append(a.failed, e.Message)
	}
}

// Stats implements channel.Hooks.
func (a *app) Stats(e *webhook.StatsEvent, export bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats = append(a.stats, *e)
	if export {
		a.exported++
	}
}

// Ended implements channel.Hooks.
func (a *app) Ended(l *webhook.ConnectionLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, *l)
}

// SessionEnded implements channel.Hooks.
func (a *app) SessionEnded(l *webhook.SessionLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logs = append(a.logs, *l)
}

// Signaling implements channel.Hooks.
func (a *app) Signaling(d channel.Direction, channelID, connectionID string, message []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.messages = append(a.messages, fmt.Sprintf("%v %s %d %s", d, channelID, len(connectionID), message))
}

func (a *app) tell(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
}

// hears checks what the application was told since it was last asked, once nothing moves any
// more.
func (a *app) hears(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := strings.Join(a.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the application heard\n%s\nnot\n%s", got, strings.Join(want, "\n"))
	}
	a.lines = nil
}

// look lets a test see what the application keeps, once nothing moves any more.
func (a *app) look(f func()) {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// withApp runs a test under a virtual clock.
func withApp(t *testing.T, a *app, edit func(*channel.Config), f func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, newRigOf(t, func(c *channel.Config) {
			c.Hooks, c.HookTimeout = a, 7*time.Second
			c.Session.AnswerTimeout = 1000 * time.Hour
			c.Session.PingInterval, c.Session.PongTimeout = 1000*time.Hour, 1000*time.Hour
			if edit != nil {
				edit(c)
			}
		}))
	})
}

// named joins as a client with an id.
func (r *rig) named(channelID, role, id string) *client {
	r.t.Helper()
	c, _ := r.join(channelID, role, `,"client_id":"`+id+`"`)
	return c
}
