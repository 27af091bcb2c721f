package turn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/bench/attack"
	"tsubame/bench/bot"
)

// The deadlines of TCP connections that have not shown what they are, or nothing else, and what
// a busy machine adds to them.
const (
	sniffTime, frameTime, helloTime = 5 * time.Second, 5 * time.Second, 10 * time.Second

	slack = 10 * time.Second
)

// connectTCP opens a bare connection.
func (w *world) connectTCP(port int) net.Conn {
	w.t.Helper()
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(server4, uint16(port)).String(), patience)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// gone reads until the server has closed, and returns how much it said before.
func gone(c net.Conn, within time.Duration) (int64, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, c)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return n, err
	}
	return n, nil // closed or reset
}

// requireGone wants the server to close within some time.
func requireGone(t *testing.T, what string, c net.Conn, within time.Duration) {
	t.Helper()
	if _, err := gone(c, within); err != nil {
		t.Errorf("%s: not closed within %v", what, within)
	}
}

// drip writes a byte at a time, one each 400 ms, until the server closes or all is written.
func drip(c net.Conn, b []byte) {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for _, one := range b {
		if _, err := c.Write([]byte{one}); err != nil {
			return
		}
		<-tick.C
	}
}

// helloBytes is a ClientHello as crypto/tls sends it.
func helloBytes(t *testing.T) []byte {
	t.Helper()
	near, end := net.Pipe()
	defer end.Close()
	var running sync.WaitGroup
	running.Go(func() {
		_ = tls.Client(near, &tls.Config{ServerName: serverName}).Handshake()
		near.Close()
	})
	b := make([]byte, 1<<14)
	n, err := end.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	end.Close()
	running.Wait()
	return b[:n]
}

// Connections that say what they have to say a byte at a time, or nothing, or half of it, are
// closed in their time wherever they stop. Who is in a call over TCP meanwhile stays in it.
//
// Row TURN-09.
// Row ICE-13.
func TestSlowClientsAreClosedInTime(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a, b := w.join(w.peer(bot.SendRecv)), w.through(overTCP, w.peer(bot.SendRecv))
	requireConnected(t, b)
	request := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(protocolUDP), stun.NewSoftware(string(make([]byte, 100)))).Raw
	check := attack.Check(attack.Credentials{Ufrag: "nobody", Password: "nothing"}, false)
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(check))), check...)
	hello := helloBytes(t)
	type slow struct {
		what   string
		port   int
		at     []byte // written at once
		then   []byte // and then byte by byte
		within time.Duration
	}
	var running sync.WaitGroup
	for _, s := range []slow{
		{"nothing", w.TCPPort(), nil, nil, sniffTime},
		{"nothing, for TLS", w.TLSPort(), nil, nil, sniffTime},
		{"a byte", w.TCPPort(), request[:1], nil, sniffTime},
		{"TURN, byte by byte", w.TCPPort(), nil, request, sniffTime + frameTime},
		{"TURN, byte by byte, on the TLS port", w.TLSPort(), nil, request, sniffTime + frameTime},
		{"half a TURN request", w.TCPPort(), request[:len(request)/2], nil, frameTime},
		{"a TURN request but for a byte", w.TCPPort(), request[:len(request)-1], nil, frameTime},
		{"ICE, byte by byte", w.TCPPort(), nil, framed, sniffTime + frameTime},
		{"half a check", w.TCPPort(), framed[:len(framed)/2], nil, frameTime},
		{"TLS, byte by byte", w.TLSPort(), nil, hello, sniffTime + helloTime},
		{"half a ClientHello", w.TLSPort(), hello[:len(hello)/2], nil, helloTime},
		{"a ClientHello and no more", w.TLSPort(), hello, nil, helloTime},
	} {
		c := w.connectTCP(s.port)
		began := time.Now()
		if _, err := c.Write(s.at); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { drip(c, s.then) })
		running.Go(func() {
			if _, err := gone(c, s.within+slack); err != nil {
				t.Errorf("%s: not closed after %v", s.what, time.Since(began))
			}
			c.Close()
		})
	}
	running.Wait()
	// Inside TLS too: the handshake is no licence.
	secure := w.open(w.accountOf(b), overTLS, netip.AddrPort{})
	requireGone(t, "nothing inside TLS", secure, sniffTime+slack)
	requireFrames(t, 25, between(a, b)...)
	requireIntact(t, between(a, b)...)
	for _, name := range []string{"entry_sniff_timeout", "entry_tls_failed", "stream_ended_no_first_frame"} {
		if w.grown(name) < 2 {
			t.Errorf("%s has not grown: nothing was shown", name)
		}
	}
}

