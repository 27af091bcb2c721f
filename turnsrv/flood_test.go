package turnsrv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// Row TURN-04.
func TestUnauthenticatedAllocatesLeaveNothing(t *testing.T) {
	if raceEnabled {
		return // the budget is checked in builds without the race detector
	}
	w := newWorld(t)
	request := w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw
	k := w.connect(1).k
	spoofed := uint32(0)
	flood := func() {
		for range 100_000 {
			spoofed++
			binary.BigEndian.PutUint32(k.Remote[12:], spoofed*2654435761)
			k.Port = uint16(spoofed)
			r := w.s.Handle(w.now, k, request, w.out[:])
			if r.Outcome != Reply || r.Size > 3*len(request) {
				t.Fatalf("%+v", r)
			}
		}
	}
	if n := testing.AllocsPerRun(1, flood); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.allocations() != 0 || len(w.s.table.timers) != 0 || w.s.Deadline() != mono.Never {
		t.Error("state is left")
	}
	if w.count(Challenged) != 200_000 {
		t.Error(w.count(Challenged))
	}
}

// Forgers of every kind, each from one address.
//
// Row TURN-04.
func TestOneSourceIsToldOnlySoMuch(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.prove()
	stale := *c
	stale.nonce = "0123456789abcdef"
	wrong := *c
	wrong.password = "guess"
	for name, request := range map[string][]byte{
		"no credentials":    w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw,
		"stale nonce":       stale.signed(stun.MethodAllocate, overUDP),
		"wrong password":    wrong.signed(stun.MethodRefresh),
		"half credentials":  w.build(stun.MethodAllocate, stun.ClassRequest, stun.NewUsername("user1"), stun.NewShortTermIntegrity("x")).Raw,
		"Binding":           w.build(stun.MethodBinding, stun.ClassRequest).Raw,
		"Binding with more": w.build(stun.MethodBinding, stun.ClassRequest, raw(0x7001), raw(0x7002)).Raw,
	} {
		for _, source := range []string{"192.0.2.7", "2001:db8:1:1::7"} {
			t.Run(name+" "+source, func(t *testing.T) {
				other := newWorld(t)
				other.accounts = w.accounts
				k := c.k
				if name == "wrong password" {
					source = k.Remote.Netip().String() // the nonce is this address's
				}
				k.Remote = flow.AddrOf(netip.MustParseAddr(source))
				bytesIn, bytesOut, answers := 0, 0, 0
				for range 2000 { // in one second
					r := other.s.Handle(other.now, k, request, other.out[:])
					bytesIn += len(request)
					if r.Outcome == Reply {
						bytesOut += r.Size
						answers++
					}
					other.now = other.now.Add(500 * time.Microsecond)
				}
				if answers < 256+63 || answers > 256+65 {
					t.Errorf("%d answers in a second", answers)
				}
				if bytesOut > bytesIn {
					t.Errorf("%d bytes for %d", bytesOut, bytesIn)
				}
				if other.count(Limited) != 2000-uint64(answers) {
					t.Error("not counted")
				}
			})
		}
	}
}

func TestAllowanceComesBack(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	request := w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw
	answers := func() (n int) {
		for c.handle(request).Outcome == Reply {
			n++
		}
		return n
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 256}, {0, 0}, {time.Second / 64, 1}, {time.Second, 64}, {time.Hour, 256}} {
		w.now = w.now.Add(step.after)
		if got := answers(); got != step.want {
			t.Errorf("%v later: %d answers, want %d", step.after, got, step.want)
		}
	}
}

func TestBindingsDoNotUseUpTheAllowanceOfChallenges(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	for c.handle(w.build(stun.MethodBinding, stun.ClassRequest).Raw).Outcome == Reply {
	}
	c.allocate()
}

func TestWhatSharesAnAllowance(t *testing.T) {
	key := func(remote string, via flow.Via) flow.Key {
		k := flow.KeyOf(netip.MustParseAddr("203.0.113.5"), netip.MustParseAddrPort(remote))
		k.Via = via
		return k
	}
	stream := flow.OverStream(flow.TURNStream, 1)
	for name, test := range map[string]struct {
		a, b   flow.Key
		shared bool
	}{
		"ports of an IPv4 address":       {key("192.0.2.1:1", 0), key("192.0.2.1:2", 0), true},
		"IPv4 addresses":                 {key("192.0.2.1:1", 0), key("192.0.2.2:1", 0), false},
		"addresses of a /64":             {key("[2001:db8::1]:1", 0), key("[2001:db8::ffff:2]:2", 0), true},
		"/64s":                           {key("[2001:db8:0:1::1]:1", 0), key("[2001:db8:0:2::1]:1", 0), false},
		"streams of one address":         {key("192.0.2.1:1", stream), key("192.0.2.1:2", stream), false},
		"a stream and UDP":               {key("192.0.2.1:1", stream), key("192.0.2.1:1", 0), false},
		"addresses of a /64 by a stream": {key("[2001:db8::1]:1", stream), key("[2001:db8::2]:1", stream), false},
	} {
		var s sources
		s.init([32]byte{1}, 1, 1)
		if !s.allow(start, test.a, methodAllocate) || s.allow(start, test.a, methodAllocate) {
			t.Fatal(name)
		}
		if got := !s.allow(start, test.b, methodRefresh); got != test.shared {
			t.Errorf("%s: shared %v", name, got)
		}
	}
}

