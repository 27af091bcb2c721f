package load

import (
	"net/netip"
	"testing"

	pionsrtp "github.com/pion/srtp/v3"

	benchpeer "tsubame/bench/peer"
	"tsubame/bench/source"
	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// far is the server of a rig: it seals what a viewer receives.
type far struct {
	rig      *rigStream
	session  *srtp.Session
	sealed   *srtp.Stream
	template rtp.Template
	key      flow.Key
	seq      uint64
	slot     [mmsg.SlotSize]byte
	payload  []byte
}

var testIDs = param.Extensions{TransportCC: 3, AbsSendTime: 2, MID: 4}

// newFar makes a server and one viewer that has its keys.
func newFar(t testing.TB, size int) *far {
	t.Helper()
	near, remote := make([]byte, 16), make([]byte, 16)
	remote[0] = 1
	salt := make([]byte, 12)
	session := func(local, remote []byte) *srtp.Session {
		s, err := srtp.NewSession(srtp.Keys{
			Profile: srtp.AEAD_AES_128_GCM, LocalKey: local, LocalSalt: salt, RemoteKey: remote, RemoteSalt: salt,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f := &far{rig: newRigStream(t, 100), session: session(near, remote), payload: make([]byte, size), seq: 100}
	f.sealed = f.session.AddStream(1)
	if err := f.template.Init(96, 1, &testIDs, "video_abcdef"); err != nil {
		t.Fatal(err)
	}
	g := f.rig
	g.one.transport = testIDs.TransportCC
	g.one.formats, g.one.pt = []format{{codec: param.VP8, pt: 96}}, 96
	k, err := newSecured(benchpeer.Keys{
		Profile: pionsrtp.ProtectionProfileAeadAes128Gcm, LocalKey: remote, LocalSalt: salt, RemoteKey: near, RemoteSalt: salt,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.peer.secured, g.peer.incoming = k, k.media
	g.peer.key = flow.KeyOf(addressOf(1), netip.MustParseAddrPort("127.0.0.1:5004"))
	f.key = g.peer.key
	s := g.shard
	s.table, s.peers, s.wake = []*peer{g.peer}, []*peer{g.peer}, []mono.Time{0}
	s.batch, s.queue = mmsg.NewRxBatch(batchSize), mmsg.NewTxQueue(queueSize)
	s.seqs, s.stamps = make([]uint16, 0, maxMissing), make([]*entry, 0, queueSize)
	s.now = netio.Now()
	return f
}

// packet seals the next packet of the publisher into the batch.
func (f *far) packet(t testing.TB) {
	o := f.rig.origin
	o.mark(f.rig.shard.phase())
	index := o.next.Load()
	for i := range keySize {
		f.payload[len(f.payload)-1-i] = byte((index + 1) * 0x9e3779b97f4a7c15 >> (8 * i))
	}
	o.put(f.payload, frameFirst|frameLast)
	head := f.template.Put(f.slot[:], &rtp.Values{Marker: true, Seq: uint16(f.seq), Timestamp: uint32(index) * 300, TransportSeq: uint16(index)})
	n, err := f.session.SealRTP(f.slot[:], head, f.payload, f.sealed, f.seq)
	if err != nil {
		t.Fatal(err)
	}
	f.seq++
	if !f.rig.shard.batch.Append(f.key, f.slot[:n]) {
		t.Fatal("the batch is full")
	}
}

// turn brings one batch to the viewer and does what is due.
func (f *far) turn(t testing.TB) {
	s := f.rig.shard
	s.batch.Reset()
	s.queue.Reset()
	for range batchSize {
		f.packet(t)
	}
	s.now = s.now.Add(s.scenario.Poll + 5_000_000)
	s.read(s.batch)
	s.tick(visitInterval)
}

func TestViewersTakePacketsOffTheWire(t *testing.T) {
	f := newFar(t, 1100)
	f.rig.peer.ice.next = mono.Time(1 << 62) // no checks
	f.rig.phase(measuring)
	f.turn(t)
	f.rig.want("forwarded", f.rig.shard.total.forwarded, batchSize)
	if f.rig.shard.queue.Len() == 0 {
		t.Error("a viewer with 64 packets sends no feedback")
	}
}

func TestForgedPacketsAreNotForwarded(t *testing.T) {
	f := newFar(t, 1100)
	s := f.rig.shard
	f.rig.phase(measuring)
	f.packet(t)
	b := s.batch.Packet(0)
	b[len(b)-1] ^= 1
	s.read(s.batch)
	f.rig.want("forwarded", s.total.forwarded, 0)
	f.rig.want("undecryptable", s.total.undecryptable, 1)
}

func TestReplayedPacketIsADuplicate(t *testing.T) {
	f := newFar(t, 1100)
	s := f.rig.shard
	f.rig.phase(measuring)
	f.packet(t)
	s.batch.Append(f.key, s.batch.Packet(0))
	s.read(s.batch)
	f.rig.want("forwarded", s.total.forwarded, 1)
	f.rig.want("duplicated", s.total.duplicated, 1)
}

func TestReceivingDoesNotAllocate(t *testing.T) {
	f := newFar(t, 1100)
	f.rig.peer.ice.next = mono.Time(1 << 62)
	f.rig.phase(measuring)
	for range 4 {
		f.turn(t)
	}
	if n := testing.AllocsPerRun(50, func() { f.turn(t) }); n != 0 {
		t.Errorf("%.1f allocations for %d packets", n, batchSize)
	}
}

// newSending makes a publisher whose keys the rig's viewer has.
func newSending(t testing.TB) (*shard, *publication) {
	t.Helper()
	f := newFar(t, 1100)
	from, err := source.Video(param.VP8, 1_000_000, 20, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPublication(&section{kind: param.Video, mid: "video_abcdef", extensions: testIDs},
		&format{codec: param.VP8, pt: 96, rtx: 97}, from)
	if err != nil {
		t.Fatal(err)
	}
	p.peer = f.rig.peer
	s := f.rig.shard
	p.start(s.now, 0, f.rig.peer.secured.session)
	s.sending.push(p)
	return s, p
}

func TestSendingDoesNotAllocate(t *testing.T) {
	s, p := newSending(t)
	send := func() {
		s.queue.Reset()
		s.stamps = s.stamps[:0]
		s.now = p.due
		s.sending[0].send(s, s.now)
		s.sending.sink(0)
		p.resend(s, uint16(p.seq-1), s.now)
	}
	for range 4 * resendPackets { // until each slot has seen its largest packet
		send()
	}
	if n := testing.AllocsPerRun(200, send); n != 0 {
		t.Errorf("%.2f allocations a packet", n)
	}
}

func TestPublishersRetransmitWhatIsAskedFor(t *testing.T) {
	s, p := newSending(t)
	for range 10 {
		s.now = p.due
		p.send(s, s.now)
	}
	s.queue.Reset()
	p.resend(s, uint16(p.seq-5), s.now)
	if s.queue.Len() != 1 || p.resent != 1 {
		t.Errorf("%d datagrams for one packet that is kept", s.queue.Len())
	}
	p.resend(s, uint16(p.seq+100), s.now)
	p.resend(s, uint16(p.seq-5-resendPackets), s.now)
	if s.queue.Len() != 1 || p.notInCache != 2 {
		t.Errorf("%d datagrams, and %d of 2 packets were not kept", s.queue.Len(), p.notInCache)
	}
}

func TestPublishersSendInTheOrderOfTheirTimes(t *testing.T) {
	var h schedule
	for _, due := range []mono.Time{50, 10, 40, 20, 60, 30} {
		h.push(&publication{due: due, peer: &peer{slot: int(due)}})
	}
	gone := h[0].peer
	h.drop(gone)
	var last mono.Time
	for range 20 {
		if h[0].due < last {
			t.Fatalf("due at %d after %d", h[0].due, last)
		}
		last = h[0].due
		h[0].due += 7
		h.sink(0)
	}
	if len(h) != 5 {
		t.Errorf("%d publications of 6 after one left", len(h))
	}
}

func TestAddressesNameTheirPeers(t *testing.T) {
	for _, id := range []uint32{0, 1, 255, 256, 65535, 65536, maxID - 1} {
		a := addressOf(id)
		if !a.IsLoopback() || idOf(flow.AddrOf(a)) != id {
			t.Errorf("id %d is %v, and back %d", id, a, idOf(flow.AddrOf(a)))
		}
	}
}

func TestStreamsAreFoundBySSRC(t *testing.T) {
	var table ssrcTable
	if s, _ := table.find(1); s != nil {
		t.Error("an empty table has a stream")
	}
	var all []*stream
	for i := range uint32(300) {
		all = append(all, &stream{ssrc: i * 0x10001, rtxSSRC: i*0x10001 + 7})
	}
	table.build(all)
	for _, s := range all {
		if got, rtx := table.find(s.ssrc); got != s || rtx {
			t.Fatalf("SSRC %d is not found", s.ssrc)
		}
		if got, rtx := table.find(s.rtxSSRC); got != s || !rtx {
			t.Fatalf("the retransmissions' SSRC %d is not found", s.rtxSSRC)
		}
	}
	if s, _ := table.find(5); s != nil {
		t.Error("an SSRC of nobody is found")
	}
}

func BenchmarkReceive(b *testing.B) {
	f := newFar(b, 1100)
	f.rig.peer.ice.next = mono.Time(1 << 62)
	f.rig.phase(measuring)
	f.turn(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ { // sealing is among what is measured
		if i%batchSize == 0 {
			f.turn(b)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	s, p := newSending(b)
	b.ReportAllocs()
	for b.Loop() {
		s.queue.Reset()
		s.stamps = s.stamps[:0]
		s.now = p.due
		p.send(s, s.now)
	}
}
