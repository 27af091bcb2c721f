package turnsrv

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// foreign are addresses that a relay could be abused for.
var foreign = []string{
	"127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1",
	"169.254.169.254", // metadata services
	"100.64.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.255.255.255", "192.0.2.1", "8.8.8.8",
	"203.0.113.4", "203.0.113.6", // our neighbours
	"198.51.0.1", // the client itself
	"::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8:5::4", "2001:db8:5::6",
	"fd00:ec2::254", "2606:4700::1111", "5:5:5:5::", "2001:db8:5::5:0",
}

// spellings are the ways to write an IPv4 address as an IPv6 address that some translator or
// tunnel would undo.
var spellings = map[string]func(v4 [4]byte) netip.Addr{
	"mapped":        func(v [4]byte) netip.Addr { return spell("::ffff:0:0", 12, v) },
	"compatible":    func(v [4]byte) netip.Addr { return spell("::", 12, v) },
	"translated":    func(v [4]byte) netip.Addr { return spell("::ffff:0:0:0", 12, v) },
	"NAT64":         func(v [4]byte) netip.Addr { return spell("64:ff9b::", 12, v) },
	"local NAT64":   func(v [4]byte) netip.Addr { return spell("64:ff9b:1::", 12, v) },
	"6to4":          func(v [4]byte) netip.Addr { return spell("2002::", 2, v) },
	"Teredo server": func(v [4]byte) netip.Addr { return spell("2001::", 4, v) },
	"Teredo client": func(v [4]byte) netip.Addr { return spell("2001::", 12, [4]byte{^v[0], ^v[1], ^v[2], ^v[3]}) },
	"ISATAP":        func(v [4]byte) netip.Addr { return spell("fe80::5efe:0:0", 12, v) },
	"global ISATAP": func(v [4]byte) netip.Addr { return spell("2001:db8:5::200:5efe:0:0", 12, v) },
}

// spell writes four bytes into an IPv6 address.
func spell(prefix string, at int, v [4]byte) netip.Addr {
	b := netip.MustParseAddr(prefix).As16()
	copy(b[at:], v[:])
	return netip.AddrFrom16(b) // not unmapped
}

// methodsOfAbuse are the ways to name a peer. Connect (RFC 6062) is refused whatever it names.
var methodsOfAbuse = map[string]func(c *client, to stun.Setter) error{
	"CreatePermission": func(c *client, to stun.Setter) error {
		if _, code := c.ask(stun.MethodCreatePermission, to); code != 403 {
			return fmt.Errorf("%d", code)
		}
		return nil
	},
	"CreatePermission with one of ours": func(c *client, to stun.Setter) error {
		if _, code := c.ask(stun.MethodCreatePermission, peerAt(ours4), to); code != 403 {
			return fmt.Errorf("%d", code)
		}
		return nil
	},
	"ChannelBind": func(c *client, to stun.Setter) error {
		if _, code := c.ask(stun.MethodChannelBind, to, channelNumber(0x4000)); code != 403 {
			return fmt.Errorf("%d", code)
		}
		return nil
	},
	"Send": func(c *client, to stun.Setter) error {
		if r := c.indicate(to, "GET / HTTP/1.1"); r.Outcome != Dropped || r.Reason != ForeignPeer {
			return fmt.Errorf("%+v", r)
		}
		return nil
	},
	"Connect": func(c *client, to stun.Setter) error {
		if r := c.handle(c.signed(stun.MethodConnect, to)); r.Outcome != Dropped || r.Reason != Unexpected {
			return fmt.Errorf("%+v", r)
		}
		return nil
	},
}

// abused makes an allocation that could reach both families.
func abused(t *testing.T) *client {
	c := newWorld(t).connect(1)
	c.allocate(both)
	return c
}

