package stream

import (
	"fmt"
	"sync/atomic"

	"tsubame/netio/count"
	"tsubame/netio/mmsg"
)

// Reason is why a stream ended. It is an error, and what Serve returns.
type Reason uint8

// The reasons.
const (
	running      Reason = iota
	PeerClosed          // the peer closed or reset its connection
	Closed              // Close
	Refused             // the sink had no room
	NoFirstFrame        // nothing came within Config.FirstFrame
	Unproven            // frames came, but nobody called Prove within Config.ProofTimeout
	Idle                // nothing came for Config.IdleTimeout
	Stalled             // the peer took nothing for Config.StallTimeout
	BadFrame            // what came is no frame
	Failed              // reading or writing failed in another way, or there was no memory

	// Reasons is how many there are, with the first, which is none.
	Reasons = 10
)

var reasonNames = [Reasons]string{
	"running", "peer_closed", "closed", "refused", "no_first_frame", "unproven", "idle", "stalled", "bad_frame", "failed",
}

// String returns the name that counters carry.
func (r Reason) String() string {
	if int(r) >= len(reasonNames) {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return reasonNames[r]
}

// Error says why, as a sentence of its own.
func (r Reason) Error() string { return "stream: " + r.String() }

// Counters are what one stream has done. Any goroutine may read them at any time.
type Counters struct {
	// Counted by the reader.
	FramesIn count.Word
	EmptyIn  count.Word // frames of RFC 4571 without anything in them
	BytesIn  count.Word // on the wire (inside TLS), framing included
	Waits    count.Word // how often the reader waited for the shard

	_ [line]byte
	// Counted by the home shard.
	FramesOut count.Word               // taken by Send
	BytesOut  count.Word               // with framing
	Dropped   [mmsg.Classes]count.Word // refused by Send for want of room
	Wakes     count.Word               // how often Flush woke the writer

	_ [line]byte
	// Counted by the writer.
	Written count.Word // bytes that the connection took
	Writes  count.Word // calls for that
}

// Totals are what all the streams of one Config have done that are over, and how many there
// were, with those that were refused, and are. The zero value is ready; any goroutine may
// use it.
type Totals struct {
	Opened, Open atomic.Int64
	Ended        [Reasons]atomic.Uint64

	FramesIn, BytesIn, FramesOut, BytesOut atomic.Uint64
	Dropped                                [mmsg.Classes]atomic.Uint64
}

func (t *Totals) began() {
	t.Opened.Add(1)
	t.Open.Add(1)
}

// ended adds what a stream did up to its end.
func (t *Totals) ended(why Reason, c *Counters) {
	t.FramesIn.Add(c.FramesIn.Load())
	t.BytesIn.Add(c.BytesIn.Load())
	t.FramesOut.Add(c.FramesOut.Load())
	t.BytesOut.Add(c.BytesOut.Load())
	for i := range c.Dropped {
		t.Dropped[i].Add(c.Dropped[i].Load())
	}
	t.Ended[why].Add(1)
	t.Open.Add(-1)
}
