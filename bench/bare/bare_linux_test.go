package bare

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"text/tabwriter"
	"time"
)

var table = flag.Bool("table", false, "measure all sizes and run lengths, and print a table")

// loop makes a sender and a receiver that are closed with the test.
func loop(t testing.TB, cfg Config, gso bool, inspect func(local [4]byte, datagram []byte)) (*sender, *receiver) {
	t.Helper()
	cfg, err := cfg.withDefaults(gso)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReceiver(inspect)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	s, err := newSender(cfg, gso, r.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, r
}

// Each packet must arrive at the address of its viewer, in order, and open with its keys to
// what was sealed; else the floor would be that of other work.
func TestWhatIsSentArrivesIntact(t *testing.T) {
	const rounds = 3
	for _, gso := range []bool{true, false} {
		t.Run(fmt.Sprintf("gso %v", gso), func(t *testing.T) {
			type arrival struct {
				local [4]byte
				bytes []byte
			}
			var got []arrival // the receiver's until it is closed
			s, r := loop(t, Config{Destinations: 10, Payload: 700, Runs: []int{1, 5, 3}}, gso, func(local [4]byte, b []byte) {
				got = append(got, arrival{local, bytes.Clone(b)})
			})
			var copies []*viewer // before anything was sent
			for _, v := range s.viewers {
				c := *v
				copies = append(copies, &c)
			}
			for range rounds {
				if err := s.burst(7); err != nil {
					t.Fatal(err)
				}
			}
			r.await(s.packets)
			if n := r.received.Load(); n != s.packets || n != 10*(1+5+3) {
				t.Fatalf("%d of %d packets arrived", n, s.packets)
			}
			r.stop.Store(true)
			<-r.done
			inFrame := 0
			for _, a := range got {
				v := copies[int(a.local[2])<<8|int(a.local[3])]
				if a.local != destination(int(v.ssrc)) {
					t.Fatalf("a packet for %v came to %v", destination(int(v.ssrc)), a.local)
				}
				v.index++ // open wants the index behind
				payload, err := v.open(a.bytes)
				if err != nil {
					t.Fatalf("stream %d, packet %d: %v", v.ssrc, v.index, err)
				}
				if !bytes.Equal(payload, s.payloads[inFrame]) {
					t.Fatalf("stream %d, packet %d of its run: other bytes than were sealed", v.ssrc, inFrame)
				}
				if inFrame++; a.bytes[1]&marker != 0 {
					inFrame = 0
				}
			}
			for i, v := range copies {
				if v.index != s.viewers[i].index {
					t.Errorf("stream %d: %d of %d packets", i, v.index, s.viewers[i].index)
				}
			}
			if wantMessages := map[bool]uint64{true: 10 * rounds, false: s.packets}[gso]; s.messages != wantMessages {
				t.Errorf("%d messages, want %d", s.messages, wantMessages)
			}
		})
	}
}

func TestLoopsDoNotAllocate(t *testing.T) {
	for _, gso := range []bool{true, false} {
		s, r := loop(t, Config{Destinations: 70, Payload: 100, Runs: []int{3}}, gso, nil)
		var failed error
		if n := testing.AllocsPerRun(100, func() { // the receiver's are counted as well
			if err := s.burst(1); err != nil {
				failed = err
			}
		}); n != 0 || failed != nil {
			t.Errorf("gso %v: %v allocations a burst, error %v", gso, n, failed)
		}
		r.await(s.packets)
	}
}

func TestShortRunLosesNothing(t *testing.T) {
	for name, f := range map[string]func(Config) (Cost, error){"GSO": GSO, "Sendmmsg": Sendmmsg} {
		c, err := f(Config{Destinations: 20, RoundPackets: 1000, Rounds: 3, Interval: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if c.Lost != 0 || c.Packets < 3000 || c.Seal <= 0 || c.Best > c.PerPacket || c.PerPacket > c.Worst {
			t.Errorf("%s: %v", name, c)
		}
		t.Logf("%s: %v", name, c)
	}
}

// What nobody reads is reported as lost.
func TestLostPacketsAreReported(t *testing.T) {
	cfg, err := Config{Destinations: 20, RoundPackets: 100, Rounds: 1}.withDefaults(true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReceiver(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	r.patience = 10 * time.Millisecond
	s, err := newSender(cfg, true, r.port)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	c, err := s.measure(r)
	if want := c.Packets * 2; err != nil || c.Lost != want { // the round of warming up, and one
		t.Errorf("%v, %v, want %d lost", c, err, want)
	}
}

func TestConfigBounds(t *testing.T) {
	for _, cfg := range []Config{
		{Destinations: -1}, {Destinations: maxDestinations + 1}, {Payload: -1}, {Payload: maxPayload + 1},
		{Runs: []int{0}}, {Runs: []int{maxSegments + 1}}, {Batch: maxMessages + 1}, {Interval: -1},
		{RoundPackets: maxRoundPackets + 1}, {Rounds: -1},
		{Payload: 1100, Runs: []int{60}}, // more than a datagram holds
	} {
		if c, err := GSO(cfg); err == nil || errors.Is(err, ErrUnsupported) {
			t.Errorf("%+v: %v, %v", cfg, c, err)
		}
	}
}

func BenchmarkGSO(b *testing.B)      { benchmark(b, true) }
func BenchmarkSendmmsg(b *testing.B) { benchmark(b, false) }

// benchmark reports the CPU time of the sending thread as ns/packet; ns/op is a burst of
// 64 runs, with the receiver beside it.
func benchmark(b *testing.B, gso bool) {
	for _, payload := range []int{100, 1100} {
		for _, run := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("payload=%d/run=%d", payload, run), func(b *testing.B) {
				s, r := loop(b, Config{Payload: payload, Runs: []int{run}}, gso, nil)
				b.ReportAllocs()
				b.ResetTimer()
				var spent time.Duration
				for range b.N {
					_, d, err := s.round(1)
					if err != nil {
						b.Fatal(err)
					}
					spent += d
					r.await(s.packets)
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(s.packets), "ns/packet")
			})
		}
	}
}

// BenchmarkSeal is writing a header and sealing alone, in CPU time of the thread, from a payload
// that stays in the cache, for 64 streams in turn.
func BenchmarkSeal(b *testing.B) {
	for _, payload := range []int{100, 200, 400, 800, 1100, 1200} {
		b.Run(fmt.Sprintf("payload=%d", payload), func(b *testing.B) {
			s, _ := loop(b, Config{Payload: payload, Runs: []int{1}}, false, nil)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			dst := s.slab[:s.packetLen()]
			b.SetBytes(int64(payload))
			b.ReportAllocs()
			b.ResetTimer()
			start := threadTime()
			for i := range b.N {
				s.viewers[i%len(s.viewers)].seal(dst, s.payloads[0], 1, 2, true)
			}
			b.ReportMetric(float64((threadTime()-start).Nanoseconds())/float64(b.N), "ns/packet")
		})
	}
}

// TestTable prints what the log of measurements has; without -table it checks one cell.
func TestTable(t *testing.T) {
	payloads, runs := []int{100}, []int{2}
	if *table {
		payloads, runs = []int{100, 1100}, []int{1, 2, 4, 8, 16}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "payload\trun\tdestinations\tinterval\tGSO\tsealing\tlost\tsendmmsg\tsealing\tlost")
	for _, payload := range payloads {
		for _, run := range runs {
			for _, interval := range []time.Duration{0, 10 * time.Millisecond} {
				cfg := Config{Payload: payload, Runs: []int{run}, Interval: interval, RoundPackets: 2048}
				if payload == 100 {
					cfg.Destinations = 200
				}
				a, err := GSO(cfg)
				if err != nil {
					t.Fatal(err)
				}
				b, err := Sendmmsg(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if a.Packets != b.Packets || b.Messages != b.Packets || a.Messages*uint64(run) != a.Packets {
					t.Errorf("%v and %v", a, b)
				}
				fmt.Fprintf(w, "%d\t%d\t%d\t%v\t%d\t%d\t%d\t%d\t%d\t%d\n", payload, run, max(64, cfg.Destinations), interval,
					a.PerPacket, a.Seal, a.Lost, b.PerPacket, b.Seal, b.Lost)
			}
		}
	}
}
