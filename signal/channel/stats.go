package channel

import "time"

// Stats are what media counted for a connection by now. They survive the connection: after
// Close they are what they were in the end, or shortly before.
type Stats struct {
	ReceivedBytes uint64 // payloads of datagrams and frames, whatever they carried
	SentBytes     uint64
	// How long ICE was looking for a path, and how long nothing came over the one that it had.
	Checking     time.Duration
	Disconnected time.Duration
	// JSON is the object of all counters by group, as local_stats of connection.jsonl; nil:
	// none. It is the caller's.
	JSON []byte
}

// Counted is a Conn that knows its Stats. Any goroutine may ask, at any time, Close included.
// detail asks for Stats.JSON too.
type Counted interface {
	Stats(detail bool) Stats
}

// statsOf returns those of a connection; none if it does not know them or was never opened.
func statsOf(c Conn, detail bool) Stats {
	if counted, ok := c.(Counted); ok {
		return counted.Stats(detail)
	}
	return Stats{}
}
