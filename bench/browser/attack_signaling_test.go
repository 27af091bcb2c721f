//go:build browser

package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tsubame/bench/attack"
	"tsubame/bench/bot"
)

// signalingRate is how many sockets with a bomb are opened in a second: a message of a mebibyte
// costs sender and server a few milliseconds each.
const signalingRate = 20

// signaling is the address of the server's TCP port.
func (s *siege) signaling(t *testing.T) netip.AddrPort {
	t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(s.server.URL(), "http://"), "/")
	address, err := netip.ParseAddrPort(host)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// refusal opens a socket, sends a frame and returns how the server closed.
func (s *siege) refusal(kind websocket.MessageType, frame []byte) (websocket.CloseError, error) {
	var end websocket.CloseError
	ctx, cancel := context.WithTimeout(context.Background(), arriveTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.server.SignalingURL(), nil)
	if err != nil {
		return end, err
	}
	defer conn.CloseNow()
	// The server may close before all of it is written; what it says then is what counts.
	_ = conn.Write(ctx, kind, frame)
	_, answer, err := conn.Read(ctx)
	if errors.As(err, &end) {
		return end, nil
	}
	return end, fmt.Errorf("no close frame: %w, %.100s", err, answer)
}

// jsonBombs are refused for what is wrong with them, and counted by that.
func jsonBombs(t *testing.T, s *siege) {
	bombs := append(attack.JSONBombs(), attack.Nonsense()...)
	before := s.server.Counters()
	refused := make(map[string]uint64)
	pace(t, signalingRate, func(i int) bool {
		b := bombs[i%len(bombs)]
		end, err := s.refusal(websocket.MessageText, []byte(b.Text))
		if err != nil || end.Code != 4490 || end.Reason != b.Reason {
			t.Errorf("%s: closed with %v, %v, want 4490 %s", b.Name, end, err, b.Reason)
			return false
		}
		refused["signal_closed_4490_"+b.Reason]++
		return true
	})
	s.requireCounted(t, before, refused)
}

// badFrames are too long, binary, against RFC 6455, or no HTTP in the first place.
func badFrames(t *testing.T, s *siege) {
	before := s.server.Counters()
	var binary uint64
	raw := []string{
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10),                                  // a header without end
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",                                         // TLS
		"SSH-2.0-OpenSSH_9.6\r\n\r\n",                                                          // another protocol
		strings.Repeat("\x00", 4096) + "\r\n\r\n",                                              //
		s.upgradeRequest(t) + "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",       // 2^63 bytes to come
		s.upgradeRequest(t) + "\x81\x02{}",                                                     // not masked
		s.upgradeRequest(t) + "\xc1\x82\x00\x00\x00\x00{}",                                     // a reserved bit
		s.upgradeRequest(t) + "\x83\x82\x00\x00\x00\x00{}",                                     // a reserved opcode
		s.upgradeRequest(t) + "\x80\x82\x00\x00\x00\x00{}",                                     // a continuation of nothing
		s.upgradeRequest(t) + "\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("\x00", 126), // a long ping
	}
	// Some of them stay open until a deadline of the server's: nobody waits in line for that.
	var open sync.WaitGroup
	defer open.Wait()
	pace(t, signalingRate, func(i int) bool {
		switch i % 3 {
		case 0:
			end, err := s.refusal(websocket.MessageText, make([]byte, attack.MaxFrame+1+i))
			if err != nil || end.Code != websocket.StatusMessageTooBig {
				t.Errorf("a frame that is too long: %v, %v", end, err)
				return false
			}
		case 1:
			end, err := s.refusal(websocket.MessageBinary, []byte(`{"type":"disconnect"}`))
			if err != nil || end.Code != 4490 || end.Reason != "BINARY-FRAME" {
				t.Errorf("a binary frame: %v, %v", end, err)
				return false
			}
			binary++
		case 2:
			text := raw[i/3%len(raw)]
			open.Go(func() {
				if err := s.closed(t, text); err != nil {
					t.Errorf("%.40q: %v", text, err)
				}
			})
		}
		return true
	})
	s.requireCounted(t, before, map[string]uint64{"signal_closed_4490_BINARY-FRAME": binary})
}

func (s *siege) upgradeRequest(t *testing.T) string {
	return fmt.Sprintf("GET /signaling HTTP/1.1\r\nHost: %v\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.signaling(t))
}

// closed sends bytes to the TCP port and returns an error unless the server closes.
func (s *siege) closed(t *testing.T, text string) error {
	conn, err := net.Dial("tcp4", s.signaling(t).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(arriveTimeout)); err != nil {
		return err
	}
	// The server may close before all of it is written.
	_, _ = io.WriteString(conn, text)
	_, err = io.Copy(io.Discard, conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return nil
}

// halfOpenSockets opens ten thousand WebSockets from many addresses that never say connect.
// The server keeps as many as it may, closes the oldest to make room, lets honest clients in
// meanwhile, and closes all of them in the end.
func halfOpenSockets(t *testing.T, s *siege) {
	const sockets, room = 10_000, 8192 // signaling_max_half_open
	before := s.server.Counters()
	crowd, err := attack.Gather(t.Context(), attack.CrowdConfig{
		To: s.signaling(t), Path: "/signaling", Count: sockets, Rate: 1500, Sources: attack.Sources(500),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	now, most := crowd.Open()
	t.Logf("%d sockets are open, %d were; the server takes %+v", now, most, s.footprint())
	start := time.Now()
	s.bot(t, bot.Config{Role: bot.SendRecv, Audio: true})
	t.Logf("%.1f s to join beside them", time.Since(start).Seconds())
	eventually(t, arriveTimeout, "the server has closed all of them", func() (bool, any) {
		now, _ := crowd.Open()
		return now == 0, now
	})
	ends := crowd.Ends()
	t.Log(ends)
	evicted, late := ends[attack.EndNoFrame]+ends[attack.EndNoUpgrade], ends["4490 CONNECT-WAIT-TIMEOUT-ERROR"]
	if evicted+late != sockets || evicted < sockets-room || late < room/2 {
		t.Errorf("%d had to make room and %d were refused as too late", evicted, late)
	}
	s.requireCounted(t, before, map[string]uint64{
		"signal_half_open_evicted": uint64(evicted), "signal_closed_4490_CONNECT-WAIT-TIMEOUT-ERROR": uint64(late),
	})
}
