package turn

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/bench/attack"
	netflow "tsubame/netio/flow"
)

// Row TURN-05.
func TestWrongNonceIsStale(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		other, c := w.client(as, v), w.client(as, v)
		other.challenge()
		c.challenge()
		good := c.nonce
		for name, nonce := range map[string]string{
			"another client's": other.nonce, "none at all": "x", "cut": good[:len(good)-1], "longer": good + "a",
			"changed": flip(good, 0), "changed at its end": flip(good, len(good)-2), "as long": strings.Repeat("A", len(good)),
		} {
			c.nonce = nonce
			answer := c.request(stun.MethodAllocate, transport(protocolUDP))
			if got := codeOf(answer); got != stun.CodeStaleNonce {
				t.Errorf("%s: %d", name, got)
			}
			if c.learn(answer); c.nonce == nonce {
				t.Errorf("%s: no new nonce", name)
			}
		}
		w.requireGrown("turn_allocations", 0)
		c.requireOK(c.allocate()) // with the new one
	})
}

// flip changes one letter.
func flip(s string, i int) string {
	b := []byte(s)
	if b[i]++; b[i] > 'y' {
		b[i] = 'B'
	}
	return string(b)
}

// Of another server with the same realm, even for the same address and port.
//
// Row TURN-05.
func TestNonceOfAnotherServerIsStale(t *testing.T) {
	t.Parallel()
	w, other := start(t, nil), start(t, nil)
	first := other.client(other.connect(), overUDP)
	first.challenge()
	from := first.local()
	first.conn.Close()
	c := w.clientFrom(w.connect(), overUDP, from)
	c.nonce, c.realm = first.nonce, first.realm
	c.require(c.allocate(), stun.CodeStaleNonce)
}

func TestSecondAllocationIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		c := w.client(as, v)
		c.challenge()
		request := c.signed(stun.MethodAllocate, transport(protocolUDP))
		first := c.do(request)
		c.requireOK(first)
		c.require(c.allocate(), stun.CodeAllocMismatch)
		again := c.do(request) // the same, retransmitted (RFC 8656 section 7.2)
		c.requireOK(again)
		if a, b := c.relayed(first, true), c.relayed(again, true); a != b {
			t.Errorf("%v, and then %v", a, b)
		}
		w.requireGrown("turn_allocations", 1)
	})
}

// One connection has a handful of allocations at most, by all ways together, and gets another
// when it has given one back.
//
// Row TURN-06.
func TestOneAllocationTooManyIsOverTheQuota(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	as := w.connect()
	every := []way{overUDP, overTCP, overTLS}
	var held []*client
	for i := range netflow.MaxAllocations {
		held = append(held, w.allocated(as, every[i%len(every)]))
	}
	for range 30 {
		for _, v := range every {
			c := w.client(as, v)
			c.require(c.allocate(), stun.CodeAllocQuotaReached)
			c.conn.Close()
		}
	}
	w.requireGrown("turn_allocations", netflow.MaxAllocations)
	w.requireGrown("turn_quota", 90)
	held[1].requireOK(held[1].refresh(0))
	w.allocated(as, overTLS)
	w.allocated(w.connect(), overUDP) // others have their own
}

func TestWrongCredentialsAreRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as, other := w.connect(), w.connect()
		c := w.client(as, v)
		c.challenge()
		realm := c.realm
		for name, wrong := range map[string][3]string{
			"password":                  {as.Username, as.Credential + "x", realm},
			"another's password":        {as.Username, other.Credential, realm},
			"another's name":            {other.Username, as.Credential, realm},
			"nobody's name":             {flip(as.Username, len(as.Username)-1), as.Credential, realm},
			"realm":                     {as.Username, as.Credential, realm + "x"},
			"no name":                   {"", as.Credential, realm},
			"the ICE credentials":       {as.ufrag, as.password, realm},
			"a name of another's shape": {strings.Repeat("a", 400), as.Credential, realm},
		} {
			c.username, c.password, c.realm = wrong[0], wrong[1], wrong[2]
			if got := codeOf(c.allocate()); got != stun.CodeUnauthorized {
				t.Errorf("%s: %d", name, got)
			}
		}
		w.requireGrown("turn_allocations", 0)
		c.username, c.password, c.realm = as.Username, as.Credential, realm
		c.requireOK(c.allocate())
	})
}

// Two connections, each with good credentials: neither touches what is the other's.
//
// Row TURN-08.
func TestAnothersAllocationIsOutOfReach(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as, other := w.connect(), w.connect()
		c := w.allocated(as, v, family(family4))
		c.username, c.password = other.Username, other.Credential
		c.require(c.refresh(0), stun.CodeWrongCredentials)
		c.require(c.refresh(600), stun.CodeWrongCredentials)
		c.require(c.permit(w.candidate(server4)), stun.CodeWrongCredentials)
		c.require(c.bind(firstChannel, w.candidate(server4)), stun.CodeWrongCredentials)
		c.require(c.allocate(), stun.CodeAllocMismatch)
		c.username, c.password = as.Username, as.Credential
		c.requireOK(c.refresh(600))
	})
}

// A check for one connection through the relay of another is not answered, and leaves no path.
//
// Row TURN-03.
func TestARelayLeadsToItsOwnConnectionOnly(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as, other := w.connect(), w.connect()
		c := w.allocated(as, v, family(family4))
		to := w.candidate(server4)
		c.requireOK(c.bind(firstChannel, to))
		check := attack.Check(attack.Credentials{Ufrag: other.ufrag, Password: other.password}, true)
		c.send(c.channelData(firstChannel, check))
		c.send(c.sendIndication(to, check))
		w.waitGrown("drop_foreign_relay", 2)
		w.requireGrown("stun_replies", 0)
		c.byChannel(as, firstChannel)
		w.requireGrown("adopted", 0)
	})
}

