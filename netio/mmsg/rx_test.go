package mmsg

import (
	"bytes"
	"net/netip"
	"testing"

	"tsubame/netio/flow"
)

func testKey(port uint16) flow.Key {
	return flow.KeyOf(netip.MustParseAddr("192.0.2.1"), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.9"), port))
}

func testKey6(port uint16) flow.Key {
	return flow.KeyOf(netip.MustParseAddr("2001:db8::1"), netip.AddrPortFrom(netip.MustParseAddr("2001:db8::9"), port))
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestRxBatchHoldsWhatWasAppended(t *testing.T) {
	b := NewRxBatch(3)
	long := bytes.Repeat([]byte{0xab}, SlotSize)
	for i, p := range [][]byte{[]byte("one"), long, []byte("three")} {
		if !b.Append(testKey(uint16(i)), p) {
			t.Fatalf("no room for datagram %d", i)
		}
	}
	if b.Append(testKey(9), []byte("four")) {
		t.Error("a batch of three took a fourth datagram")
	}
	if b.Len() != 3 || b.Room() != 0 {
		t.Errorf("Len %d, Room %d", b.Len(), b.Room())
	}
	if string(b.Packet(0)) != "one" || !bytes.Equal(b.Packet(1), long) || string(b.Packet(2)) != "three" {
		t.Error("a datagram changed")
	}
	if b.Key(2) != testKey(2) {
		t.Errorf("key of datagram 2 is %v", b.Key(2))
	}
	b.Reset()
	if b.Len() != 0 || b.Room() != 3 {
		t.Errorf("after Reset: Len %d, Room %d", b.Len(), b.Room())
	}
}

func TestRxPacketCannotGrowIntoItsNeighbour(t *testing.T) {
	b := NewRxBatch(2)
	b.Append(testKey(1), []byte("a"))
	b.Append(testKey(2), []byte("b"))
	_ = append(b.Packet(0), bytes.Repeat([]byte("x"), SlotSize)...)
	if string(b.Packet(1)) != "b" {
		t.Error("appending to one packet overwrote another")
	}
}

func TestRxBatchRefusesMisuse(t *testing.T) {
	mustPanic(t, "a batch of no slots", func() { NewRxBatch(0) })
	mustPanic(t, "a batch of too many slots", func() { NewRxBatch(maxSlots + 1) })
	b := NewRxBatch(1)
	mustPanic(t, "an empty datagram", func() { b.Append(flow.Key{}, nil) })
	mustPanic(t, "an oversized datagram", func() { b.Append(flow.Key{}, make([]byte, SlotSize+1)) })
}
