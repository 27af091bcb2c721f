package turnsrv

import (
	"sync"
	"testing"

	"tsubame/netio/flow"
)

func TestBookGivesTheLowestFreeNumber(t *testing.T) {
	var b Book
	for want := range flow.MaxAllocations {
		if got, ok := b.take(); !ok || got != want {
			t.Fatal(got, ok)
		}
	}
	if _, ok := b.take(); ok {
		t.Fatal("more than there are")
	}
	b.release(2)
	if got, ok := b.take(); !ok || got != 2 || b.Allocations() != flow.MaxAllocations {
		t.Fatal(got, ok)
	}
}

func TestReleasedNumberHasNoChannels(t *testing.T) {
	var b Book
	n, _ := b.take()
	b.bind(n, 3, 0x4001)
	v := flow.Via(0).Relayed(n, 3)
	if b.Channel(v) != 0x4001 {
		t.Fatal("not bound")
	}
	b.release(n)
	if b.Channel(v) != 0 || b.Allocations() != 0 {
		t.Fatal("still bound")
	}
}

// The shards of a connection's flows take and give back at the same time; one number is never
// held twice. The race detector watches the readers.
func TestShardsShareABook(t *testing.T) {
	var b Book
	var held [flow.MaxAllocations]sync.Mutex
	var shards sync.WaitGroup
	for range 2 * flow.MaxAllocations {
		shards.Go(func() {
			for i := range 2000 {
				n, ok := b.take()
				if !ok {
					continue
				}
				if !held[n].TryLock() {
					t.Error("a number is held twice")
					return
				}
				b.bind(n, i%flow.MaxPeers, minChannel)
				if b.Channel(flow.Via(0).Relayed(n, i%flow.MaxPeers)) != minChannel {
					t.Error("the channel is not there")
				}
				held[n].Unlock()
				b.release(n)
			}
		})
	}
	shards.Wait()
	if b.Allocations() != 0 {
		t.Error(b.Allocations())
	}
}
