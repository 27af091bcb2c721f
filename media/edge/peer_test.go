package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/media/dtls"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// peer is the other end of one connection.
type peer struct {
	r       *rig
	c       *Conn
	key     flow.Key
	shard   int
	events  []Event
	session *srtp.Session
	streams map[uint32]*srtp.Stream
	index   map[uint32]uint64
}

func key(local string, remote string) flow.Key {
	return flow.KeyOf(netip.MustParseAddr(local), netip.MustParseAddrPort(remote))
}

// open makes a connection and its peer, which is to come by shard.
func (r *rig) open(shard int, k flow.Key) *peer {
	r.t.Helper()
	p := &peer{r: r, key: k, shard: shard, streams: map[uint32]*srtp.Stream{}, index: map[uint32]uint64{}}
	c, err := r.p.Open(func(e Event) { p.events = append(p.events, e) })
	if err != nil {
		r.t.Fatal(err)
	}
	p.c = c
	return p
}

// check builds a connectivity check with the credentials that the offer would have named.
func (p *peer) check(nominate bool) []byte {
	ufrag, password := p.c.Credentials()
	return buildCheck(p.r.t, ufrag, password, nominate)
}

func buildCheck(t testing.TB, ufrag, password string, nominate bool) []byte {
	t.Helper()
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag + ":peer"),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 0, 1}},
	}
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	setters = append(setters, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// establish takes the peer through everything but the handshake, whose outcome it makes up.
func (p *peer) establish() {
	p.r.t.Helper()
	p.r.deliver(p.shard, p.key, p.check(true))
	p.secure()
	p.r.settle()
	if len(p.events) == 0 || p.events[0].Kind != Established {
		p.r.t.Fatalf("not established: %v", p.events)
	}
	p.r.take()
}

// secure gives both ends keys, as if DTLS had made them.
func (p *peer) secure() {
	p.r.t.Helper()
	material := func(seed byte, n int) []byte {
		sum := sha256.Sum256([]byte{seed, byte(p.c.index), byte(p.c.serial)})
		return sum[:n]
	}
	profile := srtp.AEAD_AES_128_GCM
	server := srtp.Keys{
		Profile:  profile,
		LocalKey: material(1, profile.KeyLen()), LocalSalt: material(2, profile.SaltLen()),
		RemoteKey: material(3, profile.KeyLen()), RemoteSalt: material(4, profile.SaltLen()),
	}
	client := srtp.Keys{
		Profile:  profile,
		LocalKey: server.RemoteKey, LocalSalt: server.RemoteSalt,
		RemoteKey: server.LocalKey, RemoteSalt: server.LocalSalt,
	}
	s, err := srtp.NewSession(client)
	if err != nil {
		p.r.t.Fatal(err)
	}
	p.session = s
	der := material(5, 32)
	sum := sha256.Sum256(der)
	p.c.SetRemote(param.Remote{Fingerprints: []param.Fingerprint{{Algorithm: "sha-256", Value: sum[:]}}})
	p.c.Done(0, dtls.Result{Keys: server, PeerCertificate: der}, nil)
}

// rtp seals a packet of the peer's, with the payload type of videoIn.
func (p *peer) rtp(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	return p.packet(header{PayloadType: 96, Seq: seq, Timestamp: ts, SSRC: ssrc}, "", payload)
}

type header = rtp.HeaderFields

// midExtension is the id that tests negotiate for the MID.
const midExtension = 4

// packet seals any packet of the peer's; with the MID extension unless mid is empty.
func (p *peer) packet(h header, mid string, payload []byte) []byte {
	var slot [mmsg.SlotSize]byte
	n := rtp.PutHeader(slot[:], h)
	if mid != "" {
		var w rtp.ExtWriter
		w.Begin(slot[:], n, false)
		w.PutString(midExtension, mid)
		n = w.End()
	}
	return p.seal(slot[:], n, payload)
}

// seal seals what stands in slot[:headerLen], with payload behind it. Sequence numbers
// that go down go round: they are of the next cycle, as for any sender.
func (p *peer) seal(slot []byte, headerLen int, payload []byte) []byte {
	ssrc, seq := binary.BigEndian.Uint32(slot[8:]), binary.BigEndian.Uint16(slot[2:])
	st := p.streams[ssrc]
	if st == nil {
		st = p.session.AddStream(ssrc)
		p.streams[ssrc] = st
		p.index[ssrc] = uint64(seq)
	}
	index := p.index[ssrc] + uint64(int64(int16(seq-uint16(p.index[ssrc]))))
	p.index[ssrc] = max(p.index[ssrc], index)
	n, err := p.session.SealRTP(slot, headerLen, payload, st, index)
	if err != nil {
		p.r.t.Fatal(err)
	}
	return slices.Clone(slot[:n])
}

// vp8 is a payload: descriptor, then a frame header whose lowest bit says "not a key frame".
func vp8(keyFrame bool, fill byte) []byte {
	b := []byte{0x10, 0x01, fill, fill, fill, fill, fill, fill, fill, fill}
	if keyFrame {
		b[1] = 0
	}
	return b
}

var videoIn = param.Publish{
	Kind: param.Video, Codec: param.VP8, MID: "video_1", SSRC: 1000, RTXSSRC: 1001,
	PayloadType: 96, RTXType: 97, ClockRate: 90000, ReducedSize: true,
	Feedback: param.Feedback{NACK: true, PLI: true},
}

var audioIn = param.Publish{
	Kind: param.Audio, Codec: param.Opus, MID: "audio_1", SSRC: 2000, PayloadType: 111, ClockRate: 48000,
}

func videoOut(id param.TrackID, ssrc uint32) param.Subscribe {
	return param.Subscribe{
		Track: id, Kind: param.Video, Codec: param.VP8, MID: "v", SSRC: ssrc, RTXSSRC: ssrc + 1,
		PayloadType: 96, RTXType: 97, ClockRate: 90000, CNAME: "c", ReducedSize: true,
		Feedback: param.Feedback{NACK: true, PLI: true},
	}
}

// publish opens a track of the peer's.
func (p *peer) publish(spec param.Publish) param.TrackID {
	p.r.t.Helper()
	id, err := p.c.Publish(spec)
	if err != nil {
		p.r.t.Fatal(err)
	}
	p.r.settle()
	return id
}

// received opens those of the datagrams that are RTP for this peer and returns payloads.
func (p *peer) received(all []datagram) (packets [][]byte) {
	p.r.t.Helper()
	for _, d := range all {
		if d.key != p.key || d.bytes[0]>>6 != 2 || (d.bytes[1] >= 192 && d.bytes[1] <= 223) {
			continue
		}
		var buf [mmsg.SlotSize]byte
		n, err := p.session.OpenRTP(buf[:], d.bytes)
		if err != nil {
			p.r.t.Fatalf("the peer cannot open what it was sent: %v", err)
		}
		packets = append(packets, slices.Clone(buf[:n]))
	}
	return packets
}

// unpad takes the padding off an RTP packet (RFC 3550 section 5.1), which has to be zeros and
// their number.
func unpad(t testing.TB, b []byte) []byte {
	t.Helper()
	if b[0]&0x20 == 0 {
		return b
	}
	n := int(b[len(b)-1])
	if n == 0 || n > router.MaxPad || n > len(b)-12 {
		t.Fatalf("%d bytes of padding in a packet of %d", n, len(b))
	}
	for _, v := range b[len(b)-n : len(b)-1] {
		if v != 0 {
			t.Fatalf("padding %x", b[len(b)-n:])
		}
	}
	return b[:len(b)-n]
}

// rtcp seals a compound of the peer's.
func (p *peer) rtcp(compound []byte) []byte {
	var slot [mmsg.SlotSize]byte
	copy(slot[:], compound)
	n, err := p.session.SealRTCP(slot[:], len(compound))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return append([]byte(nil), slot[:n]...)
}
