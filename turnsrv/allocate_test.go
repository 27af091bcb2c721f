package turnsrv

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

func TestAllocateTellsRelayedAndMappedAddressAndLifetime(t *testing.T) {
	w := newWorld(t)
	c := w.connect(5)
	m := c.allocate()
	if got := relayedAddresses(t, m); len(got) != 1 || got[0] != netip.MustParseAddrPort("203.0.113.5:49232") { // 49152 + 5 x 16
		t.Errorf("relayed %v", got)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil || mapped.String() != "198.51.0.5:40000" {
		t.Errorf("mapped %v, %v", mapped, err)
	}
	if granted(t, m) != 600 || w.allocations() != 1 || c.book().Allocations() != 1 || w.count(Allocated) != 1 {
		t.Error(m)
	}
}

func TestRelayedAddressIsTheOneThatTheClientReachesUsBy(t *testing.T) {
	w := newWorld(t)
	second := Address{flow.AddrOf(netip.MustParseAddr("203.0.113.77")), 3478}
	w.s.SetAddresses([]Address{ours4, ours6, second})
	c := w.connect(1)
	c.k.Local = second.Addr
	if got := relayedAddresses(t, c.allocate()); got[0].Addr() != second.Addr.Netip() {
		t.Error(got)
	}
}

func TestFamiliesOfAllocations(t *testing.T) {
	none := []Address(nil)
	for name, test := range map[string]struct {
		ours     []Address
		setters  []stun.Setter
		code     int
		families string // of the relayed addresses
		error440 byte   // family of ADDRESS-ERROR-CODE
	}{
		"unasked":                         {[]Address{ours4, ours6}, nil, 0, "4", 0},
		"IPv4":                            {[]Address{ours4, ours6}, []stun.Setter{want4}, 0, "4", 0},
		"IPv6":                            {[]Address{ours4, ours6}, []stun.Setter{want6}, 0, "6", 0},
		"both":                            {[]Address{ours6, ours4}, []stun.Setter{both}, 0, "46", 0},
		"unasked of an IPv6 server":       {[]Address{ours6}, nil, 0, "6", 0},
		"IPv4 of an IPv6 server":          {[]Address{ours6}, []stun.Setter{want4}, 440, "", 0},
		"IPv6 of an IPv4 server":          {[]Address{ours4}, []stun.Setter{want6}, 440, "", 0},
		"both of an IPv4 server":          {[]Address{ours4}, []stun.Setter{both}, 0, "4", family6},
		"both of an IPv6 server":          {[]Address{ours6}, []stun.Setter{both}, 0, "6", family4},
		"unasked of a server without any": {none, nil, 440, "", 0},
		"both of a server without any":    {none, []stun.Setter{both}, 440, "", 0},
		"no such family":                  {[]Address{ours4}, []stun.Setter{raw(stun.AttrRequestedAddressFamily, 3, 0, 0, 0)}, 440, "", 0},
		"IPv4 in addition":                {[]Address{ours4}, []stun.Setter{raw(attrAdditionalAddressFamily, 1, 0, 0, 0)}, 400, "", 0},
		"one and both":                    {[]Address{ours4}, []stun.Setter{want4, both}, 400, "", 0},
		"family of the wrong length":      {[]Address{ours4}, []stun.Setter{raw(stun.AttrRequestedAddressFamily, 1)}, 400, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.s.SetAddresses(test.ours)
			m, code := w.connect(1).ask(stun.MethodAllocate, append(test.setters, overUDP)...)
			if code != test.code {
				t.Fatalf("%d, want %d", code, test.code)
			}
			families := ""
			for _, a := range relayedAddresses(t, m) {
				families += map[bool]string{true: "4", false: "6"}[a.Addr().Is4()]
			}
			if families != test.families {
				t.Errorf("relayed addresses of families %q, want %q", families, test.families)
			}
			v, _ := m.Get(attrAddressErrorCode)
			if test.error440 != 0 && !bytes.Equal(v, []byte{test.error440, 0, 4, 40}) || test.error440 == 0 && v != nil {
				t.Errorf("ADDRESS-ERROR-CODE %x", v)
			}
		})
	}
}

func TestAllocateWithoutTransportIs400(t *testing.T) {
	newWorld(t).connect(1).refused(400, stun.MethodAllocate)
}

