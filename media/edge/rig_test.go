package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/media/dtls"
	"tsubame/media/param"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

// rig is a plane whose shards nobody runs but the test: datagrams go in by hand, what is
// sent stays in memory, and the clock stands until the test moves it.
type rig struct {
	t    testing.TB
	p    *Plane
	now  mono.Time
	outs []*mmsg.TxQueue
	sent []datagram
}

type datagram struct {
	shard int
	key   flow.Key
	bytes []byte
}

func newRig(t testing.TB, shards int, change func(*Config)) *rig {
	t.Helper()
	cfg := Config{MaxConnections: 256, MaxTracks: 256}
	if change != nil {
		change(&cfg)
	}
	cfg.defaults()
	r := &rig{t: t, now: mono.Time(time.Second)}
	p, err := assemble(cfg, shards, r.now, func(int) *ring.Waker {
		w, err := ring.NewWaker()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		return w
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.wakeEvents.Close)
	r.p = p
	for range shards {
		r.outs = append(r.outs, mmsg.NewTxQueue(512))
	}
	return r
}

// deliver hands datagrams of one flow to a shard, as one batch.
func (r *rig) deliver(shard int, k flow.Key, datagrams ...[]byte) {
	in := mmsg.NewRxBatch(len(datagrams))
	for _, b := range datagrams {
		in.Append(k, b)
	}
	r.p.shards[shard].HandleBatch(r.now, in, r.outs[shard])
	r.collect(shard)
}

func (r *rig) collect(shard int) {
	q := r.outs[shard]
	for i := range q.Len() {
		k, b := q.Packet(i)
		r.sent = append(r.sent, datagram{shard: shard, key: k, bytes: slices.Clone(b)})
	}
	q.Reset()
}

// settle lets every shard empty its mailboxes, until all are, and delivers events.
func (r *rig) settle() {
	for again := true; again; {
		again = false
		for i, s := range r.p.shards {
			if s.Pending() {
				s.HandleMessages(r.now, r.outs[i])
				r.collect(i)
				again = true
			}
		}
	}
	for {
		i, ok := r.p.events.Next()
		if !ok {
			return
		}
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.deliver()
		}
	}
}

// advance moves the clock in steps of a millisecond, with timers and mailboxes served.
func (r *rig) advance(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = min(end, r.now.Add(time.Millisecond))
		for i, s := range r.p.shards {
			s.HandleTimers(r.now, r.outs[i])
			r.collect(i)
		}
		r.settle()
	}
}

// take returns what was sent since the last take.
func (r *rig) take() []datagram {
	s := r.sent
	r.sent = nil
	return s
}

// finish closes every connection and holds the plane to having nothing left.
func (r *rig) finish() {
	r.t.Helper()
	for i := range r.p.slots {
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.Close()
		}
	}
	r.settle()
	r.advance(2 * lingerTime)
	if n := r.p.free.Free(); n != len(r.p.slots) {
		r.t.Errorf("%d of %d connections free at the end", n, len(r.p.slots))
	}
	if n := r.p.tracks.Free(); n != r.p.tracks.Len() {
		r.t.Errorf("%d of %d tracks free at the end", n, r.p.tracks.Len())
	}
	if n := r.p.arena.Outstanding(); n != 0 {
		r.t.Errorf("%d buffers not given back", n)
	}
	for i, s := range r.p.shards {
		if len(s.flows) != 0 {
			r.t.Errorf("shard %d remembers %d flows of closed connections", i, len(s.flows))
		}
	}
}

// sum adds up a counter over the shards.
func (r *rig) sum(f func(*Counters) uint64) (n uint64) {
	for _, s := range r.p.shards {
		n += f(&s.count)
	}
	return n
}

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

// rtp seals a packet of the peer's: VP8 if video, with the key frame bit as told.
func (p *peer) rtp(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	st := p.streams[ssrc]
	if st == nil {
		st = p.session.AddStream(ssrc)
		p.streams[ssrc] = st
	}
	var slot [mmsg.SlotSize]byte
	slot[0], slot[1] = 0x80, 96
	binary.BigEndian.PutUint16(slot[2:], seq)
	binary.BigEndian.PutUint32(slot[4:], ts)
	binary.BigEndian.PutUint32(slot[8:], ssrc)
	n, err := p.session.SealRTP(slot[:], 12, payload, st, uint64(seq))
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
