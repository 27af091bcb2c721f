package mmsg

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"tsubame/netio/count"
)

// Counters of one socket. Its owner writes them, any goroutine may load them.
type Counters struct {
	RxPackets  count.Word // delivered to a batch
	RxBytes    count.Word // their payload
	RxBatches  Histogram  // datagrams that one Recv took, if any
	RxIdle     count.Word // Recv found nothing
	RxErrors   count.Word // Recv failed
	RxDropped  [RxReasons]count.Word
	RxOverflow count.Word // datagrams that the kernel dropped, for want of buffer mostly (SO_RXQ_OVFL)

	TxPackets count.Word // taken by the kernel
	TxBytes   count.Word // their payload
	TxBatches Histogram  // datagrams that one system call took
	TxRuns    Histogram  // datagrams in one message; a run has more than one
	TxInRuns  count.Word // datagrams that left in a run
	TxBlocked count.Word // the socket's buffer was full
	TxErrors  [TxReasons]count.Word

	GSOErrors [GSOReasons]count.Word // runs that the kernel refused; their datagrams were sent one by one
	GSOOff    count.Word             // 1: no more runs since the device refused one
}

// RxReason is why a datagram that arrived was not delivered.
type RxReason uint8

const (
	RxTruncated   RxReason = iota // longer than SlotSize
	RxEmpty                       // no payload: no protocol of ours has such datagrams
	RxUnaddressed                 // the kernel did not say where from or where to

	// RxReasons is how many there are.
	RxReasons = 3
)

// String returns the label that the counter carries.
func (r RxReason) String() string {
	return [RxReasons]string{"truncated", "empty", "unaddressed"}[r]
}

// TxReason is why the kernel refused a datagram.
type TxReason uint8

const (
	TxForbidden   TxReason = iota // EPERM, EACCES: a firewall, or a broadcast address
	TxNoBuffers                   // ENOBUFS, ENOMEM
	TxTooBig                      // EMSGSIZE
	TxUnreachable                 // ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN
	TxRefused                     // ECONNREFUSED
	TxOther

	// TxReasons is how many there are.
	TxReasons = 6
)

// String returns the label that the counter carries.
func (r TxReason) String() string {
	return [TxReasons]string{"forbidden", "no_buffers", "too_big", "unreachable", "refused", "other"}[r]
}

func txReason(errno unix.Errno) TxReason {
	switch errno {
	case unix.EPERM, unix.EACCES:
		return TxForbidden
	case unix.ENOBUFS, unix.ENOMEM:
		return TxNoBuffers
	case unix.EMSGSIZE:
		return TxTooBig
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EHOSTDOWN:
		return TxUnreachable
	case unix.ECONNREFUSED:
		return TxRefused
	}
	return TxOther
}

// GSOReason is why the kernel refused a run.
type GSOReason uint8

const (
	GSODevice  GSOReason = iota // EIO: the device cannot; the socket sends no more runs
	GSOInvalid                  // EINVAL: that flow gets no more runs
	GSOTooBig                   // EMSGSIZE: likewise
	GSOOther                    // anything that a single datagram may meet as well

	// GSOReasons is how many there are.
	GSOReasons = 4
)

// String returns the label that the counter carries.
func (r GSOReason) String() string {
	return [GSOReasons]string{"device", "invalid", "too_big", "other"}[r]
}

// HistogramBuckets is the number of buckets of a Histogram.
const HistogramBuckets = 8

// Histogram counts batches by size: bucket i those of 2^i to 2^(i+1)-1 datagrams, the last
// one all larger ones. Mean occupancy hides what matters: whether the few large batches
// carry the load.
type Histogram [HistogramBuckets]count.Word

// add counts one batch of n > 0.
func (h *Histogram) add(n int) {
	h[min(bits.Len(uint(n))-1, HistogramBuckets-1)].Inc()
}

// received accounts for one Recv that took n datagrams.
func (c *Counters) received(n int) {
	if n == 0 {
		c.RxIdle.Inc()
		return
	}
	c.RxBatches.add(n)
}

// delivered accounts for one datagram in a batch.
func (c *Counters) delivered(bytes int) {
	c.RxPackets.Inc()
	c.RxBytes.Add(uint64(bytes))
}

// sent accounts for one system call that took one datagram.
func (c *Counters) sent(bytes int) {
	c.TxPackets.Inc()
	c.TxBytes.Add(uint64(bytes))
	c.TxBatches.add(1)
	c.TxRuns.add(1)
}

// sentRuns accounts for one system call that took runs, and returns their datagrams.
func (c *Counters) sentRuns(runs []run) (n int) {
	bytes, inRuns := 0, 0
	for _, r := range runs {
		n += int(r.n)
		bytes += int(r.bytes)
		if r.n > 1 {
			inRuns += int(r.n)
		}
		c.TxRuns.add(int(r.n))
	}
	c.TxPackets.Add(uint64(n))
	c.TxBytes.Add(uint64(bytes))
	c.TxInRuns.Add(uint64(inRuns))
	c.TxBatches.add(n)
	return n
}
