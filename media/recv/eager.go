package recv

// When requests are repeated.
const (
	eagerLoss    = 8 // of 256: from 3 % of loss on
	eagerPackets = 8 // retransmissions between two reports that tell what a publisher is like
	eagerWaste   = 2 // reports in a row by which too much came twice
)

// eager decides whether a stream asks twice for what it misses, half a round trip apart. On a path
// that loses a fifth each way, an answer fails to come in 36 of 100 rounds, most often for the
// request; to repeat that makes waits of over 500 ms half as frequent, over a round trip of 100 ms
// (TestRepeatedRequestsMakeLongWaitsSeldom), and costs a datagram of feedback. libwebrtc does not
// answer the second request (it repeats nothing twice within a round trip); a publisher that does
// is noticed by its retransmissions, and asked once from then on.
type eager struct {
	on       bool
	never    bool // the publisher answers everything
	wasteful uint8

	recovered uint64 // at the last report
	repeated  uint64
}

// report takes the loss, as a fraction of 256, and the counters at a report.
func (e *eager) report(loss uint8, st *Stats) {
	recovered, repeated := st.Recovered-e.recovered, st.Repeated-e.repeated
	e.recovered, e.repeated = st.Recovered, st.Repeated
	// libwebrtc probes for bandwidth by packets that were sent already, hence two in a row.
	switch {
	case !e.on || recovered+repeated < eagerPackets:
	case 2*repeated > recovered:
		e.wasteful++
		e.never = e.never || e.wasteful == eagerWaste
	default:
		e.wasteful = 0
	}
	e.on = loss >= eagerLoss && !e.never
}
