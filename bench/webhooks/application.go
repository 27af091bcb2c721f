// Package webhooks is the application's side of webhooks, for tests: a real HTTP or HTTPS
// server that keeps every request as it came and answers as the test's script says, well,
// late, never or wrongly, with certificates of an authority of its own. Its tests hold the
// real server, called by bots, to the documentation of webhooks and of log files, field by
// field. Nothing of the server is linked, so that no mistake is on both sides.
//
// All methods of an Application may be called from any goroutine. What they return is a copy,
// but for the bytes and maps of a Request, which nobody changes.
package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what an application takes: a server that exceeds them shows it by an error.
const (
	maxBody     = 4 << 20 // bytes of a request
	maxRequests = 1 << 17 // kept; one more is answered and not kept, see Err
)

// Request is one that came.
type Request struct {
	Path     string
	Method   string
	Proto    string // HTTP/1.1 or HTTP/2.0
	Header   http.Header
	Raw      []byte         // the body
	Body     map[string]any // the same, numbers as json.Number; nil: no object
	Arrived  time.Time      // when the body had come
	Conn     int            // number of the TCP connection, from 1
	Nth      int            // of the request on its connection, from 1
	Client   string         // common name of the client's certificate; empty: none
	User     string         // of basic authentication
	Password string
}

// Text returns a member of the body that is a string; empty: there is none.
func (r *Request) Text(name string) string { s, _ := r.Body[name].(string); return s }

// Script says how a request is answered. It is called on a goroutine for each request.
type Script func(r *Request) Answer

// Options say how an application listens.
type Options struct {
	TLS      *tls.Config // nil: http
	Address  string      // empty: any port of 127.0.0.1
	HTTP2    bool        // HTTP/2 only, without TLS too
	User     string      // not empty: requests without it are answered with 401
	Password string
}

// Application is a server that answers webhooks.
type Application struct {
	options Options
	server  *http.Server
	base    string
	serving sync.WaitGroup
	gone    chan struct{} // closed by Close
	conns   atomic.Int64
	open    atomic.Int64

	mu       sync.Mutex
	scripts  map[string]Script
	requests []Request
	asked    int           // scripts that have not answered yet
	most     int           // the largest that asked has been
	came     chan struct{} // closed and replaced when a request comes
	err      error
}

// Start runs an application until Close. Without a script a path is answered with 404.
func Start(o Options) (*Application, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	a := &Application{
		options: o, gone: make(chan struct{}), came: make(chan struct{}), scripts: make(map[string]Script),
		base: "http://" + l.Addr().String(),
	}
	if o.TLS != nil {
		a.base = "https://" + l.Addr().String()
		l = tls.NewListener(l, o.TLS)
	}
	a.server = &http.Server{
		Handler: http.HandlerFunc(a.serve), ErrorLog: log.New(io.Discard, "", 0), // refused handshakes are what tests want
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &conn{number: int(a.conns.Add(1))})
		},
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				a.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				a.open.Add(-1)
			}
		},
	}
	if o.HTTP2 {
		a.server.Protocols = new(http.Protocols)
		a.server.Protocols.SetHTTP2(true)
		a.server.Protocols.SetUnencryptedHTTP2(true)
	}
	a.serving.Go(func() {
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.fail(err)
		}
	})
	return a, nil
}

// conn is what a TCP connection is known by.
type conn struct {
	number   int
	requests atomic.Int64
}

type connKey struct{}

// Close ends all that goes on. It may be repeated.
func (a *Application) Close() {
	a.mu.Lock()
	select {
	case <-a.gone:
	default:
		close(a.gone)
	}
	a.mu.Unlock()
	_ = a.server.Close() // an error here says that a socket has gone already
	a.serving.Wait()
}

// URL is where a path is.
func (a *Application) URL(path string) string { return a.base + path }

// On has a path answered by a script from now on.
func (a *Application) On(path string, s Script) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scripts[path] = s
}

