package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/sora"
)

func TestRefusalsOfTheFirstMessage(t *testing.T) {
	r := newRig(t).start()
	for frame, reason := range map[string]string{
		`hello`:                         "INVALID-JSON",
		`{}`:                            "MISSING-TYPE",
		`{"type":"offer"}`:              "UNKNOWN-TYPE",
		`{"type":"answer","sdp":"v=0"}`: "UNEXPECTED-MESSAGE",
		`{"type":"connect","channel_id":"room","role":"owner"}`:                                 "INVALID-ROLE",
		`{"type":"connect","channel_id":"room","role":"sendrecv","simulcast":true}`:             "SIMULCAST-NOT-SUPPORTED",
		`{"type":"connect","channel_id":"room","role":"sendrecv","video":{"codec_type":"VP7"}}`: "UNKNOWN-CODEC-TYPE",
		`{"type":"connect","channel_id":"room","role":"sendrecv","spotlight_focus_rid":"r1"}`:   "SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT",
		strings.Repeat("[", 100_000): "JSON-TOO-COMPLEX",
	} {
		c := r.dial()
		c.write(frame)
		c.expectClose(4490, reason)
	}
	c := r.dial()
	c.write(`{"type":"disconnect"}`)
	c.expectClose(1000, "TYPE-DISCONNECT")
	counters := r.handler.Counters()
	for _, name := range []string{"signal_closed_4490_INVALID-JSON", "signal_closed_4490_JSON-TOO-COMPLEX", "signal_closed_1000_TYPE-DISCONNECT"} {
		if counters[name] != 1 {
			t.Errorf("%s is %d in %v", name, counters[name], counters)
		}
	}
}

func TestFaultsOfALaterMessageEndTheSession(t *testing.T) {
	r := newRig(t).start()
	for frame, reason := range map[string]string{
		`{"type":`:                         "INVALID-JSON",
		`{"type":"re-answer","sdp":"v=0"}`: "UNEXPECTED-MESSAGE",
		`{"type":"connect","channel_id":"room","role":"sendrecv"}`: "UNEXPECTED-MESSAGE",
	} {
		c, _ := r.join("recvonly", "")
		c.write(frame)
		c.expectClose(4490, reason)
	}
	r.eventually("every session has ended", func() bool { _, n := r.registry.Counts(); return n == 0 })
}

// Clients open sockets to several servers at once, keep the first and close the others.
func TestSocketsThatCloseWithoutAWordAreNoFault(t *testing.T) {
	r := newRig(t)
	log := &logged{}
	r.edge.Log = slog.New(slog.NewTextHandler(log, nil))
	r.start()
	for i := range 10 {
		if c := r.dial(); i%2 == 0 {
			c.conn.Close(websocket.StatusNormalClosure, "")
		} else {
			c.conn.CloseNow()
		}
	}
	r.eventually("all are gone", func() bool {
		n, _ := r.handler.room.size()
		return n == 0 && r.handler.Counters()["signal_admitted"] == 10
	})
	for name, n := range r.handler.Counters() {
		if strings.HasPrefix(name, "signal_closed") && n != 0 {
			t.Errorf("%s is %d", name, n)
		}
	}
	if log.contains("level=WARN") || log.contains("level=ERROR") {
		t.Error("it is logged as a fault")
	}
}

// An answer or statistics may be that long.
func TestAMessageOfTheLargestSizeIsTaken(t *testing.T) {
	r := newRig(t).start()
	c := r.dial()
	message := func(n int) string { return `{"type":"disconnect","x":"` + strings.Repeat("x", n) + `"}` }
	c.write(message(sora.MaxFrame - len(message(0))))
	c.expectClose(1000, "TYPE-DISCONNECT")
}

func TestBinaryFramesAreRefused(t *testing.T) {
	r := newRig(t).start()
	for _, c := range []*client{r.dial(), first(r.join("recvonly", ""))} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := c.conn.Write(ctx, websocket.MessageBinary, []byte(`{"type":"disconnect"}`)); err != nil {
			t.Fatal(err)
		}
		cancel()
		c.expectClose(4490, "BINARY-FRAME")
	}
}

