package source

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// poolSize is how many places the filler may begin at.
const poolSize = 1 << 16

// randomPool is what fillers copy from.
var randomPool = sync.OnceValue(func() []byte {
	b := make([]byte, poolSize+maxPayload)
	r := rand.NewChaCha8([32]byte{'t', 's', 'u', 'b', 'a', 'm', 'e'})
	_, _ = r.Read(b) // never fails
	return b
})

// filler makes payload bytes that no two packets of a source share: a copy from somewhere in
// a pool of random bytes, which costs less than to make them, and eight bytes of its own at
// the end, by which receivers can tell packets apart.
type filler struct {
	pool  []byte
	state uint64
}

func newFiller(seed uint64) filler { return filler{pool: randomPool(), state: mix(seed)} }

// random is the next of a sequence; see splitmix64.
func (f *filler) random() uint64 {
	f.state += 0x9e3779b97f4a7c15
	return mix(f.state)
}

// mix is a bijection that spreads bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill writes over all of b, which has at most maxPayload bytes.
func (f *filler) fill(b []byte) {
	x := f.random()
	copy(b, f.pool[x%poolSize:])
	if len(b) >= 8 {
		binary.LittleEndian.PutUint64(b[len(b)-8:], x)
		return
	}
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}
