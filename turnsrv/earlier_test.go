package turnsrv

import (
	"testing"

	"github.com/pion/stun/v3"
)

// An address that is advertised no more serves who was told of it, and is told to nobody else.
func TestEarlierAddressIsReachedButNotHandedOut(t *testing.T) {
	w := newWorld(t)
	before := w.connect(1)
	if got := relayedAddresses(t, before.allocate()); len(got) != 1 || got[0].Addr() != ours4.Addr.Netip() {
		t.Fatal(got)
	}
	fresh := Address{ours4.Addr, ours4.Port}
	fresh.Addr[15]++
	w.s.SetAddresses([]Address{fresh}, ours4, ours6)
	before.must(stun.MethodRefresh, lifetime(600))
	for _, a := range []Address{ours4, fresh} {
		before.must(stun.MethodCreatePermission, peerAt(a))
	}
	after := w.connect(2)
	if got := relayedAddresses(t, after.allocate()); len(got) != 1 || got[0].Addr() != fresh.Addr.Netip() {
		t.Errorf("a new allocation is told of %v", got)
	}
	w.connect(3).refused(440, stun.MethodAllocate, overUDP, raw(stun.AttrRequestedAddressFamily, family6, 0, 0, 0))
}
