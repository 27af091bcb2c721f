package edge

import (
	"math/rand/v2"
	"time"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// How a model client checks its path: the selected one every 2.5 s; sooner while it is not sure
// of it, or has nothing else.
const (
	simCheck      = 2500 * time.Millisecond
	simUnsure     = 900 * time.Millisecond
	simUnanswered = 200 * time.Millisecond
)

// simPeer is a model of a browser: it publishes, or watches, or both, and does about losses what
// a browser does.
type simPeer struct {
	*peer
	s        *sim
	spec     *simPeerPlan
	up, down simLink
	relay    *relay // nil: not by one
	left     bool
	ufrag    string
	password string
	up2      bool // a check has been answered by the present path: media may flow
	asked    mono.Time
	answered mono.Time
	checks   uint64            // turns of the timer that are not over
	olds     map[flow.Key]bool // paths from before that still lead here

	pubs     []*simSource
	views    []*simView
	bySSRC   map[uint32]*simView
	twccOut  uint16
	arrivals recv.TWCC
	twccLast uint32              // SSRC of the media seen last
	scratch  [mmsg.SlotSize]byte // what is sent
	opened   [mmsg.SlotSize]byte // what came
	reporter uint32
	reports  int
	acted    int    // events that were acted on
	rrtr     uint64 // the server's reference time, and
	rrtrAt   mono.Time
	rrtrOf   uint32
}

// What all m-sections negotiate.
var simExtensions = param.Extensions{MID: midExtension, TransportCC: 3, AbsSendTime: 2, AudioLevel: 1}

// join brings up a peer at an address that nobody had before.
func (s *sim) join(spec *simPeerPlan) *simPeer {
	p := &simPeer{s: s, spec: spec, olds: map[flow.Key]bool{}, bySSRC: map[uint32]*simView{}}
	s.ports++
	p.up = simLink{simNet: spec.Up, rnd: rand.New(rand.NewPCG(s.plan.seed, uint64(1000+s.ports)))}
	p.down = simLink{simNet: spec.Down, rnd: rand.New(rand.NewPCG(s.plan.seed, uint64(2000+s.ports)))}
	if s.now >= s.heals {
		p.heal()
	}
	p.peer = s.open(0, flow.Key{})
	p.ufrag, p.password = p.c.Credentials()
	s.peers = append(s.peers, p)
	p.reporter = uint32(10 + s.ports)
	if spec.Video {
		p.pubs = append(p.pubs, newSimSource(p, param.Video))
	}
	if spec.Audio {
		p.pubs = append(p.pubs, newSimSource(p, param.Audio))
	}
	p.secure() // which is done as soon as there is an owner
	p.move(spec.Carrier, true)
	for _, other := range s.peers {
		if other == p {
			continue
		}
		for _, src := range p.pubs {
			other.watch(src)
		}
		for _, src := range other.pubs {
			p.watch(src)
		}
	}
	s.after(s.between(0, time.Second), p.report)
	if spec.View {
		s.after(20*time.Millisecond, p.look)
	}
	s.serve()
	return p
}

// move gives a peer another address, and another way to reach the server from there. By what it
// had before it can be reached as long as both networks are up.
func (p *simPeer) move(by simCarrier, both bool) {
	s := p.s
	if p.lost() {
		return // what it does next is to join again
	}
	if both && p.key.Port != 0 && p.relay == nil && p.key.Via == 0 {
		p.olds[p.key] = true
	} else {
		delete(s.at, p.key)
	}
	p.quit()
	s.ports++
	p.key = pathOf(s.ports)
	p.key.Port = uint16(1024 + s.ports)
	local, remote := p.key.Local.Netip().String(), p.key.RemoteAddrPort().String()
	switch by {
	case simTURN:
		p.relay = p.over(p.key, int(p.key.Port)%len(s.p.shards), 0, s.rnd.IntN(len(ourAddresses)))
	case simTURNTCP:
		_, k := s.stream(flow.TURNStream, local, remote, s.chance(0.5))
		p.relay = p.over(k, 0, 0, s.rnd.IntN(len(ourAddresses)))
	case simTCP:
		_, p.key = s.stream(flow.FramedStream, local, remote, false)
	}
	if p.relay != nil {
		p.via(p.relay)
		if s.chance(0.75) {
			p.relay.bind(uint16(0x4000 + s.rnd.IntN(0x1000)))
		}
	}
	for i := range s.dirty {
		s.dirty[i] = true
	}
	s.at[p.key], s.ever[p.key] = p, p
	p.up2 = false
	p.up.ordered, p.down.ordered = s.now, s.now
	p.checkNow()
}

// rebind is a NAT that forgets its mapping: the peer has another address, knows nothing of it
// and does nothing about it.
func (p *simPeer) rebind() {
	if p.relay != nil || p.key.Via != 0 {
		p.move(simUDP, false)
		return
	}
	delete(p.s.at, p.key)
	p.s.ports++
	p.key = pathOf(p.s.ports)
	p.key.Port = uint16(1024 + p.s.ports)
	p.s.at[p.key], p.s.ever[p.key] = p, p
}

// quit leaves the stream or the relay that a peer has come by.
func (p *simPeer) quit() {
	base := p.key
	if p.relay != nil {
		base = p.relay.base
		if p.relay.pipe == nil && !p.lost() {
			p.relay.release()
		}
		p.relay.released, p.relay = true, nil
	}
	if base.Via.IsStream() && p.s.pipes[base] != nil {
		p.s.hangUp(base)
	}
}

// press makes a stream refuse what it has no room for.
func (p *simPeer) press(k flow.Key) {
	if !k.Via.IsStream() {
		return
	}
	pipe := p.s.pipes[k]
	if pipe == nil && p.relay != nil {
		pipe = p.relay.pipe
	}
	if pipe == nil {
		return
	}
	behind := p.down.ordered.Sub(p.s.now)
	pipe.refuse[mmsg.Video] = behind > time.Second
	pipe.refuse[mmsg.Audio] = behind > 2*time.Second
}

// checkNow checks at once, and begins the timer anew.
func (p *simPeer) checkNow() {
	p.checks++
	p.checkLoop(p.checks)
}

func (p *simPeer) checkLoop(turn uint64) {
	if p.left || turn != p.checks {
		return
	}
	if p.lost() {
		p.rejoin()
		return
	}
	p.toServer(buildCheck(p.s.t, p.ufrag, p.password, true))
	wait := simCheck
	switch {
	case !p.up2:
		wait = simUnanswered
	case p.asked > p.answered:
		wait = simUnsure
	}
	p.asked = p.s.now
	p.s.after(wait, func() { p.checkLoop(turn) })
}

func (p *simPeer) toServer(b []byte) { p.s.send(&p.up, nil, p.key, b) }

// receive takes a datagram of the server's.
func (p *simPeer) receive(k flow.Key, b []byte) {
	switch {
	case p.left || k != p.key && !p.olds[k]:
		return // it has moved on
	case b[0] == 1 && b[1] == 1: // a Binding success response
		if k != p.key {
			return
		}
		p.answered = p.s.now
		if !p.up2 {
			p.up2 = true
			p.olds = map[flow.Key]bool{}
			p.checkNow()
			for _, src := range p.pubs {
				src.start()
			}
		}
		return
	case b[0]>>6 != 2:
		return // a record
	case b[1] >= 192 && b[1] <= 223:
		n, err := p.session.OpenRTCP(p.opened[:], b)
		if err != nil {
			return // corrupted, or twice
		}
		r := rtcp.NewReader(p.opened[:n])
		for pkt, ok := r.Next(); ok; pkt, ok = r.Next() {
			p.told(pkt)
		}
		if r.Err() != nil {
			p.s.fail("the server's RTCP: %v", r.Err())
		}
		return
	}
	if n, err := p.session.OpenRTP(p.opened[:], b); err == nil {
		p.media(p.opened[:n])
	}
}

// told acts on one packet of RTCP.
func (p *simPeer) told(pkt rtcp.Packet) {
	switch pkt.Kind() {
	case rtcp.KindNACK:
		nack, err := pkt.NACK()
		if err != nil {
			p.s.fail("NACK: %v", err)
		}
		if src := p.source(nack.Media); src != nil {
			for seq, ok := nack.Next(); ok; seq, ok = nack.Next() {
				src.resend(seq)
			}
		}
	case rtcp.KindPLI:
		if f, err := pkt.PLI(); err == nil {
			if src := p.source(f.Media); src != nil {
				src.keyFrameAsked()
			}
		}
	case rtcp.KindFIR:
		f, err := pkt.FIR()
		if err != nil {
			p.s.fail("FIR: %v", err)
		}
		for i := range f.Len() {
			if src := p.source(f.At(i).SSRC); src != nil && (!src.firSeen || src.fir != f.At(i).Seq) {
				src.fir, src.firSeen = f.At(i).Seq, true
				src.keyFrameAsked()
			}
		}
	case rtcp.KindTWCC:
		t, err := pkt.TWCC()
		if err != nil {
			p.s.fail("transport-wide feedback: %v", err)
		}
		for st, ok := t.Next(); ok; st, ok = t.Next() {
			if st.Received && int16(p.twccOut-1-st.Seq) < 0 {
				p.s.fail("feedback about packet %d, the last one is %d", st.Seq, p.twccOut-1)
			}
		}
	case rtcp.KindXR:
		x, err := pkt.XR()
		if err != nil {
			p.s.fail("XR: %v", err)
		}
		for b, ok := x.Next(); ok; b, ok = x.Next() {
			if ntp, is := b.ReferenceTime(); is {
				p.rrtr, p.rrtrAt, p.rrtrOf = ntp, p.s.now, x.Sender
			}
		}
	case rtcp.KindSR:
		sr, _, err := pkt.SR()
		if err != nil {
			p.s.fail("SR: %v", err)
		}
		if v := p.bySSRC[sr.SSRC]; v != nil {
			v.lsr, v.lsrAt, v.sr = uint32(sr.NTP>>16), p.s.now, sr
		}
	}
}

// source returns the published stream with that SSRC.
func (p *simPeer) source(ssrc uint32) *simSource {
	for _, src := range p.pubs {
		if src.ssrc == ssrc {
			return src
		}
	}
	return nil
}

// wall is the peer's clock, in nanoseconds.
func (p *simPeer) wall() uint64 { return drifted(uint64(p.s.now), p.spec.Drift) }

// drifted is what a clock shows after a time that is ppm millionths too fast.
func drifted(elapsed uint64, ppm int) uint64 {
	return elapsed + uint64(int64(elapsed/1_000_000)*int64(ppm))
}

// report sends reports about once a second.
func (p *simPeer) report() {
	if p.left {
		return
	}
	p.s.after(p.s.between(900*time.Millisecond, 1100*time.Millisecond), p.report)
	if !p.up2 {
		return
	}
	var b []byte
	p.reports++
	for _, src := range p.pubs {
		// libwebrtc reports about audio less often.
		if src.kind == param.Video || p.spec.AudioReports == 0 || p.reports%p.spec.AudioReports == 0 {
			b = src.appendReport(b)
		}
	}
	var blocks []rtcp.ReportBlock
	for _, v := range p.views {
		if blk, ok := v.block(); ok {
			blocks = append(blocks, blk)
		}
	}
	if p.spec.Liar {
		blocks = p.lie(blocks)
	}
	if len(blocks) > 0 || len(b) == 0 {
		b = rtcp.AppendRR(b, p.reporter, blocks)
	}
	if p.rrtr != 0 {
		late := uint32(p.s.now.Sub(p.rrtrAt) * 65536 / time.Second)
		b = rtcp.AppendXR(b, p.reporter, 0, []rtcp.DLRR{{SSRC: p.rrtrOf, LastRR: uint32(p.rrtr >> 16), Delay: late}})
		p.rrtr = 0
	}
	p.toServer(p.rtcp(b))
}

// heal ends all that is wrong with the peer's network.
func (p *simPeer) heal() {
	p.up.simNet, p.down.simNet = p.spec.Up, p.spec.Down
	for _, l := range []*simLink{&p.up, &p.down} {
		l.dark, l.bad = min(l.dark, p.s.now), false
	}
}

// leave ends the peer's connection, as its user does, and its tracks with it.
func (p *simPeer) leave() {
	p.gone()
	p.c.Close()
	p.s.serve()
	if p.key.Via.IsStream() || p.relay != nil && p.relay.pipe != nil {
		p.quit()
	}
}

// gone takes the peer out of the call.
func (p *simPeer) gone() {
	s := p.s
	p.left = true
	for i, other := range s.peers {
		if other == p {
			s.peers = append(s.peers[:i:i], s.peers[i+1:]...)
			break
		}
	}
	for _, other := range s.peers {
		for _, src := range p.pubs {
			other.unwatch(src)
		}
	}
	for len(p.views) > 0 {
		p.unwatch(p.views[0].src)
	}
}

// restart begins ICE anew: the peer learns new credentials by signaling, and has other
// candidates then.
func (p *simPeer) restart(by simCarrier) {
	s := p.s
	if _, _, err := p.c.RestartICE(); err != nil {
		return // too often
	}
	s.after(s.between(20*time.Millisecond, 300*time.Millisecond), func() {
		if p.left {
			return
		}
		p.ufrag, p.password = p.c.Credentials()
		p.move(by, true)
	})
}

// signaled takes what signaling has been told of the peer since: of one that is silent it has ICE
// begin anew, which the peer learns of when its network lets it.
func (p *simPeer) signaled() {
	for ; p.acted < len(p.events); p.acted++ {
		if p.events[p.acted].Kind == Silent {
			p.s.when(max(p.s.now, p.up.dark, p.down.dark).Add(100*time.Millisecond), func() {
				if !p.left && !p.lost() {
					p.restart(simUDP)
				}
			})
		}
	}
}

// rejoin is what a client does that the server has given up.
func (p *simPeer) rejoin() {
	s := p.s
	p.gone()
	p.quit()
	s.stats.rejoins++
	s.after(500*time.Millisecond, func() {
		if !s.over {
			s.join(p.spec)
		}
	})
}

// view returns what the peer has of a track, or nil.
func (p *simPeer) view(src *simSource) *simView {
	for _, v := range p.views {
		if v.src == src {
			return v
		}
	}
	return nil
}

// lie makes reports say what cannot be.
func (p *simPeer) lie(blocks []rtcp.ReportBlock) []rtcp.ReportBlock {
	r := p.s.rnd
	for i := range blocks {
		b := &blocks[i]
		b.FractionLost, b.HighestSeq = 255, r.Uint32()
		b.LastSR += r.Uint32N(3) << 16
		b.DelaySinceSR = r.Uint32()
	}
	return append(blocks, rtcp.ReportBlock{SSRC: r.Uint32(), FractionLost: 255})
}

// lieTWCC makes feedback of what never arrived, long ago and in the future.
func (p *simPeer) lieTWCC(b []byte) []byte {
	s := p.s
	var at [40]mono.Time
	for i := range at {
		if s.chance(0.8) {
			at[i] = s.now.Add(s.between(-time.Second, time.Hour))
		}
	}
	b, _ = rtcp.AppendTWCC(b, p.reporter, p.twccLast, uint8(s.rnd.Uint32()), uint16(s.rnd.Uint32()), at[:])
	return rtcp.AppendREMB(b, p.reporter, s.rnd.Uint64()>>s.rnd.IntN(64), []uint32{p.twccLast})
}

// lost reports whether the server has given the connection up.
func (p *simPeer) lost() bool {
	n := len(p.events)
	return n > 0 && p.events[n-1].Kind == Closed
}