// After a good beginning, a frame whose length lies, or that is none, ends the stream at once,
// and with it its allocation.
//
// Row TURN-09.
// Row ICE-13.
func TestFramesThatLieEndTheirStream(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	as := w.connect()
	stunHeader := func(length uint16) []byte {
		b := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
		return binary.BigEndian.AppendUint16(bytes.Clone(b[:2]), length)
	}
	lies := map[string][]byte{
		"STUN of 65,532 bytes":              append(stunHeader(0xfffc), 0x21, 0x12, 0xa4, 0x42),
		"STUN with a length out of step":    append(stunHeader(3), 0x21, 0x12, 0xa4, 0x42),
		"ChannelData of 65,535 bytes":       {0x40, 0, 0xff, 0xff, 0, 0, 0, 0},
		"ChannelData of a reserved channel": {0x50, 0, 0, 4, 0, 0, 0, 0},
		"a byte of no protocol":             bytes.Repeat([]byte{0xff}, 64),
		"a TLS record":                      {22, 3, 1, 0, 4, 1, 0, 0, 0, 0, 0, 0},
	}
	bad := uint64(0)
	for _, v := range []way{overTCP, overTLS} {
		for what, lie := range lies {
			c := w.allocated(as, v)
			c.send(lie)
			requireGone(t, what, c.conn, slack)
			bad++
			eventually(t, "the allocation has gone", func() (bool, any) {
				n := w.grown("turn_allocations")
				return n == 0, n
			})
		}
	}
	check := attack.Check(attack.Credentials{Ufrag: as.ufrag, Password: as.password}, false)
	for what, length := range map[string]uint16{"a frame of 65,535 bytes": 0xffff, "a frame of 2,049 bytes": 2049} {
		c := w.openICE(as, iceOverTCP)
		if err := (&framed{Conn: c}).send(check); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, length), check...)); err != nil {
			t.Fatal(err)
		}
		requireGone(t, what, c, slack)
		bad++
	}
	eventually(t, "all ended for that", func() (bool, any) {
		n := w.grown("stream_ended_bad_frame")
		return n == bad, n
	})
}

// A thousand connections of one address that say nothing: the oldest make room, the others go in
// their time, and somebody with something to say is served from the same address all the while.
//
// Row ICE-13.
func TestAThousandIdleConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	const n, halfOpen = 1000, 512
	w := start(t, nil)
	as := w.connect()
	var idle []net.Conn
	for range n {
		idle = append(idle, w.connectTCP(w.TCPPort()))
	}
	w.waitGrown("entry_evicted", n-halfOpen)
	if now := w.Counters(); now["entry_half_open"] > halfOpen {
		t.Errorf("%d are half open", now["entry_half_open"])
	}
	c := w.allocated(as, overTCP)
	for _, conn := range idle {
		requireGone(t, "an idle connection", conn, sniffTime+slack)
		conn.Close()
	}
	c.requireOK(c.refresh(600))
	if left := w.grown("entry_open"); left != 1 {
		t.Errorf("%d connections are open", left)
	}
}

// What speaks none of our protocols, or another one than its place is for, is closed without a
// word of ours.
//
// Row TURN-14.
func TestOtherProtocolsAreClosedWithoutAWord(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	hello := helloBytes(t)
	type try struct {
		what string
		port int
		said []byte
	}
	tries := []try{
		{"TLS on the plain port", w.TCPPort(), hello},
		{"HTTP on the plain port", w.TCPPort(), []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
	}
	for _, port := range []int{w.TCPPort(), w.TLSPort()} {
		for what, said := range map[string]string{
			"SSH": "SSH-2.0-OpenSSH_9.2\r\n", "ChannelData": "\x40\x00\x00\x08hellohel", "zeros": string(make([]byte, 32)),
			"RTP in frames": "\x00\x10\x80\x60\x00\x01" + string(make([]byte, 12)), "CONNECT": "CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n",
			"a response": "\x01\x03\x00\x08\x21\x12\xa4\x42" + string(make([]byte, 20)), "STUN of old": "\x00\x03\x00\x08" + string(make([]byte, 24)),
			"SOCKS": "\x05\x01\x00" + string(make([]byte, 13)), "PROXY": "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
		} {
			tries = append(tries, try{what, port, []byte(said)})
		}
	}
	for _, s := range tries {
		c := w.connectTCP(s.port)
		if _, err := c.Write(s.said); err != nil {
			t.Fatal(err)
		}
		if n, err := gone(c, sniffTime+slack); err != nil || n != 0 {
			t.Errorf("%s at %d: %d bytes, %v", s.what, s.port, n, err)
		}
	}
	w.requireGrown("stream_opened", 0)
	if got := w.grown("entry_unknown_protocol"); got != uint64(len(tries)) {
		t.Errorf("%d were of no protocol, of %d", got, len(tries))
	}
}
