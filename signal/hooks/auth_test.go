package hooks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/token"
)

func TestWithoutAURLEverybodyIsAllowedAndLogged(t *testing.T) {
	h, p := begin(t, Config{})
	if v := verdict(t, h, client(), ""); v.Answer == nil || !v.Answer.Allowed {
		t.Errorf("%+v", v)
	}
	l := p.one(t, journal.Auth)
	if _, ok := l["url"]; ok || l["res"] != nil || len(l["id"].(string)) != sora.IDLen || l["req"].(map[string]any)["channel_id"] != "room" {
		t.Errorf("%v", l)
	}
	if c := h.Counters(); c["total_successful_auth_webhook"] != 0 || c["total_auth_webhook_allowed"] != 0 {
		t.Error("a webhook that was not sent is counted")
	}
}

func TestTheAuthWebhookDecides(t *testing.T) {
	gone := httptest.NewServer(answers(200, "{}"))
	gone.Close()
	never := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for _, c := range []struct {
		about   string
		handler http.HandlerFunc
		timeout time.Duration
		reason  string // of the verdict; empty: allowed
		failure string // in the counters; empty: none
	}{
		{about: "yes", handler: answers(200, `{"allowed":true}`)},
		{about: "created", handler: answers(201, `{"allowed":true,"client_id":"c"}`)},
		{about: "no", handler: answers(200, `{"allowed":false,"reason":"CONNECTION-LIMIT"}`), reason: "CONNECTION-LIMIT"},
		{about: "no without reason", handler: answers(200, `{"allowed":false}`), reason: session.ReasonAuthFailure, failure: "no_reason"},
		{about: "neither", handler: answers(200, `{}`), reason: session.ReasonAuthError, failure: "no_allowed"},
		{about: "no JSON", handler: answers(200, `<html>`), reason: session.ReasonAuthError, failure: "bad_json"},
		{about: "nothing", handler: answers(204, ``), reason: session.ReasonAuthError, failure: "bad_json"},
		{about: "403", handler: answers(403, `{"allowed":true}`), reason: session.ReasonAuthError, failure: "status"},
		{about: "redirect", handler: http.RedirectHandler("/", http.StatusMovedPermanently).ServeHTTP, reason: session.ReasonAuthError, failure: "redirect"},
		{about: "huge", handler: answers(200, `{"allowed":true,"metadata":"`+strings.Repeat("x", maxAnswer)+`"}`), reason: session.ReasonAuthError, failure: "oversized"},
		{about: "never", handler: never, timeout: 50 * time.Millisecond, reason: session.ReasonAuthError, failure: "timeout"},
		{about: "nobody", reason: session.ReasonAuthError, failure: "refused"},
	} {
		t.Run(c.about, func(t *testing.T) {
			at := gone.URL
			if c.handler != nil {
				at = application(t, c.handler).URL
			}
			h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: at, Timeout: c.timeout}})
			v := verdict(t, h, client(), "")
			if v.Reason != c.reason || (v.Answer != nil) != (c.reason == "") {
				t.Errorf("%+v, want %q", v, c.reason)
			}
			count := h.Counters()
			successful, failed := count["total_successful_auth_webhook"], count["total_failed_auth_webhook"]
			if c.failure == "" {
				if successful != 1 || failed != 0 || count["total_auth_webhook_allowed"]+count["total_auth_webhook_denied"] != 1 {
					t.Errorf("counters %v", count)
				}
				if l := p.one(t, journal.Auth); l["url"] != at || l["res"].(map[string]any)["allowed"] != (c.reason == "") {
					t.Errorf("%v", l)
				}
				return
			}
			if successful != 0 || failed != 1 || count["total_failed_auth_webhook_"+c.failure] != 1 || len(p.of(journal.Auth)) != 0 {
				t.Errorf("counters %v", count)
			}
			l := p.one(t, journal.AuthError)
			if l["url"] != at || !strings.HasPrefix(l["reason"].(string), strings.ReplaceAll(c.failure, "_", "-")) || l["req"] == nil {
				t.Errorf("%v", l)
			}
		})
	}
}

