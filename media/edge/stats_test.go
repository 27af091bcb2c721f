package edge

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tsubame/media/conn"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// traffic is what a test has seen of one connection on the wire.
type traffic struct {
	in, out struct{ rtp, rtcp, dtls, stun conn.Tally }
	seq     uint16 // of the last RTP packet that was sent
}

func (t *traffic) of(b []byte, rtpT, rtcpT, dtls, stun *conn.Tally) {
	at := rtpT
	switch class := rtp.Classify(b); {
	case class == rtp.ClassSTUN:
		at = stun
	case class == rtp.ClassDTLS:
		at = dtls
	case rtp.IsRTCP(b):
		at = rtcpT
	}
	at.Packets++
	at.Bytes += uint64(len(b))
}

// meter delivers what the peers send and reads what they are sent, and keeps count of it.
type meter struct {
	*rig
	by  map[flow.Key]*traffic
	seq uint16 // of the publisher's last packet
}

func (m *meter) traffic(k flow.Key) *traffic {
	if m.by[k] == nil {
		m.by[k] = new(traffic)
	}
	return m.by[k]
}

func (m *meter) send(p *peer, datagrams ...[]byte) {
	t := m.traffic(p.key)
	for _, b := range datagrams {
		t.of(b, &t.in.rtp, &t.in.rtcp, &t.in.dtls, &t.in.stun)
	}
	m.deliver(p.shard, p.key, datagrams...)
	m.read()
}

func (m *meter) read() {
	for _, d := range m.take() {
		t := m.traffic(d.key)
		t.of(d.bytes, &t.out.rtp, &t.out.rtcp, &t.out.dtls, &t.out.stun)
		if rtp.Classify(d.bytes) == rtp.ClassRTP && !rtp.IsRTCP(d.bytes) && d.bytes[1]&0x7f == 96 {
			t.seq = binary.BigEndian.Uint16(d.bytes[2:])
		}
	}
}

// matches holds the totals of a connection against what was seen of it.
func (m *meter) matches(what string, p *peer) ConnStats {
	m.t.Helper()
	m.read()
	s, w := p.c.statsAt(m.now), m.traffic(p.key)
	if owner, owned := p.c.owner(); owned && owner != nobody {
		m.p.shards[owner].live[p.c.index].PublishStats() // what has come and gone since the last report
		before := s
		s = p.c.statsAt(m.now)
		if before.RTPIn != s.RTPIn || before.RTPOut != s.RTPOut {
			m.t.Errorf("%s: media of %+v and %+v counted a report ago, %+v and %+v now", what, before.RTPIn, before.RTPOut, s.RTPIn, s.RTPOut)
		}
	}
	for _, e := range []struct {
		name      string
		got, want conn.Tally
	}{
		{"RTP received", s.RTPIn, w.in.rtp}, {"RTP sent", s.RTPOut, w.out.rtp},
		{"RTCP received", s.RTCPIn, w.in.rtcp}, {"RTCP sent", s.RTCPOut, w.out.rtcp},
		{"DTLS received", s.DTLSIn, w.in.dtls}, {"DTLS sent", s.DTLSOut, w.out.dtls},
		{"checks", s.ChecksIn, w.in.stun}, {"answers", s.ChecksOut, w.out.stun},
		{"received", s.Received(), plus(plus(w.in.rtp, w.in.rtcp), plus(w.in.dtls, w.in.stun))},
		{"sent", s.Sent(), plus(plus(w.out.rtp, w.out.rtcp), plus(w.out.dtls, w.out.stun))},
	} {
		if e.got != e.want {
			m.t.Errorf("%s: %s: %+v counted, %+v on the wire", what, e.name, e.got, e.want)
		}
	}
	return s
}

// join makes p an established connection, counting.
func (m *meter) join(p *peer) {
	m.t.Helper()
	m.send(p, p.check(true))
	p.secure()
	m.settle()
	m.read()
	if len(p.events) != 1 || p.events[0].Kind != Established {
		m.t.Fatalf("events %v", p.events)
	}
}