func first[A, B any](a A, _ B) A { return a }

// Row SIG-02.
func TestOversizedFramesAreClosedBeforeBuffering(t *testing.T) {
	r := newRig(t).start()
	c := r.dial()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// The server may close before all of it is written.
	c.conn.Write(ctx, websocket.MessageText, make([]byte, sora.MaxFrame+1024))
	_, err := c.read()
	if s := websocket.CloseStatus(err); s != websocket.StatusMessageTooBig {
		t.Errorf("closed by %v", err)
	}
	// A frame is not refused for the length that it promises, but nothing is set aside for it
	// either: it ends when more has come than a message may have.
	for name, frame := range map[string][]byte{
		"length 2^63":       {0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
		"length 2^62":       append([]byte{0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, make([]byte, sora.MaxFrame+2)...),
		"unmasked":          {0x81, 0x02, '{', '}'},
		"reserved bit":      {0xc1, 0x82, 0, 0, 0, 0, '{', '}'},
		"reserved opcode":   {0x83, 0x82, 0, 0, 0, 0, '{', '}'},
		"long ping":         append([]byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, make([]byte, 126)...),
		"fragmented ping":   {0x09, 0x80, 0, 0, 0, 0},
		"lone continuation": {0x80, 0x82, 0, 0, 0, 0, '{', '}'},
	} {
		raw := r.upgrade()
		raw.Write(frame)
		raw.SetReadDeadline(time.Now().Add(20 * time.Second))
		// A close frame, or the end without one.
		var b [1]byte
		if n, err := raw.Read(b[:]); timedOut(err) || n == 1 && b[0] != 0x88 {
			t.Errorf("%s: got %x, %v", name, b[:n], err)
		}
		raw.Close()
	}
}

// timedOut reports whether nothing came before the deadline.
func timedOut(err error) bool {
	e := net.Error(nil)
	return errors.As(err, &e) && e.Timeout()
}

func TestProtocolPingsAreAnswered(t *testing.T) {
	r := newRig(t).start()
	c, _ := r.join("recvonly", "")
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.conn.Read(context.Background())
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	c.conn.CloseNow()
	<-done
}

// Row SIG-03.
func TestNoSubprotocolAndNoCompressionAreNegotiated(t *testing.T) {
	r := newRig(t).start()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+r.addr+"/signaling",
		&websocket.DialOptions{Subprotocols: []string{"sora"}, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if e := resp.Header.Get("Sec-WebSocket-Extensions"); e != "" || conn.Subprotocol() != "" {
		t.Errorf("extensions %q, subprotocol %q", e, conn.Subprotocol())
	}
}

// Row SIG-14.
func TestASlowReaderIsDisconnected(t *testing.T) {
	r := newRig(t)
	r.edge.SendQueueBytes = 512 << 10
	r.start()
	slow, _ := r.join("recvonly", "")
	// The others tell each other much, and the slow one reads nothing of it.
	metadata := `,"signaling_notify_metadata":"` + strings.Repeat("x", sora.MaxNotifyMetadata-2) + `"`
	watcher, _ := r.join("recvonly", "")
	gone := false
	for i := 0; !gone && i < 2000; i++ {
		c, _ := r.join("sendonly", metadata)
		c.write(`{"type":"disconnect"}`)
		c.expectClose(1000, "TYPE-DISCONNECT")
		for range 4 { // re-offer, created, re-offer, destroyed, in some order
			m, err := watcher.read()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == "re-offer" {
				watcher.answer("re-answer", m.SDP)
			}
			if m.EventType == "connection.destroyed" && m.ConnectionID == slow.id {
				gone = true
			}
			if m.EventType == "connection.destroyed" {
				break
			}
		}
	}
	if !gone {
		t.Error("the slow reader is still there")
	}
}

// Row SIG-01.
func TestSlowHandshakesAreCut(t *testing.T) {
	r := newRig(t)
	r.edge.HeaderTimeout = 100 * time.Millisecond
	r.start()
	for name, start := range map[string]string{
		"nothing":        "",
		"half a header":  "GET /signaling HTTP/1.1\r\nHost: x\r\n",
		"endless header": "GET /signaling HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20),
	} {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(start))
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.Copy(io.Discard, c)
		if timedOut(err) {
			t.Errorf("%s: the socket stays open", name)
		}
		c.Close()
	}
}

// Row SIG-08.
func TestHalfOpenSocketsDoNotKeepOthersOut(t *testing.T) {
	r := newRig(t)
	r.edge.MaxHalfOpen, r.edge.MaxHalfOpenPer = 100, 50
	r.start()
	var silent []net.Conn
	for i := range 200 {
		if i%2 == 0 {
			silent = append(silent, r.upgrade())
			continue
		}
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	c, _ := r.join("sendrecv", "")
	r.eventually("the oldest were closed", func() bool { n, evicted := r.handler.room.size(); return n <= 50 && evicted >= 150 })
	if c := r.handler.Counters(); c["signal_half_open"] > 50 || c["signal_half_open_evicted"] < 150 || c["signal_sessions"] != 1 || c["signal_channels"] != 1 {
		t.Errorf("counters %v", c)
	}
	// The oldest is closed, the established client is not.
	silent[0].SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, silent[0]); timedOut(err) {
		t.Error("the oldest socket is still open")
	}
	c.write(`{"type":"disconnect"}`)
	c.expectClose(1000, "TYPE-DISCONNECT")
	for _, s := range silent {
		s.Close()
	}
}

// First messages that never end: each is shorter than a message may be, and together they
// are more than there is memory for. Whoever ends its message is heard.
//
// Row SIG-01.
func TestFirstMessagesAreBoundedTogether(t *testing.T) {
	r := newRig(t).start()
	const most = 1 << 20
	r.handler.room.maxBytes = most
	half := append([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0, 0, 0, 0, 0, 0}, make([]byte, 300<<10)...)
	var endless []net.Conn
	for range 20 {
		c := r.upgrade()
		c.Write(half)
		endless = append(endless, c)
	}
	// At least what has come is set aside for each, so that no more than three are left.
	r.eventually("the others are closed", func() bool { n, evicted := r.handler.room.size(); return n <= 3 && evicted >= 17 })
	c, _ := r.join("recvonly", `,"metadata":"`+strings.Repeat("x", 60<<10)+`"`)
	c.write(`{"type":"disconnect"}`)
	c.expectClose(1000, "TYPE-DISCONNECT")
	for _, c := range endless {
		c.Close()
	}
	r.eventually("nothing is counted any more", func() bool {
		r.handler.room.mu.Lock()
		defer r.handler.room.mu.Unlock()
		return r.handler.room.bytes == 0 && r.handler.room.long.Len() == 0
	})
}

func TestWhatComesWithTheUpgradeIsNotLost(t *testing.T) {
	r := newRig(t).start()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := `{"type":"disconnect"}`
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // masked by zeros
	c.Write(append([]byte(upgradeRequest), frame...))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got []byte
	for !strings.HasSuffix(string(got), "\x03\xe8TYPE-DISCONNECT") {
		b := make([]byte, 512)
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		got = append(got, b[:n]...)
	}
}

const upgradeRequest = "GET /signaling HTTP/1.1\r\nHost: server.example:5000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// upgrade opens a WebSocket by hand and says nothing on it.
func (r *rig) upgrade() net.Conn {
	r.t.Helper()
	c, resp := r.ask()
	if resp.StatusCode != 101 {
		r.t.Fatalf("upgrade: %v", resp)
	}
	return c
}

// ask asks for a WebSocket by hand, with these header lines beside the usual ones.
func (r *rig) ask(lines ...string) (net.Conn, *http.Response) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	request := strings.TrimSuffix(upgradeRequest, "\r\n")
	for _, l := range lines {
		request += l + "\r\n"
	}
	c.Write([]byte(request + "\r\n"))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil {
		r.t.Fatalf("upgrade: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	return c, resp
}
