package turnsrv

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"pgregory.net/rapid"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// modelAllocation is an allocation as RFC 8656 describes it, in maps with instants.
type modelAllocation struct {
	owner     string
	number    int
	families  map[byte]bool
	expires   mono.Time
	permitted map[Address]mono.Time
	channels  map[uint16]Address
	until     map[uint16]mono.Time
}

// model is the slow, obvious server that the real one is held against.
type model struct {
	w     *world
	flows map[*client]*modelAllocation
	ours  []Address
}

func (m *model) now() mono.Time { return m.w.now }

// settle forgets what has ended.
func (m *model) settle() {
	for c, a := range m.flows {
		if a.expires <= m.now() {
			delete(m.flows, c)
			continue
		}
		for peer, until := range a.permitted {
			if until <= m.now() {
				delete(a.permitted, peer)
			}
		}
		for channel, until := range a.until {
			if until <= m.now() {
				delete(a.channels, channel)
				delete(a.until, channel)
			}
		}
	}
}

// number returns the lowest number that a connection has free.
func (m *model) number(owner string) int {
	taken := make(map[int]bool)
	for _, a := range m.flows {
		if a.owner == owner {
			taken[a.number] = true
		}
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}

func (m *model) allocate(c *client, families []byte, seconds uint32) int {
	if m.flows[c] != nil {
		return 437
	}
	n := m.number(c.username)
	if n == flow.MaxAllocations {
		return 486
	}
	a := &modelAllocation{owner: c.username, number: n, families: make(map[byte]bool), permitted: make(map[Address]mono.Time),
		channels: make(map[uint16]Address), until: make(map[uint16]mono.Time), expires: m.now().Add(clamp(seconds))}
	for _, f := range families {
		a.families[f] = true
	}
	m.flows[c] = a
	return 0
}

func clamp(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, 10*time.Minute), time.Hour)
}

// peer is what a request for a peer is refused with, 0 if it is not.
func (m *model) peer(a *modelAllocation, p Address, port bool) int {
	if !a.families[familyOf(p.Addr)] {
		return 443
	}
	for _, o := range m.ours {
		if o.Addr == p.Addr && (!port || o.Port == p.Port) {
			return 0
		}
	}
	return 403
}

func (m *model) bind(a *modelAllocation, p Address, channel uint16) int {
	if channel < 0x4000 || channel > 0x4FFF {
		return 400
	}
	if code := m.peer(a, p, true); code != 0 {
		return code
	}
	for n, to := range a.channels {
		if n == channel && to != p || n != channel && to == p {
			return 400
		}
	}
	a.channels[channel] = p
	a.until[channel] = m.now().Add(10 * time.Minute)
	m.permit(a, p)
	return 0
}

// permit permits every candidate at p's address.
func (m *model) permit(a *modelAllocation, p Address) {
	for _, o := range m.ours {
		if o.Addr == p.Addr {
			a.permitted[o] = m.now().Add(5 * time.Minute)
		}
	}
}

// step is one random thing that happens.
func (m *model) step(t *rapid.T, c *client, what string, p Address) {
	a := m.flows[c]
	switch what {
	case "allocate":
		families, setters := []byte{family4}, []stun.Setter{overUDP}
		if rapid.Bool().Draw(t, "both") {
			families, setters = []byte{family4, family6}, append(setters, both)
		}
		seconds := rapid.SampledFrom([]uint32{0, 60, 700, 3600, 0xFFFFFFFF}).Draw(t, "seconds")
		want := m.allocate(c, families, seconds)
		m.same(t, c, want, stun.MethodAllocate, append(setters, lifetime(seconds))...)
	case "refresh":
		seconds := rapid.SampledFrom([]uint32{0, 1, 1000, 0xFFFFFFFF}).Draw(t, "seconds")
		want := 437
		if a != nil {
			want = 0
			a.expires = m.now().Add(clamp(seconds))
			if seconds == 0 {
				delete(m.flows, c)
			}
		}
		m.same(t, c, want, stun.MethodRefresh, lifetime(seconds))
	case "permit":
		want := 437
		if a != nil {
			if want = m.peer(a, p, false); want == 0 {
				m.permit(a, p)
			}
		}
		m.same(t, c, want, stun.MethodCreatePermission, peerAt(p))
	case "bind":
		channel := rapid.SampledFrom([]uint16{0x3FFF, 0x4000, 0x4001, 0x4FFF, 0x5000}).Draw(t, "channel")
		want := 437
		if a != nil {
			want = m.bind(a, p, channel)
		}
		m.same(t, c, want, stun.MethodChannelBind, peerAt(p), channelNumber(channel))
	case "wait":
		seconds := rapid.SampledFrom([]int{1, 60, 299, 300, 301, 600, 3600}).Draw(t, "seconds")
		m.w.pass(time.Duration(seconds)*time.Second + time.Millisecond)
		m.settle()
	case "end":
		var index uint32
		fmt.Sscanf(c.username, "user%d", &index)
		m.w.s.End(index, 7)
		for other, a := range m.flows {
			if a.owner == c.username {
				delete(m.flows, other)
			}
		}
	case "closed":
		m.w.s.StreamClosed(c.k)
		delete(m.flows, c)
	}
}

