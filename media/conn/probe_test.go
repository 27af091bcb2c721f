package conn

import (
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/rtcp"
)

// stream sends frames of n packets for so long, with feedback of each viewer that is in reports
// every 50 ms.
func (r *paced) stream(d time.Duration, n int, reports ...*pacedViewer) {
	told := make([]int, len(reports))
	for i := range reports {
		told[i] = len(reports[i].got)
	}
	for i := 0; i < int(d/(10*time.Millisecond)); i++ {
		if i%3 == 0 {
			r.frame(false, n)
		}
		r.advance(10 * time.Millisecond)
		if i%5 == 4 {
			for j, v := range reports {
				told[j] = v.report(told[j])
			}
			r.collect()
		}
	}
}

func TestEstimatorIsServedWithProbesOfRecentMedia(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	r.stream(4*time.Second, 3, v)
	st := v.conn.out.est.Stats()
	if n := r.env.Count.Probes.Load(); n == 0 || st.Probes == 0 || st.Probed == 0 {
		t.Fatalf("%d clusters; the estimator: %+v", n, st)
	}
	if st.Target < 2_000_000 {
		t.Errorf("target %d on a network without a limit", st.Target)
	}
	probes := v.of(5001)
	if uint64(len(probes)) != r.env.Count.ProbePackets.Load() {
		t.Errorf("%d probes came, %d were sent", len(probes), r.env.Count.ProbePackets.Load())
	}
	sent := map[uint16]uint32{} // by the viewer's numbers, what packet it is
	for _, a := range v.of(5000) {
		sent[a.Seq] = binary.BigEndian.Uint32(a.payload[8:])
	}
	repeated := 0
	for i, a := range probes {
		if i > 0 && a.Seq != probes[i-1].Seq+1 {
			t.Errorf("RTX number %d follows %d", a.Seq, probes[i-1].Seq)
		}
		if len(a.payload) == 0 {
			continue
		}
		repeated++
		if what, ok := sent[binary.BigEndian.Uint16(a.payload)]; !ok || what != binary.BigEndian.Uint32(a.payload[10:]) {
			t.Fatalf("a probe repeats number %d, which was packet %d, as %d", binary.BigEndian.Uint16(a.payload), what, binary.BigEndian.Uint32(a.payload[10:]))
		}
	}
	if repeated == 0 {
		t.Error("no probe repeats media")
	}
	// What the estimator wanted it got: no cluster was given up.
	if v.conn.Network.Probes.Load() == 0 {
		t.Error("the statistics know of none")
	}
	v.conn.Close(&r.env, nil, nil)
	r.settled()
}

func TestProbesWithoutMediaToRepeatArePadding(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	v.conn.subs[0].info.HasRTX = false // as if there had been no room for another ring
	r.stream(2*time.Second, 3, v)
	probes := v.of(5001)
	if len(probes) == 0 {
		t.Fatal("no probes")
	}
	for _, a := range probes {
		if !a.Padded || a.Padding != maxPadding || len(a.payload) != 0 {
			t.Fatalf("%d bytes of payload, %d of padding", len(a.payload), a.Padding)
		}
	}
}

func TestThereIsNoProbeWithoutRTX(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	v.conn.Unsubscribe(&r.env, 5000)
	spec := watch(r.video, 6000)
	spec.RTXSSRC, spec.RTXType = 0, 0
	spec.Extensions.TransportCC, spec.Feedback.TransportCC = wideID, true
	v.conn.Subscribe(&r.env, r.now, spec)
	r.frame(true, 5)
	r.stream(3*time.Second, 3, v)
	if n := r.env.Count.ProbePackets.Load(); n != 0 {
		t.Errorf("%d probes", n)
	}
	if got := uint32(len(v.got)); got != r.serial {
		t.Errorf("%d packets came, want %d", got, r.serial)
	}
}

