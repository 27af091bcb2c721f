package send_test

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/media/send"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// sfu is what media/conn and media/router do, in one shard.
type sfu struct {
	w     *world
	arena *packet.Arena
	mag   *packet.Magazine
	pool  *rtx.Pool
	subs  []*sub
}

// newSFU makes the memory that all schedules share.
func newSFU(t testing.TB) *sfu {
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: 1024, Count: 2048}}})
	if err != nil {
		t.Fatal(err)
	}
	return &sfu{
		arena: arena, mag: arena.Magazine(),
		pool: rtx.NewPool(arena, 2, rtx.Config{Slots: 512, MaxAge: 3 * time.Second}),
	}
}

// track is one published stream at the SFU.
type track struct {
	f      *sfu
	p      *publisher
	back   *link // to the publisher
	stream recv.Stream
	keys   recv.KeyFrames
	origin recv.Origin
	clock  recv.SharedClock
	id     rtx.ID
	ring   *rtx.Ring
	armed  mono.Time
	first  uint64 // number in the source of the first packet that came
	offset uint64 // extended number minus the source's
	got    map[uint64]bool
	nacks  map[uint16]int
	plis   int
}

func newTrack(f *sfu, p *publisher) *track {
	tr := &track{f: f, p: p, back: newLink(f.w), got: map[uint64]bool{}, nacks: map[uint16]int{}}
	tr.stream.Init(recv.Config{SSRC: uint32(p.id), ClockRate: simRate, NACK: true, Video: true})
	tr.id, _ = f.pool.Open()
	tr.ring = f.pool.Writer(tr.id)
	p.track = tr
	return tr
}

// rtt is the round trip to the publisher, as reports would tell it.
func (tr *track) rtt() time.Duration { return tr.back.delay + tr.p.up.delay + tr.p.up.jitter }

// receive takes a datagram of the publisher.
func (tr *track) receive(b []byte) {
	if rtp.IsRTCP(b) {
		tr.control(b)
		return
	}
	w := tr.f.w
	v, err := rtp.Parse(b)
	if err != nil {
		w.fail("%v", err)
	}
	seq, payload, recovered := v.Seq, b[v.HeaderLen:], v.PayloadType == simRTXPT
	if recovered {
		if seq, payload, err = rtx.ParsePayload(payload); err != nil {
			w.fail("%v", err)
		}
	}
	ext, verdict := tr.stream.Receive(w.now, seq, v.Timestamp, len(b), recovered)
	if verdict == recv.Accept {
		tr.accept(b, &v, ext, payload, recovered)
	} else if verdict == recv.Jump {
		w.fail("packet %d is taken for a jump", seq)
	}
	tr.work()
}

func (tr *track) accept(b []byte, v *rtp.View, ext uint64, payload []byte, recovered bool) {
	f, w := tr.f, tr.f.w
	number := tr.p.next - 1 - uint64(uint16(tr.p.next-1)-uint16(ext))
	if len(tr.got) == 0 {
		tr.first, tr.offset = number, ext-number
	}
	if ext-number != tr.offset || tr.got[number] {
		w.fail("packet %d is extended to %d, seen before: %v", number, ext, tr.got[number])
	}
	tr.got[number] = true
	ref, ok := f.mag.Get(len(b), packet.Video)
	if !ok {
		w.fail("the arena is empty")
	}
	f.arena.SetLen(ref, copy(f.arena.Bytes(ref), b))
	m := f.arena.Meta(ref)
	*m = packet.Meta{Arrival: w.now, Seq: ext, Timestamp: v.Timestamp, HeaderLen: uint16(len(b) - len(payload))}
	if v.Marker {
		m.Flags |= packet.FlagMarker
	}
	if len(payload) > 0 && payload[0]&simFirst != 0 {
		m.Flags |= packet.FlagFrameStart
		if payload[0]&simKey != 0 {
			m.Flags |= packet.FlagKeyFrame
			tr.stream.KeyFrame(ext)
			tr.keys.Arrived(w.now)
		}
	}
	f.arena.Retain(ref, 1)
	tr.ring.Insert(ext, ref, w.now, f.mag)
	for _, s := range f.subs {
		if s.source == tr {
			s.forward(ref)
		}
	}
	f.mag.Release(ref)
}

// control takes RTCP of the publisher.
func (tr *track) control(b []byte) {
	r := rtcp.NewReader(b)
	for {
		p, ok := r.Next()
		if !ok {
			return
		}
		if sr, _, err := p.SR(); err == nil {
			c, ok := tr.stream.SenderReport(tr.f.w.now, sr.NTP, sr.RTPTime, &tr.origin)
			if !ok {
				tr.f.w.fail("a sender report is refused")
			}
			tr.clock.Publish(c)
		}
	}
}

// work does what is due and arms the timer for what is not.
func (tr *track) work() {
	w := tr.f.w
	if tr.stream.Deadline().Due(w.now) {
		if seqs := tr.stream.AppendNACK(w.now, tr.rtt(), nil); len(seqs) > 0 {
			for _, seq := range seqs {
				tr.nacks[seq]++
			}
			tr.back.send(rtcp.AppendNACK(nil, 1, uint32(tr.p.id), seqs), tr.p.feedback)
		}
	}
	if tr.stream.TakeLost() {
		tr.keys.Request(w.now)
	}
	if tr.keys.Due(w.now) {
		tr.plis++
		tr.back.send(rtcp.AppendPLI(nil, 1, uint32(tr.p.id)), tr.p.feedback)
	}
	d := mono.Earliest(tr.stream.Deadline(), tr.keys.Deadline())
	if d == mono.Never || tr.armed > w.now && tr.armed <= d {
		return
	}
	if d <= w.now {
		w.fail("something is still due after it was done")
	}
	tr.armed = d
	w.at(d, tr.work)
}

