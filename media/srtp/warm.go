package srtp

import (
	"crypto/cipher"
	"unsafe"

	"tsubame/media/prefetch"
)

// keyLines is how many cache lines a key takes: the schedules of AES and the table of GHASH,
// as crypto/aes lays them out. Should they grow, the rest comes when it is read.
const keyLines = 12

// Warm asks for the memory that leads to the key which SealRTP will use. The session itself
// has to be there already.
func (s *Session) Warm() {
	if g, ok := s.seal.(*gcm); ok {
		prefetch.Lines(unsafe.Pointer(g), 2)
	}
}

// WarmKey asks for the key and for what is remembered of st. Warm has been called before.
func (s *Session) WarmKey(st *Stream) {
	if g, ok := s.seal.(*gcm); ok {
		prefetch.Lines(data(&g.rtp), keyLines)
	}
	prefetch.Lines(unsafe.Pointer(st), 3)
}

// WarmOpen asks for what OpenRTP or, for control, OpenRTCP will read, one link of the chain a
// step, from 2 down to 0. The session itself has to be there already.
func (s *Session) WarmOpen(step int, control bool) {
	o, ok := s.open.(*gcmOpener)
	if !ok {
		return
	}
	ws := &o.rtp
	if control {
		ws = &o.rtcp
	}
	switch step {
	case 2:
		prefetch.Line(unsafe.Pointer(o))
		prefetch.Line(unsafe.Pointer(&ws.last))
	case 1:
		prefetch.Lines(unsafe.Pointer(o.in), 2)
		if ws.last != nil {
			prefetch.Lines(unsafe.Pointer(ws.last), windowLines)
		}
	case 0:
		if control {
			prefetch.Lines(data(&o.in.rtcp), keyLines)
		} else {
			prefetch.Lines(data(&o.in.rtp), keyLines)
		}
	}
}

// windowLines is how many cache lines a replay window takes.
const windowLines = (int(unsafe.Sizeof(window{})) + 63) / 64

// data returns where the value in an interface is: its second word points there. Nothing is
// read from it.
func data(a *cipher.AEAD) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(a))[1] }