// A flood from more sources than the table holds neither shuts out a newcomer nor gives a source
// that has used up its allowance a new one soon.
func TestTableOfSourcesUnderFlood(t *testing.T) {
	var s sources
	s.init([32]byte{1}, 1, 10)
	at := func(n uint32) flow.Key {
		return flow.KeyOf(netip.Addr{}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), 1))
	}
	victim := at(0xC0000201)
	for s.allow(start, victim, methodAllocate) {
	}
	answers := 0
	for n := range uint32(200_000) {
		if !s.allow(start, at(n+1), methodAllocate) {
			t.Fatalf("newcomer %d is refused", n)
		}
		if s.allow(start, victim, methodAllocate) {
			answers++
		}
	}
	if answers != 0 {
		t.Errorf("the victim was sent %d more", answers)
	}
}

// Every answer to who has proven nothing, and never a reason phrase.
//
// Row ICE-06.
func TestNoAnswerToAStrangerIsThreeTimesTheRequest(t *testing.T) {
	for _, realm := range []string{"r", testRealm, "a realm of thirty-two characters"} {
		w := newWorld(t, func(c *Config) { c.Realm, c.Software, c.Burst = realm, "a server with a name", 1_000_000 })
		c := w.connect(1)
		c.k.Remote = flow.AddrOf(netip.MustParseAddr("2001:db8::1"))
		var requests [][]byte
		for _, method := range []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
			for _, setters := range [][]stun.Setter{{}, {stun.Fingerprint}, {overUDP}, {overUDP, stun.Fingerprint},
				{raw(0x7001), raw(0x7002), raw(0x7003)}, {raw(stun.AttrMessageIntegrity, make([]byte, 20)...)}} {
				requests = append(requests, w.build(method, stun.ClassRequest, setters...).Raw)
			}
		}
		answers := 0
		for _, b := range requests {
			r := c.handle(b)
			if r.Size > amplification*len(b) {
				t.Errorf("%d bytes for %d", r.Size, len(b))
			}
			if r.Outcome == Reply {
				answers++
			} else if bytes.Contains(b, []byte{0x80, 0x28, 0, 4}) && len(b) < 36 || len(b) < 28 { // no honest Allocate is so short
				if r.Reason != Amplifying {
					t.Errorf("%+v", r)
				}
			} else {
				t.Errorf("realm %q, %x: %+v", realm, b, r)
			}
		}
		if answers < len(requests)*2/3 {
			t.Errorf("only %d answers", answers)
		}
	}
}

func TestStreamIsAnsweredWhateverTheSize(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Realm = "a realm of thirty-two characters" })
	c := w.connect(1)
	bare := w.build(stun.MethodAllocate, stun.ClassRequest).Raw
	if r := c.handle(bare); r.Outcome != Dropped || r.Reason != Amplifying {
		t.Errorf("%+v", r)
	}
	c.k.Via = flow.OverStream(flow.TURNStream, 3)
	if r := c.handle(bare); r.Outcome != Reply || r.Reason != Challenged {
		t.Errorf("%+v", r)
	}
}

func TestLargestAnswersFit(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Realm, c.Software = "a realm of thirty-two characters", "software of thirty-two character"
	})
	other := Address{flow.AddrOf(netip.MustParseAddr("2001:db8:5::6")), 3478}
	w.s.SetAddresses([]Address{ours4, ours6, other})
	c := w.connect(1)
	c.realm = w.s.cfg.Realm
	a := w.accounts["user1"]
	a.Key = LongTermKey("user1", c.realm, testPassword)
	w.accounts["user1"] = a
	c.k.Remote = flow.AddrOf(netip.MustParseAddr("2001:db8::1"))
	if n := len(c.allocate(both).Raw); n > MaxResponse {
		t.Error(n)
	}
	if n := len(c.refused(420, stun.MethodAllocate, raw(0x7001), raw(0x7002), raw(0x7003), raw(0x7004), raw(0x7005)).Raw); n > MaxResponse {
		t.Error(n)
	}
}

