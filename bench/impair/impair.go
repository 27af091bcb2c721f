// Package impair makes a network worse on purpose: loss (random or in bursts), delay, jitter,
// a rate limit with a queue, duplicates and reordering, all by a seed, so that a run can be
// repeated. A Link is a pure queue that is fed with datagrams and the time; it has no clock,
// socket or goroutine, and belongs to one goroutine.
package impair

import "time"

// Config says what a link does to each datagram.
type Config struct {
	Loss      float64       // share lost, 0 to 1
	Burst     float64       // mean number lost in a row; 0 or 1: independently
	Delay     time.Duration // one way
	Jitter    time.Duration // added to Delay, 0 to this, evenly
	Reorder   bool          // jitter may reorder; otherwise order is kept
	Duplicate float64       // share sent twice
	Rate      int           // bit/s; 0: without limit
	Queue     int           // bytes that wait for the rate; what comes beyond is lost. 0: 64 KiB
	Seed      uint64
}

// Link is one direction of a client's network.
type Link struct {
	cfg Config
}
