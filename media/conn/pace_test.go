package conn

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/pace"
	"tsubame/media/param"
	"tsubame/media/rtcp"
)

func TestKeyFrameIsSpreadForAViewerAndOrdinaryFramesAreNot(t *testing.T) {
	r := newPaced(t, 2)
	slow, fast := r.viewers[0], r.viewers[1]
	slow.limit(500_000)
	fast.conn.out.pace.SetRate(200_000_000, 400_000)
	r.frame(true, 60)
	if n := len(fast.got); n != 60 {
		t.Errorf("%d packets left for the fast viewer at once, want all", n)
	}
	if n := len(slow.got); n < 10 || n > 12 {
		t.Errorf("%d packets left for the slow viewer at once, want a burst of about 10", n)
	}
	began := r.now
	r.advance(pace.MaxWait + 2*time.Millisecond)
	got := slow.of(5000)
	if len(got) != 60 {
		t.Fatalf("%d packets came", len(got))
	}
	// 68 kB at 1.25 Mbit/s would take longer than anything may wait.
	if took := got[59].at.Sub(began); took < 50*time.Millisecond || took > pace.MaxWait {
		t.Errorf("the last one left after %v", took)
	}
	for i := 1; i < 60; i++ {
		if got[i].Seq != got[i-1].Seq+1 || binary.BigEndian.Uint32(got[i].payload[8:]) != uint32(i+1) {
			t.Fatalf("packet %d is number %d, payload %d", i, got[i].Seq, binary.BigEndian.Uint32(got[i].payload[8:]))
		}
	}
	// 30 frames of 3 packets a second are 0.8 Mbit/s.
	slow.conn.quality.media = 800_000
	slow.conn.retune()
	for range 60 {
		r.advance(33 * time.Millisecond)
		before := len(slow.got)
		r.frame(false, 3)
		if n := len(slow.got) - before; n != 3 {
			t.Fatalf("%d packets of an ordinary frame of 3 left at once", n)
		}
	}
	if n := slow.conn.Network.Queued.Load(); n != 0 {
		t.Errorf("%d packets waited in the last second", n)
	}
	for _, v := range r.viewers {
		v.conn.Close(&r.env, nil, nil)
	}
	r.settled()
}

func TestFirstKeyFrameOfAFreshViewerIsHardlySlowed(t *testing.T) {
	r := newPaced(t, 1)
	r.frame(true, 50)
	r.advance(30 * time.Millisecond)
	if n := len(r.viewers[0].of(5000)); n != 50 {
		t.Errorf("%d packets of 50 came within 30 ms", n)
	}
}

func TestAudioDoesNotWaitBehindVideo(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	v.limit(500_000)
	r.frame(true, 100)
	if v.conn.out.pace.Len() == 0 {
		t.Fatal("nothing waits")
	}
	for i := range 3 {
		r.speak()
		if n := len(v.of(7000)); n != i+1 {
			t.Errorf("%d packets of audio came, want %d", n, i+1)
		}
		r.advance(5 * time.Millisecond)
	}
	r.advance(pace.MaxWait)
	if n := len(v.of(5000)); n != 100 {
		t.Errorf("%d packets of video came", n)
	}
}

func TestRetransmissionsLeaveBeforeVideoThatWaits(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 40)
	r.advance(200 * time.Millisecond)
	asked := v.of(5000)[10].Seq
	v.limit(1_000_000)
	r.frame(false, 60)
	waiting := v.conn.out.pace.Len()
	before := len(v.got)
	v.conn.HandleRTCP(&r.env, r.now, v.control(rtcp.AppendNACK(nil, 1, 5000, []uint16{asked})))
	r.collect()
	if n := v.conn.out.pace.Len(); n != waiting+1 {
		t.Fatalf("%d packets wait, want %d", n, waiting+1)
	}
	r.advance(pace.MaxWait)
	if first := v.got[before]; first.SSRC != 5001 || binary.BigEndian.Uint16(first.payload) != asked {
		t.Errorf("what left first is of %d", first.SSRC)
	}
	if n := len(v.of(5000)); n != 100 {
		t.Errorf("%d packets of video came", n)
	}
}

