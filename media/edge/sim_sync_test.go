package edge

import (
	"fmt"
	"testing"
	"time"

	"tsubame/media/param"
)

// An hour of a call whose clocks drift, over networks that lose and delay reports as anything
// else: what was heard and seen at one instant is said by our sender reports to be of one instant,
// to within 20 ms, at any time.
func TestAudioAndVideoStayInStepForAnHour(t *testing.T) {
	bad := simNet{Delay: 40 * time.Millisecond, Jitter: 120 * time.Millisecond, Loss: 0.1, Burst: 3}
	for _, drift := range []int{100, -100} {
		for _, sound := range []int{0, 100, -100} {
			t.Run(fmt.Sprintf("%d and %d ppm", drift, sound), func(t *testing.T) {
				t.Parallel()
				plan := &simPlan{seed: uint64(1000 + drift + 7*sound), shards: 2, peers: []simPeerPlan{
					{Video: true, Audio: true, FPS: 2, Size: 40, Ptime: 500 * time.Millisecond, TWCC: true, Drift: drift,
						AudioDrift: sound, AudioReports: 5, Up: bad, Down: bad},
					{View: true, TWCC: true, Drift: -drift, Up: bad, Down: bad},
				}}
				worst := inStep(t, plan, time.Hour)
				t.Logf("at most %v apart", worst)
				if worst > 5*time.Millisecond { // of 20 that would be felt
					t.Errorf("audio and video are up to %v apart", worst)
				}
			})
		}
	}
}

// The way from the publisher gets longer by a third of a second and shorter again, and of the few
// reports about audio half are lost. What is learnt of it from the reports about video moves both.
func TestAudioAndVideoStayInStepWhenDelayChanges(t *testing.T) {
	near := simNet{Delay: 40 * time.Millisecond, Loss: 0.5, Burst: 3}
	far := near
	far.Delay = 400 * time.Millisecond
	plan := &simPlan{seed: 99, shards: 1, peers: []simPeerPlan{
		{Video: true, Audio: true, FPS: 4, Size: 40, Ptime: 250 * time.Millisecond, Drift: 100, AudioReports: 5, Up: near,
			Down: simNet{Delay: 40 * time.Millisecond}},
		{View: true, Drift: -100, Up: simNet{Delay: 40 * time.Millisecond}, Down: simNet{Delay: 40 * time.Millisecond}},
	}}
	for at := time.Minute; at < 29*time.Minute; at += 2 * time.Minute {
		plan.deeds = append(plan.deeds, simDeed{At: at, What: simImpair, Up: true, Net: far, For: time.Minute})
	}
	worst := inStep(t, plan, 30*time.Minute)
	t.Logf("at most %v apart", worst)
	if worst > 5*time.Millisecond { // of 20 that would be felt
		t.Errorf("audio and video are up to %v apart", worst)
	}
}

// inStep runs a call of a publisher and a viewer for so long and returns how far audio and video
// were apart at most by what the viewer knows from the last report about each.
func inStep(t *testing.T, plan *simPlan, d time.Duration) (worst time.Duration) {
	m := newSimMemory()
	plan.heal = d
	s := newSim(t, m, plan)
	defer s.close(m)
	defer func() {
		if f, failed := recover().(simFailure); failed {
			t.Error(f.what)
		}
	}()
	s.begin()
	checks := 0
	for s.now < s.heals {
		s.run(s.now.Add(500 * time.Millisecond))
		p := s.who(1)
		if s.now < s.begun.Add(10*time.Second) {
			continue // until there has been a report about each
		}
		var at [2]time.Duration // when what is captured now is said to have been
		for i, kind := range []param.Kind{param.Audio, param.Video} {
			v := p.of(kind)
			if v.sr.NTP == 0 || v.deltaOf < 0 {
				s.fail("no report about %v", kind)
			}
			ahead := int32(v.src.clock() + v.delta - v.sr.RTPTime)
			at[i] = ntpTime(v.sr.NTP) + time.Duration(ahead)*time.Second/time.Duration(v.src.spec.ClockRate)
		}
		worst = max(worst, (at[0] - at[1]).Abs())
		checks++
	}
	if checks < int(d/time.Second) {
		t.Errorf("%d checks", checks)
	}
	return worst
}

// of returns what the peer watches of a kind.
func (p *simPeer) of(kind param.Kind) *simView {
	for _, v := range p.views {
		if v.src.kind == kind {
			return v
		}
	}
	return nil
}

// ntpTime is the time since the beginning of NTP's era.
func ntpTime(ntp uint64) time.Duration {
	return time.Duration(ntp>>32)*time.Second + time.Duration(ntp&0xffffffff*uint64(time.Second)>>32)
}
