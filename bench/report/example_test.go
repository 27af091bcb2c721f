package report

import (
	"math"
	"math/rand/v2"
	"time"
)

// example is a result with everything in it, the same each time.
func example() *Result {
	random := rand.New(rand.NewPCG(1, 2))
	spread := func(n int, middle time.Duration, sigma float64) Distribution {
		var h Histogram
		for range n {
			h.Record(time.Duration(float64(middle) * math.Exp(sigma*random.NormFloat64())))
		}
		return h.Distribution()
	}
	r := &Result{
		Name: "conference-4x8", Started: time.Date(2026, 11, 21, 12, 34, 56, 0, time.UTC), Duration: 40 * time.Second,
		Machine: Machine{CPU: "Example CPU @ 2.00GHz", CPUs: 2, Memory: 24 << 30, Kernel: "Linux 6.18.5", Go: "go1.26.8", Commit: "0123456789"},
		Peers:   32, Connected: 32,
		Join: spread(32, 40*time.Millisecond, 0.3), Media: spread(32, 65*time.Millisecond, 0.3), KeyFrame: spread(32, 200*time.Millisecond, 0.5),
		Sent: 212_480, Forwarded: 1_487_300, Bytes: 1_487_300 * 700, Expected: 1_487_360, Lost: 60, ClientLoss: 58,
		Recovered: 12, Padded: 200_000, PadBytes: 3_000_000,
		Audio: spread(20000, 90*time.Microsecond, 0.5), FrameFirst: spread(20000, 900*time.Microsecond, 0.2), FrameLast: spread(20000, 120*time.Microsecond, 0.6),
		ServerCPU: 2100 * time.Millisecond, MachineCPU: 18 * time.Second, ClientCPU: 9 * time.Second,
		ServerPSS: 61 << 20, IdlePSS: 19 << 20, JoinCPU: 120 * time.Millisecond, JoinTime: 3 * time.Second,
		Problems: []string{"room 3, client 2: the WebSocket <closed>"},
	}
	for i := range 50 {
		s := Sample{At: time.Duration(i+1) * time.Second, Phase: Measuring, Connected: 32}
		switch {
		case i < 4:
			s.Phase, s.Connected = Joining, 8*(i+1)
		case i < 9:
			s.Phase = WarmingUp
		}
		s.Sent = uint64(s.Connected * (160 + random.IntN(20)))
		s.Forwarded = s.Sent * 7
		s.Bytes = s.Forwarded * 700
		s.ServerCPU = time.Duration(s.Forwarded) * 1410
		s.ClientCPU = 220 * time.Millisecond
		s.MachineCPU = 450 * time.Millisecond
		s.ServerPSS = uint64(19+42*min(i, 5)/5) << 20
		if i%13 == 12 {
			s.Lost = 20
		}
		r.Samples = append(r.Samples, s)
	}
	return r
}

func exampleTable() *Table {
	return &Table{
		Title: "standard set", Started: example().Started, Took: 20 * time.Minute, Machine: example().Machine,
		Speed: "the bare loop: 500 ns a packet at the start, 610 ns at the end",
		Rows: []Row{
			{Key: "video-fanout", What: "video, 1 x 64, 1,100 B", Want: "<= 1.0 us", Got: "0.91 us (0.88 to 0.97)", Busy: "121 %", Took: 41 * time.Second, Verdict: Reached},
			{Key: "conf-4x8", What: "conference, 4 x 8", Want: "<= 1.5 us", Got: "1.71 us", Busy: "80 %", Verdict: NotReached, Notes: []string{"the machine had | other work"}},
			{Key: "storm", What: "5,000 joins", Want: "all", Got: "", Verdict: NotMeasured, Notes: []string{"the server ended"}},
			{Key: "limit", What: "most viewers", Got: "9,000", Verdict: Informative},
		},
	}
}
