package calls

import (
	"net/netip"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// moveTo opens a new socket of b, nominates it, and closes the socket that b used until then.
func moveTo(t *testing.T, b *bot.Bot, local netip.AddrPort) {
	t.Helper()
	socket, err := b.AddSocket(local)
	if err != nil {
		t.Fatal(err)
	}
	var index, old int
	eventually(t, "the new path is validated", func() (bool, any) {
		paths := b.Paths()
		for i, p := range paths {
			if p.Selected {
				old = p.Socket
			}
			if p.Socket == socket && p.Validated {
				index = i
			}
		}
		return paths[index].Socket == socket, paths
	})
	if err := b.Nominate(index); err != nil {
		t.Fatal(err)
	}
	waitSelected(t, b, index)
	if err := b.CloseSocket(old); err != nil {
		t.Fatal(err)
	}
}

// A client whose address changes goes on: same connection, same keys, same streams. Half of the
// moves land on the shard that does not own it.
func TestAddressChangeMidCall(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		cfg := w.peer(bot.SendRecv)
		cfg.LocalAddrs = []netip.AddrPort{onShard(t, 0, 2)}
		a, b := w.join(cfg), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(a, b)...)
		offers := a.Stats().Offers
		for move := range 4 {
			moveTo(t, a, onShard(t, (move+1)%2, 2))
			requireFrames(t, 15, among(a, b)...)
		}
		for _, f := range among(a, b) {
			for _, kind := range kinds {
				s := f.stream(kind)
				if s.BadPayload != 0 || s.Duplicates != 0 || s.Shifts != 0 || s.Source != track(f.from, kind).SSRC {
					t.Errorf("%v of %v: %+v", kind, f, s)
				}
			}
			requireClean(t, f.to)
		}
		if got := a.Stats().Offers; got != offers {
			t.Errorf("%d offers because of the moves", got-offers)
		}
		for _, name := range []string{"adopted", "established", "handshakes"} {
			w.requireGrown(name, 2)
		}
		w.requireGrown("path_switches", 2+4)
	})
}

// A phone between two networks: the nomination flaps between ports of both shards every 50 ms.
// All of them stay open, so nothing has to be lost; RTX repairs what is.
//
// Row ICE-09.
func TestFlappingAddress(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	cfg := w.peer(bot.SendRecv)
	cfg.LocalAddrs = append(onEachShard(t, 2), onShard(t, 0, 2))
	a, b := w.join(cfg), w.join(w.peer(bot.SendRecv))
	waitValidated(t, a)
	requireFrames(t, 10, among(a, b)...)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	const flips = 120
	for i := range flips {
		<-tick.C
		if err := a.Nominate(i % len(cfg.LocalAddrs)); err != nil {
			t.Fatal(err)
		}
	}
	requireFrames(t, 25, among(a, b)...)
	for _, f := range among(a, b) {
		for _, kind := range kinds {
			s := f.stream(kind)
			if s.Lost*100 > s.Packets || s.BadPayload != 0 || s.Shifts != 0 || s.Duplicates > s.RTXPackets {
				t.Errorf("%v of %v: %+v", kind, f, s)
			}
		}
		requireClean(t, f.to)
	}
	// A nomination that comes before a round trip has passed since the last one is held.
	if n := w.grown("path_switches"); n < flips/4 || n > flips+4 {
		t.Errorf("%d switches of path after %d nominations", n, flips)
	}
	for _, name := range []string{"adopted", "established", "handshakes"} {
		w.requireGrown(name, 2)
	}
}

// Checks without a nomination do not move media, and neither do datagrams of an authenticated
// client by a path that it has not nominated.
//
// Row ICE-09.
func TestMediaStaysOnTheNominatedPath(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var first, others int
	cfg := w.peer(bot.RecvOnly)
	cfg.LocalAddrs = []netip.AddrPort{onShard(t, 0, 2)}
	a, b := w.join(cfg), w.join(w.peer(bot.SendOnly))
	for shard := range 2 {
		if _, err := a.AddSocket(onShard(t, shard, 2)); err != nil {
			t.Fatal(err)
		}
	}
	waitValidated(t, a)
	requireFrames(t, 25, flow{b, a})
	for _, p := range a.Paths() {
		if p.Selected {
			first++
		} else {
			others++
		}
	}
	if first != 1 || others != 2 {
		t.Fatalf("%+v", a.Paths())
	}
	w.requireGrown("path_switches", 2)
	// Media by the others would have come all the same, so close them: nothing is missing.
	for socket := 1; socket <= 2; socket++ {
		if err := a.CloseSocket(socket); err != nil {
			t.Fatal(err)
		}
	}
	requireFrames(t, 25, flow{b, a})
	requireIntact(t, flow{b, a})
}
