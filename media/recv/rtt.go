package recv

import "time"

// What is assumed and believed of round-trip times.
const (
	// DefaultRTT is assumed until the first sample.
	DefaultRTT = 100 * time.Millisecond
	// maxSample bounds what one sample can claim. Nothing here waits for longer.
	maxSample = 4 * time.Second
	// answerTime is how much longer than the round trip an answer takes at least: the peer's
	// queue and its pacer, and our own turns.
	answerTime = 10 * time.Millisecond
)

// RTT is the round-trip time to a peer, smoothed (RFC 6298 section 2). The zero value has had no
// sample yet. Samples are the peer's word for a part: they are clamped, and a peer that lies is
// asked too early or too late for what it has lost itself.
type RTT struct {
	smoothed  time.Duration // 0: no sample yet
	deviation time.Duration
}

// Sample takes a measurement; what is not above 0 is none.
func (r *RTT) Sample(rtt time.Duration) {
	if rtt <= 0 {
		return
	}
	rtt = min(rtt, maxSample)
	if r.smoothed == 0 {
		r.smoothed, r.deviation = rtt, rtt/2
		return
	}
	r.deviation += ((rtt - r.smoothed).Abs() - r.deviation) / 4
	r.smoothed = max(r.smoothed+(rtt-r.smoothed)/8, 1)
}

// Known reports whether there was a sample.
func (r *RTT) Known() bool { return r.smoothed != 0 }

// Smoothed returns the round-trip time, DefaultRTT before the first sample.
func (r *RTT) Smoothed() time.Duration {
	if r.smoothed == 0 {
		return DefaultRTT
	}
	return r.smoothed
}

// Answer returns how long to wait for an answer before asking again. libwebrtc does not repeat a
// packet that it has repeated less than a round trip ago, so that a request which comes only
// just too early is lost. The bound by half a round trip keeps jitter from making the wait a
// multiple: to ask twice costs a packet, to wait costs a frozen picture.
func (r *RTT) Answer() time.Duration {
	rtt := r.Smoothed()
	return rtt + answerTime + min(2*r.deviation, rtt/2)
}
