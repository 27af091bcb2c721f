package hooks

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

func TestRequestIsAPostOfJSONWithItsHeaders(t *testing.T) {
	var got *http.Request
	var body []byte
	s := application(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, `{}`)
	})
	c := callerTo(t, s.URL+"/auth?x=1", patience)
	answer, f := c.call(t.Context(), c.route.Load(), []byte(`{"a":1}`), header{"sora-connection-id", "ID"}, header{"sora-session-id", ""})
	if f != nil || string(answer) != "{}" {
		t.Fatalf("%q, %v", answer, f)
	}
	if got.Method != "POST" || got.URL.String() != "/auth?x=1" || got.ProtoMajor != 1 || string(body) != `{"a":1}` || got.ContentLength != 7 {
		t.Errorf("%s %s HTTP/%d %q %d", got.Method, got.URL, got.ProtoMajor, body, got.ContentLength)
	}
	if got.Header.Get("content-type") != "application/json" || got.Header.Get("sora-connection-id") != "ID" {
		t.Errorf("headers %v", got.Header)
	}
	for _, name := range []string{"sora-session-id", "authorization", "accept-encoding", "idempotency-key"} {
		if v, ok := got.Header[http.CanonicalHeaderKey(name)]; ok {
			t.Errorf("%s: %q is sent", name, v)
		}
	}
}

func TestBasicAuthenticationIsSentAndItsPasswordIsNotShown(t *testing.T) {
	var user, password string
	s := application(t, func(w http.ResponseWriter, r *http.Request) { user, password, _ = r.BasicAuth() })
	c := newCaller("test", 1, false)
	defer c.close()
	setRoute(t, c, target{url: s.URL, timeout: patience, basic: true, user: "sora", password: "p:w"}, trust{})
	if _, f := ask(c); f != nil || user != "sora" || password != "p:w" {
		t.Errorf("%v: %q %q", f, user, password)
	}
	setRoute(t, c, target{url: strings.Replace(s.URL, "http://", "http://u:secret@", 1), timeout: patience}, trust{})
	if _, f := ask(c); f != nil || user != "u" || password != "secret" {
		t.Errorf("of the URL, %v: %q %q", f, user, password)
	}
	if r := c.route.Load(); strings.Contains(r.shown, "secret") {
		t.Errorf("shown as %s", r.shown)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	gone := httptest.NewServer(answers(200, "{}"))
	gone.Close()
	plain := application(t, answers(200, "{}"))
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, answer)
			conn.Close()
		}
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		<-r.Context().Done()
	}
	dripping := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		drip(w, r)
	}
	for _, c := range []struct {
		about   string
		url     string
		handler http.HandlerFunc
		timeout time.Duration
		want    string
	}{
		{about: "nobody listens", url: gone.URL, want: failRefused},
		{about: "no such host", url: "http://tsubame.invalid/", want: failName},
		{about: "TLS to a server without", url: strings.Replace(plain.URL, "http:", "https:", 1), want: failTLS},
		{about: "no answer", handler: slow, timeout: 50 * time.Millisecond, want: failTimeout},
		{about: "a body that never ends", handler: dripping, timeout: 50 * time.Millisecond, want: failTimeout},
		{about: "closed", handler: raw(""), want: failClosed},
		{about: "closed within the headers", handler: raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"), want: failClosed},
		{about: "closed within the body", handler: raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), want: failClosed},
		{about: "no HTTP", handler: raw("SSH-2.0-OpenSSH_9.6\r\n"), want: failHTTP},
		{about: "headers without end", handler: raw("HTTP/1.1 200 OK\r\na: " + strings.Repeat("a", 4*maxAnswer)), want: failHTTP},
		{about: "302", handler: http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP, want: failRedirect},
		{about: "307", handler: http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect).ServeHTTP, want: failRedirect},
		{about: "101", handler: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), want: failStatus},
		{about: "404", handler: answers(404, "no"), want: failStatus},
		{about: "500", handler: answers(500, "no"), want: failStatus},
		{about: "64 KiB and a byte", handler: answers(200, strings.Repeat("x", maxAnswer+1)), want: failOversized},
		{about: "64 KiB", handler: answers(200, strings.Repeat("x", maxAnswer))},
		{about: "201", handler: answers(201, "{}")},
		{about: "204", handler: answers(204, "")},
	} {
		t.Run(c.about, func(t *testing.T) {
			if c.url == "" {
				s := httptest.NewUnstartedServer(c.handler)
				s.Config.ErrorLog = quiet
				s.Start()
				defer s.Close()
				c.url = s.URL
			}
			if c.timeout == 0 {
				c.timeout = patience
			}
			_, f := ask(callerTo(t, c.url, c.timeout))
			got := ""
			if f != nil {
				got = f.name
			}
			if got != c.want {
				t.Errorf("%v, want %q", f, c.want)
			}
		})
	}
}

