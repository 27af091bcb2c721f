package load

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mmsg"
)

// crowded opens a socket with little room and sends it more than it holds.
func crowded(t *testing.T, datagrams int) mmsg.Socket {
	t.Helper()
	sock, err := mmsg.Open(mmsg.Options{RecvBuffer: 8 << 10, NoForce: true, NoGSO: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.Close() })
	from, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 64, 0, 1), Port: int(sock.LocalPort())})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range datagrams { // over loopback, each is in the buffer or dropped when Write returns
		if _, err := from.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	return sock
}

// No datagram comes behind those dropped that could tell.
func TestWhatASocketDropsIsCountedAtOnce(t *testing.T) {
	const sent = 500
	sock := crowded(t, sent)
	var o overflow
	if !o.look(sock.FD()) || o.total == 0 || o.look(sock.FD()) {
		t.Fatalf("%d dropped", o.total)
	}
	b, read := mmsg.NewRxBatch(batchSize), 0
	for {
		b.Reset()
		n, err := sock.Recv(b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		read += n
	}
	if read+int(o.total) != sent {
		t.Errorf("%d read and %d dropped of %d", read, o.total, sent)
	}
}

func TestDropsAreCountedAcrossTheCountersEnd(t *testing.T) {
	sock := crowded(t, 500)
	var o, p overflow
	o.look(sock.FD())
	p.last = ^uint32(9)
	p.look(sock.FD())
	if p.total != o.total+10 {
		t.Errorf("%d dropped, want %d", p.total, o.total+10)
	}
}

// lacking makes a viewer miss n packets.
func lacking(t *testing.T, n int) *rigStream {
	g := newRigStream(t, 100)
	g.shard.budget = maxAsked
	g.publish(n + 2)
	g.arrive(0, uint64(n+1))
	return g
}

// asked returns how many packets are asked for now.
func (g *rigStream) asked() uint64 {
	before := g.shard.total.nacks
	k, _ := pairOf(g.t.(*testing.T), gcmProfile)
	g.peer.secured = k
	g.shard.queue = mmsg.NewTxQueue(queueSize)
	g.peer.requests(g.shard)
	return g.shard.total.nacks - before
}

func TestWhatMayStandUnreadIsNotAskedFor(t *testing.T) {
	g := lacking(t, 3)
	g.shard.unread = true
	g.want("asked for with a backlog", g.asked(), 0)
	g.shard.unread = false
	g.want("asked for without", g.asked(), 3)
}

func TestNothingIsAskedForSoonAfterAnOverflow(t *testing.T) {
	g := lacking(t, 3)
	s := g.shard
	s.sock, s.batch, s.scenario = crowded(t, 500), mmsg.NewRxBatch(batchSize), &Scenario{}
	s.table = make([]*peer, 1)
	s.poll()
	g.want("asked for", g.asked(), 0)
	s.now = s.now.Add(quietTime)
	g.want("asked for later", g.asked(), 3)
}

func TestNACKsOfOnePollAreBounded(t *testing.T) {
	g := lacking(t, maxAsked+20)
	g.want("in one poll", g.asked(), maxAsked)
	g.want("in the same", g.asked(), 0)
	g.shard.budget = maxAsked
	g.want("in the next", g.asked(), 20)
}

// stalled is an engine whose only thread answers, but never comes to read its socket.
func stalled(t *testing.T) (*engine, *rigStream) {
	g := newRigStream(t, 100)
	e := g.shard.engine
	e.shards = []*shard{g.shard}
	g.shard.peers = []*peer{g.peer}
	go func() {
		for g.shard.take() {
			runtime.Gosched()
		}
	}()
	t.Cleanup(g.shard.stop)
	return e, g
}

func TestWhatStandsUnreadAtTheEndIsNoLossOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		reads bool
		want  uint64
	}{
		"unread":      {false, 7},
		"read to end": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e, g := stalled(t)
			g.shard.ask(func() {
				g.publish(5)
				g.arrive(0, 1, 2, 3, 4)
				g.phase(measuring)
				g.publish(10)
				g.arrive(5, 6, 7)
				g.phase(draining)
				g.publish(1)
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.reads {
				go func() {
					for ctx.Err() == nil {
						g.shard.ask(func() { g.shard.emptied++ })
					}
				}()
			}
			if err := e.drain(ctx, 10*time.Millisecond, 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			cancel()
			g.shard.ask(func() {
				g.shard.total.finish(g.peer)
				g.want("missing", g.shard.total.expected-g.shard.total.forwarded, 7)
				g.want("in the socket", g.shard.total.abandoned(), c.want)
			})
		})
	}
}

// A kind that has no NACK is not asked for at all.
func TestAudioIsNotAskedFor(t *testing.T) {
	g := newRigStream(t, 100)
	g.one.kind, g.one.nack, g.origin.kind = param.Audio, false, param.Audio
	g.shard.budget = maxAsked
	g.publish(5)
	g.arrive(0, 4)
	g.want("asked for", g.asked(), 0)
}
