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

// data returns where the value in an interface is: its second word points there. Nothing is
// read from it.
func data(a *cipher.AEAD) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(a))[1] }
