package bwe

import "time"

// The acknowledged bitrate: what arrives, by the arrival times, smoothed the more the less a
// sample fits (Bayes, with a variance that grows between samples), after libwebrtc's
// goog_cc/bitrate_estimator.cc.
const (
	ackedFirst = 500 * time.Millisecond // of the first sample
	ackedNext  = 150 * time.Millisecond
	ackedScale = 10.0
	ackedDrift = 5.0
	ackedStart = 50.0 // variance
	// ackedFast is added to the variance where the rate is about to change.
	ackedFast = 200.0
)

// acked measures the acknowledged bitrate. A sample is from the arrival of one packet to that of
// another, so that packets which a full link spaces evenly give exactly its rate.
type acked struct {
	kbps     float64 // 0: not known yet
	variance float64
	bytes    int     // arrived after from
	from     instant // the packet that the sample began with
	last     instant
	begun    bool
}

func (a *acked) reset() { *a = acked{variance: ackedStart} }

// add takes a packet that arrived. Packets that were overtaken count at the newest arrival.
func (a *acked) add(arrived instant, size int) {
	window := ackedNext
	if a.kbps == 0 {
		window = ackedFirst
	}
	if a.begun {
		arrived = max(arrived, a.last)
	}
	if !a.begun || arrived.sub(a.last) > window { // nothing came: a sample would be too little
		a.begun, a.from, a.last, a.bytes = true, arrived, arrived, 0
		return
	}
	a.last = arrived
	a.bytes += size
	if took := arrived.sub(a.from); took >= window {
		a.sample(float64(a.bytes) * 8 / milliseconds(took)) // bit/ms = kbit/s
		a.from, a.bytes = arrived, 0
	}
}

func (a *acked) sample(kbps float64) {
	if a.kbps == 0 {
		a.kbps = max(kbps, 1)
		return
	}
	uncertain := ackedScale * max(kbps-a.kbps, a.kbps-kbps) / a.kbps
	noise := uncertain * uncertain
	variance := a.variance + ackedDrift
	a.kbps = max((noise*a.kbps+variance*kbps)/(noise+variance), 1)
	a.variance = noise * variance / (noise + variance)
}

// expectChange lets the next samples count for more.
func (a *acked) expectChange() { a.variance += ackedFast }

// rate is in bit/s; 0: not known.
func (a *acked) rate() float64 { return a.kbps * 1000 }