func TestAttributeOfTheWrongLengthIs400(t *testing.T) {
	for _, a := range []stun.Setter{raw(stun.AttrLifetime, 1), raw(stun.AttrRequestedTransport, 17), raw(stun.AttrEvenPort),
		raw(stun.AttrReservationToken, 1, 2, 3), raw(stun.AttrChannelNumber, 0x40, 0), raw(stun.AttrXORPeerAddress, 0, 1, 2, 3),
		raw(stun.AttrXORPeerAddress, 0, 2, 2, 3, 4, 5, 6, 7), raw(attrAdditionalAddressFamily)} {
		w := newWorld(t)
		w.connect(1).refused(400, stun.MethodAllocate, a)
		if w.allocations() != 0 {
			t.Error(a)
		}
	}
}

func TestTransportThatIsNotUDPIs442(t *testing.T) {
	for _, protocol := range []byte{0, 6, 16, 18, 255} {
		newWorld(t).connect(1).refused(442, stun.MethodAllocate, raw(stun.AttrRequestedTransport, protocol, 0, 0, 0))
	}
}

func TestUnknownAttributeIs420AndNamed(t *testing.T) {
	for name, test := range map[string]struct {
		setters []stun.Setter
		named   []byte
	}{
		"one":                       {[]stun.Setter{raw(0x7001, 1)}, []byte{0x70, 1}},
		"twice the same":            {[]stun.Setter{raw(0x7001), raw(0x7001)}, []byte{0x70, 1}},
		"DONT-FRAGMENT":             {[]stun.Setter{raw(stun.AttrDontFragment)}, []byte{0, 0x1a}},
		"more than we name":         {[]stun.Setter{raw(0x7001), raw(0x7002), raw(0x7003), raw(0x7004), raw(0x7005)}, []byte{0x70, 1, 0x70, 2, 0x70, 3, 0x70, 4}},
		"connection of RFC 6062":    {[]stun.Setter{raw(stun.AttrConnectionID, 1, 2, 3, 4)}, []byte{0, 0x2a}},
		"USERHASH, SHA-256":         {[]stun.Setter{raw(stun.AttrUserhash, 1), raw(stun.AttrMessageIntegritySHA256, 1)}, []byte{0, 0x1e, 0, 0x1c}},
		"with one that we refuse":   {[]stun.Setter{raw(0x7001), raw(stun.AttrLifetime, 1)}, []byte{0x70, 1}},
		"with optional unknown one": {[]stun.Setter{raw(0xC057, 1), raw(0x7001)}, []byte{0x70, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.connect(1).refused(420, stun.MethodAllocate, append(test.setters, overUDP)...)
			if v, _ := m.Get(stun.AttrUnknownAttributes); !bytes.Equal(v, test.named) {
				t.Errorf("named %x, want %x", v, test.named)
			}
			if w.allocations() != 0 {
				t.Error("allocated")
			}
		})
	}
}

// What coturn's client and libwebrtc add, and a ticket for mobility: we hand out none, so that
// there is none to replay.
//
// Row TURN-11.
func TestOptionalAndUselessAttributesAreIgnored(t *testing.T) {
	w := newWorld(t)
	m := w.connect(1).allocate(raw(stun.AttrSoftware, []byte("Coturn-4.6")...), raw(0xC057, 0, 1, 0, 10), raw(0x8030),
		raw(0xFF00, []byte("log id")...), raw(stun.AttrPriority, 1, 2, 3, 4), raw(stun.AttrErrorCode, 0, 0, 4, 0))
	if m.Contains(0x8030) {
		t.Error("a mobility ticket")
	}
}

func TestEvenAndReservedPortsAre508(t *testing.T) {
	for name, setters := range map[string][]stun.Setter{
		"even":          {raw(stun.AttrEvenPort, 0)},
		"even and next": {raw(stun.AttrEvenPort, 0x80)},
		"even, both":    {raw(stun.AttrEvenPort, 0), both},
		"token":         {raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)},
	} {
		w := newWorld(t)
		c := w.connect(1)
		m := c.refused(508, stun.MethodAllocate, append(setters, overUDP)...)
		if m.Contains(stun.AttrReservationToken) || w.allocations() != 0 || c.book().Allocations() != 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestPortAttributesThatExcludeEachOtherAre400(t *testing.T) {
	token := raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)
	for name, setters := range map[string][]stun.Setter{
		"token and even":       {token, raw(stun.AttrEvenPort, 0)},
		"token and family":     {token, want4},
		"token and both":       {token, both},
		"even pair and both":   {raw(stun.AttrEvenPort, 0x80), both},
		"even of three octets": {raw(stun.AttrEvenPort, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			newWorld(t).connect(1).refused(400, stun.MethodAllocate, append(setters, overUDP)...)
		})
	}
}

