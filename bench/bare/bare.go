// Package bare measures what the work that no SFU can leave out costs on this machine: writing
// a header, sealing and handing to the kernel, and the server side of a DTLS handshake. They
// are the floors that a benchmark run compares the server with, so nothing of the server is in
// them: crypto/cipher, raw system calls and pion/dtls alone.
//
// The functions measure the CPU time of the one thread or process that does the work, never of
// those that receive or answer. Each may be called from any goroutine, one at a time: two at
// once, or anything else that fills the machine, make the caches, and so the result, worse.
// What they return is a plain value.
package bare

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnsupported says that the system lacks what is measured.
var ErrUnsupported = errors.New("bare: this system has no batched UDP sockets with segmentation")

// Bounds of a Config.
const (
	maxMessages     = 64    // in one sendmmsg, as the server has it
	maxSegments     = 64    // in one message: UDP_MAX_SEGMENTS of all kernels with UDP_SEGMENT
	maxMessageBytes = 65507 // of one message: what an IPv4 datagram holds
	maxPayload      = 1400
	maxDestinations = 1 << 16
	maxRoundPackets = 1 << 16
)

// Config says what GSO and Sendmmsg send. The zero value of each field takes its default.
type Config struct {
	// Destinations are the viewers, each with a loopback address and keys of its own;
	// default 64.
	Destinations int

	// Payload is the length in bytes of what is sealed, without the RTP header (36 bytes:
	// transport-cc, abs-send-time and a MID of 12) and the tag (16); default 1,100.
	Payload int

	// Runs are how many packets each destination gets in a row, the first number in the first
	// burst, and so on in turn: the frames of a video. Default {4}. GSO sends each run as one
	// message; a run of Sendmmsg is as many messages.
	Runs []int

	// Batch is how many messages one system call takes; default and maximum 64.
	Batch int

	// Interval is the time from one burst, a run for each destination, to the next. The
	// default, 0, sends them back to back, which keeps everything in the caches and is the
	// lowest cost there is. A server that forwards frames as they come sleeps between them.
	Interval time.Duration

	// RoundPackets is about how many packets are measured together, default 4,096. After each
	// round the receiver drains its socket, so that none is lost.
	RoundPackets int

	// Rounds is how many are measured; the result is their median. Default 15.
	Rounds int
}

// Cost is what the sending thread paid for a packet. User and system time are in it, and the
// receiving half of the kernel's loopback, which runs on the sender's time here as it does
// under the server.
type Cost struct {
	PerPacket   time.Duration // median of the rounds
	Best, Worst time.Duration // the rounds at the ends
	Seal        time.Duration // of PerPacket, writing headers and sealing; median of rounds that do no more
	Packets     uint64        // sent in all measured rounds
	Messages    uint64        // handed to the kernel for those
	Lost        uint64        // that the receiver did not get, those of warming up included
}

// String is the cost in one line.
func (c Cost) String() string {
	return fmt.Sprintf("%d ns a packet (%d to %d, sealing %d), %d packets in %d messages, %d lost",
		c.PerPacket, c.Best, c.Worst, c.Seal, c.Packets, c.Messages, c.Lost)
}

// GSO measures writing, sealing and sending with UDP_SEGMENT: each run is one message. It
// takes about a second and returns ErrUnsupported where the system has no such thing, or the
// error of the system call that failed.
func GSO(cfg Config) (Cost, error) { return measure(cfg, true) }

// Sendmmsg measures the same with one message a datagram.
func Sendmmsg(cfg Config) (Cost, error) { return measure(cfg, false) }

// withDefaults fills in and checks.
func (c Config) withDefaults(gso bool) (Config, error) {
	if c.Destinations == 0 {
		c.Destinations = 64
	}
	if c.Payload == 0 {
		c.Payload = 1100
	}
	if len(c.Runs) == 0 {
		c.Runs = []int{4}
	}
	if c.Batch == 0 {
		c.Batch = maxMessages
	}
	if c.RoundPackets == 0 {
		c.RoundPackets = 4096
	}
	if c.Rounds == 0 {
		c.Rounds = 15
	}
	longest := slices.Max(c.Runs)
	switch {
	case c.Destinations < 1 || c.Destinations > maxDestinations,
		c.Payload < 1 || c.Payload > maxPayload,
		c.Batch < 1 || c.Batch > maxMessages,
		c.RoundPackets < 1 || c.RoundPackets > maxRoundPackets,
		c.Rounds < 1, c.Interval < 0,
		slices.Min(c.Runs) < 1 || longest > maxSegments,
		gso && longest*(headerLen+c.Payload+tagLen) > maxMessageBytes:
		return c, fmt.Errorf("bare: out of bounds: %+v", c)
	}
	return c, nil
}
