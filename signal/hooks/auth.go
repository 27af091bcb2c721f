package hooks

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/session"
	"tsubame/signal/token"
	"tsubame/signal/webhook"
)

// tokens is how tokens are looked at.
type tokens struct {
	verifier *token.Verifier // nil: they are not
	require  bool
}

// SetTokens changes the keys of tokens, and whether there has to be one.
func (h *Hooks) SetTokens(v *token.Verifier, require bool) {
	h.tokens.Store(&tokens{verifier: v, require: require})
}

// Authenticate implements channel.Hooks. A token decides where there are keys for tokens and
// the client has shown one; otherwise the auth webhook does; without its URL everybody is
// allowed.
func (h *Hooks) Authenticate(ctx context.Context, r *webhook.AuthRequest, tok string, done func(channel.Verdict)) {
	h.fill(&r.Common)
	refused := h.ask(&h.authenticating, questionBytes+3*len(r.Metadata), func() { done(h.authenticate(ctx, r, tok)) })
	if refused == nil {
		return
	}
	go func() {
		h.failed(&item{to: h.auth, id: r.ID, body: r.Append(nil)}, refused)
		done(channel.Verdict{Reason: refused.CloseReason(), Detail: refused.Error()})
	}()
}

func (h *Hooks) authenticate(ctx context.Context, r *webhook.AuthRequest, tok string) channel.Verdict {
	t := h.tokens.Load()
	if t.require && (tok == "" || t.verifier == nil) { // without keys nobody can have one
		return h.deniedByToken(r, &token.Error{Reason: token.ReasonRequired, Detail: "there is no token"})
	}
	if tok != "" && t.verifier != nil {
		answer, err := t.verifier.Verify(tok, r.Timestamp, r.ChannelID, r.Role)
		if err != nil {
			return h.deniedByToken(r, err)
		}
		h.tokenAllowed.Add(1)
		h.authLine(r, nil, nil, answer.Kept)
		h.warn("token", answer.Warnings)
		return channel.Verdict{Answer: answer}
	}
	route := h.auth.route.Load()
	if route.url == "" {
		h.authLine(r, nil, nil, nil)
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true}}
	}
	return h.askApplication(ctx, route, r)
}

// deniedByToken is the verdict on a token that does not let its bearer in.
func (h *Hooks) deniedByToken(r *webhook.AuthRequest, err error) channel.Verdict {
	h.tokenDenied.Add(1)
	v := channel.Verdict{Reason: token.ReasonInvalid, Detail: err.Error()}
	var e *token.Error
	if errors.As(err, &e) {
		v.Reason, v.Detail = e.Reason, e.Detail
	}
	h.authLine(r, nil, nil, []byte(`{"allowed":false,"reason":"`+v.Reason+`"}`))
	return v
}

// askApplication sends the auth webhook and reads its answer.
func (h *Hooks) askApplication(ctx context.Context, to *route, r *webhook.AuthRequest) channel.Verdict {
	ctx, cancel := h.until(ctx)
	defer cancel()
	body := r.Append(nil)
	res, f := h.auth.call(ctx, to, body, header{"sora-connection-id", r.ConnectionID})
	var answer *webhook.AuthAnswer
	if f == nil {
		answer, f = readAuth(res)
	}
	if f != nil {
		h.failedAt(h.auth, to, &item{id: r.ID, body: body}, f)
		reason := cmp.Or(f.CloseReason(), session.ReasonAuthError)
		if f.name == failReason {
			reason = session.ReasonAuthFailure
		}
		return channel.Verdict{Reason: reason, Detail: f.Error()}
	}
	h.worked(h.auth, to)
	h.authLine(r, body, to, res)
	h.warn("auth_webhook", answer.Warnings)
	if !answer.Allowed {
		h.denied.Add(1)
		return channel.Verdict{Reason: answer.Reason, Detail: "the auth webhook says so"}
	}
	h.allowed.Add(1)
	return channel.Verdict{Answer: answer}
}

func readAuth(res []byte) (*webhook.AuthAnswer, *failure) {
	answer, err := webhook.ParseAuthAnswer(res)
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, webhook.ErrNoAllowed):
		return nil, &failure{name: failAllowed, answer: res}
	case errors.Is(err, webhook.ErrNoReason):
		return nil, &failure{name: failReason, answer: res}
	}
	return nil, &failure{name: failJSON, detail: err.Error(), answer: res}
}

// until returns a context that ends with the caller's, or with the server.
func (h *Hooks) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.base, func() { cancel(errShutdown) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// authLine writes a request that was answered as it should, or that nobody had to be asked.
// body is the request as it was sent, if it was.
func (h *Hooks) authLine(r *webhook.AuthRequest, body []byte, to *route, res []byte) {
	if h.cfg.Journal == nil || !h.settings.Load().AuthLog {
		return
	}
	if body == nil {
		body = r.Append(nil)
	}
	l := line{id: r.ID, at: time.Now(), req: body, res: res}
	if len(body) > maxRequest {
		l.req = omitted(body)
	}
	if to != nil {
		l.url = to.shown
	}
	h.cfg.Journal.Write(journal.Auth, l.appendTo(nil))
}

// maxWarned bounds the warnings that are remembered; beyond it nothing new is told.
const maxWarned = 256

// warnings are what the server's log has been told of answers. Each is told once: an
// application says the same to every client.
type warnings struct {
	mu   sync.Mutex
	told map[string]struct{}
}

func (h *Hooks) warn(of string, texts []string) {
	if len(texts) == 0 {
		return
	}
	w := &h.warned
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		if _, told := w.told[of+text]; told || len(w.told) >= maxWarned {
			continue
		}
		if w.told == nil {
			w.told = map[string]struct{}{}
		}
		w.told[of+text] = struct{}{}
		h.log.Warn("WEBHOOK-ANSWER", "of", of, "warning", text)
	}
}
