package edge

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv"
)

func TestUsernameLeadsToItsConnectionOnly(t *testing.T) {
	r := newRig(t, 1, nil)
	a, b := r.open(0, pathA), r.open(0, pathB)
	ua, pa := a.c.TURNCredentials()
	ub, pb := b.c.TURNCredentials()
	if ua == ub || pa == pb {
		t.Fatal("two connections have the same credentials")
	}
	if again, _ := a.c.TURNCredentials(); again != ua {
		t.Error("another username the second time")
	}
	if r.p.byUsername([]byte(ua)) != a.c || r.p.byUsername([]byte(ub)) != b.c {
		t.Error("not found")
	}
	for i := range ua {
		forged := []byte(ua)
		forged[i] ^= 1
		if c := r.p.byUsername(forged); c != nil {
			t.Errorf("%q finds a connection, like %q", forged, ua)
		}
		if c := r.p.byUsername([]byte(ua[:i])); c != nil {
			t.Errorf("%q finds a connection", ua[:i])
		}
	}
	for _, name := range []string{"", ua + "A", strings.Repeat("_", len(ua)), strings.Repeat("\n", len(ua)), ua[:20] + "\r\n"} {
		if c := r.p.byUsername([]byte(name)); c != nil {
			t.Errorf("%q finds a connection", name)
		}
	}
	r.finish()
}

// Row TURN-08.
func TestUsernameOfAnEndedConnectionLeadsNowhere(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	username, _ := p.c.TURNCredentials()
	p.establish()
	r.p.shards[0].end(r.now, r.p.shards[0].live[p.c.index], ReasonConsentLost)
	if r.p.byUsername([]byte(username)) != nil {
		t.Error("found though it has ended")
	}
	r.finish()
	if q := r.open(0, pathA); q.c.index != p.c.index {
		t.Fatalf("place %d, not %d again", q.c.index, p.c.index)
	}
	if r.p.byUsername([]byte(username)) != nil {
		t.Error("found though its place is another's")
	}
	r.finish()
}

func TestLookingUpAUsernameAllocatesNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	username, password := p.c.TURNCredentials()
	known, unknown := []byte(username), []byte(strings.Repeat("A", len(username)))
	s := r.p.shards[0]
	account, ok := s.lookup(known)
	if !ok || account.Key != turnsrv.LongTermKey(username, defaultRealm, password) || account.Book != &p.c.account.book {
		t.Fatalf("account %v, %v", account, ok)
	}
	if n := testing.AllocsPerRun(100, func() { s.lookup(known); s.lookup(unknown) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	r.finish()
}

// Calls that were offered an address go on when it is advertised no more, as direct ones do.
func TestAddressKeepsItsRelaysWhenItIsAdvertisedNoMore(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	v := p.over(key("192.0.2.1", "10.0.0.8:1"), 1, 0, 0)
	fresh := netip.MustParseAddr("203.0.113.77")
	r.p.SetAddresses([]netip.Addr{fresh})
	r.settle()
	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	for _, a := range []netip.AddrPort{v.peer, netip.AddrPortFrom(fresh, 3478)} {
		if code := codeOf(v.ask(permission, peerAddress(a))); code != 0 {
			t.Errorf("code %d for %v", code, a)
		}
	}
	if n := r.p.Counters()["turn_allocations"]; n == 0 {
		t.Error("the allocation has ended")
	}
	r.finish()
}

// An address keeps its relays for as long as there is room; of those beyond the bound none are.
func TestAddressesMayChange(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	v := p.over(key("192.0.2.1", "10.0.0.8:1"), 1, 0, 0)
	many := []netip.Addr{{}}
	for i := range 2 * flow.MaxPeers {
		many = append(many, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	r.p.SetAddresses(append(many[:flow.MaxPeers], ourAddresses[0]))
	r.settle()
	for i, s := range r.p.shards {
		if s.env.Peers[0] != (turnsrv.Address{Addr: flow.AddrOf(ourAddresses[0]), Port: 3478}) {
			t.Errorf("shard %d: place 0 is %v's now", i, s.env.Peers[0].Addr.Netip())
		}
		for _, peer := range s.env.Peers {
			if peer.Addr == flow.AddrOf(ourAddresses[1]) {
				t.Errorf("shard %d knows an address that is ours no more", i)
			}
		}
	}
	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	if code := codeOf(v.ask(permission, peerAddress(v.peer))); code != 0 {
		t.Errorf("code %d for an address that has stayed", code)
	}
	r.p.SetAddresses(many[1+flow.MaxPeers:])
	r.settle()
	if n := r.p.Counters()["turn_allocations"]; n != 0 {
		t.Errorf("%d allocations whose address has had to make room", n)
	}
	r.finish()
}

// Only what is not ours is refused to a TURN client: row TURN-01 has the rest.
func TestRelayReachesNothingButThisServer(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	v := p.over(key("192.0.2.1", "10.0.0.8:1"), 0, 0, 0)
	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	for _, a := range []string{"127.0.0.1:3478", "192.0.2.2:3478", "10.0.0.1:80", "169.254.169.254:80", "192.0.2.1:3478"} {
		want := 403
		if a == v.peer.String() {
			want = 0
		}
		if code := codeOf(v.ask(permission, peerAddress(netip.MustParseAddrPort(a)))); code != want {
			t.Errorf("%s: code %d, want %d", a, code, want)
		}
	}
	channel := stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 0, 0, 0}}
	other := netip.AddrPortFrom(v.peer.Addr(), 5000)
	if code := codeOf(v.ask(stun.NewType(stun.MethodChannelBind, stun.ClassRequest), peerAddress(other), channel)); code != 403 {
		t.Errorf("another port of ours: code %d", code)
	}
	r.finish()
}
