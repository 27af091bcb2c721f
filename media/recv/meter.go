package recv

import (
	"time"

	"tsubame/netio/mono"
)

const (
	meterSlots = 8
	meterSlot  = 125 * time.Millisecond
)

// meter measures a bitrate over the last second, in slots of an eighth.
type meter struct {
	bytes [meterSlots]uint32
	head  int64 // number of the newest slot since the start of our scale
}

func (m *meter) add(now mono.Time, size int) {
	m.turn(now)
	m.bytes[m.head%meterSlots] += uint32(size)
}

// turn empties the slots that lie between the newest one and now.
func (m *meter) turn(now mono.Time) {
	slot := int64(now) / int64(meterSlot)
	if slot <= m.head {
		return
	}
	if slot-m.head >= meterSlots {
		m.bytes = [meterSlots]uint32{}
	} else {
		for s := m.head + 1; s <= slot; s++ {
			m.bytes[s%meterSlots] = 0
		}
	}
	m.head = slot
}

func (m *meter) bitrate(now mono.Time) uint64 {
	m.turn(now)
	var sum uint64
	for _, b := range m.bytes {
		sum += uint64(b)
	}
	// The newest slot has only begun.
	length := meterSlot*(meterSlots-1) + time.Duration(now)%meterSlot
	return sum * 8 * uint64(time.Second) / uint64(length)
}
