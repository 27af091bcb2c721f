package turnsrv

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v5"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// loopback runs a server on a UDP port and sends back what comes through its relays, as the
// edge does: in ChannelData once a channel is bound, in a Data indication until then.
type loopback struct {
	conn    *net.UDPConn
	s       *Server
	book    *Book
	mu      sync.Mutex
	form    map[string]int // how data came, and went back
	stopped sync.WaitGroup
}

func startLoopback(t *testing.T) *loopback {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l := &loopback{conn: conn, book: new(Book), form: make(map[string]int)}
	l.s = NewServer(Config{Realm: testRealm, Secret: [32]byte{1}, Software: "tsubame"}, func(username []byte) (Account, bool) {
		return Account{Connection: 1, Serial: 1, Key: LongTermKey("user", testRealm, testPassword), Book: l.book}, string(username) == "user"
	})
	l.s.SetAddresses([]Address{ours4})
	l.stopped.Go(l.run)
	t.Cleanup(func() {
		conn.Close()
		l.stopped.Wait()
	})
	return l
}

func (l *loopback) run() {
	begin := time.Now()
	in, out := make([]byte, 2048), make([]byte, 2048)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(in)
		if err != nil {
			return
		}
		now := mono.Time(time.Second).Add(time.Since(begin))
		k := flow.KeyOf(netip.MustParseAddr("127.0.0.1"), from)
		l.s.Expire(now)
		if b := in[:n]; b[0]>>4 == 4 {
			if path, payload, ok := l.s.ChannelData(k, b); ok {
				l.note("channel in")
				n = l.back(path, payload, out)
			} else {
				n = 0
			}
		} else if n = 0; Is(b) {
			r := l.s.Handle(now, k, b, out)
			n = r.Size
			if r.Outcome == Data {
				l.note("indication in")
				n = l.back(r.Path, r.Payload, out)
			}
		}
		if n > 0 {
			l.conn.WriteToUDPAddrPort(out[:n], from)
		}
	}
}

// back wraps payload for the client behind path.
func (l *loopback) back(path flow.Key, payload, out []byte) int {
	if channel := l.book.Channel(path.Via); channel != 0 {
		l.note("channel out")
		PutChannelHeader(out, channel, len(payload))
		return ChannelHeader + copy(out[ChannelHeader:], payload)
	}
	l.note("indication out")
	peer, _ := l.s.Peer(path.Via)
	copy(out[IndicationHeader(peer):], payload)
	return PutIndication(out, peer, len(payload), uint64(len(payload)))
}

func (l *loopback) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.form[what]++
}

func (l *loopback) seen(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.form[what] > 0
}

// pion/turn asks, is challenged, allocates, and talks to our candidate: by indications until the
// channel is bound that it asks for beside the first of them.
func TestPionClientTalksThroughARelay(t *testing.T) {
	l := startLoopback(t)
	local, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: l.conn.LocalAddr().String(), STUNServerAddr: l.conn.LocalAddr().String(),
		Conn: local, Username: "user", Password: testPassword, Realm: testRealm, Software: "a client"})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	if mapped, err := client.SendBindingRequest(); err != nil || mapped.String() != local.LocalAddr().String() {
		t.Errorf("Binding: %v, %v", mapped, err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if got := relay.LocalAddr().String(); got != "203.0.113.5:49168" {
		t.Errorf("relayed address %s", got)
	}
	relay.SetReadDeadline(time.Now().Add(10 * time.Second))
	candidate := net.UDPAddrFromAddrPort(netip.AddrPortFrom(ours4.Addr.Netip(), ours4.Port))
	buf := make([]byte, 2048)
	for !l.seen("channel in") {
		if _, err := relay.WriteTo([]byte("payload"), candidate); err != nil {
			t.Fatal(err)
		}
		n, from, err := relay.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "payload" || from.String() != candidate.String() {
			t.Fatalf("%q from %v, %v", buf[:n], from, err)
		}
	}
	if !l.seen("channel out") {
		t.Error("nothing came back over the channel")
	}
	if err := client.CreatePermission(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22}); err == nil {
		t.Error("permission for loopback")
	}
	relay.Close()
}
