package conn

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"tsubame/media/dtls"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// rig is what a shard lends to its connections, and the time.
type rig struct {
	t   testing.TB
	env Env
	now mono.Time
	run router.Run
	pad bool // what route hands out
}

func newRig(t testing.TB) *rig {
	t.Helper()
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: packet.LargeSize, Count: 4096}}})
	if err != nil {
		t.Fatal(err)
	}
	tracks := router.NewTable(16)
	return &rig{t: t, now: mono.Time(time.Second), env: Env{
		Arena: arena, Mag: arena.Magazine(), Tracks: tracks, Fanout: router.NewFanout(0, tracks),
		RTX: rtx.NewPool(arena, 16, rtx.Config{Slots: 512, MaxAge: 1500 * time.Millisecond}),
		Out: mmsg.NewTxQueue(512), Count: new(Counters),
	}}
}

// peer is the other end of a connection.
type peer struct {
	r       *rig
	conn    *Conn
	session *srtp.Session
	streams map[uint32]*srtp.Stream
	padNext bool // the next packet ends in padding
}

// connect makes an established connection.
func (r *rig) connect(index uint32, profile srtp.Profile) *peer {
	r.t.Helper()
	c := New(index, r.now, nil)
	k := flow.KeyOf(netip.MustParseAddr("127.0.0.1"), netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(10000+index)))
	c.ICE.HandleCheck(r.now, k, &ice.Request{UseCandidate: true})
	material := func(seed byte, n int) []byte { return bytes.Repeat([]byte{seed, byte(index)}, 16)[:n] }
	server := srtp.Keys{
		Profile:  profile,
		LocalKey: material(1, profile.KeyLen()), LocalSalt: material(2, profile.SaltLen()),
		RemoteKey: material(3, profile.KeyLen()), RemoteSalt: material(4, profile.SaltLen()),
	}
	client := server
	client.LocalKey, client.RemoteKey = server.RemoteKey, server.LocalKey
	client.LocalSalt, client.RemoteSalt = server.RemoteSalt, server.LocalSalt
	session, err := srtp.NewSession(client)
	if err != nil {
		r.t.Fatal(err)
	}
	der := material(5, 32)
	if up, err := c.HandshakeDone(&r.env, r.now, &dtls.Result{Keys: server, PeerCertificate: der}); up || err != nil {
		r.t.Fatalf("keys alone: %v, %v", up, err)
	}
	remote := param.Remote{Fingerprints: []param.Fingerprint{fingerprint(der)}}
	if up, err := c.SetRemote(&r.env, r.now, &remote); !up || err != nil {
		r.t.Fatalf("keys and answer: %v, %v", up, err)
	}
	return &peer{r: r, conn: c, session: session, streams: map[uint32]*srtp.Stream{}}
}

// publish opens a track on the connection.
func (p *peer) publish(spec param.Publish) param.TrackID {
	p.r.t.Helper()
	id, ok := p.r.env.Tracks.Reserve()
	if !ok || !p.conn.Publish(&p.r.env, p.r.now, id, &spec) {
		p.r.t.Fatal("no room for a track")
	}
	return id
}

// packet seals one of the peer's packets.
func (p *peer) packet(h rtp.HeaderFields, payload []byte) []byte {
	st := p.streams[h.SSRC]
	if st == nil {
		st = p.session.AddStream(h.SSRC)
		p.streams[h.SSRC] = st
	}
	var slot [mmsg.SlotSize]byte
	n := rtp.PutHeader(slot[:], h)
	if p.padNext {
		rtp.SetPadded(slot[:])
		p.padNext = false
	}
	index := uint64(h.Seq)
	for index+1<<15 < st.Next() {
		index += 1 << 16
	}
	n, err := p.session.SealRTP(slot[:], n, payload, st, index)
	if err != nil {
		p.r.t.Fatal(err)
	}
	return bytes.Clone(slot[:n])
}

// control seals a compound of the peer's.
func (p *peer) control(compound []byte) []byte {
	var slot [mmsg.SlotSize]byte
	n, err := p.session.SealRTCP(slot[:], copy(slot[:], compound))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return bytes.Clone(slot[:n])
}

// received opens what was queued of RTP for the peer, in order, and empties the queue.
func (p *peer) received() (packets [][]byte) {
	p.r.t.Helper()
	for i := range p.r.env.Out.Len() {
		_, b := p.r.env.Out.Packet(i)
		if rtp.IsRTCP(b) {
			continue
		}
		var buf [mmsg.SlotSize]byte
		n, err := p.session.OpenRTP(buf[:], b)
		if err != nil {
			p.r.t.Fatalf("the peer cannot open what it was sent: %v", err)
		}
		packets = append(packets, bytes.Clone(buf[:n]))
	}
	p.r.env.Out.Reset()
	return packets
}

// route releases what was routed, after f has had it.
func (r *rig) route(f func([]Packet)) {
	if n := len(r.env.Routed); f != nil && n > 0 {
		r.run.N = uint8(n)
		for i, p := range r.env.Routed {
			r.run.Refs[i] = p.Ref
		}
		r.run.Pads = [router.MaxRun]uint8{}
		if r.pad {
			r.env.Equalise(&r.run)
		}
		f(r.env.Resolve(&r.run))
	}
	for _, p := range r.env.Routed {
		r.env.Mag.Release(p.Ref)
	}
	r.env.Routed = r.env.Routed[:0]
}

var video = param.Publish{
	Kind: param.Video, Codec: param.VP8, MID: "video_1", SSRC: 1000, RTXSSRC: 1001,
	PayloadType: 96, RTXType: 97, ClockRate: 90000, ReducedSize: true,
	Feedback: param.Feedback{NACK: true, PLI: true},
}

func watch(id param.TrackID, ssrc uint32) *param.Subscribe {
	return &param.Subscribe{
		Track: id, Kind: param.Video, Codec: param.VP8, MID: "v", SSRC: ssrc, RTXSSRC: ssrc + 1,
		PayloadType: 96, RTXType: 97, ClockRate: 90000, CNAME: "c", ReducedSize: true,
		Feedback: param.Feedback{NACK: true, PLI: true},
	}
}

// frame is the payload of a packet that is a whole frame.
func frame(keyFrame bool, size int) []byte {
	b := make([]byte, size)
	b[0], b[1] = 0x10, 1
	if keyFrame {
		b[1] = 0
	}
	return b
}

func seqOf(packet []byte) uint16 { return binary.BigEndian.Uint16(packet[2:]) }

func mustPath(t testing.TB, c *Conn) flow.Key {
	t.Helper()
	k, ok := c.SendPath()
	if !ok {
		t.Fatal("no path to send on")
	}
	return k
}