func TestTheApplicationSeesTheTokenAndTheLogDoesNot(t *testing.T) {
	app := newRecords(`{"allowed":true,"metadata":{"access_token":"hunter3"}}`)
	s := application(t, app.ServeHTTP)
	h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: s.URL, BasicAuth: true, User: "user", Password: "hunter4"}})
	verdict(t, h, client(), "")
	got := app.wait(t, 1)[0]
	if got.body["metadata"].(map[string]any)["access_token"] != "hunter2" || got.header.Get("sora-connection-id") != "CONNECTION" {
		t.Errorf("%v", got)
	}
	if got.body["label"] != "label" || got.body["version"] != "1.0" || got.body["node_name"] != "node@127.0.0.1" {
		t.Errorf("%v", got.body)
	}
	s.Close()
	verdict(t, h, client(), "") // into the error file
	p.one(t, journal.AuthError)
	if all := p.everything(); strings.Contains(all, "hunter") || !strings.Contains(all, `"name":"n"`) || strings.Contains(all, "Basic") {
		t.Error(all)
	}
}

func TestTheLogOfAuthCanBeSwitchedOffButForErrors(t *testing.T) {
	s := application(t, answers(200, `{"allowed":true}`))
	h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: s.URL}})
	if err := h.Reconfigure(configs.Webhooks{AuthURL: s.URL, Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	verdict(t, h, client(), "")
	if n := len(p.of(journal.Auth)); n != 0 {
		t.Errorf("%d lines", n)
	}
	s.Close()
	verdict(t, h, client(), "")
	p.one(t, journal.AuthError)
}

// keys makes a verifier, and what signs for it.
func keys(t *testing.T) (*token.Verifier, token.Key) {
	t.Helper()
	files, err := token.NewKeyFiles("HS256")
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParseSigningKey("one", files.Signing)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.New([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	return v, key
}

// signed returns a token that ends after that time from now.
func signed(t *testing.T, key token.Key, channelID string, after time.Duration) string {
	t.Helper()
	now := time.Now()
	tok, _, err := key.Sign(token.Grant{Channels: []string{channelID}, Roles: []sora.Role{sora.SendRecv},
		Issued: now.Add(-2 * time.Hour), Ends: now.Add(after), ClientID: "of the token"})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestATokenDecidesWithoutTheApplication(t *testing.T) {
	app := newRecords(`{"allowed":true,"client_id":"of the application"}`)
	url := application(t, app.ServeHTTP).URL
	verifier, key := keys(t)
	h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}, Tokens: verifier})
	good := signed(t, key, "room", time.Hour)
	if v := verdict(t, h, client(), good); v.Answer == nil || v.Answer.ClientID != "of the token" {
		t.Errorf("%+v", v)
	}
	for tok, want := range map[string]string{
		signed(t, key, "room", -time.Hour): token.ReasonExpired,
		signed(t, key, "hall", time.Hour):  token.ReasonWrongChannel,
		good + "x":                         token.ReasonInvalid,
	} {
		if v := verdict(t, h, client(), tok); v.Answer != nil || v.Reason != want || v.Detail == "" {
			t.Errorf("%+v, want %s", v, want)
		}
	}
	if n := len(app.seen()); n != 0 {
		t.Errorf("the application was asked %d times", n)
	}
	if c := h.Counters(); c["total_auth_token_allowed"] != 1 || c["total_auth_token_denied"] != 3 || c["total_auth_webhook_allowed"] != 0 {
		t.Errorf("%v", c)
	}
	if lines := p.of(journal.Auth); len(lines) != 4 || strings.Contains(p.everything(), good[len(good)-20:]) {
		t.Errorf("%q", lines)
	}
	// Without a token the application decides.
	if v := verdict(t, h, client(), ""); v.Answer == nil || v.Answer.ClientID != "of the application" {
		t.Errorf("%+v", v)
	}
}

func TestARequiredTokenIsRequired(t *testing.T) {
	verifier, key := keys(t)
	h, _ := begin(t, Config{Tokens: verifier, RequireToken: true})
	if v := verdict(t, h, client(), ""); v.Reason != token.ReasonRequired || v.Answer != nil {
		t.Errorf("%+v", v)
	}
	if v := verdict(t, h, client(), signed(t, key, "room", time.Hour)); v.Answer == nil {
		t.Errorf("%+v", v)
	}
	h.SetTokens(nil, true)
	if v := verdict(t, h, client(), "x"); v.Answer != nil {
		t.Error("without keys a token is believed")
	}
	h.SetTokens(nil, false)
	if v := verdict(t, h, client(), "x"); v.Answer == nil {
		t.Errorf("%+v", v)
	}
}

func TestAuthenticatingDoesNotCallBackFromWithin(t *testing.T) {
	for max := range 2 { // allowed, and refused
		h, _ := begin(t, Config{})
		h.authenticating.max = int64(max)
		within := make(chan struct{})
		answered := make(chan struct{})
		h.Authenticate(t.Context(), client(), "", func(channel.Verdict) {
			<-within
			close(answered)
		})
		close(within)
		<-answered
	}
}

// Row SIG-08.
func TestAClientThatHasGoneFreesItsPlace(t *testing.T) {
	var came, left atomic.Int32
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		came.Add(1)
		<-r.Context().Done()
		left.Add(1)
	}).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}, MaxAsking: 2})
	answered := make(chan channel.Verdict, 10)
	done := func(v channel.Verdict) { answered <- v }
	ctx, cancel := context.WithCancel(t.Context())
	h.Authenticate(ctx, client(), "", done)
	h.Authenticate(ctx, client(), "", done)
	until(t, "two requests", func() bool { return came.Load() == 2 })
	h.Authenticate(t.Context(), client(), "", done)
	if v := <-answered; v.Reason != session.ReasonServerBusy {
		t.Errorf("%+v", v)
	}
	cancel()
	for range 2 {
		if v := <-answered; v.Answer != nil || !strings.HasPrefix(v.Detail, failCancelled) {
			t.Errorf("%+v", v)
		}
	}
	until(t, "the application hears of it", func() bool { return left.Load() == 2 })
	until(t, "room", func() bool { return h.Counters()["auth_webhook_in_flight"] == 0 })
	c := h.Counters()
	if c["total_failed_auth_webhook_cancelled"] != 2 || c["total_failed_auth_webhook_busy"] != 1 || len(p.of(journal.AuthError)) != 3 {
		t.Errorf("%v", c)
	}
}