func TestWhatWaitsIsLetGoOf(t *testing.T) {
	for name, end := range map[string]func(*paced, *pacedViewer){
		"by Unsubscribe": func(r *paced, v *pacedViewer) { v.conn.Unsubscribe(&r.env, 5000) },
		"by Close":       func(r *paced, v *pacedViewer) { v.conn.Close(&r.env, nil, nil) },
		"with the consent": func(r *paced, v *pacedViewer) {
			r.now = r.now.Add(param.ConsentTimeout + time.Second)
			if v.conn.Tick(&r.env, r.now) {
				r.t.Error("there is consent yet")
			}
		},
		"by Abandon": func(r *paced, v *pacedViewer) { v.conn.Abandon(&r.env) },
		"at the track's end": func(r *paced, v *pacedViewer) {
			v.conn.Dropped(0)
			before := len(v.got)
			r.advance(pace.MaxWait)
			if n := len(v.got) - before; n != 0 {
				r.t.Errorf("%d packets of a track that has ended were sent", n)
			}
			if n := r.env.Count.PacedDropped.Load(); n == 0 {
				r.t.Error("paced_dropped is 0")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPaced(t, 1)
			v := r.viewers[0]
			v.limit(500_000)
			r.frame(true, 100)
			if v.conn.out.pace.Len() < 50 {
				t.Fatal("nothing waits")
			}
			end(r, v)
			if n := v.conn.out.pace.Len(); n != 0 {
				t.Errorf("%d still wait", n)
			}
			r.settled()
		})
	}
}

// Another stream in the same place of the connection gets nothing of the former one's.
func TestPlaceOfAnEndedStreamIsUsedAgain(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	v.limit(500_000)
	r.frame(true, 100)
	v.conn.Unsubscribe(&r.env, 5000)
	v.watch(r.video, 6000)
	r.advance(pace.MaxWait)
	if n := len(v.of(6000)); n != 0 {
		t.Errorf("%d packets of the former stream", n)
	}
	r.frame(true, 5)
	r.advance(pace.MaxWait)
	if n := len(v.of(6000)); n != 5 {
		t.Errorf("%d packets of 5", n)
	}
}

func TestFullPacerSendsTheOldestAheadOfItsTime(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	v.limit(500_000)
	r.frame(true, 5)
	for range 20 {
		r.frame(false, 32)
	}
	early := r.env.Count.PacedEarly.Load()
	if n := v.conn.out.pace.Len(); n != pace.MaxItems || early == 0 {
		t.Errorf("%d wait, %d left early", n, early)
	}
	r.advance(pace.MaxWait)
	got := v.of(5000)
	if len(got) != 645 {
		t.Fatalf("%d packets came, want 645", len(got))
	}
	for i, a := range got {
		if binary.BigEndian.Uint32(a.payload[8:]) != uint32(i+1) {
			t.Fatalf("packet %d came as number %d", binary.BigEndian.Uint32(a.payload[8:]), i+1)
		}
	}
}

// A retransmission that has waited while its number became another packet's, or nobody's, is not
// sent.
func TestRetransmissionOfAStreamThatBeganAnewIsNotSent(t *testing.T) {
	r := newPaced(t, 1)
	v := r.viewers[0]
	r.frame(true, 20)
	r.advance(100 * time.Millisecond)
	v.limit(100_000)
	r.frame(false, 60)
	v.conn.HandleRTCP(&r.env, r.now, v.control(rtcp.AppendNACK(nil, 1, 5000, []uint16{v.of(5000)[10].Seq})))
	v.conn.subs[0].stream.Retarget()
	r.advance(pace.MaxWait)
	if n := len(v.of(5001)); n != 0 {
		t.Errorf("%d retransmissions", n)
	}
	if n := r.env.Count.PacedDropped.Load(); n != 1 {
		t.Errorf("paced_dropped %d", n)
	}
}

