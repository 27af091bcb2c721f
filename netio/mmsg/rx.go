package mmsg

import (
	"fmt"

	"tsubame/netio/flow"
)

// RxBatch holds received datagrams in permanent slots. It belongs to one goroutine.
type RxBatch struct {
	slab    []byte
	packets []rxPacket // len is the number delivered since Reset
	used    int        // slots used since Reset, those of dropped datagrams among them
	raw     rxRaw      // the system's view of the slots
}

type rxPacket struct {
	key  flow.Key
	slot uint16
	size uint16
	time int64
}

// maxSlots keeps slot numbers in 16 bits.
const maxSlots = 1 << 15

// NewRxBatch returns a batch of n slots. It panics unless 0 < n <= 32768.
func NewRxBatch(n int) *RxBatch {
	if n < 1 || n > maxSlots {
		panic(fmt.Sprintf("mmsg: batch of %d slots", n))
	}
	b := &RxBatch{slab: make([]byte, n*SlotSize), packets: make([]rxPacket, 0, n)}
	b.raw.init(b.slab, n)
	return b
}

// Reset empties the batch. What Packet returned is invalid from now on.
func (b *RxBatch) Reset() { b.packets, b.used = b.packets[:0], 0 }

// Len returns the number of datagrams in the batch.
func (b *RxBatch) Len() int { return len(b.packets) }

// Room returns how many more the batch can take before Reset.
func (b *RxBatch) Room() int { return cap(b.packets) - b.used }

// Packet returns the payload of datagram i: 1 to SlotSize bytes, valid until Reset. The
// caller may overwrite it, but not grow it.
func (b *RxBatch) Packet(i int) []byte {
	p := &b.packets[i]
	start, end := int(p.slot)*SlotSize, int(p.slot)*SlotSize+int(p.size)
	return b.slab[start:end:end]
}

// Key returns the flow that datagram i came by.
func (b *RxBatch) Key(i int) flow.Key { return b.packets[i].key }

// Time returns when the kernel received datagram i, in nanoseconds since the Unix epoch
// (CLOCK_REALTIME), or 0: the socket was opened without Options.Timestamps, or the system
// does not say. In the first milliseconds after the first such socket of the machine was
// opened, Linux is still switching its stamps on, and says when the datagram was read.
func (b *RxBatch) Time(i int) int64 { return b.packets[i].time }

// Append copies a datagram into the batch, as if it had been received: for tests. It reports
// whether there was room; it panics if the datagram is empty or longer than SlotSize, which
// no Recv delivers.
func (b *RxBatch) Append(k flow.Key, datagram []byte) bool {
	if len(datagram) == 0 || len(datagram) > SlotSize {
		panic(fmt.Sprintf("mmsg: datagram of %d bytes", len(datagram)))
	}
	if b.Room() == 0 {
		return false
	}
	copy(b.slot(b.used), datagram)
	b.deliver(k, b.used, len(datagram), 0)
	b.used++
	return true
}

// slot returns the bytes of slot i.
func (b *RxBatch) slot(i int) []byte { return b.slab[i*SlotSize : (i+1)*SlotSize] }

// deliver makes the first size bytes of a slot the batch's last packet.
func (b *RxBatch) deliver(k flow.Key, slot, size int, time int64) {
	b.packets = append(b.packets, rxPacket{key: k, slot: uint16(slot), size: uint16(size), time: time})
}
