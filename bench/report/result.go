// Package report is what a benchmark run says: counters and distributions while it runs and
// at its end, as a progress line, a table, JSON and one page of HTML. It measures nothing by
// itself and never talks to a server; whoever ran the load fills a Result in. A Result is a
// plain value; a Histogram belongs to one goroutine until it is merged.
package report

import "time"

// Result is the outcome of one scenario. Times are in nanoseconds in JSON.
type Result struct {
	Name     string        `json:"name"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration"` // of the measured part
	Machine  Machine       `json:"machine"`

	Peers     int       `json:"peers"`
	Connected int       `json:"connected"`
	Failed    int       `json:"failed"`
	Failures  []Failure `json:"failures,omitempty"` // by cause, the most frequent first

	Join     Distribution `json:"join"`      // connect message to DTLS done
	Media    Distribution `json:"media"`     // connect message to the first media packet
	KeyFrame Distribution `json:"key_frame"` // connect message to the first complete key frame

	Sent       uint64 `json:"sent"`        // media packets by publishers, without RTX
	Forwarded  uint64 `json:"forwarded"`   // distinct media packets that viewers authenticated
	Bytes      uint64 `json:"bytes"`       // of those, as datagrams
	Expected   uint64 `json:"expected"`    // what would have been forwarded without loss
	Lost       uint64 `json:"lost"`        // missing at viewers at the end, after retransmissions
	Duplicated uint64 `json:"duplicated"`  // authenticated twice
	Recovered  uint64 `json:"recovered"`   // came by RTX
	Repeated   uint64 `json:"repeated"`    // came by RTX though they were there: probes of the bandwidth
	ClientLoss uint64 `json:"client_loss"` // dropped by the clients' own sockets
	Padded     uint64 `json:"padded"`      // media packets that carried padding
	PadBytes   uint64 `json:"pad_bytes"`

	Audio      Distribution `json:"audio"`       // forwarding latency of audio packets
	FrameLast  Distribution `json:"frame_last"`  // of the last packet of each video frame
	FrameFirst Distribution `json:"frame_first"` // of the first

	ServerCPU  time.Duration `json:"server_cpu"`  // utime + stime over Duration
	MachineCPU time.Duration `json:"machine_cpu"` // busy time of all CPUs over Duration
	ClientCPU  time.Duration `json:"client_cpu"`  // of the benchmark process
	ServerPSS  uint64        `json:"server_pss"`  // bytes at the end of the measured part
	IdlePSS    uint64        `json:"idle_pss"`    // bytes before the first peer
	JoinCPU    time.Duration `json:"join_cpu"`    // utime + stime of the server over all joins, before Duration
	JoinTime   time.Duration `json:"join_time"`   // from the first join's start to the last one's end

	Lossy bool `json:"lossy"` // the clients' links lose packets on purpose, and these are among Lost

	// Interrupted says that the run was ended before its time, and that the result is made of
	// its samples: see Partial.
	Interrupted bool `json:"interrupted,omitempty"`

	Problems []string `json:"problems,omitempty"` // what went wrong, in words; the first few of each kind
	Samples  []Sample `json:"samples,omitempty"`  // of each second of the run
}

// Failure is how many peers failed for one cause.
type Failure struct {
	Cause string `json:"cause"`
	Count int    `json:"count"`
}

// Phase is a part of a run.
type Phase string

// The phases, in their order.
const (
	Joining   Phase = "join"
	WarmingUp Phase = "warmup"
	Measuring Phase = "measure"
	Silent    Phase = "silent" // publishers send nothing; only if the scenario asks for it
	Leaving   Phase = "leave"
)

// Sample is about one second of a run: the peers at its end, and what happened during it.
type Sample struct {
	At    time.Duration `json:"at"`   // its end, since the run's start
	Span  time.Duration `json:"span"` // how long it was; 0: one second
	Phase Phase         `json:"phase"`

	Connected int       `json:"connected"`
	Failed    int       `json:"failed"`             // so far
	Failures  []Failure `json:"failures,omitempty"` // likewise, by cause, the most frequent first

	Sent      uint64 `json:"sent"`
	Forwarded uint64 `json:"forwarded"`
	Bytes     uint64 `json:"bytes"`
	Lost      uint64 `json:"lost"` // gaps seen; what a retransmission closes later is among them

	ServerCPU  time.Duration `json:"server_cpu"`
	MachineCPU time.Duration `json:"machine_cpu"`
	ClientCPU  time.Duration `json:"client_cpu"`
	ServerPSS  uint64        `json:"server_pss"` // bytes at its end; 0: not read in this second
}

// Progress is told of each second of a run, by one goroutine. It must not block: what it does
// is time that the run lacks.
type Progress func(Sample)

// PerPacket returns the server's CPU time for each forwarded packet; 0 if there was none.
func (r *Result) PerPacket() time.Duration {
	if r.Forwarded == 0 {
		return 0
	}
	return time.Duration(uint64(r.ServerCPU) / r.Forwarded)
}

// Distribution sums up a set of durations.
type Distribution struct {
	Count uint64        `json:"count"`
	P50   time.Duration `json:"p50"`
	P95   time.Duration `json:"p95"`
	P99   time.Duration `json:"p99"`
	P999  time.Duration `json:"p999"`
	Max   time.Duration `json:"max"`
	Min   time.Duration `json:"min"`
	Mean  time.Duration `json:"mean"`
	Shape []Bucket      `json:"shape,omitempty"` // where there are any, in the order of their values
}

// Bucket is how many durations were from From up to, but without, To.
type Bucket struct {
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to"`
	Count uint64        `json:"count"`
}

// Machine says where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory uint64 `json:"memory"` // bytes
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
}
