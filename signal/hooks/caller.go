package hooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"tsubame/signal/webhook"
)

const (
	// maxAnswer is how much of an answer is read, in bytes, and how much its headers may have.
	maxAnswer = webhook.MaxAnswer
	// idleTimeout is how long a connection without a request is kept. Servers close theirs
	// after 5 s (Node.js) to 75 s (nginx); which of the two ends is first does not matter, see
	// maxTries.
	idleTimeout = 30 * time.Second
	// maxTries is how often one request is written at most. A server may close a connection
	// that was idle at the moment in which we use it again: then the request is written once
	// more, to a new one. Nothing else is ever tried again. What the server has taken before
	// it closed the connection may reach it twice, with the same id.
	maxTries = 3
)

// route is where a caller sends to. It is replaced as a whole, never changed.
type route struct {
	url       string // empty: nowhere
	shown     string // the URL without its password, for logs
	basic     bool
	user      string
	password  string
	timeout   time.Duration // of a whole request, from the connection to the last byte of the answer
	transport *http.Transport
	sum       [32]byte // of what the transport was made of
}

// caller sends the requests of one kind of webhook. Its methods may be called from any
// goroutine; call waits for the answer.
type caller struct {
	name     string // as in auth_webhook
	conns    int    // connections at a time
	http2    bool   // HTTP/2, without TLS too; otherwise HTTP/1.1 only
	route    atomic.Pointer[route]
	counters counters
	health   health
}

func newCaller(name string, conns int, http2 bool) *caller {
	c := &caller{name: name, conns: conns, http2: http2}
	c.route.Store(&route{})
	return c
}

// on reports whether there is somewhere to send to.
func (c *caller) on() bool { return c.route.Load().url != "" }

// target is what the configuration says of one webhook.
type target struct {
	url      string
	basic    bool
	user     string
	password string
	timeout  time.Duration
}

// plan returns the route to a target. Nothing has changed yet.
func (c *caller) plan(t target, m material) (*route, error) {
	r := &route{url: t.url, basic: t.basic, user: t.user, password: t.password, timeout: t.timeout, sum: m.sum}
	if t.url != "" {
		u, err := url.Parse(t.url)
		if err != nil {
			return nil, err
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("%s is no URL of http or https", u.Redacted())
		}
		r.shown = u.Redacted()
		if password, ok := u.User.Password(); ok && !t.basic {
			r.basic, r.user, r.password = true, u.User.Username(), password
		}
		u.User = nil
		r.url = u.String()
	}
	old := c.route.Load()
	if r.transport = old.transport; r.transport == nil || old.sum != r.sum || old.timeout != r.timeout {
		r.transport = c.newTransport(r.timeout, m.config)
	}
	return r, nil
}

// swap takes a route; requests under way end as they began.
func (c *caller) swap(r *route) {
	old := c.route.Swap(r)
	if old.transport != nil && old.transport != r.transport {
		old.transport.CloseIdleConnections() // the others close when their requests have ended
	}
}

// newTransport makes one that follows no proxy of the environment: the URL in the
// configuration is where webhooks go. A dial that nobody waits for any more ends within
// the timeout too: otherwise it would keep a connection's place for minutes.
func (c *caller) newTransport(timeout time.Duration, config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout}
	t := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: config.Clone(), TLSHandshakeTimeout: timeout,
		DisableCompression: true, // an answer of 64 KiB has no more than that inside
		MaxIdleConns:       c.conns, MaxIdleConnsPerHost: c.conns, MaxConnsPerHost: c.conns,
		IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: maxAnswer, Protocols: &http.Protocols{},
	}
	// Without it a connection of HTTP/2 whose other end has gone silently would be used on.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: timeout, PingTimeout: timeout}
	t.Protocols.SetHTTP1(!c.http2)
	t.Protocols.SetHTTP2(c.http2)
	t.Protocols.SetUnencryptedHTTP2(c.http2)
	return t
}

// close ends idle connections.
func (c *caller) close() {
	if t := c.route.Load().transport; t != nil {
		t.CloseIdleConnections()
	}
}

// header is one header of a request beyond the usual ones; an empty value is not sent.
type header struct{ name, value string }

// call sends body to r and returns the whole answer, which is the caller's own. A failure of
// ctx is failCancelled or failShutdown. Success and failure are not counted here, since
// what the answer says decides, only the time is.
func (c *caller) call(ctx context.Context, r *route, body []byte, headers ...header) ([]byte, *failure) {
	return c.send(ctx, r, body, true, headers)
}

// tell is call for those who do not look into the answer: a status of 2xx is success,
// whatever follows it.
func (c *caller) tell(ctx context.Context, r *route, body []byte, headers ...header) *failure {
	_, f := c.send(ctx, r, body, false, headers)
	return f
}

func (c *caller) send(ctx context.Context, r *route, body []byte, whole bool, headers []header) ([]byte, *failure) {
	began := time.Now()
	defer func() { c.counters.microseconds.Add(uint64(time.Since(began).Microseconds())) }()
	timed, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	for try := 1; ; try++ {
		answer, f, stale := c.once(ctx, timed, r, body, whole, headers)
		if !stale || try == maxTries {
			return answer, f
		}
		c.counters.retried.Add(1)
		r.transport.CloseIdleConnections() // they are likely as old as this one
	}
}

// once writes the request one time. stale says that the connection had been used before and
// was closed without a byte of an answer.
func (c *caller) once(ctx, timed context.Context, r *route, body []byte, whole bool, headers []header) (answer []byte, f *failure, stale bool) {
	var reused, answered atomic.Bool
	traced := httptrace.WithClientTrace(timed, &httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { reused.Store(i.Reused) },
		GotFirstResponseByte: func() { answered.Store(true) },
	})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{name: failUnreachable, detail: err.Error()}, false
	}
	setHeaders(req, r, headers)
	res, err := r.transport.RoundTrip(req) // follows no redirect and knows no cookies
	if err != nil {
		return nil, classify(ctx, err), closed(err) && reused.Load() && !answered.Load() && timed.Err() == nil
	}
	defer res.Body.Close()
	answer, f = read(ctx, res, whole)
	return answer, f, false
}

func setHeaders(req *http.Request, r *route, headers []header) {
	req.Header.Set("content-type", "application/json")
	req.Header.Set("user-agent", "Tsubame")
	if r.basic {
		req.SetBasicAuth(r.user, r.password)
	}
	for _, h := range headers {
		if h.value != "" {
			req.Header.Set(h.name, h.value)
		}
	}
}

// read judges the status and reads the body. A body that is read to its end gives the
// connection back; any other closes it.
func read(ctx context.Context, res *http.Response, whole bool) ([]byte, *failure) {
	body := io.Reader(res.Body)
	if res.StatusCode == http.StatusSwitchingProtocols {
		body = http.NoBody // what follows is no body, and may never end
	}
	answer, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	long := len(answer) > maxAnswer
	answer = answer[:min(len(answer), maxAnswer)]
	switch {
	case res.StatusCode/100 == 3:
		return nil, &failure{name: failRedirect, detail: strconv.Itoa(res.StatusCode), answer: answer}
	case res.StatusCode/100 != 2:
		return nil, &failure{name: failStatus, detail: strconv.Itoa(res.StatusCode), answer: answer}
	case !whole:
		return nil, nil
	case err != nil && !errors.Is(err, io.EOF):
		f := classify(ctx, err)
		f.answer = answer
		return nil, f
	case long:
		return nil, &failure{name: failOversized, detail: "more than 65536 bytes", answer: answer}
	}
	return answer, nil
}
