// Package load drives thousands of real WebRTC peers from one process against a server that
// speaks the signaling protocol: ICE, DTLS-SRTP, RTP, and RTCP with what a browser sends of it.
// It is made to be light, so that the server is the bottleneck: peers are state machines on a
// few locked threads, which read their sockets by polling, and thousands of them share one
// socket, each with a loopback address of its own; through TURN over TCP or TLS each has a stream
// of its own, which is polled too. It never decodes media and never changes
// what a source yields. Run may be called from any goroutine; a Scenario is not kept.
package load

import (
	"time"

	"tsubame/bench/impair"
	"tsubame/media/param"
)

// Role is what a client does in its room.
type Role string

// The roles.
const (
	SendRecv  Role = "sendrecv"
	SendOnly  Role = "sendonly"
	RecvOnly  Role = "recvonly"
	Broadcast Role = "broadcast" // the first client of a room sends, the others receive
)

// Scenario says what the peers do.
type Scenario struct {
	Name string
	URL  string // ws://host:port/signaling
	PID  int    // of the server, to read its CPU time and memory; 0: not read

	Rooms   int
	Clients int // in each room
	Role    Role

	Audio, Video bool
	Codec        param.Codec // of video
	Bitrate      int         // of video, bit/s
	FrameRate    int
	Trace        string // of package source, in place of Bitrate and FrameRate; "": by them
	Clip         string // likewise; real encoded media
	PayloadSize  int    // of each packet, bytes; 0: as the trace has it. For fan-out of fixed sizes
	PacketRate   int    // packets a second with PayloadSize

	JoinRate int           // peers a second; 0: as fast as they join. At most 256 join at a time
	Warmup   time.Duration // before measuring, after every viewer has heard every publisher (15 s at most)
	Calm     time.Duration // beyond Warmup at most, until the CPU time of PID is the same each second; 0: not waited for
	Duration time.Duration // of the measured part
	Silence  time.Duration // after that publishers send nothing, and all stay for so long; 0: it is left out
	Churn    time.Duration // each peer leaves and joins again about once in this time; 0: never
	Poll     time.Duration // how often receivers read; 0: 5 ms
	Latency  bool          // measure forwarding latency by kernel time stamps; with Impair, links included, by when they let go
	Storm    bool          // measure joins only: no media is sent

	// Impair is nil, or makes what a client's network does, to a millisecond. It is called
	// twice whenever a client joins, from any goroutine: first for what the client receives,
	// then for what it sends. It may return nil for a perfect link, and never the same link
	// twice; of one seed, both draw independently (impair.Link.Reverse). What a link loses, and
	// no retransmission brings back, is among the lost, and what it doubles among the duplicated.
	Impair   func(room, client int) *impair.Link
	Shards   int    // threads of receivers; 0: 1. Who sends in Broadcast has one of its own
	Profile  string // SRTP profile to offer: "", "gcm" or "cm"
	TURN     TURN   // what carries media; Direct: nothing but UDP. A stream cannot be impaired
	Insecure bool   // TURN by TLS takes any certificate, as it does of a server on loopback
	Notify   bool   // ask for notifications, where the protocol lets clients choose; see Sora
}