// Always is a script that answers all in one way.
func Always(answer Answer) Script { return func(*Request) Answer { return answer } }

// Err returns what the application itself failed at.
func (a *Application) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *Application) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = fmt.Errorf("webhooks: %w", err)
	}
}

// Conns returns how many connections there have been, and are. Those that an answer has taken
// over count as closed.
func (a *Application) Conns() (all, open int) { return int(a.conns.Load()), int(a.open.Load()) }

// Asked returns how many requests wait for their answer, and the most that have at one time.
func (a *Application) Asked() (now, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, a.most
}

// Requests returns those to a path in the order in which they came; an empty path: all.
func (a *Application) Requests(path string) []Request {
	return a.Find(func(r *Request) bool { return path == "" || r.Path == path })
}

// Find returns the requests that match, in the order in which they came.
func (a *Application) Find(match func(*Request) bool) (found []Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.requests {
		if match(&a.requests[i]) {
			found = append(found, a.requests[i])
		}
	}
	return found
}

// Wait returns the first n requests, come or to come, that match.
func (a *Application) Wait(ctx context.Context, n int, match func(*Request) bool) ([]Request, error) {
	for {
		a.mu.Lock()
		came := a.came
		a.mu.Unlock()
		found := a.Find(match)
		if len(found) >= n {
			return found[:n], nil
		}
		select {
		case <-came:
		case <-a.gone:
			return found, errors.New("webhooks: the application ended")
		case <-ctx.Done():
			return found, fmt.Errorf("webhooks: %d of %d requests came: %w", len(found), n, ctx.Err())
		}
	}
}

// serve takes a request and answers it.
func (a *Application) serve(w http.ResponseWriter, hr *http.Request) {
	r, err := newRequest(hr)
	if err != nil {
		if hr.Context().Err() == nil {
			a.fail(err)
		}
		return
	}
	if a.options.User != "" && (r.User != a.options.User || r.Password != a.options.Password) {
		w.Header().Set("www-authenticate", `Basic realm="application"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer := a.keep(r)
	defer a.answered()
	answer.give(w, hr.Context(), a.gone)
}

// newRequest reads one.
func newRequest(hr *http.Request) (*Request, error) {
	raw, err := io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBody {
		return nil, fmt.Errorf("a request of more than %d bytes", maxBody)
	}
	c := hr.Context().Value(connKey{}).(*conn)
	r := &Request{
		Path: hr.URL.Path, Method: hr.Method, Proto: hr.Proto, Header: hr.Header, Raw: raw, Arrived: time.Now(),
		Conn: c.number, Nth: int(c.requests.Add(1)),
	}
	r.User, r.Password, _ = hr.BasicAuth()
	if hr.TLS != nil && len(hr.TLS.PeerCertificates) > 0 {
		r.Client = hr.TLS.PeerCertificates[0].Subject.CommonName
	}
	r.Body = Object(raw)
	return r, nil
}

// Object decodes a JSON object, numbers as json.Number; nil: it is none, or more than one.
func Object(text []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var members map[string]any
	if d.Decode(&members) != nil || d.More() {
		return nil
	}
	return members
}

// keep notes a request, tells who waits, and returns what its script says.
func (a *Application) keep(r *Request) Answer {
	a.mu.Lock()
	if len(a.requests) < maxRequests {
		a.requests = append(a.requests, *r)
	} else if a.err == nil {
		a.err = errors.New("webhooks: more requests than are kept")
	}
	a.asked++
	a.most = max(a.most, a.asked)
	close(a.came)
	a.came = make(chan struct{})
	script := a.scripts[r.Path]
	a.mu.Unlock()
	if script == nil {
		return Status(http.StatusNotFound, "no such webhook")
	}
	return script(r)
}

func (a *Application) answered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked--
}

// Paths returns those that requests came to, sorted, for messages.
func (a *Application) Paths() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for i := range a.requests {
		names = append(names, a.requests[i].Path)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}
