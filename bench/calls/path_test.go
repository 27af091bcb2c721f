package calls

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/bench/bot"
	"tsubame/netio/steer"
)

// nextPort is where the search for a free port goes on. The range is below that of which the
// kernel gives ports to whoever asks for any.
var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(time.Now().UnixNano() % 10_000)) }

// onShard returns a local address from which datagrams land on the given shard of n.
func onShard(t *testing.T, shard, n int) netip.AddrPort {
	t.Helper()
	for range 10_000 {
		a := netip.AddrPortFrom(loopback.Addr(), uint16(20_000+nextPort.Add(1)%10_000))
		if steer.ShardOf(a, n) != shard {
			continue
		}
		if c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a)); err == nil {
			c.Close()
			return a
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

// onEachShard returns an address for each of n shards.
func onEachShard(t *testing.T, n int) []netip.AddrPort {
	t.Helper()
	var all []netip.AddrPort
	for shard := range n {
		all = append(all, onShard(t, shard, n))
	}
	return all
}

// waitSelected waits until the server has taken the nomination of the i-th path.
func waitSelected(t *testing.T, b *bot.Bot, i int) {
	t.Helper()
	eventually(t, fmt.Sprintf("path %d is selected", i), func() (bool, any) {
		paths := b.Paths()
		return i < len(paths) && paths[i].Selected, paths
	})
}

// waitValidated waits until every path that is not dead has been answered on.
func waitValidated(t *testing.T, b *bot.Bot) {
	t.Helper()
	eventually(t, "every path is validated", func() (bool, any) {
		paths := b.Paths()
		return !slices.ContainsFunc(paths, func(p bot.Path) bool { return !p.Validated && !p.Dead }), paths
	})
}

// A client that checks from two ports, which belong to two shards: whichever is checked first,
// and whichever of them is nominated, long after DTLS has begun on the first, it has one owner,
// gets all streams that were there or came meanwhile, and its media flows.
func TestPathsOnTwoShardsMakeOneConnection(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	resident := w.join(w.peer(bot.SendRecv))
	calls := uint64(1)
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		for nominated := range 2 {
			cfg := w.peer(bot.SendRecv)
			cfg.LocalAddrs = onEachShard(t, 2)
			cfg.Arrange = func(paths []bot.Path) []bot.Path {
				return []bot.Path{paths[order[0]], paths[order[1]]}
			}
			cfg.NominateAfter = time.Hour
			b := w.join(cfg)
			calls++
			what := fmt.Sprintf("shard %d first, the path on %d nominated", order[0], order[nominated])
			if slices.ContainsFunc(b.Paths(), func(p bot.Path) bool { return p.Selected }) {
				t.Errorf("%s: a path is selected before one was nominated", what)
			}
			waitValidated(t, b)
			requireFrames(t, 10, among(resident, b)...)
			newcomer := w.join(w.peer(bot.SendOnly))
			calls++
			if err := b.Nominate(nominated); err != nil {
				t.Fatal(err)
			}
			waitSelected(t, b, nominated)
			requireFrames(t, 10, append(among(resident, b), flow{newcomer, b})...)
			requireIntact(t, append(among(resident, b), flow{newcomer, b})...)
			for _, name := range []string{"adopted", "established", "handshakes"} {
				w.requireGrown(name, calls)
			}
			leave(t, newcomer)
			leave(t, b)
		}
	}
	if w.grown("roamed") == 0 {
		t.Error("no datagram was handed over: nothing was shown")
	}
}

// The same with four shards, and every path nominated by its first check.
func TestEveryPathNominatedByItsFirstCheck(t *testing.T) {
	t.Parallel()
	const shards, rounds = 4, 8
	w := start(t, map[string]string{"shards": fmt.Sprint(shards)})
	resident := w.join(w.peer(bot.SendRecv))
	for round := range rounds {
		cfg := w.peer(bot.SendRecv)
		cfg.Aggressive = true
		cfg.LocalAddrs = onEachShard(t, shards)
		cfg.Arrange = func(paths []bot.Path) []bot.Path {
			k := round % shards
			return append(slices.Clone(paths[k:]), paths[:k]...)
		}
		b := w.join(cfg)
		waitValidated(t, b)
		requireFrames(t, 10, among(resident, b)...)
		requireIntact(t, among(resident, b)...)
		leave(t, b)
	}
	for _, name := range []string{"adopted", "established", "handshakes"} {
		w.requireGrown(name, rounds+1)
	}
}

