package ws

import (
	"bytes"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/signal/channel"
)

// expectRefused checks a refusal, whole.
func expectRefused(t *testing.T, c net.Conn, resp *http.Response, status int, text string) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != status || err != nil || strings.TrimSpace(string(body)) != text || len(body) > 100 {
		t.Errorf("got %d %q, %v; want %d %q", resp.StatusCode, body, err, status, text)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
		t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || timedOut(err) {
		t.Errorf("the connection stays: %v", err)
	}
}

// Row SIG-08.
func TestAFloodOfOneAddressIsRefusedAndDisturbsNobody(t *testing.T) {
	r := newRig(t)
	r.edge.RatePerAddress = 20
	r.edge.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // so that the test has several addresses
	r.start()
	established, _ := r.join("recvonly", "")
	began := time.Now()
	admitted, refused := 0, 0
	for range 200 {
		c, resp := r.ask("X-Forwarded-For: 203.0.113.7")
		switch resp.StatusCode {
		case 101:
			admitted++
		case 429:
			if refused++; refused == 1 {
				expectRefused(t, c, resp, 429, "too many new connections from your address")
			}
		}
		c.Close()
	}
	if most := 20 + int(math.Ceil(20*time.Since(began).Seconds())); admitted < 20 || admitted > most || admitted+refused != 200 {
		t.Errorf("%d admitted and %d refused, of at most %d", admitted, refused, most)
	}
	if c := r.handler.Counters(); c["signal_refused_rate_per_address"] != uint64(refused) || c["signal_admitted"] != uint64(admitted+1) {
		t.Errorf("counters %v", c)
	}
	// Others come in, and who is there stays.
	other, _ := r.ask("X-Forwarded-For: 203.0.113.8")
	other.Close()
	established.write(`{"type":"disconnect"}`)
	established.expectClose(1000, "TYPE-DISCONNECT")
}

func TestSocketsOfOneAddressAreBounded(t *testing.T) {
	r := newRig(t)
	r.edge.MaxPerAddress = 2
	r.start()
	a, b := r.upgrade(), r.upgrade()
	c, resp := r.ask()
	expectRefused(t, c, resp, 429, "too many connections from your address")
	a.Close()
	r.eventually("one that left makes room", func() bool {
		c, resp := r.ask()
		c.Close()
		return resp.StatusCode == 101
	})
	b.Close()
	// What is no WebSocket in the end does not count.
	for range 10 {
		if s := r.get("/signaling"); s != 426 && s != 429 {
			t.Errorf("status %d", s)
		}
	}
	r.eventually("nobody is left", func() bool {
		c, resp := r.ask()
		defer c.Close()
		d, resp2 := r.ask()
		d.Close()
		return resp.StatusCode == 101 && resp2.StatusCode == 101
	})
}

// Row SIG-08.
func TestABusyServerShedsJoinsButNotSessions(t *testing.T) {
	r := newRig(t)
	var load atomic.Uint64
	r.edge.Load = func() float64 { return math.Float64frombits(load.Load()) }
	r.edge.ShedAt = 0.9
	r.start()
	watcher, _ := r.join("recvonly", "")
	leaver, _ := r.join("sendonly", "")
	watcher.answer("re-answer", watcher.expect("re-offer").SDP)
	watcher.expect("connection.created")
	load.Store(math.Float64bits(0.95))
	c, resp := r.ask()
	expectRefused(t, c, resp, 503, "the server is busy")
	if s := r.get("/.ok"); s != 200 {
		t.Errorf("health is not load: status %d", s)
	}
	leaver.write(`{"type":"disconnect"}`)
	leaver.expectClose(1000, "TYPE-DISCONNECT")
	watcher.answer("re-answer", watcher.expect("re-offer").SDP)
	watcher.expect("connection.destroyed")
	load.Store(math.Float64bits(0.85))
	if c, resp := r.ask(); resp.StatusCode != 503 {
		t.Errorf("a little less load: status %d", resp.StatusCode)
		c.Close()
	}
	load.Store(math.Float64bits(0.5))
	r.join("recvonly", "")
}

// Row SIG-08.
func TestSessionsThatAreJoiningAreBounded(t *testing.T) {
	r := newRig(t)
	r.plane.Manual = true
	r.edge.MaxJoining, r.maxJoining = 2, 2
	r.start()
	early := r.dial() // lets others go first
	var joining []*client
	for range 2 {
		c := r.dial()
		c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
		c.answer("answer", c.expect("offer").SDP)
		joining = append(joining, c)
	}
	c, resp := r.ask()
	expectRefused(t, c, resp, 503, "the server is busy")
	early.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
	early.expectClose(4490, "SERVER-BUSY")
	if c := r.handler.Counters(); c["signal_joining"] != 2 || c["signal_refused_joining"] != 1 || c["signal_closed_4490_SERVER-BUSY"] != 1 {
		t.Errorf("counters %v", c)
	}
	// One is established, one gives up: neither is joining any longer.
	r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaEstablished})
	joining[0].expect("connection.created")
	joining[1].conn.CloseNow()
	r.eventually("nobody is joining", func() bool { return r.registry.Joining() == 0 })
	c, resp = r.ask()
	if resp.StatusCode != 101 {
		t.Errorf("status %d", resp.StatusCode)
	}
	c.Close()
}

func TestARefusalNeedsNoGoroutineAndLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.edge.ShedAt, r.edge.Load = 0.5, func() float64 { return 1 }
	r.start()
	for range 100 {
		c, resp := r.ask()
		if resp.StatusCode != 503 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		c.Close()
	}
	r.eventually("the room is empty", func() bool { n, _ := r.handler.room.size(); return n == 0 })
	if c, s := r.registry.Counts(); c != 0 || s != 0 || r.registry.Joining() != 0 {
		t.Errorf("%d channels, %d sessions", c, s)
	}
}

func TestAddressesBehindAProxy(t *testing.T) {
	p := proxies{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		peer   string
		header []string
		want   string // of the address
		log    string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1", "192.0.2.1:5"},
		{"192.0.2.1:5", []string{"203.0.113.7"}, "192.0.2.1", "192.0.2.1:5"}, // no proxy of ours: it may say what it likes
		{"127.0.0.1:5", nil, "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1:5", []string{""}, "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1:5", []string{"203.0.113.7"}, "203.0.113.7", "203.0.113.7"},
		{"[::ffff:127.0.0.1]:5", []string{"203.0.113.7"}, "203.0.113.7", "203.0.113.7"},
		{"127.0.0.1:5", []string{"203.0.113.7:4711"}, "203.0.113.7", "203.0.113.7"},
		{"127.0.0.1:5", []string{"::ffff:203.0.113.7"}, "203.0.113.7", "203.0.113.7"},
		{"127.0.0.1:5", []string{"[2001:db9::1]"}, "2001:db9::1", "2001:db9::1"},
		{"127.0.0.1:5", []string{"[2001:db9::1]:80"}, "2001:db9::1", "2001:db9::1"},
		{"127.0.0.1:5", []string{"2001:db9::1"}, "2001:db9::1", "2001:db9::1"},
		{"127.0.0.1:5", []string{"fe80::1%eth0"}, "fe80::1", "fe80::1"},
		{"[2001:db8::5]:5", []string{"203.0.113.7"}, "203.0.113.7", "203.0.113.7"},
		// The client wrote the first one, our outer proxy the second, the inner one the third.
		{"127.0.0.1:5", []string{"198.51.100.1, 203.0.113.7 ,10.1.2.3"}, "203.0.113.7", "203.0.113.7"},
		{"127.0.0.1:5", []string{"198.51.100.1", "203.0.113.7", "10.1.2.3"}, "203.0.113.7", "203.0.113.7"},
		{"127.0.0.1:5", []string{"10.1.2.3, 10.4.5.6"}, "10.1.2.3", "10.1.2.3"},
		// What is no address hides what is left of it.
		{"127.0.0.1:5", []string{"203.0.113.7, unknown"}, "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1:5", []string{"203.0.113.7, unknown, 10.1.2.3"}, "10.1.2.3", "10.1.2.3"},
		{"127.0.0.1:5", []string{"203.0.113.7,"}, "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1:5", []string{"203.0.113.256"}, "127.0.0.1", "127.0.0.1"},
	} {
		a, log := p.client(&http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.header}})
		if a.String() != c.want || log != c.log {
			t.Errorf("%s %q: %s, %s in the log; want %s, %s", c.peer, c.header, a, log, c.want, c.log)
		}
	}
	if a, log := p.client(&http.Request{RemoteAddr: "@"}); a.IsValid() || log != "@" {
		t.Errorf("no address: %v %q", a, log)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("203.0.113.7, 10.0.0.1")
	f.Add("[2001:db8::1]:80,,")
	f.Add(" unknown , ::ffff:1.2.3.4")
	p := proxies{netip.MustParsePrefix("10.0.0.0/8")}
	near := netip.MustParseAddr("10.255.0.1")
	f.Fuzz(func(t *testing.T, value string) {
		a := p.forwarded(near, []string{value})
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Errorf("%q: %v", value, a)
		}
		// Whatever a client writes to the left changes nothing.
		if !p.contain(a) && p.forwarded(near, []string{"198.51.100.9," + value}) != a {
			t.Errorf("%q: spoofed", value)
		}
	})
}