func TestASlowApplicationIsAskedBySeveralHundredAtATime(t *testing.T) {
	const n = 200
	var now atomic.Int32
	all := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		if now.Add(1) == n {
			close(all)
		}
		<-all
		io.WriteString(w, `{"allowed":true}`)
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}})
	answered := make(chan channel.Verdict, n)
	for range n {
		h.Authenticate(t.Context(), client(), "", func(v channel.Verdict) { answered <- v })
	}
	for range n {
		if v := <-answered; v.Answer == nil {
			t.Fatalf("%+v", v)
		}
	}
}

func TestAWarningIsToldOnce(t *testing.T) {
	var log strings.Builder
	url := application(t, answers(200, `{"allowed":true,"no_such_member":1}`)).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}, Log: logTo(&log)})
	for range 3 {
		verdict(t, h, client(), "")
	}
	if err := end(h, patience); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "no_such_member"); n != 1 {
		t.Errorf("%d times: %s", n, log.String())
	}
	for i := range 2 * maxWarned {
		h.warn("x", []string{fmt.Sprint(i)})
	}
	if len(h.warned.told) != maxWarned {
		t.Errorf("%d are remembered", len(h.warned.told))
	}
}

func TestWhatQuestionsHoldIsBounded(t *testing.T) {
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-release
		io.WriteString(w, `{"allowed":true}`)
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}})
	long := client()
	long.Metadata = []byte(`"` + strings.Repeat("x", maxAskingBytes/10) + `"`)
	answered := make(chan channel.Verdict, 10)
	for range 4 { // three fit
		r := *long
		h.Authenticate(t.Context(), &r, "", func(v channel.Verdict) { answered <- v })
	}
	if v := <-answered; v.Reason != session.ReasonServerBusy {
		t.Errorf("%+v", v)
	}
	close(release)
	for range 3 {
		if v := <-answered; v.Answer == nil {
			t.Errorf("%+v", v)
		}
	}
	until(t, "nothing is held", func() bool { return h.authenticating.bytes.Load() == 0 })
}