// harmless fails if what was refused left anything.
func harmless(t *testing.T, c *client) {
	t.Helper()
	a := c.w.s.table.find(c.k)
	if a == nil || a.permitted != [flow.MaxPeers]mono.Time{} || a.channel != [flow.MaxPeers]uint16{} {
		t.Errorf("left behind: %+v", a)
	}
}

// Row TURN-01.
func TestForeignPeersAreForbidden(t *testing.T) {
	for name, abuse := range methodsOfAbuse {
		t.Run(name, func(t *testing.T) {
			c := abused(t)
			for _, address := range foreign {
				for _, port := range []uint16{0, 22, 80, 3478, 65535} {
					to := netip.AddrPortFrom(netip.MustParseAddr(address), port)
					if err := abuse(c, toPeer(to)); err != nil {
						t.Errorf("%v: %v", to, err)
					}
				}
			}
			harmless(t, c)
		})
	}
}

// Row TURN-02.
func TestIPv4InIPv6IsForbiddenHoweverSpelled(t *testing.T) {
	targets := [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 1}, {169, 254, 169, 254}, {192, 168, 0, 1}, {0, 0, 0, 0}, {255, 255, 255, 255},
		{203, 0, 113, 5}} // and our own: a candidate is written as it is
	for spelling, write := range spellings {
		for name, abuse := range methodsOfAbuse {
			t.Run(spelling+" "+name, func(t *testing.T) {
				c := abused(t)
				for _, v4 := range targets {
					to := netip.AddrPortFrom(write(v4), 3478)
					if err := abuse(c, toPeer(to)); err != nil {
						t.Errorf("%v: %v", to, err)
					}
				}
				harmless(t, c)
			})
		}
	}
}

// An allocation without IPv6 gives the same answer to spellings: they are no IPv6.
//
// Row TURN-02.
func TestSpellingsAreForbiddenToAnIPv4Allocation(t *testing.T) {
	c := newWorld(t).connect(1)
	c.allocate()
	for _, write := range spellings {
		c.refused(403, stun.MethodCreatePermission, toPeer(netip.AddrPortFrom(write([4]byte{127, 0, 0, 1}), 80)))
	}
}

func TestPeerOfAFamilyThatTheAllocationLacksIs443(t *testing.T) {
	c := newWorld(t).connect(1)
	c.allocate()
	for _, address := range []string{"2001:db8:5::5", "2606:4700::1111", "fe80::1"} {
		to := toPeer(netip.AddrPortFrom(netip.MustParseAddr(address), 3478))
		c.refused(443, stun.MethodCreatePermission, to)
		c.refused(443, stun.MethodChannelBind, to, channelNumber(0x4000))
		if r := c.indicate(to, "x"); r.Outcome != Dropped || r.Reason != ForeignPeer {
			t.Errorf("%+v", r)
		}
	}
	six := c.from(40001)
	six.allocate(want6)
	six.refused(443, stun.MethodCreatePermission, peerAt(ours4))
	six.must(stun.MethodCreatePermission, peerAt(ours6))
}

// Other services on this very host.
//
// Row TURN-01.
func TestOtherPortsOfOursAreForbidden(t *testing.T) {
	c := abused(t)
	c.must(stun.MethodCreatePermission, peerAt(ours4)) // ports do not matter to permissions
	for _, port := range []uint16{0, 22, 443, 3477, 3479, 5000} {
		to := peerAt(Address{ours4.Addr, port})
		c.refused(403, stun.MethodChannelBind, to, channelNumber(0x4000))
		if r := c.indicate(to, "x"); r.Reason != ForeignPeer {
			t.Errorf("port %d: %+v", port, r)
		}
	}
}

// What is behind a relayed transport address is nobody's endpoint but its owner's.
//
// Row TURN-03.
func TestRelayedAddressesAreForbidden(t *testing.T) {
	w := newWorld(t)
	c, other := w.connect(1), w.connect(2)
	c.allocate()
	victim := relayedAddresses(t, other.allocate())[0]
	c.must(stun.MethodCreatePermission, toPeer(victim)) // the address is our candidate's; the port is not
	c.refused(403, stun.MethodChannelBind, toPeer(victim), channelNumber(0x4000))
	if r := c.indicate(toPeer(victim), "x"); r.Reason != ForeignPeer {
		t.Errorf("%+v", r)
	}
}