// sub is one viewer's stream at the SFU.
type sub struct {
	f      *sfu
	source *track
	v      *viewer
	down   *link
	stream send.Stream
	sealed map[[2]uint64]bool
	asked  map[uint16]int
	bytes  int
	again  int
}

func newSub(f *sfu, source *track, ssrc uint32) *sub {
	w := f.w
	s := &sub{f: f, source: source, down: newLink(w), sealed: map[[2]uint64]bool{}, asked: map[uint16]int{}}
	s.stream.Init(param.Subscribe{
		Kind: param.Video, Codec: param.VP8, MID: "v", SSRC: ssrc, RTXSSRC: ssrc + 1, PayloadType: simPT, RTXType: simRTXPT,
		ClockRate: simRate, Extensions: param.Extensions{MID: 1, TransportCC: 2},
	}, uint16(w.rng.Uint32()), uint16(w.rng.Uint32()))
	s.v = newViewer(s)
	f.subs = append(f.subs, s)
	s.want()
	w.at(w.now.Add(w.between(0, time.Second)), s.report)
	return s
}

func (s *sub) want() {
	s.source.keys.Request(s.f.w.now)
	s.source.work()
}

// seal is the rule of the sealer: one (SSRC, index), once.
func (s *sub) seal(ssrc, index uint64) {
	if s.sealed[[2]uint64{ssrc, index}] {
		s.f.w.fail("index %d of SSRC %d is sealed twice", index, ssrc)
	}
	s.sealed[[2]uint64{ssrc, index}] = true
}

func (s *sub) forward(ref packet.Ref) {
	a, w := s.f.arena, s.f.w
	m, payload := a.Meta(ref), a.Payload(ref)
	if len(payload) == 0 && s.stream.Skip(m) {
		return
	}
	out, ok := s.stream.Munge(m)
	if !ok {
		if s.stream.Waiting() {
			s.source.keys.Request(w.now)
		}
		return
	}
	b := make([]byte, send.MaxHeader, send.MaxHeader+len(payload))
	n := s.stream.PutHeader(b, m, out, w.now, w.ntp(), 0)
	s.seal(0, out.Index)
	b = append(b[:n], payload...)
	s.stream.Sent(len(b))
	s.bytes += len(b)
	s.down.send(b, s.v.receive)
}

// feedback takes RTCP of the viewer.
func (s *sub) feedback(b []byte) {
	w := s.f.w
	r := rtcp.NewReader(b)
	for {
		p, ok := r.Next()
		if !ok {
			break
		}
		if n, err := p.NACK(); err == nil {
			for {
				seq, ok := n.Next()
				if !ok {
					break
				}
				s.resend(seq)
			}
		}
		if _, err := p.PLI(); err == nil && s.stream.KeyFrameRequest(w.now) {
			s.want()
		}
		if _, blocks, err := p.RR(); err == nil && blocks.Len() == 1 {
			rtt, _ := s.stream.HandleReport(w.now, blocks.At(0))
			if lo, hi := s.down.delay+s.v.up.delay, s.down.delay+s.v.up.delay+3*(s.down.jitter+s.v.up.jitter); rtt != 0 && (rtt < lo-time.Millisecond || rtt > hi+time.Millisecond) {
				w.fail("a round trip of %v on a path of %v to %v", rtt, lo, hi)
			}
		}
	}
	if r.Err() != nil {
		w.fail("feedback: %v", r.Err())
	}
}

func (s *sub) resend(seq uint16) {
	w := s.f.w
	s.asked[seq]++
	ext, ok := s.stream.Original(seq)
	if !ok {
		return
	}
	ref, ok := s.f.pool.Get(s.source.id, ext)
	if !ok {
		if !s.stream.Awaits(seq) {
			s.want()
		}
		return
	}
	defer s.f.mag.Release(ref)
	if !s.stream.AllowResend(w.now, seq, len(s.f.arena.Data(ref)), 0, false) {
		return
	}
	m, payload := s.f.arena.Meta(ref), s.f.arena.Payload(ref)
	if m.Seq != ext {
		w.fail("packet %d out of the ring is %d", ext, m.Seq)
	}
	b := make([]byte, send.MaxHeader, send.MaxHeader+2+len(payload))
	n, index := s.stream.PutRTXHeader(b, m, w.now, w.ntp(), 0)
	s.seal(1, index)
	b = rtx.AppendPayload(b[:n], seq, payload)
	s.again += len(b)
	s.down.send(b, s.v.receive)
}

// report sends a sender report, and checks what it says about the source's clock.
func (s *sub) report() {
	w := s.f.w
	w.at(w.now.Add(w.between(300*time.Millisecond, time.Second)), s.report)
	b := s.stream.AppendSR(nil, w.now, w.ntp(), s.source.clock.Load())
	if len(b) == 0 {
		return
	}
	s.down.send(b, s.v.receive)
	if s.stream.Waiting() || !s.source.clock.Load().Known() {
		return
	}
	r := rtcp.NewReader(b)
	p, _ := r.Next()
	sr, _, err := p.SR()
	if err != nil {
		w.fail("%v", err)
	}
	delta, ok := s.v.delta[s.source.p.id]
	if !ok {
		return // nothing has reached the viewer yet
	}
	behind := time.Duration(int32(s.source.p.clock(w.now)+delta-sr.RTPTime)) * time.Second / simRate
	if most := s.source.p.up.delay + 2*s.source.p.up.jitter + 2*time.Millisecond; behind < -2*time.Millisecond || behind > most {
		w.fail("a sender report is %v behind the source, want at most %v", behind, most)
	}
}
