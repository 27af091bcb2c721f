// Package source is where the media of benchmark publishers comes from: recorded packet-time
// traces of browsers with payloads of the right shape, and small clips of real encoded video
// and audio. A Source is a pure iterator over a stream's packets with their times; it has no
// clock, socket or goroutine, and belongs to the publisher that it was made for. Opening one
// reads its data once; Next never allocates. Payload bytes that Next hands out are valid
// until the next call and are only to be read.
package source

import (
	"time"

	"tsubame/media/param"
)

// Packet is one RTP packet of a stream, all but its numbers.
type Packet struct {
	At        time.Duration // when it is to be sent, since the stream's start; never decreasing
	Timestamp uint32        // RTP timestamp since the stream's start, in units of the clock rate
	Payload   []byte        // RTP payload, without padding
	Marker    bool          // RTP marker bit
	KeyFrame  bool          // it belongs to a key frame
}

// Source yields the packets of one stream in the order of their times, without end.
type Source interface {
	// Codec is what the payloads are.
	Codec() param.Codec

	// Next fills p in.
	Next(p *Packet)

	// KeyFrame asks for a key frame: the next frame that begins becomes one, as soon as the
	// source can make one. Audio ignores it.
	KeyFrame()
}