// Row TURN-03.
func TestOwnerTellsWhoseAllocationAPathGoesThrough(t *testing.T) {
	w := newWorld(t)
	c := w.connect(4)
	c.allocate()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	path, _, _ := w.s.ChannelData(c.k, channelData(0x4000, "x"))
	if connection, serial, ok := w.s.Owner(path); !ok || connection != 4 || serial != 7 {
		t.Error(connection, serial, ok)
	}
	other := path
	other.Via = path.Via.Relayed(1, 0)
	if _, _, ok := w.s.Owner(other); ok {
		t.Error("an allocation that is not has an owner")
	}
	if _, _, ok := w.s.Owner(c.k); ok {
		t.Error("a flow without relay has an owner")
	}
	w.s.End(4, 7)
	if _, _, ok := w.s.Owner(path); ok {
		t.Error("an allocation that has ended has an owner")
	}
}

func TestPermissionsAreAllOrNone(t *testing.T) {
	c := abused(t)
	loopback := toPeer(netip.MustParseAddrPort("127.0.0.1:80"))
	c.refused(403, stun.MethodCreatePermission, peerAt(ours4), peerAt(ours6), loopback)
	harmless(t, c)
	c.must(stun.MethodCreatePermission, peerAt(ours4), peerAt(ours6), peerAt(ours4))
	for _, peer := range []Address{ours4, ours6} {
		if r := c.indicate(peerAt(peer), "x"); r.Outcome != Data {
			t.Errorf("%+v", r)
		}
	}
}

func TestCreatePermissionWithoutPeerIs400(t *testing.T) {
	abused(t).refused(400, stun.MethodCreatePermission)
}

func TestPeersAfterTheIntegrityAreNotRead(t *testing.T) {
	c := abused(t)
	m := c.w.build(stun.MethodCreatePermission, stun.ClassRequest, stun.NewUsername(c.username), stun.NewRealm(c.realm),
		stun.NewNonce(c.nonce), stun.NewLongTermIntegrity(c.username, c.realm, c.password), peerAt(ours4))
	if answer, _ := c.answer(m.Raw); codeOf(t, answer) != 400 {
		t.Error(answer)
	}
	harmless(t, c)
}

// Permissions stand at the places of our addresses, so there are no more of them.
//
// Row TURN-07.
func TestTenThousandPermissionsTakeNoRoom(t *testing.T) {
	c := abused(t)
	before := c.w.s.table.find(c.k)
	for i := range 10_000 {
		port := Address{ours4.Addr, uint16(i)}
		if i%2 == 0 {
			c.must(stun.MethodCreatePermission, peerAt(port))
		} else {
			c.refused(403, stun.MethodCreatePermission, toPeer(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)))
		}
	}
	permitted := 0
	for _, until := range before.permitted {
		if until != 0 {
			permitted++
		}
	}
	if permitted != 1 || c.w.allocations() != 1 {
		t.Error(permitted)
	}
}

func TestPermissionLastsFiveMinutes(t *testing.T) {
	c := abused(t)
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	c.w.pass(300*time.Second - time.Nanosecond)
	if r := c.indicate(peerAt(ours4), "x"); r.Outcome != Data {
		t.Errorf("too early: %+v", r)
	}
	c.w.pass(time.Nanosecond)
	if r := c.indicate(peerAt(ours4), "x"); r.Outcome != Dropped || r.Reason != Unpermitted {
		t.Errorf("too late: %+v", r)
	}
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	if r := c.indicate(peerAt(ours4), "x"); r.Outcome != Data {
		t.Errorf("refreshed: %+v", r)
	}
}

