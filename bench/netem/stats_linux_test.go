//go:build browser

package netem

// What rig.js says; names are those of the browser's statistics.

type inbound struct {
	PacketsReceived, PacketsLost, PacketsDiscarded, BytesReceived  float64
	FramesReceived, FramesDecoded, FramesDropped, KeyFramesDecoded float64
	FreezeCount, TotalFreezesDuration                              float64
	NackCount, PliCount, FirCount                                  float64
	RetransmittedPacketsReceived, RetransmittedBytesReceived       float64
	ConcealedSamples, SilentConcealedSamples, ConcealmentEvents    float64
	TotalSamplesReceived, FecPacketsReceived, FecPacketsDiscarded  float64
	JitterBufferDelay, JitterBufferEmittedCount, Jitter            float64
	Codec                                                          string
}

type outbound struct {
	PacketsSent, BytesSent, FramesEncoded, FramesSent, KeyFramesEncoded float64
	RetransmittedPacketsSent, NackCount, PliCount, FirCount             float64
	TargetBitrate                                                       float64
	Codec                                                               string
}

type stats struct {
	At       float64 // ms since 1970
	State    string
	Inbound  struct{ Video, Audio inbound }
	Outbound struct{ Video, Audio outbound }
	Pair     struct{ AvailableOutgoingBitrate, CurrentRoundTripTime, BytesSent, BytesReceived float64 }
}

// sample is what changes over time.
type sample struct {
	At, Estimate, Target, FramesDecoded, FramesSent, Bytes float64
	State                                                  string
}

func (tb *tab) stats() (stats, error)      { return eval[stats](tb, "rig.stats()") }
func (tb *tab) samples() ([]sample, error) { return eval[[]sample](tb, "rig.samples()") }

// frames are when pictures were shown, ms since 1970.
func (tb *tab) frames() ([]float64, error) { return eval[[]float64](tb, "rig.frames()") }
