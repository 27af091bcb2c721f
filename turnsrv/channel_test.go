package turnsrv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// bound is a client with a channel to ours4.
func bound(t testing.TB) *client {
	c := newWorld(t).connect(1)
	c.allocate(both)
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	return c
}

func TestChannelDataIsHandedOutWithItsPath(t *testing.T) {
	c := bound(t)
	c.must(stun.MethodChannelBind, peerAt(ours6), channelNumber(0x4FFF))
	for channel, place := range map[uint16]int{0x4000: 0, 0x4FFF: 1} {
		b := channelData(channel, "media")
		path, payload, ok := c.w.s.ChannelData(c.k, b)
		want := c.k
		want.Via = want.Via.Relayed(0, place)
		if !ok || path != want || string(payload) != "media" || &payload[0] != &b[ChannelHeader] {
			t.Errorf("channel %#x: %+v %q %v", channel, path, payload, ok)
		}
		if got := c.book().Channel(path.Via); got != channel {
			t.Errorf("the book has %#x", got)
		}
	}
	if c.w.s.Counters.ChannelData.Load() != 2 {
		t.Error("not counted")
	}
}

// RFC 8656 section 12.4.
func TestChannelDataBytes(t *testing.T) {
	c := bound(t)
	for name, test := range map[string]struct {
		bytes, payload string
		reason         Reason
	}{
		"unpadded":            {"4000 0005 68656c6c6f", "hello", 0},
		"padded":              {"4000 0005 68656c6c6f 000000", "hello", 0},
		"whole words":         {"4000 0004 68656c6c", "hell", 0},
		"one byte":            {"4000 0001 68", "h", 0},
		"nothing":             {"", "", BadChannelData},
		"half a header":       {"4000 00", "", BadChannelData},
		"header alone":        {"4000 0000", "", BadChannelData},
		"empty and padded":    {"4000 0000 00000000", "", BadChannelData},
		"length lies":         {"4000 0006 68656c6c6f", "", BadChannelData},
		"length lies a lot":   {"4000 ffff 68656c6c6f", "", BadChannelData},
		"more than padding":   {"4000 0004 68656c6c 00", "", BadChannelData},
		"a word too much":     {"4000 0005 68656c6c6f 000000 00", "", BadChannelData},
		"another channel":     {"4001 0001 68", "", UnboundChannel},
		"no channel":          {"0000 0001 68", "", UnboundChannel},
		"below the channels":  {"3fff 0001 68", "", UnboundChannel},
		"reserved by 8656":    {"5000 0001 68", "", UnboundChannel},
		"channel of RFC 5766": {"7ffe 0001 68", "", UnboundChannel},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.w.count(test.reason)
			_, payload, ok := c.w.s.ChannelData(c.k, unhex(t, test.bytes))
			if ok != (test.payload != "") || string(payload) != test.payload {
				t.Errorf("%q, %v", payload, ok)
			}
			if !ok && c.w.count(test.reason) != before+1 {
				t.Error("not counted")
			}
		})
	}
}

func TestChannelDataFromElsewhereIsDropped(t *testing.T) {
	c := bound(t)
	for name, change := range map[string]func(*flow.Key){
		"another port":          func(k *flow.Key) { k.Port++ },
		"another address":       func(k *flow.Key) { k.Remote[15]++ },
		"another address of us": func(k *flow.Key) { k.Local[15]++ },
		"a stream":              func(k *flow.Key) { k.Via = flow.OverStream(flow.TURNStream, 1) },
		"inside a relay":        func(k *flow.Key) { k.Via = k.Via.Relayed(0, 0) },
	} {
		k := c.k
		change(&k)
		if _, _, ok := c.w.s.ChannelData(k, channelData(0x4000, "x")); ok {
			t.Error(name)
		}
	}
}

// Row TURN-07.
func TestChannelNumbersOutsideTheRangeAre400(t *testing.T) {
	c := bound(t)
	for _, n := range []uint16{0, 1, 0x3FFF, 0x5000, 0x7FFE, 0x7FFF, 0x8000, 0xFFFF} {
		c.refused(400, stun.MethodChannelBind, peerAt(ours6), channelNumber(n))
	}
}

func TestChannelBindNeedsChannelAndPeer(t *testing.T) {
	c := bound(t)
	c.refused(400, stun.MethodChannelBind, peerAt(ours6))
	c.refused(400, stun.MethodChannelBind, channelNumber(0x4001))
}

// Row TURN-07.
func TestRebindingIs400(t *testing.T) {
	c := bound(t)
	c.refused(400, stun.MethodChannelBind, peerAt(ours6), channelNumber(0x4000)) // the channel to another peer
	c.refused(400, stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4001)) // another channel to the peer
	if path, _, ok := c.w.s.ChannelData(c.k, channelData(0x4000, "x")); !ok || path.Via.Peer() != 0 {
		t.Error("the channel has changed")
	}
	if c.book().Channel(c.k.Via.Relayed(0, 1)) != 0 {
		t.Error("a channel that was refused is in the book")
	}
}

