package conn

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// steady holds that f, called with 0 to runs, allocates nothing.
func steady(t *testing.T, what string, runs int, f func(i int)) {
	t.Helper()
	i := 0
	n := testing.AllocsPerRun(runs, func() { f(i); i++ })
	if n != 0 && !raceEnabled {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	const runs = 300
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	viewer := r.connect(2, srtp.AEAD_AES_128_GCM)
	id := pub.publish(video)
	viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
	datagrams := make([][]byte, runs+3)
	for i := range datagrams {
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 3000 * uint32(i), SSRC: 1000}
		datagrams[i] = pub.packet(h, frame(i == 0, 1000))
	}
	pub.conn.HandleRTP(&r.env, r.now, datagrams[0])
	r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
	viewer.received()

	steady(t, "decrypt and receive", runs/2, func(i int) {
		r.now = r.now.Add(time.Millisecond)
		pub.conn.HandleRTP(&r.env, r.now, datagrams[1+i])
		r.route(nil)
	})
	steady(t, "munge and seal", runs/2-3, func(i int) {
		r.now = r.now.Add(time.Millisecond)
		pub.conn.HandleRTP(&r.env, r.now, datagrams[runs/2+2+i])
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		r.env.Out.Reset()
	})
	if n := r.env.Count.RTPOut.Load(); n < runs/2-3 {
		t.Fatalf("%d packets were sent", n)
	}
	forged := append([]byte(nil), datagrams[0]...)
	forged[len(forged)-1] ^= 1
	forged[3]++ // not a replay
	steady(t, "refuse", runs, func(int) {
		r.now = r.now.Add(time.Millisecond)
		pub.conn.HandleRTP(&r.env, r.now, forged)
		pub.conn.HandleRTP(&r.env, r.now, datagrams[1]) // a replay
		pub.conn.HandleRTP(&r.env, r.now, forged[:20])
	})
}

func TestControlPathAllocatesNothing(t *testing.T) {
	const runs = 100
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	viewer := r.connect(2, srtp.AEAD_AES_128_GCM)
	id := pub.publish(video)
	viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
	var last uint16
	for i := range 256 {
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(2 * i), Timestamp: 3000 * uint32(i), SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(i == 0, 1000)))
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		last = seqOf(viewer.received()[0])
	}
	nacks, reports := make([][]byte, runs+1), make([][]byte, runs+1)
	for i := range nacks {
		seq := last - 2*uint16(i) // every other one was never there
		nacks[i] = viewer.control(rtcp.AppendNACK(nil, 1, 5000, []uint16{seq, seq - 1}))
		compound := rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: 5000}})
		compound = rtcp.AppendPLI(compound, 1, 5000)
		compound = rtcp.AppendFIR(compound, 1, 5000, uint8(i))
		compound = rtcp.AppendREMB(compound, 1, 1e6, []uint32{5000})
		compound = rtcp.AppendXR(compound, 1, uint64(i+1)<<16, []rtcp.DLRR{{SSRC: senderSSRC, LastRR: 1, Delay: 1}})
		reports[i] = viewer.control(compound)
	}
	steady(t, "NACK service", runs, func(i int) {
		r.now = r.now.Add(5 * time.Millisecond)
		viewer.conn.HandleRTCP(&r.env, r.now, nacks[i])
		r.env.Out.Reset()
	})
	if n := r.env.Count.RTXOut.Load(); n < runs/2 {
		t.Fatalf("%d retransmissions", n)
	}
	steady(t, "reports and requests", runs, func(i int) {
		r.now = r.now.Add(5 * time.Millisecond)
		viewer.conn.HandleRTCP(&r.env, r.now, reports[i])
		r.env.KeyFrames = r.env.KeyFrames[:0]
	})
	sr := make([][]byte, runs+1)
	for i := range sr {
		sr[i] = pub.control(rtcp.AppendSR(nil, rtcp.SR{SSRC: 1000, NTP: uint64(i+1) << 32, RTPTime: 90000 * uint32(i)}, nil))
	}
	steady(t, "sender reports", runs, func(i int) {
		r.now = r.now.Add(5 * time.Millisecond)
		pub.conn.HandleRTCP(&r.env, r.now, sr[i])
	})
	steady(t, "feedback and reports of ours", runs, func(int) {
		r.now = r.now.Add(time.Second)
		r.env.NTP += 1 << 32
		pub.conn.ICE.Validate(r.now, mustPath(t, pub.conn))
		viewer.conn.ICE.Validate(r.now, mustPath(t, viewer.conn))
		if !pub.conn.Tick(&r.env, r.now) || !viewer.conn.Tick(&r.env, r.now) {
			t.Fatal("consent was lost")
		}
		r.env.Out.Reset()
	})
	if n := r.env.Count.RTCPOut.Load(); n < runs {
		t.Fatalf("%d compounds", n)
	}
}
