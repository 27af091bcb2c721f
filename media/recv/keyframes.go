package recv

import (
	"time"

	"tsubame/netio/mono"
)

// The schedule of key frame requests.
const (
	// KeyFrameInterval is the least time between two requests for one layer, whoever
	// asks and however often. Encoders answer with a frame ten times the usual size, so
	// asking more often makes things worse for everyone.
	KeyFrameInterval = 500 * time.Millisecond

	// keyFramePatience is how many requests go out at that interval before the back-off
	// begins, since one or two may have been lost; keyFrameBackOff is the longest time
	// between two requests that go unanswered.
	keyFramePatience = 3
	keyFrameBackOff  = 4 * time.Second

	// keyFrameGentle is how many requests are PLIs alone. A publisher that has answered none
	// may take a FIR, which is an order, more seriously.
	keyFrameGentle = 2

	// KeyFrameIgnored is for how long a key frame is asked for until its publisher counts as
	// one that ignores requests. The request after that says so: the seventh, after 12 s.
	KeyFrameIgnored = 10 * time.Second
)

// KeyFrames folds the key frame requests of all who watch one layer into few: at most one
// every KeyFrameInterval, repeated while none comes, with a back-off that doubles. Its
// zero value is ready.
type KeyFrames struct {
	sent   mono.Time // the last request
	since  mono.Time // when the unanswered request was made; Never: nothing is wanted
	tries  uint8     // requests sent since
	told   bool      // that they are ignored
	folded uint64
}

// Request notes that somebody needs a key frame. Requests that are not answered yet are
// one, and making more of them does not shorten the back-off.
func (k *KeyFrames) Request(now mono.Time) {
	if k.since != mono.Never {
		k.folded++
		return
	}
	k.since, k.tries = now, 0
}

// Arrived notes that a key frame has begun to come in.
func (k *KeyFrames) Arrived(mono.Time) { k.Forget(); k.told = false }

// Forget notes that nobody wants a key frame any more.
func (k *KeyFrames) Forget() { k.since, k.tries = mono.Never, 0 }

// Ignored reports, once until a key frame arrives, that the publisher has ignored all requests
// for KeyFrameIgnored.
func (k *KeyFrames) Ignored(now mono.Time) bool {
	if k.told || k.tries <= keyFrameGentle || k.Waiting(now) < KeyFrameIgnored {
		return false
	}
	k.told = true
	return true
}

// Ignoring reports whether Ignored has, and no key frame has come since.
func (k *KeyFrames) Ignoring() bool { return k.told }

// Escalates reports whether the request that was due last should be more than a PLI.
func (k *KeyFrames) Escalates() bool { return k.tries > keyFrameGentle }

// Due reports whether a request (PLI, or FIR where there is no PLI) is to be sent at now,
// and takes it as sent.
func (k *KeyFrames) Due(now mono.Time) bool {
	if !k.Deadline().Due(now) {
		return false
	}
	k.sent = now
	if k.tries < 255 {
		k.tries++
	}
	return true
}

// Deadline returns when the next request is due, which may be in the past; Never if nobody
// wants a key frame.
func (k *KeyFrames) Deadline() mono.Time {
	if k.since == mono.Never {
		return mono.Never
	}
	if k.sent == mono.Never {
		return k.since
	}
	wait := KeyFrameInterval
	for try := k.tries; try >= keyFramePatience && wait < keyFrameBackOff; try-- {
		wait *= 2
	}
	return k.sent.Add(wait)
}

// Waiting returns for how long a key frame has been wanted; 0 if none is.
func (k *KeyFrames) Waiting(now mono.Time) time.Duration {
	if k.since == mono.Never {
		return 0
	}
	return now.Sub(k.since)
}

// Folded returns how many requests were answered by another's.
func (k *KeyFrames) Folded() uint64 { return k.folded }