// Channels stand at the places of our addresses, so there are no more of them.
//
// Row TURN-07.
func TestAllChannelNumbersTakeNoRoom(t *testing.T) {
	c := bound(t)
	for n := minChannel + 1; n <= maxChannel; n++ {
		want := 400
		if n == minChannel+1 {
			want = 0
		}
		if _, code := c.ask(stun.MethodChannelBind, peerAt(ours6), channelNumber(uint16(n))); code != want {
			t.Fatalf("%#x: %d, want %d", n, code, want)
		}
	}
}

func TestChannelLastsTenMinutes(t *testing.T) {
	c := bound(t)
	c.must(stun.MethodRefresh, lifetime(3600))
	c.w.pass(599 * time.Second)
	if _, _, ok := c.w.s.ChannelData(c.k, channelData(0x4000, "x")); !ok {
		t.Error("ended early")
	}
	c.nonce = ""
	c.prove()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	c.w.pass(599 * time.Second)
	if _, _, ok := c.w.s.ChannelData(c.k, channelData(0x4000, "x")); !ok {
		t.Error("was not refreshed")
	}
	c.w.pass(time.Second)
	c.w.pass(time.Millisecond)
	if _, _, ok := c.w.s.ChannelData(c.k, channelData(0x4000, "x")); ok {
		t.Error("lives longer than it may")
	}
	if c.book().Channel(c.k.Via.Relayed(0, 0)) != 0 {
		t.Error("the book has it still")
	}
	c.nonce = ""
	c.prove()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4001))
	c.must(stun.MethodChannelBind, peerAt(ours6), channelNumber(0x4000))
}

func TestChannelWhoseTimeIsUpIsFreeBeforeExpire(t *testing.T) {
	c := bound(t)
	c.must(stun.MethodRefresh, lifetime(3600))
	c.w.now = c.w.now.Add(600 * time.Second)
	c.nonce = ""
	c.prove()
	c.must(stun.MethodChannelBind, peerAt(ours6), channelNumber(0x4000))
	if path, _, ok := c.w.s.ChannelData(c.k, channelData(0x4000, "x")); !ok || path.Via.Peer() != 1 {
		t.Error(path, ok)
	}
	if c.book().Channel(c.k.Via.Relayed(0, 0)) != 0 || c.book().Channel(c.k.Via.Relayed(0, 1)) != 0x4000 {
		t.Error("the book is wrong")
	}
}

func TestChannelBindPermitsIndications(t *testing.T) {
	c := bound(t)
	if r := c.indicate(peerAt(ours4), "x"); r.Outcome != Data {
		t.Errorf("%+v", r)
	}
}

func TestPutChannelHeaderWritesLiteralBytes(t *testing.T) {
	b := []byte("....hello")
	PutChannelHeader(b, 0x4ABC, 5)
	if !bytes.Equal(b, []byte("\x4a\xbc\x00\x05hello")) {
		t.Errorf("%x", b)
	}
	for n, want := range []int{0, 4, 4, 4, 4, 8} {
		if got := Padded(n); got != want {
			t.Errorf("Padded(%d) = %d", n, got)
		}
	}
}

func TestPutIndicationWritesLiteralBytes(t *testing.T) {
	b := bytes.Repeat([]byte{0xEE}, 64)
	at := IndicationHeader(ours4)
	copy(b[at:], "hello")
	n := PutIndication(b, ours4, 5, 0x0102030405060708)
	want := unhex(t, `0017 0018 2112a442 00000000 0102030405060708
		0012 0008 0001 2c84 ea12d547
		0013 0005 68656c6c6f 000000`)
	if at != 36 || !bytes.Equal(b[:n], want) || b[n] != 0xEE {
		t.Errorf("header of %d, %x", at, b)
	}
}

func TestIndicationsAreReadAsTheyWereWritten(t *testing.T) {
	for _, peer := range []Address{ours4, ours6} {
		for n := 1; n <= 9; n++ {
			t.Run(fmt.Sprint(peer.Addr.Netip(), " ", n), func(t *testing.T) {
				b := make([]byte, 80)
				data := "123456789"[:n]
				copy(b[IndicationHeader(peer):], data)
				b = b[:PutIndication(b, peer, n, uint64(n))]
				if !isSTUN(b) || binary.BigEndian.Uint16(b) != 0x0017 {
					t.Fatalf("%x", b)
				}
				var m message
				if reason, ok := m.parse(b); !ok {
					t.Fatal(reason)
				}
				if string(m.data) != data || m.peer.addr != peer.Addr || m.peer.port != peer.Port || m.bad {
					t.Errorf("%+v", m)
				}
				theirs := &stun.Message{Raw: b}
				if err := theirs.Decode(); err != nil {
					t.Fatal(err)
				}
				if v, err := theirs.Get(stun.AttrData); err != nil || string(v) != data {
					t.Errorf("pion reads %q, %v", v, err)
				}
			})
		}
	}
}
