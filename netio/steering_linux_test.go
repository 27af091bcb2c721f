package netio

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/steer"
)

// Every flow arrives at the shard that steer names, and that shard's answer comes from the
// address that was hit.
func TestFlowsArriveAtTheirShard(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		for _, shards := range []int{1, 2, 3, 8} {
			g := open(t, Config{Shards: shards, Plain: plain})
			if !g.Steered() {
				t.Fatal("not steered")
			}
			for i := range shards {
				g.Start(i, &funcs{batch: func(_ mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
					for j := range in.Len() {
						put(out, fmt.Append(nil, i), in.Key(j), mmsg.Control)
					}
				}})
			}
			for i := range 300 {
				from, hit := netip.AddrFrom4([4]byte{127, 0, byte(i), 1}), netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i%5)})
				if i%3 == 0 {
					from, hit = loopback6, loopback6
				}
				c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
				if err != nil {
					t.Fatal(err)
				}
				to := netip.AddrPortFrom(hit, uint16(g.Port()))
				send(t, c, to, "which?")
				got, answered := receive(t, c)
				if want := fmt.Sprint(steer.ShardOf(addrOf(c), shards)); got != want || answered != to {
					t.Fatalf("of %d shards, %s answered %v from %v; want shard %s from %v", shards, got, addrOf(c), answered, want, to)
				}
				c.Close()
			}
			g.Stop()
		}
	})
}

func TestShardRunsOnItsCPU(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := range 1024 {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	g := open(t, Config{Shards: 3, CPUs: cpus})
	for i := range 3 {
		got := make(chan unix.CPUSet, 1)
		g.Start(i, &funcs{timers: func(mono.Time, *mmsg.TxQueue) mono.Time {
			var set unix.CPUSet
			unix.SchedGetaffinity(0, &set)
			select {
			case got <- set:
			default:
			}
			return mono.Never
		}})
		set := await(t, "the shard to run", got)
		if want := cpus[i%len(cpus)]; set.Count() != 1 || !set.IsSet(want) {
			t.Errorf("shard %d runs on %d CPUs, CPU %d among them: %v", i, set.Count(), want, set.IsSet(want))
		}
	}
}

func TestUnknownCPUIsAWarning(t *testing.T) {
	log, out := logged()
	g := open(t, Config{Shards: 1, CPUs: []int{1023}, Log: log})
	g.Start(0, &funcs{batch: echo})
	c := listen(t, loopback4)
	send(t, c, netip.AddrPortFrom(loopback4, uint16(g.Port())), "x")
	receive(t, c)
	g.Stop()
	if out.Len() == 0 {
		t.Error("nothing was logged")
	}
}

// flowTo is the flow from any address of ours to ap.
func flowTo(ap netip.AddrPort) flow.Key { return flow.KeyOf(netip.Addr{}, ap) }