// Row RTP-10: what one viewer makes up about arrivals, rates and losses changes nothing for
// another, and its own estimate stays within the bounds.
func TestLiesOfOneViewerAffectOnlyItself(t *testing.T) {
	r := newPaced(t, 2)
	honest, liar := r.viewers[0], r.viewers[1]
	r.frame(true, 5)
	for i := range 20 {
		for seq := range 10 {
			liar.twcc.Record(r.now.Add(time.Duration(i*seq)*13*time.Millisecond), uint16(i*6551+seq*97))
		}
		b := liar.twcc.AppendFeedback(rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{
			{SSRC: 5000, FractionLost: 255, HighestSeq: uint32(i) << 24, LastSR: uint32(i), DelaySinceSR: 1 << 31},
		}), r.now, 1, 5000)
		b = rtcp.AppendREMB(b, 1, uint64(i%2)<<62, []uint32{5000})
		liar.conn.HandleRTCP(&r.env, r.now, liar.control(b))
		r.stream(150*time.Millisecond, 3, honest)
		if target := liar.conn.out.est.Target(); target < 50_000 || target > 100_000_000 {
			t.Fatalf("the liar's target is %d", target)
		}
	}
	if st := honest.conn.out.est.Stats(); st.Target < 1_500_000 || st.Loss != 0 {
		t.Errorf("the honest viewer: %+v", st)
	}
	for i, v := range r.viewers {
		if n := uint32(len(v.of(5000))); n != r.serial {
			t.Errorf("viewer %d got %d packets of %d", i, n, r.serial)
		}
	}
}

// What waits in the pacer is sent as the probe, before anything is repeated.
func TestProbesTakeWhatWaitsFirst(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	r.advance(50 * time.Millisecond)
	v.limit(100_000)
	r.frame(false, 60)
	waiting := v.conn.out.pace.Len()
	v.conn.out.probing = probing{began: r.now, slot: 0, before: v.conn.subs[0].stream.Next(), back: probeBack, next: r.now}
	v.conn.out.probing.Probe.Cluster, v.conn.out.probing.Rate = 1, 10_000_000
	v.conn.out.probing.Bytes, v.conn.out.probing.Packets = 12_000, 5
	v.conn.goOnProbing(&r.env, r.now)
	r.advance(10 * time.Millisecond)
	if n := r.env.Count.ProbePackets.Load(); n != 0 {
		t.Errorf("%d packets were sent for the probe alone", n)
	}
	if left := v.conn.out.pace.Len(); left > waiting-10 {
		t.Errorf("%d of %d still wait", left, waiting)
	}
}

// Row RTP-07: probes stay a small share of the media, whatever the estimator is made to wish for.
func TestProbesAreBoundedByTheMedia(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	for range 100 {
		// As if each cluster had found something, and another were wanted at once.
		for v.conn.out.allowance > 0 {
			before := v.conn.out.allowance
			v.conn.out.probing = probing{began: r.now, next: r.now, back: probeBack, before: v.conn.subs[0].stream.Next()}
			v.conn.out.probing.Probe.Cluster, v.conn.out.probing.Rate, v.conn.out.probing.Bytes = 1, 100_000_000, 10_000
			v.conn.goOnProbing(&r.env, r.now)
			r.collect()
			if v.conn.out.allowance == before {
				t.Fatal("nothing was sent")
			}
			r.now = r.now.Add(time.Millisecond)
		}
		r.stream(300*time.Millisecond, 3)
	}
	media := v.conn.subs[0].stream.Stats().Bytes
	if n := r.env.Count.ProbeBytes.Load(); n > media/4+2*probeAllowance || n < media/8 {
		t.Errorf("%d bytes of probes, %d of media", n, media)
	}
}

func TestNothingIsProbedWhileNoMediaIsSent(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	r.stream(3*time.Second, 3, v)
	r.advance(1500 * time.Millisecond) // to a report about a second without media
	before := r.env.Count.ProbePackets.Load()
	told := len(v.got)
	for range 400 {
		r.advance(50 * time.Millisecond)
		r.speak()
		told = v.report(told)
	}
	if n := r.env.Count.ProbePackets.Load() - before; n > 50 {
		t.Errorf("%d packets of probes with nothing but speech", n)
	}
}

func TestEstimateOfAnotherPathBeginsAnew(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 5)
	r.stream(4*time.Second, 3, v)
	before := v.conn.out.est.Target()
	v.conn.PathChanged()
	r.stream(50*time.Millisecond, 3, v)
	if target := v.conn.out.est.Target(); before < 2_000_000 || target > before*3/4 {
		t.Errorf("target %d, and on another path %d", before, target)
	}
	r.stream(4*time.Second, 3, v)
	if target := v.conn.out.est.Target(); target < 2_000_000 {
		t.Errorf("target %d four seconds later", target)
	}
}