// With any schedule the packets of a stream leave in order, and each once.
func TestPacingLosesAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newPaced(t, 2)
		r.frame(true, 1)
		asked := 0
		rt.Repeat(map[string]func(*rapid.T){
			"frame": func(rt *rapid.T) { r.frame(false, rapid.IntRange(1, 80).Draw(rt, "packets")) },
			"audio": func(*rapid.T) { r.speak() },
			"time": func(rt *rapid.T) {
				r.advance(time.Duration(rapid.IntRange(1, 60_000).Draw(rt, "us")) * time.Microsecond)
			},
			"estimate": func(rt *rapid.T) {
				r.viewers[rapid.IntRange(0, 1).Draw(rt, "viewer")].limit(rapid.Uint64Range(50_000, 20_000_000).Draw(rt, "bitrate"))
			},
			"nack": func(rt *rapid.T) {
				v := r.viewers[rapid.IntRange(0, 1).Draw(rt, "viewer")]
				got := v.of(5000)
				a := got[rapid.IntRange(max(0, len(got)-100), len(got)-1).Draw(rt, "packet")]
				v.conn.HandleRTCP(&r.env, r.now, v.control(rtcp.AppendNACK(nil, 1, 5000, []uint16{a.Seq, a.Seq - 1})))
				r.collect()
				asked++
			},
		})
		r.advance(pace.MaxWait + 2*time.Millisecond)
		for _, v := range r.viewers {
			got := v.of(5000)
			if uint32(len(got)) != r.serial {
				rt.Fatalf("%d packets of %d came", len(got), r.serial)
			}
			for i, a := range got {
				if binary.BigEndian.Uint32(a.payload[8:]) != uint32(i+1) || a.Seq != got[0].Seq+uint16(i) {
					rt.Fatalf("packet %d came as number %d, with sequence number %d", binary.BigEndian.Uint32(a.payload[8:]), i+1, a.Seq-got[0].Seq)
				}
			}
			if n := len(v.of(7000)); n != int(r.voice) {
				rt.Fatalf("%d packets of audio of %d came", n, r.voice)
			}
			wide := uint16(0)
			for i, a := range v.got {
				if i > 0 && a.wide != wide+1 || !a.hasWide {
					rt.Fatalf("transport-wide number %d follows %d", a.wide, wide)
				}
				wide = a.wide
			}
			if n := len(v.of(5001)); n > 2*asked {
				rt.Fatalf("%d retransmissions, but %d were asked for", n, 2*asked)
			}
			v.conn.Close(&r.env, nil, nil)
		}
		r.settled()
	})
}

func TestPacingAndFeedbackAllocateNothing(t *testing.T) {
	const runs = 40
	r := newPaced(t, 1)
	v := r.viewers[0]
	var feedback [][]byte
	frames := make([][][]byte, runs+2)
	round := func(i int) {
		for _, d := range frames[i] {
			r.now = r.now.Add(10 * time.Microsecond)
			r.pub.conn.HandleRTP(&r.env, r.now, d)
		}
		r.route(func(run []Packet) { v.conn.Send(&r.env, r.now, 0, run) })
		r.env.Out.Reset()
		for v.conn.out.pace.Len() > 0 {
			r.now = max(r.now, v.conn.out.pace.Deadline())
			v.conn.Tick(&r.env, r.now)
			r.env.Out.Reset()
		}
		v.conn.ICE.Validate(r.now, mustPath(t, v.conn))
		r.env.Paced = r.env.Paced[:0]
		r.env.KeyFrames = r.env.KeyFrames[:0]
	}
	for i := range frames {
		for j := range 30 {
			r.seq++
			b := frame(i == 0 && j == 0, 1100)
			frames[i] = append(frames[i], r.pub.packet(headerOf(r.seq, uint32(i)), b))
		}
	}
	round(0)
	v.limit(500_000)
	var twcc uint16
	steady(t, "pacing", runs, func(i int) { round(1 + i) })
	if n := r.env.Count.Paced.Load(); n < 10*runs {
		t.Fatalf("%d packets waited", n)
	}
	now := r.now
	for range runs + 1 {
		now = now.Add(50 * time.Millisecond)
		for range 10 {
			twcc++
			v.twcc.Record(now, twcc)
		}
		feedback = append(feedback, v.control(v.twcc.AppendFeedback(rtcp.AppendRR(nil, 1, nil), now, 1, 5000)))

	}
	steady(t, "feedback", runs, func(i int) {
		r.now = r.now.Add(50 * time.Millisecond)
		v.conn.HandleRTCP(&r.env, r.now, feedback[i])
		v.conn.Tick(&r.env, r.now)
		v.conn.ICE.Validate(r.now, mustPath(t, v.conn))
		r.env.Out.Reset()
	})
	if n := v.conn.out.est.Stats().Feedbacks; n < runs {
		t.Fatalf("%d feedback messages were taken", n)
	}

}
