package recv

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
)

// Row RTP-06.
func TestFloodIsCutToTheRate(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		interval time.Duration
		want     int // packets in ten seconds, without the burst
		burst    int
	}{
		{"by bits", 1250, 10 * time.Microsecond, 1000, 50},   // 1 Mbit/s
		{"by packets", 10, 10 * time.Microsecond, 5000, 250}, // 500/s
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Policer
			p.Init(1_000_000, 500)
			allowed := 0
			for d := time.Duration(0); d < 10*time.Second; d += c.interval {
				if p.Allow(at(d), c.size, param.Audio) {
					allowed++
				}
			}
			if allowed < c.want || allowed > c.want+c.burst+1 {
				t.Errorf("%d packets passed, want %d and a burst of %d", allowed, c.want, c.burst)
			}
		})
	}
}

// Row RTP-06.
func TestVoiceOutlivesTheFloodOfItsOwnVideo(t *testing.T) {
	var p Policer
	p.Init(1_000_000, 0)
	refused := 0
	for i := range 100_000 {
		now := at(time.Duration(i) * 100 * time.Microsecond) // 100 Mbit/s of video
		p.Allow(now, 1250, param.Video)
		if i%200 == 0 && !p.Allow(now, 160, param.Audio) { // and 64 kbit/s of audio
			refused++
		}
	}
	if refused != 0 {
		t.Errorf("%d audio packets refused", refused)
	}
}

func TestTrafficWithinTheRateIsNeverPoliced(t *testing.T) {
	var p Policer
	p.Init(0, 0)
	for i := range 100_000 {
		if !p.Allow(at(time.Duration(i)*250*time.Microsecond), 1200, param.Video) { // 38 Mbit/s
			t.Fatalf("packet %d refused", i)
		}
	}
}

func TestLongPauseSavesNoMoreThanTheBurst(t *testing.T) {
	var p Policer
	p.Init(1_000_000, 1000)
	p.Allow(start, 100, param.Audio)
	later := start.Add(1000 * time.Hour)
	allowed := 0
	for p.Allow(later, 1250, param.Audio) {
		allowed++
	}
	if allowed != 50 {
		t.Errorf("%d packets at once after a pause, want 50", allowed)
	}
}

func TestTimeThatStandsStillOrGoesBackEarnsNothing(t *testing.T) {
	var p Policer
	p.Init(1_000_000, 1000)
	for p.Allow(start, 1250, param.Audio) {
	}
	for i := range 1000 {
		if p.Allow(start.Add(-time.Duration(i)*time.Second), 1250, param.Audio) {
			t.Fatal("allowed")
		}
	}
	if p.Allow(start, 1250, param.Audio) {
		t.Fatal("the way back was counted as time")
	}
	if !p.Allow(start.Add(10*time.Millisecond+mono.Time(1).Sub(0)), 1250, param.Audio) {
		t.Fatal("not allowed 10 ms later")
	}
}
