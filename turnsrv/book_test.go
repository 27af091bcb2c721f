package turnsrv

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

const testNow = mono.Time(time.Hour)

func TestBookGivesTheLowestFreeNumber(t *testing.T) {
	var b Book
	var claims []claim
	for want := range flow.MaxAllocations {
		c, evicts, ok := b.take(testNow)
		if !ok || evicts || int(c.number) != want {
			t.Fatal(c, evicts, ok)
		}
		claims = append(claims, c)
	}
	if _, _, ok := b.take(testNow.Add(StaleAfter - 1)); ok {
		t.Fatal("more than there are")
	}
	b.release(claims[2])
	if c, evicts, ok := b.take(testNow); !ok || evicts || c.number != 2 || b.Allocations() != flow.MaxAllocations {
		t.Fatal(c, evicts, ok)
	}
}

func TestReleasedNumberHasNoChannels(t *testing.T) {
	var b Book
	c, _, _ := b.take(testNow)
	b.bind(c, 3, 0x4001)
	v := flow.Via(0).Relayed(int(c.number), 3)
	if b.Channel(v) != 0x4001 {
		t.Fatal("not bound")
	}
	b.release(c)
	if b.Channel(v) != 0 || b.Allocations() != 0 || b.holds(c) {
		t.Fatal("still bound")
	}
}

func TestStalestNumberGivesWayWhenAllAreTaken(t *testing.T) {
	var b Book
	var claims []claim
	for i := range flow.MaxAllocations {
		c, _, _ := b.take(testNow.Add(time.Duration(i)))
		claims = append(claims, c)
	}
	late := testNow.Add(StaleAfter + time.Second)
	old := claims[0]
	b.note(old, testNow.Add(2*time.Second)) // the one that is in use
	b.bind(claims[1], 3, 0x4001)
	c, evicts, ok := b.take(late)
	if !ok || !evicts || c.number != 1 {
		t.Fatal(c, evicts, ok)
	}
	if b.holds(claims[1]) || !b.holds(c) || b.Channel(flow.Via(0).Relayed(1, 3)) != 0 {
		t.Error("the number is not its own")
	}
	// The one that it was taken from has nothing to say any more.
	b.note(claims[1], testNow)
	b.bind(claims[1], 3, 0x4002)
	b.release(claims[1])
	if b.Channel(flow.Via(0).Relayed(1, 3)) != 0 || !b.holds(c) || b.Allocations() != flow.MaxAllocations {
		t.Error("an allocation without its number has changed the book")
	}
	for want := 2; want < flow.MaxAllocations; want++ {
		if c, evicts, ok = b.take(late); !ok || !evicts || int(c.number) != want {
			t.Fatal(c, evicts, ok)
		}
	}
	if c, _, ok = b.take(late); ok {
		t.Errorf("number %d gives way though a check has come through it", c.number)
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
				c, _, ok := b.take(testNow)
				if !ok {
					continue
				}
				if !held[c.number].TryLock() {
					t.Error("a number is held twice")
					return
				}
				b.bind(c, i%flow.MaxPeers, minChannel)
				if b.Channel(flow.Via(0).Relayed(int(c.number), i%flow.MaxPeers)) != minChannel {
					t.Error("the channel is not there")
				}
				held[c.number].Unlock()
				b.release(c)
			}
		})
	}
	shards.Wait()
	if b.Allocations() != 0 {
		t.Error(b.Allocations())
	}
}

// All of them are stale all the time: whoever takes a number has it until another does, and leaves
// nothing in it.
func TestShardsTakeStaleNumbersFromEachOther(t *testing.T) {
	var b Book
	var shards sync.WaitGroup
	var clock atomic.Int64
	for range 8 {
		shards.Go(func() {
			for i := range 2000 {
				c, _, ok := b.take(mono.Time(clock.Add(int64(StaleAfter))))
				if !ok {
					continue
				}
				b.bind(c, i%flow.MaxPeers, minChannel)
				if i%3 == 0 {
					b.release(c)
				}
			}
		})
	}
	shards.Wait()
	for number := range b.words {
		if b.words[number].Load()&busy != 0 {
			t.Errorf("number %d is busy for ever", number)
		}
		b.release(claim{uint8(number), b.words[number].Load()})
	}
	if b.Allocations() != 0 {
		t.Error(b.Allocations())
	}
	for number := range b.channels {
		for peer := range b.channels[number] {
			if b.Channel(flow.Via(0).Relayed(number, peer)) != 0 {
				t.Errorf("number %d has a channel that nobody has bound", number)
			}
		}
	}
}
