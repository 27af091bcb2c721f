package bwe

import (
	"time"

	"tsubame/netio/mono"
)

// Detection of the application-limited region: what is sent is much less than what might be, so
// that feedback says nothing about the target. A budget that grows by limitedUse of the target
// and is used by what is sent; after libwebrtc's goog_cc/alr_detector.cc.
const (
	limitedUse    = 0.65
	limitedWindow = 500 * time.Millisecond // of budget, at most, on both sides
	limitedBegin  = 0.8                    // of it
	limitedEnd    = 0.5
)

// limited tells whether little is sent.
type limited struct {
	budget float64 // bits
	at     mono.Time
	is     bool
}

// update takes how many bytes were sent since the last time.
func (l *limited) update(now mono.Time, bytes int, target float64) {
	took := min(now.Sub(l.at), 2*limitedWindow)
	l.at = now
	most := limitedUse * target * limitedWindow.Seconds()
	l.budget += limitedUse*target*took.Seconds() - 8*float64(bytes)
	l.budget = min(max(l.budget, -most), most)
	switch {
	case l.budget > limitedBegin*most:
		l.is = true
	case l.budget < limitedEnd*most:
		l.is = false
	}
}