// RFC 8656 section 7.2: the success may have been lost.
func TestAllocateSentAgainHasTheSameSuccessAgain(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.prove()
	request := c.signed(stun.MethodAllocate, overUDP, lifetime(1200), both)
	first, _ := c.answer(request)
	w.pass(3 * time.Second)
	again, reason := c.answer(request)
	if !bytes.Equal(first.Raw, again.Raw) || reason != Repeated || codeOf(t, again) != 0 {
		t.Errorf("%v, then %v", first, again)
	}
	if w.allocations() != 1 || c.book().Allocations() != 1 {
		t.Error("two allocations")
	}
}

func TestSecondAllocateOnAFlowIs437(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.refused(437, stun.MethodAllocate, overUDP)
	if w.allocations() != 1 || w.count(AllocationExists) != 1 {
		t.Error("allocated, or not counted")
	}
}

func TestSomebodyElsesAllocateWithTheSameIDIs437(t *testing.T) {
	w := newWorld(t)
	c, other := w.connect(1), w.connect(2)
	c.allocate()
	other.k = c.k
	other.prove()
	w.tx -= 2 // the id that made the allocation
	other.refused(437, stun.MethodAllocate, overUDP)
}

func TestRequestsWithoutAllocationAre437(t *testing.T) {
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		w := newWorld(t)
		w.connect(1).refused(437, method, peerAt(ours4), channelNumber(0x4000))
		if w.count(NoSuchAllocation) != 1 {
			t.Error("not counted")
		}
	}
}

// Row TURN-10.
func TestRefreshForAnotherFlowIs437(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.from(40001).refused(437, stun.MethodRefresh, lifetime(0))
	if w.allocations() != 1 {
		t.Error("ended from elsewhere")
	}
}

// The quota holds over all shards.
//
// Row TURN-06.
func TestAllocationBeyondAConnectionsQuotaIs486(t *testing.T) {
	w, shard2 := newWorld(t), newWorld(t)
	shard2.accounts = w.accounts
	c := w.connect(1)
	ports := make(map[uint16]bool)
	for i := range flow.MaxAllocations {
		on := c.from(uint16(41000 + i))
		if i == 3 {
			on.w = shard2
		}
		ports[relayedAddresses(t, on.allocate())[0].Port()] = true
	}
	if len(ports) != flow.MaxAllocations {
		t.Errorf("relayed ports %v", ports)
	}
	for i := range 200 {
		on := c.from(uint16(42000 + i))
		on.prove()
		w.pass(StaleAfter / 201) // the allowance of challenges
		on.refused(486, stun.MethodAllocate, overUDP)
	}
	if w.allocations() != flow.MaxAllocations-1 || shard2.allocations() != 1 || w.count(Quota) != 200 {
		t.Error(w.allocations(), shard2.allocations(), w.count(Quota))
	}
	c.from(41000).must(stun.MethodRefresh, lifetime(0))
	c.from(43000).allocate()
}

func TestAllocationBeyondTheServersBoundIs508(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Allocations = 2 })
	w.connect(1).allocate()
	w.connect(2).allocate()
	c := w.connect(3)
	c.refused(508, stun.MethodAllocate, overUDP)
	if c.book().Allocations() != 0 || w.allocations() != 2 {
		t.Error("half an allocation is left")
	}
	w.connect(1).must(stun.MethodRefresh, lifetime(0))
	c.allocate()
}

// Row TURN-10.
func TestLifetimes(t *testing.T) {
	for asked, want := range map[uint32]uint32{0: 600, 1: 600, 599: 600, 600: 600, 601: 601, 3600: 3600, 3601: 3600, 0xFFFFFFFF: 3600} {
		w := newWorld(t)
		c := w.connect(1)
		if got := granted(t, c.allocate(lifetime(asked))); got != want {
			t.Errorf("Allocate for %d: %d, want %d", asked, got, want)
		}
		if asked == 0 {
			continue
		}
		if got := granted(t, c.must(stun.MethodRefresh, lifetime(asked))); got != want {
			t.Errorf("Refresh for %d: %d, want %d", asked, got, want)
		}
		w.pass(time.Duration(want)*time.Second - time.Nanosecond)
		if w.allocations() != 1 {
			t.Errorf("%d: ended early", asked)
		}
		w.pass(time.Millisecond)
		if w.allocations() != 0 || c.book().Allocations() != 0 {
			t.Errorf("%d: lives longer than it may", asked)
		}
	}
}

