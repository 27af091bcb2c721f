package netio

import (
	"tsubame/netio/count"
	"tsubame/netio/mmsg"
)

// Stats is what a shard, or several, did since it was opened: the sum over its sockets.
type Stats struct {
	RxPackets  uint64                        // datagrams given to the Handler
	RxBytes    uint64                        // their payload
	RxBatches  [mmsg.HistogramBuckets]uint64 // calls of Recv by datagrams taken: 1, 2-3, 4-7, ... 128 and more
	RxIdle     uint64                        // calls of Recv that found nothing
	RxErrors   uint64                        // calls of Recv that failed
	RxDropped  [mmsg.RxReasons]uint64        // datagrams not given to the Handler, by mmsg.RxReason
	RxOverflow uint64                        // datagrams that the kernel dropped before we saw them

	TxPackets uint64                        // datagrams that the kernel took
	TxBytes   uint64                        // their payload
	TxBatches [mmsg.HistogramBuckets]uint64 // system calls by datagrams taken
	TxRuns    [mmsg.HistogramBuckets]uint64 // messages by datagrams in them: 1, 2-3, 4-7, ...; more than one is a run
	TxInRuns  uint64                        // datagrams that left in runs (UDP GSO)
	TxBlocked uint64                        // times that a socket was full
	TxErrors  [mmsg.TxReasons]uint64        // datagrams that the kernel refused, by mmsg.TxReason
	TxDropped [mmsg.Classes]uint64          // datagrams dropped from the queue for want of room, by mmsg.Class
	TxRefused uint64                        // times that a Handler was denied a slot

	GSOErrors [mmsg.GSOReasons]uint64 // runs that the kernel refused and that were sent one by one, by mmsg.GSOReason
	GSOOff    uint64                  // sockets that send no more runs since their device refused one

	Loops  uint64 // iterations
	Sleeps uint64 // waits in the kernel
	Wakes  uint64 // sleeps that a waker ended
	Timers uint64 // sleeps that the time ended, or a signal
	Rests  uint64 // pauses given to failing sockets
}

// loopCounters are written by the shard's thread.
type loopCounters struct {
	loops, sleeps, wakes, timers, rests count.Word
}

// Plus returns the sum of two.
func (s Stats) Plus(o Stats) Stats {
	s.RxPackets += o.RxPackets
	s.RxBytes += o.RxBytes
	s.RxIdle += o.RxIdle
	s.RxErrors += o.RxErrors
	s.RxOverflow += o.RxOverflow
	s.TxPackets += o.TxPackets
	s.TxBytes += o.TxBytes
	s.TxInRuns += o.TxInRuns
	s.TxBlocked += o.TxBlocked
	s.TxRefused += o.TxRefused
	s.GSOOff += o.GSOOff
	s.Loops += o.Loops
	s.Sleeps += o.Sleeps
	s.Wakes += o.Wakes
	s.Timers += o.Timers
	s.Rests += o.Rests
	addAll(s.RxBatches[:], o.RxBatches[:])
	addAll(s.RxDropped[:], o.RxDropped[:])
	addAll(s.TxBatches[:], o.TxBatches[:])
	addAll(s.TxRuns[:], o.TxRuns[:])
	addAll(s.TxErrors[:], o.TxErrors[:])
	addAll(s.GSOErrors[:], o.GSOErrors[:])
	addAll(s.TxDropped[:], o.TxDropped[:])
	return s
}

func addAll(to, from []uint64) {
	for i := range to {
		to[i] += from[i]
	}
}

// ofSocket reads a socket's counters.
func ofSocket(c *mmsg.Counters) Stats {
	s := Stats{
		RxPackets: c.RxPackets.Load(), RxBytes: c.RxBytes.Load(), RxIdle: c.RxIdle.Load(),
		RxErrors: c.RxErrors.Load(), RxOverflow: c.RxOverflow.Load(),
		TxPackets: c.TxPackets.Load(), TxBytes: c.TxBytes.Load(), TxBlocked: c.TxBlocked.Load(),
		TxInRuns: c.TxInRuns.Load(), GSOOff: c.GSOOff.Load(),
	}
	loadAll(s.RxBatches[:], c.RxBatches[:])
	loadAll(s.RxDropped[:], c.RxDropped[:])
	loadAll(s.TxBatches[:], c.TxBatches[:])
	loadAll(s.TxRuns[:], c.TxRuns[:])
	loadAll(s.TxErrors[:], c.TxErrors[:])
	loadAll(s.GSOErrors[:], c.GSOErrors[:])
	return s
}

func loadAll(to []uint64, from []count.Word) {
	for i := range to {
		to[i] = from[i].Load()
	}
}

// stats may be called by any goroutine.
func (s *shard) stats() Stats {
	sum := Stats{
		TxRefused: s.tx.Refused(),
		Loops:     s.counters.loops.Load(), Sleeps: s.counters.sleeps.Load(), Wakes: s.counters.wakes.Load(),
		Timers: s.counters.timers.Load(), Rests: s.counters.rests.Load(),
	}
	for c := range sum.TxDropped {
		sum.TxDropped[c] = s.tx.Dropped(mmsg.Class(c))
	}
	for i := range s.ports {
		sum = sum.Plus(ofSocket(s.ports[i].socket.Counters()))
	}
	return sum
}
