package calls

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// pace measures how long n frames of a flow take.
func pace(t *testing.T, n uint64, f flow) time.Duration {
	t.Helper()
	begin := time.Now()
	requireFrames(t, n, f)
	return time.Since(begin)
}

// Viewers that are stuck, each in its way: one reads nothing but checks and so reports nothing,
// one asks for everything again that it gets, one has fallen silent altogether. Who watches the
// same publisher sees no difference.
func TestStuckViewersDisturbNobody(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		publisher, viewer := w.join(w.peer(bot.SendOnly)), w.join(w.peer(bot.RecvOnly))
		f := flow{publisher, viewer}
		requireFrames(t, 5, f)
		alone := pace(t, 30, f)
		var frozen []*bot.Bot
		for range 3 {
			deaf := w.peer(bot.RecvOnly)
			deaf.Incoming = func(b []byte) bool { return len(b) > 0 && b[0] < 64 }
			w.join(deaf)
			greedy := w.peer(bot.RecvOnly)
			greedy.Incoming, _ = lossy(0.9)
			w.join(greedy)
			frozen = append(frozen, w.join(w.peer(bot.RecvOnly)))
		}
		for _, b := range frozen {
			b.Freeze()
		}
		// In the worst case the machine has become busier meanwhile, with these very bots.
		if beside := pace(t, 30, f); beside > 3*alone+time.Second {
			t.Errorf("30 frames take %v beside stuck viewers, %v without", beside, alone)
		}
		requireIntact(t, f)
		// A viewer that asks for a key frame all the time gets few; all of them together, one
		// each half second.
		if s := track(publisher, param.Video); s.PLI > 200 {
			t.Errorf("the publisher was asked for %d key frames", s.PLI)
		}
	})
}

// clogged is a connection whose reader can be stopped.
type clogged struct {
	net.Conn
	gate sync.RWMutex // locked: nothing is read
}

func (c *clogged) Read(b []byte) (int, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return c.Conn.Read(b)
}

// small makes the kernels on both sides keep little of what is not read.
func small(_, _ string, raw syscall.RawConn) (err error) {
	if e := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		if err == nil {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		}
	}); e != nil {
		return e
	}
	return err
}

// A client that does not read its signaling is closed with a documented reason when too much
// waits for it; its media was fine until then, and the others never wait.
func TestWebSocketThatIsNotReadIsClosed(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"signaling_send_queue": "65536"})
	publisher := w.join(w.peer(bot.SendOnly))
	stuck := &clogged{}
	cfg := w.peer(bot.RecvOnly)
	cfg.HTTP = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{Control: small}).DialContext(ctx, network, address)
			stuck.Conn = conn
			return stuck, err
		},
	}}
	b := w.join(cfg)
	requireNotify(t, b, "connection.created", b)
	requireFrames(t, 10, flow{publisher, b})
	stuck.gate.Lock()
	release := sync.OnceFunc(stuck.gate.Unlock)
	t.Cleanup(release)

	// Everybody is told of everybody, with what each shows of itself.
	viewer := w.join(w.peer(bot.RecvOnly))
	loud := w.peer(bot.RecvOnly)
	loud.Connect = map[string]any{"signaling_notify_metadata": strings.Repeat("x", 60<<10)}
	told := func() bool {
		for _, n := range viewer.Notifies() {
			if n.EventType == "connection.destroyed" && n.ConnectionID == b.ID() {
				return true
			}
		}
		return false
	}
	for comers := 0; !told(); comers++ {
		if comers == 100 {
			t.Fatal("6 MB wait for a client that does not read")
		}
		c := w.join(loud)
		requireNotify(t, viewer, "connection.created", c)
		leave(t, c)
	}
	w.requireEnded(b, "SLOW-READER")
	requireFrames(t, 10, flow{publisher, viewer})
	requireIntact(t, flow{publisher, viewer})
	release()
}