// talk has a publisher and a viewer do all that connections do, for three seconds.
func (m *meter) talk(pub, v *peer) {
	for i := range 300 {
		m.seq++
		seq := m.seq
		packet := pub.rtp(1000, seq, 3000*uint32(seq), vp8(i == 0, byte(i)))
		switch i % 50 {
		case 10:
			m.send(pub, packet, packet) // twice
		case 20:
			forged := slices.Clone(packet)
			forged[len(forged)-1]++
			m.send(pub, forged, packet, []byte{0x80, 96, 1, 1}, pub.rtp(77777, seq, 1, vp8(false, 1)))
		case 30: // lost, and asked for
		default:
			m.send(pub, packet)
		}
		m.settle()
		if i%50 == 25 {
			ask := rtcp.AppendPLI(rtcp.AppendNACK(nil, 1, 5000, []uint16{m.traffic(v.key).seq - 3, m.traffic(v.key).seq - 2}), 1, 5000)
			m.send(v, v.compound(ask), v.compound(rtcp.AppendRR(nil, 1, nil)))
		}
		if i%100 == 40 {
			m.send(pub, pub.compound(rtcp.AppendSR(nil, rtcp.SR{SSRC: 1000, NTP: 1 << 40, RTPTime: 3000 * uint32(seq)}, nil)))
			m.send(pub, pub.check(true))
			m.send(v, v.check(true))
		}
		m.advance(10 * time.Millisecond)
		m.read()
	}
}

// move makes p go on by another way.
func (m *meter) move(p *peer, move func(*peer)) {
	t := m.traffic(p.key)
	move(p)
	m.read()
	m.by[p.key] = t
}