func TestIndicationIsHandedOutWithItsPath(t *testing.T) {
	c := abused(t)
	if r := c.indicate(peerAt(ours6), "early"); r.Reason != Unpermitted {
		t.Errorf("%+v", r)
	}
	c.must(stun.MethodCreatePermission, peerAt(ours6))
	r := c.indicate(peerAt(ours6), "a check")
	if r.Outcome != Data || string(r.Payload) != "a check" || r.Reason != Relayed {
		t.Fatalf("%+v", r)
	}
	want := c.k
	want.Via = want.Via.Relayed(0, 1)
	if r.Path != want {
		t.Errorf("path %+v", r.Path)
	}
	if peer, ok := c.w.s.Peer(r.Path.Via); !ok || peer != ours6 {
		t.Error(peer, ok)
	}
	addr, port, ok := c.w.s.Relayed(r.Path)
	if !ok || addr != ours6.Addr || port != firstPort+flow.MaxAllocations {
		t.Error(addr.Netip(), port, ok)
	}
}

func TestBrokenIndicationsAreDropped(t *testing.T) {
	data := raw(stun.AttrData, 1, 2, 3)
	for name, setters := range map[string][]stun.Setter{
		"no data":            {peerAt(ours4)},
		"empty data":         {peerAt(ours4), raw(stun.AttrData)},
		"no peer":            {data},
		"two peers":          {peerAt(ours4), peerAt(ours4), data},
		"two pieces of data": {peerAt(ours4), data, data},
		"DONT-FRAGMENT":      {peerAt(ours4), data, raw(stun.AttrDontFragment)},
		"unknown attribute":  {peerAt(ours4), data, raw(0x7001)},
		"short peer":         {raw(stun.AttrXORPeerAddress, 0, 1, 2), data},
		"no such family":     {raw(stun.AttrXORPeerAddress, 0, 3, 2, 2, 1, 1, 1, 1), data},
	} {
		t.Run(name, func(t *testing.T) {
			c := abused(t)
			c.must(stun.MethodCreatePermission, peerAt(ours4))
			r := c.handle(c.w.build(stun.MethodSend, stun.ClassIndication, setters...).Raw)
			if r.Outcome != Dropped || r.Reason != Malformed || c.w.count(Malformed) != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestIndicationWithoutAllocationIsDropped(t *testing.T) {
	c := newWorld(t).connect(1)
	if r := c.indicate(peerAt(ours4), "x"); r.Outcome != Dropped || r.Reason != Unallocated {
		t.Errorf("%+v", r)
	}
}

func TestLargestIndicationIsTaken(t *testing.T) {
	c := abused(t)
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	data := bytes.Repeat([]byte("x"), 60_000)
	if r := c.indicate(peerAt(ours4), string(data)); r.Outcome != Data || !bytes.Equal(r.Payload, data) {
		t.Error(r.Outcome, r.Reason)
	}
}

func TestAddressesKeepTheirPlaces(t *testing.T) {
	w := newWorld(t)
	other := Address{flow.AddrOf(netip.MustParseAddr("203.0.113.99")), 3478}
	w.s.SetAddresses([]Address{other, ours6})
	place := func(i int) Address { a, _ := w.s.Peer(flow.Via(0).Relayed(0, i)); return a }
	if place(0) != (Address{}) || place(1) != ours6 || place(2) != other {
		t.Errorf("%v", w.s.peers.at)
	}
	w.s.SetAddresses([]Address{ours4, other, ours6})
	if place(1) != ours6 || place(2) != other || place(3) != ours4 {
		t.Errorf("%v", w.s.peers.at)
	}
	if _, ok := w.s.Peer(flow.Via(0)); ok {
		t.Error("a path without relay has a peer")
	}
}

func TestEveryPlaceCanBeTakenAgain(t *testing.T) {
	w := newWorld(t)
	for round := range 50 {
		var all []Address
		for i := range flow.MaxPeers + 2 { // two more than there are places
			all = append(all, Address{flow.AddrOf(netip.AddrFrom4([4]byte{10, byte(round), 0, byte(i)})), 3478})
		}
		w.s.SetAddresses(all)
		for _, a := range all[:flow.MaxPeers] {
			if places, exact := w.s.peers.find(peerAddress{a.Addr, a.Port, family4}); places == 0 || exact == none {
				t.Fatalf("round %d: %v has no place", round, a)
			}
		}
		if places, _ := w.s.peers.find(peerAddress{all[flow.MaxPeers].Addr, 3478, family4}); places != 0 {
			t.Fatal("more addresses than places")
		}
	}
}

func TestAddressThatIsGoneTakesWhatHangsOnIt(t *testing.T) {
	w := newWorld(t)
	gone := Address{flow.AddrOf(netip.MustParseAddr("203.0.113.99")), 3478}
	w.s.SetAddresses([]Address{ours4, ours6, gone})
	stays, ends := w.connect(1), w.connect(2)
	ends.k.Local = gone.Addr
	stays.allocate()
	ends.allocate()
	stays.must(stun.MethodCreatePermission, peerAt(gone))
	stays.must(stun.MethodChannelBind, peerAt(gone), channelNumber(0x4001))
	stays.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4002))
	w.s.SetAddresses([]Address{ours4, ours6})
	if w.allocations() != 1 || ends.book().Allocations() != 0 {
		t.Error("an allocation whose relayed address is gone lives on")
	}
	if _, _, ok := w.s.ChannelData(stays.k, channelData(0x4001, "x")); ok {
		t.Error("a channel to an address that is gone")
	}
	if stays.book().Channel(flow.Via(0).Relayed(0, 2)) != 0 {
		t.Error("the book has the channel")
	}
	if _, _, ok := w.s.ChannelData(stays.k, channelData(0x4002, "x")); !ok {
		t.Error("another channel went with it")
	}
	stays.refused(403, stun.MethodCreatePermission, peerAt(gone))
}

func TestPathOfWhatIsGoneHasNoRelayedAddress(t *testing.T) {
	c := abused(t)
	six := c.k
	six.Via = six.Via.Relayed(0, 1)
	if _, _, ok := c.w.s.Relayed(six); !ok {
		t.Fatal("no relayed address")
	}
	for name, via := range map[string]flow.Via{"no relay": 0, "no such peer": flow.Via(0).Relayed(0, 5), "no such allocation": flow.Via(0).Relayed(2, 1)} {
		k := c.k
		k.Via = via
		if addr, port, ok := c.w.s.Relayed(k); ok || addr != (flow.Addr{}) || port != 0 {
			t.Errorf("%s: %v", name, addr.Netip())
		}
	}
	c.must(stun.MethodRefresh, want6, lifetime(0))
	if _, _, ok := c.w.s.Relayed(six); ok {
		t.Error("the family was given back")
	}
}

func TestAddressesThatAreNoneOrTwiceTakeNoPlace(t *testing.T) {
	w := newWorld(t)
	w.s.SetAddresses([]Address{ours4, {}, ours4, ours6})
	if w.s.peers.at != [flow.MaxPeers]Address{ours4, ours6} {
		t.Errorf("%v", w.s.peers.at)
	}
}

func TestPermissionHoldsForAllPortsOfAnAddress(t *testing.T) {
	w := newWorld(t)
	second := Address{ours4.Addr, 443}
	w.s.SetAddresses([]Address{ours4, ours6, second})
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodCreatePermission, peerAt(Address{ours4.Addr, 9}))
	for place, peer := range map[int]Address{0: ours4, 2: second} {
		if r := c.indicate(peerAt(peer), "x"); r.Outcome != Data || r.Path.Via.Peer() != place {
			t.Errorf("%+v", r)
		}
	}
}
