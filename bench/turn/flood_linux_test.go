package turn

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/bench/attack"
	"tsubame/bench/bot"
	netflow "tsubame/netio/flow"
)

// floodRate is what package attack says a machine stands that has a call on it too.
const floodRate = 20_000

// resident returns the memory of the server's process in bytes.
func (w *world) resident() uint64 {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	w.t.Fatalf("no VmRSS in %s", text)
	return 0
}

// flood sends n datagrams to the server's media port and returns what came of them.
func (w *world) flood(n int, sources []netip.Addr, next func(i int) []byte) attack.Tally {
	w.t.Helper()
	f := attack.Flood{
		To: w.candidate(server4), Sources: sources, Rate: floodRate,
		Next: func(i int) []byte {
			if i == n {
				return nil
			}
			return next(i)
		},
	}
	ctx, stop := context.WithTimeout(w.t.Context(), patience)
	defer stop()
	tally, err := f.Run(ctx)
	if err != nil || tally.Sent != uint64(n) {
		w.t.Fatalf("%v: %v", tally, err)
	}
	w.t.Log(tally)
	return tally
}

// allocates returns a Next of unauthenticated Allocates, of which the shortest draws the answer
// that is longest beside it.
func (c *client) allocates() func(i int) []byte {
	var all [][]byte
	for range 64 {
		all = append(all,
			c.message(stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw,
			c.message(stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(protocolUDP), stun.Fingerprint).Raw)
	}
	return attack.InTurn(all, 0)
}

// A hundred thousand Allocates without credentials, from as many addresses, leave nothing: no
// allocation, no path, no memory. Each is told no more than three times what it sent. Two who
// are in a call meanwhile, one of them through TURN, see and hear each other.
//
// Row TURN-04.
func TestAHundredThousandUnauthenticatedAllocatesLeaveNothing(t *testing.T) {
	t.Parallel()
	const n, most = 100_000, 16 << 20
	w := start(t, nil)
	a, b := w.join(w.peer(bot.SendRecv)), w.through(overUDP, w.peer(bot.SendRecv))
	requireConnected(t, b)
	requireFrames(t, 25, between(a, b)...)
	c := w.client(w.connect(), overUDP)
	// What the first ones make the server touch it keeps: tables, buffers of the sockets.
	w.flood(2000, attack.Sources(2000), c.allocates())
	before, frames := w.resident(), between(a, b)[0].stream(kinds[0]).Frames

	tally := w.flood(n, attack.Sources(n), c.allocates())

	if tally.ReceivedBytes > 3*tally.SentBytes {
		t.Errorf("amplified: %v", tally)
	}
	if now := w.resident(); now > before+most {
		t.Errorf("%d bytes resident, %d before", now, before)
	}
	w.requireGrown("turn_allocations", 1) // the call's
	if judged := w.grown("turn_challenge", "turn_limited"); judged < n/2 {
		t.Errorf("%d were judged: nothing was shown", judged)
	}
	if now := between(a, b)[0].stream(kinds[0]).Frames; now < frames+uint64(10*tally.Took.Seconds()) {
		t.Errorf("%d frames of sound came in %v", now-frames, tally.Took)
	}
	requireFrames(t, 25, between(a, b)...)
	for _, f := range between(a, b) {
		for _, kind := range kinds {
			// Datagrams are lost where sockets are full; repairs must have come through.
			if s := f.stream(kind); s.BadPayload != 0 || s.Shifts != 0 || s.Lost*50 > s.Packets {
				t.Errorf("%v from %v: %+v", kind, f, s)
			}
		}
	}
}

// Who asks again and again from one address is told so often, and then no more; others are.
//
// Row TURN-04.
func TestChallengesToOneSourceAreLimited(t *testing.T) {
	t.Parallel()
	const n, burst, rate = 30_000, 2048, 512 // as cmd/tsubame has them
	w := start(t, map[string]string{"shards": "1"})
	as := w.connect()
	c := w.client(as, overUDP)
	greedy := netip.MustParseAddr("127.9.9.9")
	tally := w.flood(n, []netip.Addr{greedy}, c.allocates())
	if most := uint64(burst + rate*(tally.Took+time.Second).Seconds()); tally.Received > most || tally.Received < burst*9/10 {
		t.Errorf("%d answers to %v, at most %d", tally.Received, greedy, most)
	}
	if got := w.grown("turn_limited"); got+tally.Received < n*9/10 {
		t.Errorf("%d were refused", got)
	}
	c.requireOK(c.allocate())
	// By TCP a source cannot be forged, and has an allowance of its own.
	stream := w.clientFrom(as, overTCP, netip.AddrPortFrom(greedy, 0))
	stream.requireOK(stream.allocate())
}

// Ten thousand Allocates with one connection's good credentials: it gets its handful.
//
// Row TURN-06.
func TestTenThousandAllocatesOfOneConnectionAreAHandful(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	as := w.connect()
	var clients []*client
	for range 20 {
		c := w.client(as, overTCP)
		c.challenge()
		clients = append(clients, c)
	}
	granted := 0
	for i := range 10_000 {
		c := clients[i%len(clients)]
		switch code := codeOf(c.allocate()); code {
		case 0:
			granted++
		case stun.CodeAllocQuotaReached, stun.CodeAllocMismatch:
		default:
			t.Fatalf("answered with %d", code)
		}
	}
	if granted != netflow.MaxAllocations {
		t.Errorf("%d were granted", granted)
	}
	w.requireGrown("turn_allocations", netflow.MaxAllocations)
}
