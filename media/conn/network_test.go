package conn

import (
	"testing"
	"time"

	"tsubame/media/bwe"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

func TestGradesOfANetwork(t *testing.T) {
	for _, c := range []struct {
		name          string
		loss          uint8
		through, sent uint64
		silent        time.Duration
		want          uint8
	}{
		{"nothing sent", 0, 0, 0, 0, 0},
		{"all arrives", 0, 1000, 1000, 0, 0},
		{"2 % lost", 5, 1000, 1000, 0, 0},
		{"4 % lost", 10, 1000, 1000, 0, 1},
		{"10 % lost", 26, 1000, 1000, 0, 2},
		{"all lost", 255, 1000, 1000, 0, 3},
		{"80 % gets through", 0, 800, 1000, 0, 1},
		{"half gets through", 0, 500, 1000, 0, 2},
		{"a third gets through", 0, 333, 1000, 0, 3},
		{"2 s without feedback", 0, 1000, 1000, 2 * time.Second, 1},
		{"3 s without feedback", 0, 1000, 1000, 3 * time.Second, 2},
		{"5 s without feedback", 0, 1000, 1000, 5 * time.Second, 3},
		{"the worst counts", 10, 333, 1000, 2 * time.Second, 3},
	} {
		if got := grade(c.loss, c.through, c.sent, c.silent); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestWhatGetsThrough(t *testing.T) {
	const sent = 2_000_000
	for name, c := range map[string]struct {
		st   bwe.Stats
		want uint64
	}{
		"nothing known":                      {bwe.Stats{Target: 300_000}, sent},
		"between frames":                     {bwe.Stats{Target: 300_000, Acked: 1_000_000}, sent},
		"a queue grows":                      {bwe.Stats{Target: 300_000, Acked: 1_000_000, State: bwe.Overuse}, 1_000_000},
		"packets are lost":                   {bwe.Stats{Target: 300_000, Acked: 1_000_000, Loss: 20}, 1_000_000},
		"packets are lost, but not for that": {bwe.Stats{Target: 5_000_000, Acked: 1_000_000, Loss: 20}, 5_000_000},
	} {
		if got := gettingThrough(&c.st, sent); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestLevelRisesWithTheSecondGradeAndFallsSlowly(t *testing.T) {
	var s stability
	for i, step := range []struct{ grade, want uint8 }{
		{2, 0}, {0, 0}, {2, 0}, // one at a time is nothing
		{3, 2},         // two: as much as both say
		{2, 2},         //
		{3, 2}, {3, 3}, //
		{0, 3}, {0, 3}, {0, 3}, {0, 3}, {0, 2}, // five below: one less
		{0, 2}, {2, 2}, // back before
		{1, 2}, {0, 2}, {1, 2}, {0, 2}, {1, 1},
		{0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 0}, {0, 0},
	} {
		if s.take(step.grade); s.level != step.want {
			t.Fatalf("step %d: level %d, want %d", i, s.level, step.want)
		}
	}
}

// wideWatch is watch with transport-wide sequence numbers.
func wideVideo(s *peer, ssrc uint32, id uint8, r *rig, pub *peer) {
	spec := watch(pub.publish(video), ssrc)
	spec.Extensions.TransportCC, spec.Feedback.TransportCC = id, true
	s.conn.Subscribe(&r.env, r.now, spec)
}

func TestOnlyWhoReceivesWithTransportWideNumbersIsEstimated(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	plain := r.connect(2, srtp.AEAD_AES_128_GCM)
	wide := r.connect(3, srtp.AEAD_AES_128_GCM)
	plain.conn.Subscribe(&r.env, r.now, watch(pub.publish(video), 5000))
	other := r.connect(4, srtp.AEAD_AES_128_GCM)
	wideVideo(wide, 5000, 3, r, other)
	if pub.conn.out != nil || plain.conn.out != nil || wide.conn.out == nil {
		t.Errorf("publisher %v, viewer without the extension %v, with it %v", pub.conn.out != nil, plain.conn.out != nil, wide.conn.out != nil)
	}
}

// A lossy viewer says so in its reports: its level rises, and what it says reaches the statistics.
func TestLossByReportsMakesAConnectionUnstable(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	viewer := r.connect(2, srtp.AEAD_AES_128_GCM)
	viewer.conn.Network = new(Network)
	viewer.conn.Subscribe(&r.env, r.now, watch(pub.publish(video), 5000))
	for i := range 6 * 50 {
		r.now = r.now.Add(20 * time.Millisecond)
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 1800 * uint32(i), SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(i == 0, 1000)))
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		if i%50 == 49 {
			b := rtcp.ReportBlock{SSRC: 5000, FractionLost: 64, HighestSeq: uint32(i)}
			viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{b})))
		}
		viewer.conn.ICE.Validate(r.now, mustPath(t, viewer.conn))
		viewer.conn.Tick(&r.env, r.now)
		r.env.Out.Reset()
	}
	n := viewer.conn.Network
	if got := viewer.conn.Unstable(); got != 3 || n.Unstable.Load() != 3 {
		t.Errorf("level %d, in the statistics %d, want 3", got, n.Unstable.Load())
	}
	if loss := n.Loss.Load(); loss < 55 || loss > 65 {
		t.Errorf("loss %d/256, want about 64", loss)
	}
	if sent := n.Sent.Load(); sent < 390_000 || sent > 430_000 {
		t.Errorf("%d bit/s sent, want about 410,000", sent)
	}
	if n.Reports.Load() < 5 || n.Subscribed.Load() != 1 || n.Target.Load() != 0 {
		t.Errorf("reports %d, subscribed %d, target %d", n.Reports.Load(), n.Subscribed.Load(), n.Target.Load())
	}
}

// Row RTP-10: a report about more packets than there can be, or none, counts as none.
func TestReportsAboutImpossibleNumbersOfPacketsCountNothing(t *testing.T) {
	var q quality
	q.lossReported(0, 0)
	if q.loss != 0 {
		t.Errorf("loss %d of nothing", q.loss)
	}
	q.lossReported(255*1000, 1000)
	q.lossReported(1<<63, 1)
	if q.loss != 192 {
		t.Errorf("loss %d, want 192", q.loss)
	}
}