// statsOver runs a call whose viewer comes by ways, one after the other, and returns the totals of
// both when it has ended.
func statsOver(t *testing.T, ways ...func(*peer)) (pub, v ConnStats) {
	t.Helper()
	m := &meter{rig: newRig(t, 2, nil), by: map[flow.Key]*traffic{}}
	p, w := m.open(0, pathA), m.open(1, pathB)
	track := p.publish(videoIn)
	m.join(p)
	w.c.Subscribe(videoOut(track, 5000))
	for i, way := range ways {
		m.move(w, way)
		if i == 0 {
			m.join(w)
			m.matches("a viewer who has just joined", w)
			w.c.Records(0, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
			m.talk(p, w)
			continue
		}
		m.advance(time.Second)
		m.send(w, w.check(true), []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
		m.settle()
		m.talk(p, w)
	}
	m.advance(2 * time.Second) // past the next reports
	m.matches("the publisher", p)
	m.matches("the viewer", w)
	p.c.Close()
	w.c.Close()
	m.settle()
	m.matches("the publisher at its end", p)
	m.matches("the viewer at its end", w)
	m.advance(2 * lingerTime)
	pub, v = m.matches("the publisher long after", p), m.matches("the viewer long after", w)
	m.finish()
	return pub, v
}

func directly(k flow.Key, shard int) func(*peer) { return func(p *peer) { p.to(k, shard) } }

func throughRelay(bind uint16) func(*peer) {
	return func(p *peer) {
		v := p.over(key("192.0.2.1", "10.0.0.8:7000"), 0, 0, 0)
		if bind != 0 {
			v.bind(bind)
		}
		p.via(v)
	}
}

func TestTotalsAreWhatWentOverTheWire(t *testing.T) {
	pub, v := statsOver(t, directly(pathB, 1))
	if pub.Decrypted.Packets != 294 || pub.AuthFailures != 6 || pub.Replayed != 6 {
		t.Errorf("%d decrypted, %d forged, %d replayed; want 294, 6 and 6", pub.Decrypted.Packets, pub.AuthFailures, pub.Replayed)
	}
	if got := v.RTCPKindsIn; got[rtcp.KindNACK] != 6 || got[rtcp.KindPLI] != 6 || got[rtcp.KindRR] != 6 || v.NACKsIn != 12 {
		t.Errorf("of the viewer's requests %v by kind, %d packets asked for", got, v.NACKsIn)
	}
	if pub.Missing == 0 || pub.RTCPKindsOut[rtcp.KindNACK] == 0 || pub.NACKsOut < pub.Missing {
		t.Errorf("%d packets are missing, %d NACKs for %d were sent", pub.Missing, pub.RTCPKindsOut[rtcp.KindNACK], pub.NACKsOut)
	}
	if v.RTXOut == 0 || v.RTCPKindsOut[rtcp.KindSR] == 0 || v.RTCPKindsOut[rtcp.KindSDES] == 0 || pub.RTCPKindsOut[rtcp.KindRR] == 0 {
		t.Errorf("sent: %d packets again; to the viewer %v, to the publisher %v", v.RTXOut, v.RTCPKindsOut, pub.RTCPKindsOut)
	}
	if v.DTLSOut.Packets == 0 || v.Transport != TransportUDP || v.TURN != (turnsrv.Stats{}) || v.ChannelDataOut+v.IndicationsOut != 0 {
		t.Errorf("%+v", v)
	}
}

func TestTotalsOfAPeerThatRoamsAreCountedOnce(t *testing.T) {
	_, v := statsOver(t, directly(pathB, 1), directly(key("192.0.2.1", "10.0.0.9:7000"), 0))
	if v.DTLSIn.Packets != 1 || v.ChecksIn.Packets != 8 {
		t.Errorf("%d records, %d checks", v.DTLSIn.Packets, v.ChecksIn.Packets)
	}
}

func TestTotalsThroughARelay(t *testing.T) {
	for name, channel := range map[string]uint16{"on a channel": 0x4001, "in indications": 0} {
		t.Run(name, func(t *testing.T) {
			_, v := statsOver(t, throughRelay(channel))
			n := v.TURN
			if n[turnsrv.AllocateRequest] != 1 || n[turnsrv.AllocateSuccess] != 1 || n[turnsrv.CreatePermissionSuccess] != 1 {
				t.Errorf("TURN requests: %v", n)
			}
			in, out := n[turnsrv.SendIndication], v.IndicationsOut
			if channel != 0 {
				in, out = n[turnsrv.ChannelDataSent], v.ChannelDataOut
			}
			if in != v.Received().Packets || out != v.Sent().Packets || v.ChannelDataOut != 0 && v.IndicationsOut != 0 {
				t.Errorf("%d relayed to us of %d, %d by us of %d", in, v.Received().Packets, out, v.Sent().Packets)
			}
			if v.RelayedChecks != v.ChecksIn.Packets || v.RelayedSuccesses != v.ChecksOut.Packets || v.RelayedFailures != 0 {
				t.Errorf("%d checks by the relay of %d, %d answers", v.RelayedChecks, v.ChecksIn.Packets, v.RelayedSuccesses)
			}
		})
	}
}

func TestTotalsOverTCPAreWhatTheStreamTook(t *testing.T) {
	var pipe *testPipe
	over := func(p *peer) {
		var k flow.Key
		pipe, k = p.r.stream(flow.FramedStream, "192.0.2.1", p.r.remoteOn(1, 0), false)
		p.to(k, 1)
	}
	_, v := statsOver(t, over)
	if v.Transport != TransportTCP || v.RTPOut.Packets == 0 {
		t.Errorf("%+v", v)
	}

	m := &meter{rig: newRig(t, 2, nil), by: map[flow.Key]*traffic{}}
	pub, w := m.open(0, pathA), m.open(1, pathB)
	track := pub.publish(videoIn)
	m.join(pub)
	m.move(w, over)
	w.c.Subscribe(videoOut(track, 5000))
	m.join(w)
	for i := range uint16(40) {
		pipe.refuse[1], pipe.refuse[2] = i >= 10 && i < 20, i >= 10 && i < 20 // media
		m.send(pub, pub.rtp(1000, i, 3000*uint32(i), vp8(i%30 == 0, 1)))
		m.settle()
		m.advance(10 * time.Millisecond)
	}
	w.c.Close()
	m.settle()
	if s := m.matches("a viewer whose stream was full", w); s.RTPOut.Packets == 0 || s.RTPOut.Packets > 35 {
		t.Errorf("%d packets sent", s.RTPOut.Packets)
	}
	m.finish()
}

func TestConnectionThatNobodyEverOwnedHasTotals(t *testing.T) {
	m := &meter{rig: newRig(t, 2, nil), by: map[flow.Key]*traffic{}}
	p := m.open(0, pathA)
	p.c.counted.opened = m.now
	m.send(p, p.check(false))
	p.shard = 1
	m.send(p, p.check(false))
	m.settle()
	s := m.matches("a connection without nomination", p)
	if s.ChecksIn.Packets != 2 || s.ChecksOut.Packets != 2 {
		t.Errorf("%+v", s)
	}
	p.c.counted.opened = 0
	p.c.Close()
	m.settle()
	m.matches("when it is closed", p)
	m.finish()
}

func TestCheckingLastsUntilTheFirstNomination(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.c.counted.opened = r.now
	r.advance(300 * time.Millisecond)
	r.deliver(0, p.key, p.check(false))
	if d := p.c.statsAt(r.now).Checking; d != 300*time.Millisecond {
		t.Errorf("%v while it lasts", d)
	}
	r.advance(200 * time.Millisecond)
	r.deliver(0, p.key, p.check(true))
	p.secure()
	r.settle()
	r.advance(time.Second)
	r.deliver(0, p.key, p.check(true))
	if d := p.c.statsAt(r.now).Checking; d != 500*time.Millisecond {
		t.Errorf("%v, it lasted 500 ms", d)
	}
	p.c.Close()
	r.settle()
	if d := p.c.statsAt(r.now.Add(time.Hour)).Checking; d != 500*time.Millisecond {
		t.Errorf("%v at the end, it lasted 500 ms", d)
	}
	r.finish()
}

func TestTimeWithoutAWordOfThePeerAddsUp(t *testing.T) {
	c := newCall(t, 1, []int{0}, watchful)
	v := c.viewers[0]
	gone := func() time.Duration { return v.c.statsAt(c.now).Disconnected }
	c.pubAlive(6 * time.Second)
	if d := gone(); d != 0 {
		t.Errorf("%v before anything is silent", d)
	}
	c.pubAlive(10 * time.Second) // of which the last 9 s or so are silence
	before := gone()
	if before < 8*time.Second || before > 9*time.Second {
		t.Errorf("%v, want 8 to 9 s", before)
	}
	c.pubAlive(20 * time.Second) // beyond consent
	if d := gone(); d != before+20*time.Second {
		t.Errorf("%v, want 20 s more than %v", d, before)
	}
	c.deliver(0, v.key, v.check(true))
	first := gone()
	c.pass(time.Second)
	if d := gone(); d != first {
		t.Errorf("%v, but the peer was heard at %v", d, first)
	}
	c.pubAlive(15 * time.Second) // of which it is silent for longer than is usual with it in the last ones
	v.c.Close()
	c.settle()
	end := gone()
	if end < first+2*time.Second || end > first+4*time.Second {
		t.Errorf("%v after a second silence of 3 s or so; the first was %v", end, first)
	}
	c.now = c.now.Add(time.Hour)
	if d := gone(); d != end {
		t.Errorf("%v long after the end, %v then", d, end)
	}
	c.finish()
}

// Readers see totals that never go back and belong together while the shard writes them.
func TestTotalsMayBeReadAtAnyTime(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	v := c.viewers[0]
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var last ConnStats
			for {
				s := v.c.Stats()
				if s.RTPOut.Packets < last.RTPOut.Packets || s.RTPOut.Bytes < last.RTPOut.Bytes || s.ChecksIn.Packets < last.ChecksIn.Packets {
					t.Errorf("%+v after %+v", s, last)
				}
				// All packets of this call are of one size.
				if n := s.RTPOut; n.Packets != 0 && n.Bytes%n.Packets != 0 {
					t.Errorf("%d bytes of %d packets", n.Bytes, n.Packets)
				}
				last = s
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 2000 {
		c.frame(i == 0)
		v.c.plane.shards[0].live[v.c.index].PublishStats()
		c.take()
	}
	v.c.Close()
	c.settle()
	close(done)
	readers.Wait()
	if n := v.c.Stats().RTPOut.Packets; n != 2000 {
		t.Errorf("%d packets in the end", n)
	}
	c.finish()
}

func TestPublishingTotalsAllocatesNothing(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	l := c.p.shards[0].live[c.viewers[0].c.index]
	buf := make([]byte, 0, 16<<10)
	if n := testing.AllocsPerRun(100, func() {
		l.PublishStats()
		s := c.viewers[0].c.statsAt(c.now)
		buf = s.AppendJSON(buf[:0])
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	c.finish()
}

func TestStatsAsJSON(t *testing.T) {
	pub, v := statsOver(t, throughRelay(0x4001))
	var got map[string]map[string]uint64
	if err := json.Unmarshal(v.AppendJSON(nil), &got); err != nil {
		t.Fatalf("%v in %s", err, v.AppendJSON(nil))
	}
	for _, e := range []struct {
		path string
		want uint64
	}{
		{"rtp.total_received_bytes", v.Received().Bytes}, {"rtp.total_sent_bytes", v.Sent().Bytes},
		{"rtp.total_received_packets", v.Received().Packets}, {"rtp.total_sent_packets", v.Sent().Packets},
		{"rtp.total_sent_rtp", v.RTPOut.Packets}, {"rtp.total_sent_rtp_byte_size", v.RTPOut.Bytes},
		{"rtp.total_received_rtcp", v.RTCPIn.Packets},
		{"rtp.total_received_rtcp_rtpfb_generic_nack", 6}, {"rtcp.total_received_rtcp_rtpfb_generic_nack", 6},
		{"rtcp.total_received_rtcp_psfb_pli", 6}, {"rtcp.total_sent_rtcp_sr", v.RTCPKindsOut[rtcp.KindSR]},
		{"srtp.total_sent_srtp", v.RTPOut.Packets}, {"dtls.total_sent_dtls", v.DTLSOut.Packets},
		{"ice.total_received_binding_request", v.ChecksIn.Packets},
		{"turn.total_received_allocate_request", 1}, {"turn.total_sent_channel_bind_success", 1},
		{"turn.total_received_channel_data", v.Received().Packets}, {"turn.total_sent_channel_data", v.Sent().Packets},
		{"turn.total_received_turn_binding_request", v.ChecksIn.Packets},
	} {
		group, leaf, _ := strings.Cut(e.path, ".")
		if n, ok := got[group][leaf]; !ok || n != e.want || n == 0 {
			t.Errorf("%s is %d, want %d", e.path, n, e.want)
		}
	}
	if err := json.Unmarshal(pub.AppendJSON(nil), &got); err != nil || got["srtp"]["total_authentication_failed"] != 6 || got["rtp"]["total_received_rtp"] != pub.RTPIn.Packets {
		t.Errorf("the publisher's: %v, %v", err, got)
	}
	if _, ok := got["network"]["received_bitrate"]; !ok {
		t.Error("the publisher's bitrate is not said")
	}
	var none ConnStats
	if err := json.Unmarshal(none.AppendJSON([]byte("before")[6:]), &got); err != nil {
		t.Errorf("of no connection at all: %v", err)
	}
}

func TestDurationsNeverGoBelowZero(t *testing.T) {
	m := counted{opened: mono.Time(time.Hour)}
	m.nominated(mono.Time(time.Second))
	m.hears(mono.Time(time.Minute), false)
	m.hears(mono.Time(time.Second), true)
	if checking, silent := m.durations(mono.Time(time.Second)); checking != 0 || silent != 0 {
		t.Errorf("%v, %v", checking, silent)
	}
}