var credential = regexp.MustCompile(`a=ice-(ufrag|pwd):([A-Za-z0-9+/]+)`)

// credentials returns the server's ufrag and password, as the offer that b got says them.
func credentials(t *testing.T, b *bot.Bot) (ufrag, password string) {
	t.Helper()
	eventually(t, "an offer", func() (bool, any) { return b.OfferMessage() != nil, nil })
	for _, m := range credential.FindAllSubmatch(b.OfferMessage(), -1) {
		if string(m[1]) == "ufrag" {
			ufrag = string(m[2])
		} else {
			password = string(m[2])
		}
	}
	if ufrag == "" || password == "" {
		t.Fatalf("no credentials in %s", b.OfferMessage())
	}
	return ufrag, password
}

// check is one of a controlling agent, with USE-CANDIDATE if it nominates.
func check(t *testing.T, ufrag, password string, nominates bool) *stun.Message {
	t.Helper()
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag + ":bot"),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 1, 255}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte("tiebreak")},
	}
	if nominates {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(password), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Nominations that hit all shards in the same instant, before anybody owns the connection: every
// one is answered, one shard adopts, and the call works from then on.
func TestNominationsAtOnceFromAllShards(t *testing.T) {
	t.Parallel()
	const shards, rounds = 4, 10
	w := start(t, map[string]string{"shards": fmt.Sprint(shards)})
	resident := w.join(w.peer(bot.SendRecv))
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback.Addr(), uint16(w.UDPPort())))
	for range rounds {
		cfg := w.peer(bot.SendRecv)
		var open atomic.Bool
		cfg.Outgoing = func([]byte) bool { return open.Load() }
		b := w.dial(cfg)
		ufrag, password := credentials(t, b)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for _, a := range onEachShard(t, shards) {
			nomination := check(t, ufrag, password, true)
			c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(a), server)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			all.Go(func() {
				<-begin
				if err := ask(c, nomination); err != nil {
					t.Errorf("from %v: %v", a, err)
				}
			})
		}
		close(begin)
		all.Wait()
		open.Store(true)
		if err := b.WaitConnected(within(t)); err != nil {
			t.Fatal(err)
		}
		requireFrames(t, 5, among(resident, b)...)
		requireIntact(t, among(resident, b)...)
		leave(t, b)
	}
	for _, name := range []string{"adopted", "established", "handshakes"} {
		w.requireGrown(name, rounds+1)
	}
}

// ask sends a check until it is answered by a success.
func ask(c *net.UDPConn, check *stun.Message) error {
	var b [2048]byte
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write(check.Raw); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return err
		}
		n, err := c.Read(b[:])
		if err != nil {
			continue
		}
		m := &stun.Message{Raw: slices.Clone(b[:n])}
		if m.Decode() == nil && m.Type == stun.BindingSuccess && m.TransactionID == check.TransactionID {
			return nil
		}
	}
	return fmt.Errorf("no answer")
}

// Whoever knows the credentials may check from as many ports as it likes: it is answered, a few
// paths are remembered, and media stays where it was nominated to.
//
// Row ICE-08.
func TestChecksFromAThousandPortsLeaveTheCallAlone(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(a, b)...)
		ufrag, password := credentials(t, b)
		server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback.Addr(), uint16(w.UDPPort())))
		for range 1000 {
			c, err := net.DialUDP("udp4", nil, server)
			if err != nil {
				t.Fatal(err)
			}
			err = ask(c, check(t, ufrag, password, false))
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		requireFrames(t, 10, among(a, b)...)
		requireIntact(t, among(a, b)...)
		w.requireGrown("path_switches", 2)
		w.requireGrown("adopted", 2)
	})
}

// Handing datagrams over between shards is for the few who move. A client that has one path
// belongs to the shard that it lands on.
func TestCallsOfOnePathDoNotRoam(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	const calls = 50
	var bots []*bot.Bot
	for i := range calls {
		cfg := w.peer(bot.SendRecv)
		cfg.Channel, cfg.Paused = fmt.Sprint("room", i/2), true
		bots = append(bots, w.join(cfg))
	}
	for i := 0; i < calls; i += 2 {
		bots[i].Resume()
	}
	for i := 0; i < calls; i += 2 {
		requireFrames(t, 5, flow{bots[i], bots[i+1]})
	}
	w.requireGrown("adopted", calls)
	w.requireGrown("roamed", 0)
	w.requireGrown("foreign", 0)
}
