package ws

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"tsubame/signal/channel"
)

// Messages of every length, read in pieces of every kind, with room to share and without.
func TestMessagesOfEveryLengthAreRead(t *testing.T) {
	for _, taken := range []int64{0, maxInlets} {
		h := &Handler{}
		h.inlets.used.Store(taken)
		s := &socket{handler: h, peer: &channel.Peer{}}
		for _, n := range []int{0, 1, 511, 512, 513, 1023, 1024, 1025, 5000, inletBytes - 1, inletBytes, inletBytes + 1, 200_000} {
			want := []byte(strings.Repeat("abcdefg", n/7+1)[:n])
			for _, r := range []interface{ Read([]byte) (int, error) }{bytes.NewReader(want), iotest.OneByteReader(bytes.NewReader(want)), iotest.DataErrReader(bytes.NewReader(want))} {
				got, err := s.readAll(r)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, %d rooms taken: %d bytes, error %v", n, taken, len(got), err)
				}
				// Of keepBuffer bytes it depends on whether the end comes with the last of them.
				if shared := s.shared != nil; shared != (taken == 0 && n > keepBuffer) && n != keepBuffer {
					t.Errorf("%d bytes, %d rooms taken: shared %t", n, taken, shared)
				}
				s.recycle()
			}
			if cap(s.buffer) > keepBuffer || h.inlets.used.Load() != taken {
				t.Errorf("%d bytes: %d kept, %d rooms taken", n, cap(s.buffer), h.inlets.used.Load())
			}
		}
	}
}

func TestRoomsAreBounded(t *testing.T) {
	var p inlets
	var taken []*[]byte
	for b := p.take(); b != nil; b = p.take() {
		taken = append(taken, b)
	}
	if len(taken) != maxInlets {
		t.Errorf("%d rooms", len(taken))
	}
	p.giveBack(taken[0])
	if p.take() == nil || p.take() != nil {
		t.Error("what was given back is one room")
	}
}

// An answer of 12 KiB.
func BenchmarkReadAll(b *testing.B) {
	s := &socket{handler: &Handler{}, peer: &channel.Peer{}}
	r := bytes.NewReader(make([]byte, 12<<10))
	b.ReportAllocs()
	for b.Loop() {
		r.Seek(0, 0)
		if m, err := s.readAll(r); err != nil || len(m) != 12<<10 {
			b.Fatal(err)
		}
		s.recycle()
	}
}