// drip writes a byte now and then until the client has gone.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			io.WriteString(w, " ")
			w.(http.Flusher).Flush()
		}
	}
}

func TestARedirectIsNeverFollowed(t *testing.T) {
	var visited atomic.Bool
	elsewhere := application(t, func(http.ResponseWriter, *http.Request) { visited.Store(true) })
	s := application(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP)
	if _, f := ask(callerTo(t, s.URL, patience)); f == nil || f.name != failRedirect || visited.Load() {
		t.Errorf("%v, visited: %v", f, visited.Load())
	}
}

func TestWhoeverHasGoneIsNotWaitedFor(t *testing.T) {
	for cause, want := range map[error]string{errors.New("gone"): failCancelled, errShutdown: failShutdown} {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := application(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			cancel(cause)
			<-r.Context().Done()
		})
		c := callerTo(t, s.URL, patience)
		if _, f := c.call(ctx, c.route.Load(), []byte("{}")); f == nil || f.name != want {
			t.Errorf("%v: %v, want %s", cause, f, want)
		}
	}
}

func TestOneConnectionCarriesManyRequests(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(answers(200, strings.Repeat("x", 3000)))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := callerTo(t, s.URL, patience)
	for range 20 {
		if f := c.tell(t.Context(), c.route.Load(), []byte("{}")); f != nil {
			t.Fatal(f)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	s := application(t, func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		if now.Load() == 4 {
			close(release)
		}
		<-release
		now.Add(-1)
	})
	c := callerTo(t, s.URL, patience) // of 4
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if _, f := ask(c); f != nil {
				t.Error(f)
			}
		})
	}
	all.Wait()
	if most.Load() != 4 {
		t.Errorf("%d at a time", most.Load())
	}
}

func TestToldIsToldWhateverFollowsTheStatus(t *testing.T) {
	for about, h := range map[string]http.HandlerFunc{
		"a huge body": answers(200, strings.Repeat("x", 1<<20)),
		"no JSON":     answers(200, "<html>"),
		"a body cut short": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("content-length", "9")
			w.WriteHeader(200)
		},
	} {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = quiet
		s.Start()
		c := callerTo(t, s.URL, patience)
		if f := c.tell(t.Context(), c.route.Load(), []byte("{}")); f != nil {
			t.Errorf("%s: %v", about, f)
		}
		c.close()
		s.Close()
	}
}

// A server that closes a connection which it has answered on does so at any moment: also in
// that in which the next request is written.
func TestAStaleConnectionLosesNoRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serveOnce(conn, &served) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	c := callerTo(t, "http://"+l.Addr().String(), patience)
	for i := range 50 {
		if _, f := ask(c); f != nil {
			t.Fatalf("request %d: %v", i, f)
		}
	}
	if served.Load() != 50 {
		t.Errorf("%d requests were answered", served.Load())
	}
	if c.counters.retried.Load() == 0 {
		t.Error("no connection was stale: the test shows nothing")
	}
}

// serveOnce answers one request, promises to keep the connection, and reads the next one
// only to close without an answer.
func serveOnce(conn net.Conn, served *atomic.Int32) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for answer := true; ; answer = false {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		if !answer {
			return
		}
		served.Add(1)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	}
}

func TestAFreshConnectionThatIsClosedIsNotTriedAgain(t *testing.T) {
	var tries atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		panic(http.ErrAbortHandler)
	}))
	s.Start()
	defer s.Close()
	if _, f := ask(callerTo(t, s.URL, patience)); f == nil || f.name != failClosed || tries.Load() != 1 {
		t.Errorf("%v after %d tries", f, tries.Load())
	}
}