// Row TURN-10.
func TestRefreshWithoutLifetimeGrantsTheDefault(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate(lifetime(3600))
	if got := granted(t, c.must(stun.MethodRefresh)); got != 600 {
		t.Error(got)
	}
}

// Row TURN-10.
func TestRefreshWithLifetimeZeroEndsTheAllocation(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	if got := granted(t, c.must(stun.MethodRefresh, lifetime(0))); got != 0 {
		t.Error(got)
	}
	if w.allocations() != 0 || c.book().Allocations() != 0 || c.book().Channel(flow.Via(0).Relayed(0, 0)) != 0 {
		t.Error("something is left")
	}
	c.refused(437, stun.MethodRefresh, lifetime(0))
	c.allocate()
}

func TestRefreshOfAFamilyThatTheAllocationLacksIs443(t *testing.T) {
	c := newWorld(t).connect(1)
	c.allocate()
	c.refused(443, stun.MethodRefresh, want6)
	c.refused(443, stun.MethodRefresh, raw(stun.AttrRequestedAddressFamily, 9, 0, 0, 0))
	c.must(stun.MethodRefresh, want4)
}

// RFC 8656 section 8: half of an allocation may be given back.
func TestRefreshWithAFamilyAndLifetimeZeroEndsThatHalf(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate(both)
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	c.must(stun.MethodChannelBind, peerAt(ours6), channelNumber(0x4001))
	c.must(stun.MethodRefresh, want6, lifetime(0))
	if _, _, ok := w.s.ChannelData(c.k, channelData(0x4001, "x")); ok {
		t.Error("the channel of the half that is gone is there")
	}
	if _, _, ok := w.s.ChannelData(c.k, channelData(0x4000, "x")); !ok {
		t.Error("the other half's channel is gone")
	}
	c.refused(443, stun.MethodCreatePermission, peerAt(ours6))
	c.must(stun.MethodRefresh, want4, lifetime(0))
	if w.allocations() != 0 {
		t.Error("an allocation without addresses")
	}
}

func TestRelayedPortIsNoneOfOurCandidates(t *testing.T) {
	w := newWorld(t)
	busy := ours4
	busy.Port = firstPort + 4 // the first of connection 1
	w.s.SetAddresses([]Address{busy, ours6})
	c := w.connect(1)
	ports := map[uint16]bool{busy.Port: true}
	for i := range flow.MaxAllocations {
		ports[relayedAddresses(t, c.from(uint16(41000+i)).allocate())[0].Port()] = true
	}
	if len(ports) != 1+flow.MaxAllocations {
		t.Errorf("%v", ports)
	}
}

func TestAllocationOverAStreamEndsWithIt(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.k.Via = flow.OverStream(flow.TURNStream, 99)
	c.allocate()
	udp := w.connect(1)
	udp.allocate() // the same address and port, but another flow
	w.s.StreamClosed(c.k)
	if w.allocations() != 1 || c.book().Allocations() != 1 {
		t.Error(w.allocations())
	}
	w.s.StreamClosed(c.k)
	udp.must(stun.MethodRefresh)
}

func TestEndOfAConnectionEndsAllItsAllocationsAndNoOthers(t *testing.T) {
	w := newWorld(t)
	for n := uint32(1); n <= 2; n++ {
		for i := range 3 {
			w.connect(n).from(uint16(41000 + i)).allocate()
		}
	}
	w.connect(1).from(41001).must(stun.MethodRefresh, lifetime(0)) // out of the middle
	w.s.End(1, 6)
	w.s.End(3, 7)
	if w.allocations() != 5 {
		t.Error("ended somebody else's")
	}
	w.s.End(1, 7)
	if w.allocations() != 3 || w.connect(1).book().Allocations() != 0 || w.connect(2).book().Allocations() != 3 {
		t.Error(w.allocations())
	}
}

func TestAllocationWhoseTimeIsUpDoesNotWaitForExpire(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	w.now = w.now.Add(600*time.Second - time.Nanosecond)
	c.nonce = ""
	c.prove()
	w.now = w.now.Add(time.Nanosecond)
	if r := c.indicate(peerAt(ours4), "late"); r.Outcome != Dropped || r.Reason != Unallocated {
		t.Errorf("%+v", r)
	}
	c.refused(437, stun.MethodRefresh)
	c.allocate()
}
