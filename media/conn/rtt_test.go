package conn

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
)

// sent opens what was queued of RTCP for the peer, packet by packet, and empties the queue.
func (p *peer) sent() (packets []rtcp.Packet) {
	p.r.t.Helper()
	for i := range p.r.env.Out.Len() {
		_, b := p.r.env.Out.Packet(i)
		if !rtp.IsRTCP(b) {
			continue
		}
		var buf [mmsg.SlotSize]byte
		n, err := p.session.OpenRTCP(buf[:], b)
		if err != nil {
			p.r.t.Fatalf("the peer cannot open what it was sent: %v", err)
		}
		r := rtcp.NewReader(append([]byte(nil), buf[:n]...))
		for q, ok := r.Next(); ok; q, ok = r.Next() {
			packets = append(packets, q)
		}
		if r.Err() != nil {
			p.r.t.Fatal(r.Err())
		}
	}
	p.r.env.Out.Reset()
	return packets
}

// references returns our reference time in what was sent, 0 for none, and those returned.
func references(t *testing.T, packets []rtcp.Packet) (ntp uint64, returned []rtcp.DLRR) {
	t.Helper()
	for _, q := range packets {
		if q.Kind() != rtcp.KindXR {
			continue
		}
		x, err := q.XR()
		if err != nil || x.Sender != senderSSRC {
			t.Fatalf("%+v, %v", x, err)
		}
		for b, ok := x.Next(); ok; b, ok = x.Next() {
			if at, ok := b.ReferenceTime(); ok {
				ntp = at
			}
			for i := range b.Len() {
				returned = append(returned, b.At(i))
			}
		}
	}
	return ntp, returned
}

// turn lets time pass, and the connection do what is due.
func (r *rig) turn(c *Conn, d time.Duration) {
	r.now = r.now.Add(d)
	r.env.NTP += uint64(d) << 32 / uint64(time.Second)
	c.Tick(&r.env, r.now)
}

// A publisher that is sent nothing: only its answers to our reference times tell the round trip.
func TestRoundTripToOneWhoOnlySends(t *testing.T) {
	r := newRig(t)
	r.env.NTP = 0xDA8BD1FC_DDDDA05A
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	pub.publish(video)
	const rtt, held = 140 * time.Millisecond, 300 * time.Millisecond
	for i := range uint16(20) {
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, Seq: i, SSRC: 1000}, frame(i == 0, 100)))
		r.route(nil)
		r.turn(pub.conn, reportInterval)
		ntp, _ := references(t, pub.sent())
		if ntp != r.env.NTP {
			t.Fatalf("reference time %#x, want %#x", ntp, r.env.NTP)
		}
		r.turn(pub.conn, rtt+held)
		e := rtcp.DLRR{SSRC: senderSSRC, LastRR: uint32(ntp >> 16), Delay: uint32(held << 16 / time.Second)}
		pub.conn.HandleRTCP(&r.env, r.now, pub.control(rtcp.AppendXR(nil, 1000, 0, []rtcp.DLRR{e})))
	}
	if got := pub.conn.rtt.Smoothed(); (got - rtt).Abs() > time.Millisecond {
		t.Errorf("a round trip takes %v, want %v", got, rtt)
	}
	if n := r.env.Count.RTCPBad.Load(); n != 0 {
		t.Errorf("%d compounds counted as malformed", n)
	}
}

// Row RTP-10.
func TestRoundTripsThatCannotBeAreNotBelieved(t *testing.T) {
	r := newRig(t)
	r.env.NTP = 1 << 48
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	pub.publish(video)
	pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 96, SSRC: 1000}, frame(true, 100)))
	r.route(nil)
	r.turn(pub.conn, reportInterval)
	ntp, _ := references(t, pub.sent())
	if ntp == 0 {
		t.Fatal("no reference time")
	}
	last := uint32(ntp >> 16)
	r.turn(pub.conn, 100*time.Millisecond)
	for name, e := range map[string]rtcp.DLRR{
		"a reference never sent": {SSRC: senderSSRC, LastRR: last + 1},
		"of another's":           {SSRC: 1000, LastRR: last},
		"none":                   {SSRC: senderSSRC},
		"held for longer":        {SSRC: senderSSRC, LastRR: last, Delay: 1 << 16},
		"held for ever":          {SSRC: senderSSRC, LastRR: last, Delay: 1<<32 - 1},
	} {
		pub.conn.HandleRTCP(&r.env, r.now, pub.control(rtcp.AppendXR(nil, 1000, 0, []rtcp.DLRR{e})))
		if pub.conn.rtt.Known() {
			t.Fatalf("%s: believed", name)
		}
	}
	pub.conn.HandleRTCP(&r.env, r.now, pub.control([]byte{0x80, rtcp.TypeXR, 0, 2, 0, 0, 0, 1, rtcp.BlockRRTR, 0, 0, 9}))
	if n := r.env.Count.RTCPBad.Load(); n != 1 {
		t.Errorf("%d compounds counted as malformed, want 1", n)
	}
}

// One who only receives learns the round trip in the same way.
func TestReferenceTimesOfThePeerAreReturned(t *testing.T) {
	r := newRig(t)
	viewer := r.connect(2, srtp.AEAD_AES_128_GCM)
	r.turn(viewer.conn, reportInterval)
	if ntp, returned := references(t, viewer.sent()); ntp != 0 || returned != nil {
		t.Fatalf("before it asked: %#x, %v", ntp, returned)
	}
	for i := range maxReferences + 2 { // the last two have no room
		viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendXR(nil, uint32(7+i), 5<<16, nil)))
	}
	viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendXR(nil, 7, 6<<16, nil)))
	r.turn(viewer.conn, reportInterval)
	ntp, returned := references(t, viewer.sent())
	if ntp != 0 || len(returned) != maxReferences || returned[0] != (rtcp.DLRR{SSRC: 7, LastRR: 6, Delay: 1 << 16}) ||
		returned[1] != (rtcp.DLRR{SSRC: 8, LastRR: 5, Delay: 1 << 16}) {
		t.Errorf("%#x, %+v", ntp, returned)
	}
	r.turn(viewer.conn, reportInterval)
	if _, returned := references(t, viewer.sent()); returned != nil {
		t.Errorf("returned again: %+v", returned)
	}
}
