package edge

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/media/param"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

var (
	pathA = key("127.0.0.1", "127.0.0.1:40001")
	pathB = key("127.0.0.2", "10.0.0.7:40002")
)

// answered holds that exactly one success response went to k, and from shard.
func answered(t *testing.T, sent []datagram, shard int, k flow.Key) {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("%d datagrams were sent, want one answer", len(sent))
	}
	m := &stun.Message{Raw: sent[0].bytes}
	if err := m.Decode(); err != nil || m.Type != stun.BindingSuccess {
		t.Fatalf("answer %v, %v", m, err)
	}
	if sent[0].shard != shard || sent[0].key != k {
		t.Fatalf("answered by shard %d to %v, want shard %d to %v", sent[0].shard, sent[0].key, shard, k)
	}
}

func TestAnyShardAnswersFromTheSeed(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(false))
	answered(t, r.take(), 0, pathA)
	r.deliver(1, pathB, p.check(false))
	answered(t, r.take(), 1, pathB)
	if _, owned := p.c.owner(); owned {
		t.Fatal("a check that does not nominate made an owner")
	}
	r.finish()
}

func TestFirstNominationOwnsWhateverTheOrder(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		r := newRig(t, 2, nil)
		p := r.open(0, pathA)
		paths := []flow.Key{pathA, pathB}
		first, second := order[0], order[1]
		r.deliver(second, paths[second], p.check(false))
		r.take()
		r.deliver(first, paths[first], p.check(true))
		answered(t, r.take(), first, paths[first])
		if o, _ := p.c.owner(); o != first {
			t.Fatalf("owner %d, want %d", o, first)
		}
		// The later nomination lands on the other shard: the owner answers it, to the
		// path that it came by and from the address that it hit.
		r.advance(time.Second)
		r.take()
		r.deliver(second, paths[second], p.check(true))
		if len(r.sent) != 0 {
			t.Fatal("a shard answered for a connection that another owns")
		}
		r.settle()
		answered(t, r.take(), first, paths[second])
		l := r.p.shards[first].live[p.c.index]
		if k, ok := l.ICE.Selected(); !ok || k != paths[second] {
			t.Fatalf("selected %v, want the latest nomination %v", k, paths[second])
		}
		if n := r.sum(func(c *Counters) uint64 { return c.Roamed.Load() }); n != 1 {
			t.Fatalf("roamed %d, want 1", n)
		}
		r.finish()
	}
}

// Row DTLS-01, ICE-10.
func TestRecordsAndMediaFromUnvalidatedPathGoNowhere(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	hello := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}
	r.deliver(0, pathB, hello, []byte{0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 3, 232, 1, 2, 3, 4})
	if n := r.sum(func(c *Counters) uint64 { return c.DropPath.Load() }); n != 2 {
		t.Fatalf("drop_path %d, want 2", n)
	}
	l := r.p.shards[0].live[p.c.index]
	if l.DTLS != nil {
		t.Fatal("a stranger's record started a handshake")
	}
	if k, _ := l.SendPath(); k != pathA {
		t.Fatalf("the send path moved to %v", k)
	}
	r.finish()
}

// Two shards see a nomination at the same instant while signaling posts commands: one
// owns, and no command is lost, doubled or out of order.
func TestNominationsAtOnceMakeOneOwnerAndLoseNoCommand(t *testing.T) {
	const rounds, commands = 300, 64
	r := newRig(t, 2, nil)
	for round := range rounds {
		p := r.open(0, pathA)
		checks := [2][]byte{p.check(true), p.check(true)}
		paths := [2]flow.Key{pathA, pathB}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for shard := range 2 {
			wg.Go(func() {
				<-start
				in := mmsg.NewRxBatch(1)
				in.Append(paths[shard], checks[shard])
				s := r.p.shards[shard]
				s.HandleBatch(r.now, in, r.outs[shard])
				s.HandleMessages(r.now, r.outs[shard])
			})
		}
		wg.Go(func() {
			<-start
			for i := range commands {
				p.c.Subscribe(param.Subscribe{Kind: param.Audio, SSRC: uint32(i + 1)})
			}
			p.c.Unsubscribe(commands) // after all others, or it finds nothing to end
		})
		close(start)
		wg.Wait()
		for i := range r.outs {
			r.collect(i)
		}
		r.settle()
		owner, owned := p.c.owner()
		if !owned {
			t.Fatalf("round %d: no owner", round)
		}
		if r.p.shards[1-owner].live[p.c.index] != nil {
			t.Fatalf("round %d: two shards hold the connection", round)
		}
		if n := r.p.shards[owner].live[p.c.index].Subscriptions(); n != commands-1 {
			t.Fatalf("round %d: %d subscriptions, want %d", round, n, commands-1)
		}
		for _, k := range paths {
			if !r.p.shards[owner].live[p.c.index].ICE.Validated(k) {
				t.Fatalf("round %d: the owner did not learn of the nomination on %v", round, k)
			}
		}
		if n := len(r.take()); n != 2 {
			t.Fatalf("round %d: %d answers to two checks", round, n)
		}
		p.c.Close()
		r.settle()
		r.advance(lingerTime + 10*time.Millisecond)
		r.take()
		for _, s := range r.p.shards {
			for k := range s.foreign.paths {
				s.foreign.remove(k)
			}
		}
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Adopted.Load() }); n != rounds {
		t.Fatalf("adopted %d times in %d rounds", n, rounds)
	}
	r.finish()
}

func TestClosedBeforeAnybodyOwnedIt(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	id, err := p.c.Publish(videoIn)
	if err != nil {
		t.Fatal(err)
	}
	p.c.Close()
	p.c.Close()
	r.settle()
	if len(p.events) != 1 || p.events[0] != (Event{Kind: Closed, Reason: ReasonRequested}) {
		t.Fatalf("events %v", p.events)
	}
	if r.p.tracks.Live(id) != nil {
		t.Fatal("the track outlived its connection")
	}
	r.deliver(0, pathA, buildCheck(t, "gone1234abcd", "whatever", true))
	r.finish()
}