// Sockets without connect count by the client, not by the proxy.
func TestTheRoomKnowsClientsBehindAProxy(t *testing.T) {
	r := newRig(t)
	r.edge.MaxHalfOpen, r.edge.MaxHalfOpenPer = 100, 5
	r.session.ConnectTimeout = time.Minute
	r.edge.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	r.start()
	victim, _ := r.ask("X-Forwarded-For: 203.0.113.1")
	var flood []net.Conn
	for range 20 {
		c, _ := r.ask("X-Forwarded-For: 203.0.113.7")
		flood = append(flood, c)
	}
	r.eventually("the flood pushes out itself", func() bool { n, evicted := r.handler.room.size(); return n == 6 && evicted == 15 })
	// Which of them came in first is not the order in which they were answered.
	alive := func(c net.Conn) bool {
		c.Write([]byte{0x89, 0x80, 0, 0, 0, 0}) // a ping
		pong := make([]byte, 2)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := io.ReadFull(c, pong)
		if timedOut(err) {
			t.Error("a socket that is neither closed nor alive")
		}
		return err == nil && pong[0] == 0x8a
	}
	// One that was pushed out may still answer until it is closed.
	r.eventually("as many of the flood answer as one source may have", func() bool {
		flood = slices.DeleteFunc(flood, func(c net.Conn) bool {
			if alive(c) {
				return false
			}
			c.Close()
			return true
		})
		return len(flood) == 5
	})
	for _, c := range flood {
		c.Close()
	}
	if !alive(victim) {
		t.Error("another client of the proxy was closed")
	}
	victim.Close()
}

// logged is a log that several goroutines write.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func TestTheLogNamesTheClientBehindAProxy(t *testing.T) {
	r := newRig(t)
	log := &logged{}
	r.edge.Log = slog.New(slog.NewTextHandler(log, nil))
	r.edge.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	r.start()
	c, _ := r.ask("X-Forwarded-For: 198.51.100.1, 203.0.113.7")
	text := `{"type":"answer","sdp":"v=0"}`
	c.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...))
	r.eventually("a line of the log", func() bool { return log.contains("reason=UNEXPECTED-MESSAGE") && log.contains("remote=203.0.113.7") })
}

func TestHealthCheck(t *testing.T) {
	r := newRig(t)
	r.edge.RatePerAddress, r.edge.MaxPerAddress, r.edge.MaxHalfOpen, r.edge.MaxHalfOpenPer = 1, 1, 50, 50
	r.start()
	status := func(method string) *http.Response {
		req, err := http.NewRequest(method, "http://"+r.addr+"/.ok", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := string(body); method == "GET" && resp.StatusCode == 200 && got != "ok" || method == "HEAD" && got != "" {
			t.Errorf("%s: %q", method, got)
		}
		if resp.Header.Get("Cache-Control") != "no-store" || !resp.Close {
			t.Errorf("%s: header %v", method, resp.Header)
		}
		return resp
	}
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405, "OPTIONS": 405} {
		resp := status(method)
		if resp.StatusCode != want || want == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, header %v", method, resp.StatusCode, resp.Header)
		}
	}
	for range 20 { // no bound of a source is asked
		if resp := status("GET"); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	// Among half-open sockets the newest always has room.
	for range 200 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if resp := status("GET"); resp.StatusCode != 200 {
		t.Errorf("in a flood: status %d", resp.StatusCode)
	}
	if err := r.shutdown(); err != nil {
		t.Error(err)
	}
	if resp := status("GET"); resp.StatusCode != 503 {
		t.Errorf("while ending: status %d", resp.StatusCode)
	}
	if resp := status("HEAD"); resp.StatusCode != 503 {
		t.Errorf("while ending: status %d", resp.StatusCode)
	}
}

// Row SIG-09.
func TestOriginsCanBeRestricted(t *testing.T) {
	r := newRig(t).start()
	for _, origin := range []string{"https://elsewhere.example", "null", "file://"} {
		if c, resp := r.ask("Origin: " + origin); resp.StatusCode != 101 {
			t.Errorf("without a list: %s: status %d", origin, resp.StatusCode)
		} else {
			c.Close()
		}
	}
	r = newRig(t)
	r.edge.AllowedOrigins = []string{"*.example.com", "Call.Example.Org", "ports.example:8443", "https://secure.example"}
	r.start()
	for origin, want := range map[string]int{
		"https://call.example.com":                101,
		"http://call.example.com":                 101,
		"https://a.b.example.com":                 101,
		"HTTPS://CALL.EXAMPLE.COM":                101,
		"https://call.example.org":                101,
		"https://ports.example:8443":              101,
		"https://secure.example":                  101,
		"http://server.example:5000":              101, // the page that we serve
		"https://example.com":                     403,
		"https://call.example.com:8443":           403,
		"https://evil.example":                    403,
		"https://evil-example.com":                403,
		"https://call.example.com.evil.net":       403,
		"https://evil.net/.example.com":           403,
		"https://evil.net?.example.com":           403,
		"https://evil.net#.example.com":           403,
		"https://call.example.com@evil.net":       403,
		"https://ports.example":                   403,
		"https://ports.example:8444":              403,
		"http://secure.example":                   403,
		"http://server.example":                   403,
		"https://[::1].example.com":               403,
		"null":                                    403,
		"file://":                                 403,
		"https://":                                403,
		"call.example.com":                        403,
		"chrome-extension://abcdef":               403,
		"https://evil.net\\.example.com":          403,
		"https://evil.net, https://a.example.com": 403,
	} {
		c, resp := r.ask("Origin: " + origin)
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", origin, resp.StatusCode, want)
		}
		c.Close()
	}
	// Native clients send no Origin.
	r.upgrade().Close()
}