// When a connection ends by signaling, so do its credentials and its allocations.
//
// Row TURN-08.
func TestCredentialsEndWithTheirConnection(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		c, fresh := w.allocated(as, v, family(family4)), w.client(as, v)
		fresh.challenge()
		c.requireOK(c.bind(firstChannel, w.candidate(server4)))
		c.byChannel(as, firstChannel)
		leave(t, as.bot)
		eventually(t, "the connection has gone", func() (bool, any) {
			now := w.Counters()
			return now["connections_free"] == w.idle["connections_free"] && now["turn_allocations"] == 0, now["turn_allocations"]
		})
		replies := w.grown("stun_replies")
		fresh.require(fresh.allocate(), stun.CodeUnauthorized)
		c.require(c.refresh(600), stun.CodeUnauthorized)
		c.require(c.permit(w.candidate(server4)), stun.CodeUnauthorized)
		c.send(c.channelData(firstChannel, attack.Check(attack.Credentials{Ufrag: as.ufrag, Password: as.password}, false)))
		w.waitGrown("turn_unbound_channel", 1)
		w.requireGrown("stun_replies", replies)
		w.requireGrown("turn_allocations", 0)
		// The next connection may have the place that the first had, but not its credentials.
		next := w.connect()
		fresh.require(fresh.allocate(), stun.CodeUnauthorized)
		fresh.username, fresh.password = next.Username, next.Credential
		fresh.requireOK(fresh.allocate())
	})
}

func TestOnlyUDPIsRelayed(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.client(w.connect(), v)
		for _, protocol := range []byte{protocolTCP, 0, 255} {
			c.require(c.request(stun.MethodAllocate, transport(protocol)), stun.CodeUnsupportedTransProto)
		}
		c.require(c.request(stun.MethodAllocate), stun.CodeBadRequest) // none at all
		w.requireGrown("turn_allocations", 0)
	})
}

func TestPeerOfAFamilyThatAnAllocationLacksIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v, family(v.wireFamily()))
		other := w.candidate(server6)
		if v.family == 6 {
			other = w.candidate(server4)
		}
		c.require(c.permit(other), stun.CodePeerAddrFamilyMismatch)
		c.require(c.bind(firstChannel, other), stun.CodePeerAddrFamilyMismatch)
	})
}

func TestFamilyThatWeDoNotHaveIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"ipv6": "false", "ipv6_address": ""})
	as := w.connect()
	if slices.ContainsFunc(as.URLs, func(url string) bool { return strings.Contains(url, "[") }) {
		t.Errorf("clients are told of IPv6: %q", as.URLs)
	}
	for _, v := range []way{overUDP, overTCP, overTLS} {
		c := w.client(as, v)
		c.require(c.allocate(family(family6)), stun.CodeAddrFamilyNotSupported)
		c.require(c.allocate(family(3)), stun.CodeAddrFamilyNotSupported)
		answer := c.allocate(additionally(family6)) // half of it is not to be had (RFC 8656 section 7.2)
		c.requireOK(answer)
		c.relayed(answer, true)
		if v, err := answer.Get(attrAddressError); err != nil || !slices.Equal(v, []byte{family6, 0, 4, 40}) {
			t.Errorf("ADDRESS-ERROR-CODE: %x, %v", v, err)
		}
	}
}

func TestWhatWeDoNotOfferIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.client(w.connect(), v)
		even := stun.RawAttribute{Type: stun.AttrEvenPort, Value: []byte{0x80}}
		token := stun.RawAttribute{Type: stun.AttrReservationToken, Value: []byte("reserved")}
		c.require(c.allocate(even), stun.CodeInsufficientCapacity)
		c.require(c.allocate(token), stun.CodeInsufficientCapacity)
		c.require(c.allocate(token, even), stun.CodeBadRequest)
		answer := c.allocate(stun.RawAttribute{Type: stun.AttrDontFragment})
		c.require(answer, stun.CodeUnknownAttribute)
		var unknown stun.UnknownAttributes
		if err := unknown.GetFrom(answer); err != nil || !slices.Equal(unknown, []stun.AttrType{stun.AttrDontFragment}) {
			t.Errorf("unknown: %v, %v", unknown, err)
		}
		w.requireGrown("turn_allocations", 0)
	})
}

// Row TURN-07.
func TestChannelsAreOfTheirRangeAndStayWithTheirPeer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v, additionally(family6))
		one, two := w.candidate(server4), w.candidate(server6)
		for _, channel := range []uint16{0, 1, 0x3fff, 0x5000, 0x7fff, 0xffff} {
			c.require(c.bind(channel, one), stun.CodeBadRequest)
		}
		c.requireOK(c.bind(0x4fff, one))
		c.require(c.bind(0x4fff, two), stun.CodeBadRequest)
		c.require(c.bind(0x4ffe, one), stun.CodeBadRequest)
		c.requireOK(c.bind(0x4ffe, two))
		c.require(c.request(stun.MethodChannelBind, channelNumber(0x4000)), stun.CodeBadRequest)
		c.require(c.request(stun.MethodCreatePermission), stun.CodeBadRequest)
		for port := range uint16(200) {
			c.requireOK(c.permit(netip.AddrPortFrom(server4, port)))
		}
	})
}