// What happens for each datagram, and for a client that keeps its allocation, allocates nothing.
func TestWhatHappensOftenAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the budget is checked in builds without the race detector
	}
	c := bound(t)
	w := c.w
	data := channelData(0x4000, "media")
	indication := w.build(stun.MethodSend, stun.ClassIndication, peerAt(ours4), raw(stun.AttrData, 1, 2, 3)).Raw
	indicationHeader := bytes.Repeat([]byte{0}, 100)
	handle := func(b []byte) func() {
		return func() { w.s.Handle(w.now, c.k, b, w.out[:]) }
	}
	stale := *c
	stale.nonce = "0123456789abcdef"
	path, _, _ := w.s.ChannelData(c.k, data)
	for name, work := range map[string]func(){
		"ChannelData":       func() { w.s.ChannelData(c.k, data) },
		"unbound channel":   func() { w.s.ChannelData(c.k, channelHeaderOnly[:]) },
		"Send":              handle(indication),
		"Refresh":           handle(c.signed(stun.MethodRefresh)),
		"CreatePermission":  handle(c.signed(stun.MethodCreatePermission, peerAt(ours4), peerAt(ours6))),
		"ChannelBind":       handle(c.signed(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))),
		"437":               handle(c.signed(stun.MethodAllocate, overUDP)),
		"403":               handle(c.signed(stun.MethodCreatePermission, peerAt(Address{c.k.Remote, 1}))),
		"438":               handle(stale.signed(stun.MethodRefresh)),
		"nonce that is not": handle(w.build(stun.MethodRefresh, stun.ClassRequest, stun.NewUsername("user1"), stun.NewRealm(testRealm), stun.NewNonce("????????????????"), stun.NewShortTermIntegrity("x")).Raw),
		"malformed":         handle(data),
		"Binding":           handle(w.build(stun.MethodBinding, stun.ClassRequest).Raw),
		"PutChannelHeader":  func() { PutChannelHeader(data, 0x4000, 5) },
		"PutIndication":     func() { PutIndication(indicationHeader, ours6, 20, 1) },
		"Is":                func() { Is(indication) },
		"Relayed, Owner":    func() { w.s.Relayed(path); w.s.Owner(path); c.book().Channel(path.Via) },
		"Expire":            func() { w.s.Expire(w.now); w.s.Deadline() },
	} {
		if n := testing.AllocsPerRun(200, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

var channelHeaderOnly = [8]byte{0x4F, 0xFF, 0, 4, 1, 2, 3, 4}

func BenchmarkChannelDataIn(b *testing.B) {
	for _, allocations := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprint(allocations), func(b *testing.B) {
			w := newWorld(b, func(c *Config) { c.Allocations = allocations })
			keys := make([]flow.Key, allocations)
			for i := range keys {
				c := w.connect(uint32(i))
				c.allocate()
				c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
				keys[i] = c.k
			}
			data := channelData(0x4000, string(make([]byte, 1100)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, _, ok := w.s.ChannelData(keys[i], data); !ok {
					b.Fatal("dropped")
				}
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkPutChannelHeader(b *testing.B) {
	c := bound(b)
	book, via := c.book(), flow.Via(0).Relayed(0, 0)
	var buf [1200]byte
	b.ReportAllocs()
	for b.Loop() {
		PutChannelHeader(buf[:], book.Channel(via), 1100)
	}
}

func BenchmarkPutIndication(b *testing.B) {
	var buf [1200]byte
	b.ReportAllocs()
	for b.Loop() {
		PutIndication(buf[:], ours4, 1100, 1)
	}
}

func BenchmarkSendIndicationIn(b *testing.B) {
	c := bound(b)
	m := c.w.build(stun.MethodSend, stun.ClassIndication, peerAt(ours4), raw(stun.AttrData, make([]byte, 1100)...)).Raw
	b.ReportAllocs()
	for b.Loop() {
		if r := c.handle(m); r.Outcome != Data {
			b.Fatal(r.Reason)
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	w := newWorld(b)
	c := w.connect(1)
	request := w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw
	b.ReportAllocs()
	n := uint32(0)
	for b.Loop() {
		n++
		binary.BigEndian.PutUint32(c.k.Remote[12:], n)
		if r := c.handle(request); r.Outcome != Reply {
			b.Fatal(r.Reason)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	c := bound(b)
	request := c.signed(stun.MethodRefresh)
	b.ReportAllocs()
	for b.Loop() {
		if r := c.handle(request); r.Outcome != Reply {
			b.Fatal(r.Reason)
		}
	}
}
