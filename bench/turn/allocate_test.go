package turn

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

func TestAllocateIsChallengedThenGranted(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.client(w.connect(), v)
		first := c.do(c.message(stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(protocolUDP), stun.Fingerprint))
		c.require(first, stun.CodeUnauthorized)
		c.learn(first)
		answer := c.allocate(family(v.wireFamily()))
		c.requireOK(answer)
		relayed := c.relayed(answer, v.family == 4)
		if relayed.Addr() != v.server() || relayed.Port() == uint16(w.UDPPort()) || relayed.Port() < 49152 {
			t.Errorf("the relayed address is %v", relayed)
		}
		if got := c.mapped(answer); got != c.local() {
			t.Errorf("the client at %v is seen at %v", c.local(), got)
		}
		if s := c.seconds(answer); s != 600 {
			t.Errorf("granted for %d seconds", s)
		}
		for _, name := range []string{"turn_challenge", "turn_allocate", "turn_allocations"} {
			w.requireGrown(name, 1)
		}
	})
}

func TestRefreshKeepsAnAllocation(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v)
		for asked, want := range map[uint32]uint32{1: 600, 600: 600, 1200: 1200, 1 << 31: 3600, 1<<32 - 1: 3600} {
			answer := c.refresh(asked)
			c.requireOK(answer)
			if got := c.seconds(answer); got != want {
				t.Errorf("%d seconds asked, %d granted, want %d", asked, got, want)
			}
		}
		c.requireOK(c.permit(w.candidate(server4)))
	})
}

// Row TURN-10.
func TestRefreshOfAnotherFiveTupleIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	as := w.connect()
	w.allocated(as, overUDP)
	other := w.client(as, overUDP)
	other.require(other.refresh(600), stun.CodeAllocMismatch)
	other.require(other.refresh(0), stun.CodeAllocMismatch)
	w.requireGrown("turn_allocations", 1)
}

func TestLifetimeZeroEndsAnAllocation(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v)
		answer := c.refresh(0)
		c.requireOK(answer)
		if s := c.seconds(answer); s != 0 {
			t.Errorf("%d seconds are left", s)
		}
		w.requireGrown("turn_allocations", 0)
		c.require(c.refresh(600), stun.CodeAllocMismatch)
		c.require(c.permit(w.candidate(server4)), stun.CodeAllocMismatch)
		c.requireOK(c.allocate())
	})
}

func TestAClosedStreamEndsItsAllocation(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	as := w.connect()
	for _, v := range []way{overTCP, overTLS} {
		c := w.allocated(as, v)
		w.requireGrown("turn_allocations", 1)
		c.conn.Close()
		eventually(t, "the allocation has gone", func() (bool, any) {
			n := w.grown("turn_allocations")
			return n == 0, n
		})
	}
}

func TestPermissionAndChannelToOurCandidate(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v, additionally(family6))
		for i, a := range []netip.Addr{server4, server6} {
			p := w.candidate(a)
			c.requireOK(c.permit(p))
			c.requireOK(c.permit(netip.AddrPortFrom(a, 9))) // permissions have no port
			c.requireOK(c.bind(firstChannel+uint16(i), p))
			c.requireOK(c.bind(firstChannel+uint16(i), p)) // a refresh
		}
	})
}

func TestBindingIsAnswered(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.client(w.connect(), v)
		answer := c.do(c.message(stun.BindingRequest, stun.Fingerprint))
		c.requireOK(answer)
		if got := c.mapped(answer); got != c.local() {
			t.Errorf("the client at %v is seen at %v", c.local(), got)
		}
	})
}
