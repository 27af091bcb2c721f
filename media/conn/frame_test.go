package conn

import (
	"bytes"
	"net/netip"
	"testing"

	"tsubame/media/ice"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/media/send"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/turnsrv"
)

func relayedKey(v flow.Via) flow.Key {
	k := flow.KeyOf(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("10.0.0.8:1"))
	k.Via = v
	return k
}

func ours(addr string) turnsrv.Address {
	return turnsrv.Address{Addr: flow.AddrOf(netip.MustParseAddr(addr)), Port: 3478}
}

func TestPathThatIsNotRelayedHasNoFrame(t *testing.T) {
	var env Env
	for _, v := range []flow.Via{0, flow.OverStream(flow.FramedStream, 3)} {
		f, ok := env.Frame(nil, relayedKey(v))
		if slot := []byte("abc"); !ok || f.Head() != 0 || f.Close(slot, 2) != 2 || string(slot) != "abc" {
			t.Errorf("Via %#x has frame %+v, %v", v, f, ok)
		}
	}
}

// Until the client has bound a channel it gets Data indications (RFC 8656 section 11.4).
func TestPathWithoutAChannelHasIndications(t *testing.T) {
	env := Env{Peers: [flow.MaxPeers]turnsrv.Address{1: ours("192.0.2.1"), 2: ours("2001:db8::1")}}
	for peer, head := range map[int]int{1: 36, 2: 48} {
		f, ok := env.Frame(new(turnsrv.Book), relayedKey(flow.Via(0).Relayed(3, peer)))
		if !ok || f.Head() != head {
			t.Fatalf("peer %d: head %d, %v", peer, f.Head(), ok)
		}
		slot := bytes.Repeat([]byte{0xee}, 200)
		copy(slot[head:], "hello")
		n := f.Close(slot, 5)
		if n != head+8 || n > 5+MaxFrame || !bytes.Equal(slot[head:n], []byte("hello\x00\x00\x00")) || slot[n] != 0xee {
			t.Errorf("peer %d: %x", peer, slot[:n+1])
		}
		if !bytes.Equal(slot[:2], []byte{0x00, 0x17}) || slot[head-1] != 5 {
			t.Errorf("peer %d: header %x", peer, slot[:head])
		}
	}
}

func TestNothingGoesToARelayWhosePeerIsOursNoMore(t *testing.T) {
	var env Env
	if _, ok := env.Frame(new(turnsrv.Book), relayedKey(flow.Via(0).Relayed(0, 5))); ok {
		t.Error("there is something to write")
	}
}

func TestChannelDataIsPaddedOverStreamsOnly(t *testing.T) {
	for _, pad := range []bool{false, true} {
		for n := 1; n <= 8; n++ {
			f := Frame{head: turnsrv.ChannelHeader, channel: 0x4321, pad: pad}
			slot := bytes.Repeat([]byte{0xee}, 32)
			want := 4 + n
			if pad {
				want = 4 + (n+3)/4*4
			}
			if got := f.Close(slot, n); got != want {
				t.Errorf("pad %v: %d bytes for %d, want %d", pad, got, n, want)
			}
			if !bytes.Equal(slot[:4], []byte{0x43, 0x21, 0, byte(n)}) {
				t.Errorf("header %x", slot[:4])
			}
			for i := 4 + n; i < want; i++ {
				if slot[i] != 0 {
					t.Errorf("padding %x", slot[4+n:want])
				}
			}
			if slot[4+n-1] != 0xee || slot[want] != 0xee {
				t.Error("wrote elsewhere")
			}
		}
	}
}

// The longest packet that padding may make still fits a slot with the longest frame around it.
func TestLongestPaddedPacketFitsASlotInAnIndication(t *testing.T) {
	r := newRig(t)
	r.pad = true
	pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AES_CM_128_HMAC_SHA1_80)
	id := pub.publish(video)
	viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
	viewer.conn.Book = new(turnsrv.Book)
	r.env.Peers[0] = ours("2001:db8::1")
	k := relayedKey(flow.Via(0).Relayed(0, 0))
	r.now = r.now.Add(ice.MaxHold)
	viewer.conn.ICE.HandleCheck(r.now, k, &ice.Request{UseCandidate: true})
	body := make([]byte, maxPadded)
	r.env.Out.Reset()
	n := testPayload(r, pub, viewer, body)
	if n == 0 {
		t.Fatalf("a payload of %d bytes was not sent", maxPadded)
	}
	if limit := maxPadded + send.MaxHeader + srtp.MaxRTPOverhead + MaxFrame; limit > mmsg.SlotSize || n > limit {
		t.Errorf("%d bytes of at most %d", n, limit)
	}
}

// testPayload sends one packet with that payload and returns how long the datagram is.
func testPayload(r *rig, pub, viewer *peer, body []byte) int {
	copy(body, frame(true, 10))
	h := rtp.HeaderFields{PayloadType: 96, Seq: 1, Timestamp: 3000, SSRC: 1000}
	pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(true, 100)))
	r.route(func(run []Packet) {
		run[0].Body = body
		viewer.conn.Send(&r.env, r.now, 0, run[:min(len(run), router.MaxRun)])
	})
	if r.env.Out.Len() == 0 {
		return 0
	}
	_, b := r.env.Out.Packet(0)
	return len(b)
}
