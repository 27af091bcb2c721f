package conn

import (
	"unsafe"

	"tsubame/media/pace"
	"tsubame/media/prefetch"
)

// WarmSteps is how many steps ahead of Send a shard begins to call Warm.
const WarmSteps = 4

// Warm asks for the memory that Send will want of the subscription in slot, one link of the
// chain of pointers a step: each step reads only what the one before has asked for. It is
// called with steps WarmSteps-1 down to 0, each some hundred nanoseconds ahead of the next,
// while other viewers are being served. It changes nothing.
func (c *Conn) Warm(step int, slot uint32) {
	switch step {
	case 3:
		prefetch.Line(unsafe.Pointer(&c.ICE))                                      // its first path is the selected one as a rule,
		prefetch.Line(unsafe.Add(unsafe.Pointer(&c.ICE), unsafe.Sizeof(c.ICE)-32)) // which stands at its end
		prefetch.Line(unsafe.Pointer(c))
	case 2:
		prefetch.Line(unsafe.Pointer(&c.subs[slot]))
		prefetch.Lines(unsafe.Pointer(c.session), 2)
		if c.out != nil {
			prefetch.Lines(unsafe.Add(unsafe.Pointer(&c.out.est), -pace.Hot), 2)
		}
	case 1:
		c.subs[slot].stream.Warm() // and what is in front of it
		if c.out != nil {
			c.out.est.Warm(c.twccOut)
		}
		if c.relayed {
			prefetch.Lines(unsafe.Pointer(c.Book), 2) // the channels of the first allocation, and half of the others
		}
		c.session.Warm()
	case 0:
		c.session.WarmKey(c.subs[slot].sealer)
	}
}

// WarmReceiveSteps is how many steps ahead of HandleRTP and HandleRTCP a shard begins to call
// WarmReceive.
const WarmReceiveSteps = 5

// WarmReceive asks for the memory that HandleRTP or, for control, HandleRTCP will want, as Warm
// does for Send.
func (c *Conn) WarmReceive(step int, control bool) {
	switch step {
	case 4:
		prefetch.Line(unsafe.Pointer(c))
		if control {
			prefetch.Lines(unsafe.Pointer(&c.control), 2)
			return
		}
		prefetch.Lines(unsafe.Pointer(&c.policer), 2)
	case 3:
		prefetch.Line(unsafe.Pointer(c.session))
	default:
		if c.session != nil {
			c.session.WarmOpen(step, control)
		}
	}
}