// same asks the server and wants the model's answer.
func (m *model) same(t *rapid.T, c *client, want int, method stun.Method, setters ...stun.Setter) {
	_, got := c.ask(method, setters...)
	if got == 438 {
		c.nonce = ""
		_, got = c.ask(method, setters...)
	}
	if got != want {
		t.Fatalf("%v: %d, the model says %d", method, got, want)
	}
}

// check compares all that can be seen from outside.
func (m *model) check(t *rapid.T, clients []*client, peers []Address) {
	if m.w.allocations() != len(m.flows) {
		t.Fatalf("%d allocations, the model has %d", m.w.allocations(), len(m.flows))
	}
	held := make(map[string]int)
	for _, c := range clients {
		a := m.flows[c]
		if a != nil {
			held[c.username]++
		}
		for _, p := range peers {
			want := a != nil && m.peer(a, p, true) == 0 && a.permitted[p] > m.now()
			r := c.indicate(peerAt(p), "x")
			if (r.Outcome == Data) != want {
				t.Fatalf("Send to %v:%d: %v, the model says %v", p.Addr.Netip(), p.Port, r.Reason, want)
			}
			if want && (m.ours[r.Path.Via.Peer()] != p || r.Path.Via.Allocation() != a.number) {
				t.Fatalf("path %#x", r.Path.Via)
			}
		}
		for _, channel := range []uint16{0x4000, 0x4001, 0x4FFF} {
			path, _, ok := m.w.s.ChannelData(c.k, channelData(channel, "x"))
			want, bound := Address{}, false
			if a != nil {
				want, bound = a.channels[channel]
			}
			if ok != bound || ok && (m.ours[path.Via.Peer()] != want || c.book().Channel(path.Via) != channel) {
				t.Fatalf("channel %#x: %v, the model says %v", channel, ok, bound)
			}
		}
	}
	for _, c := range clients {
		if c.book().Allocations() != held[c.username] {
			t.Fatalf("the book of %s has %d allocations, the model %d", c.username, c.book().Allocations(), held[c.username])
		}
	}
	if next := m.w.s.Deadline(); (next == mono.Never) != (len(m.flows) == 0) {
		t.Fatalf("deadline %d with %d allocations", next, len(m.flows))
	}
}

func TestServerBehavesAsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// The allowance of challenges has tests of its own.
		w := newWorld(t, func(c *Config) { c.Burst = 1 << 20 })
		m := &model{w: w, flows: make(map[*client]*modelAllocation), ours: []Address{ours4, ours6, {ours4.Addr, 443}}}
		w.s.SetAddresses(m.ours)
		foreign := Address{flow.Addr{10: 0xff, 11: 0xff, 12: 127, 15: 1}, 3478}
		peers := append([]Address{foreign, {ours6.Addr, 9}}, m.ours...)
		var clients []*client
		for n := range uint32(2) {
			for i := range flow.MaxAllocations + 1 {
				clients = append(clients, w.connect(n+1).from(uint16(41000+i)))
			}
		}
		things := []string{"allocate", "allocate", "refresh", "permit", "bind", "bind", "wait", "end", "closed"}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			m.step(rt, rapid.SampledFrom(clients).Draw(rt, "client"), rapid.SampledFrom(things).Draw(rt, "what"),
				rapid.SampledFrom(peers).Draw(rt, "peer"))
			m.check(rt, clients, peers)
		}
	})
}
