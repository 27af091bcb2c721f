package attack

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// sink is a loopback socket that answers every datagram with answer.
func sink(t *testing.T, answer []byte) (to netip.AddrPort, got func() [][]byte, from func() map[netip.AddrPort]bool) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all [][]byte
	sources := make(map[netip.AddrPort]bool)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, source, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, append([]byte(nil), b[:n]...))
			sources[source] = true
			mu.Unlock()
			if answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, source)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	to = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return to, func() [][]byte {
			mu.Lock()
			defer mu.Unlock()
			return all
		}, func() map[netip.AddrPort]bool {
			mu.Lock()
			defer mu.Unlock()
			return sources
		}
}

func TestFloodSendsAllFromAllSourcesAndCountsTheAnswers(t *testing.T) {
	to, got, from := sink(t, []byte("no"))
	sources := Sources(50)
	tally, err := Flood{To: to, Sources: sources, Rate: 5000, Next: InTurn([][]byte{{1, 2}, {3, 4, 5}}, 500)}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tally.Sent != 500 || tally.SentBytes != 1250 || tally.Received != 500 || tally.ReceivedBytes != 1000 || tally.Amplified() {
		t.Errorf("%v", tally)
	}
	if n := len(got()); n != 500 {
		t.Errorf("%d arrived", n)
	}
	seen := make(map[netip.Addr]bool)
	for source := range from() {
		seen[source.Addr()] = true
	}
	for _, source := range sources {
		if !seen[source] {
			t.Errorf("nothing came from %v", source)
		}
	}
}

func TestFloodSeesAmplification(t *testing.T) {
	to, _, _ := sink(t, make([]byte, 100))
	tally, err := Flood{To: to, Rate: 1000, Next: InTurn([][]byte{make([]byte, 99)}, 20)}.Run(t.Context())
	if err != nil || !tally.Amplified() {
		t.Errorf("%v, %v", tally, err)
	}
}

func TestNothingButLoopbackIsAttacked(t *testing.T) {
	next := InTurn([][]byte{{1}}, 1)
	for _, to := range []string{"192.0.2.1:9", "10.0.0.1:9", "[2001:db8::1]:9", "0.0.0.0:9", "255.255.255.255:9"} {
		if _, err := (Flood{To: netip.MustParseAddrPort(to), Rate: 1, Next: next}).Run(t.Context()); err == nil {
			t.Errorf("a flood of %s was begun", to)
		}
		crowd, err := Gather(t.Context(), CrowdConfig{To: netip.MustParseAddrPort(to), Count: 1, Rate: 1})
		if err == nil {
			t.Errorf("a crowd at %s was gathered", to)
			crowd.Close()
		}
	}
	to, _, _ := sink(t, nil)
	elsewhere := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if _, err := (Flood{To: to, Sources: elsewhere, Rate: 1, Next: next}).Run(t.Context()); err == nil {
		t.Error("a flood from elsewhere was begun")
	}
}

func TestRatesHaveACeiling(t *testing.T) {
	for _, rate := range []int{-1, 0, MaxRate + 1} {
		if n, err := Pace(t.Context(), rate, func(int) bool { return false }); err == nil || n != 0 {
			t.Errorf("rate %d: %d, %v", rate, n, err)
		}
	}
}

func TestPacerKeepsTheRateAndForgetsPauses(t *testing.T) {
	start := time.Now()
	p := pacer{rate: 1000, start: start}
	total := 0
	for i := 1; i <= 500; i++ {
		total += p.due(start.Add(time.Duration(i) * 2 * time.Millisecond))
	}
	if total != 1000 {
		t.Errorf("%d in a second at 1,000", total)
	}
	if n := p.due(start.Add(time.Minute)); n > 11 {
		t.Errorf("%d at once after a pause", n)
	}
	if n := p.due(start.Add(time.Minute + 2*time.Millisecond)); n != 2 {
		t.Errorf("%d in the next two milliseconds", n)
	}
	if n := p.due(start); n != 0 {
		t.Errorf("%d at a time that has passed", n)
	}
}

func TestPaceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n, err := Pace(ctx, 1000, func(i int) bool {
		if i == 4 {
			cancel()
		}
		return true
	})
	if err != nil || n < 5 || n > 5+12 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSourcesAreDifferentAndNeitherOurOwnNorBroadcast(t *testing.T) {
	for _, n := range []int{0, 1, 7, 256, 10_000, 300_000} {
		seen := make(map[netip.Addr]bool)
		for _, a := range Sources(n) {
			if seen[a] || !a.IsLoopback() || a == netip.MustParseAddr("127.0.0.1") || a == netip.MustParseAddr("127.255.255.255") {
				t.Fatalf("%d sources: %v", n, a)
			}
			seen[a] = true
		}
		if len(seen) != n {
			t.Errorf("%d sources, not %d", len(seen), n)
		}
	}
}
