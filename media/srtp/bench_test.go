package srtp

import (
	"fmt"
	"testing"
)

// sizes are payloads of an audio and of a video packet, in bytes.
var sizes = []int{100, 1100}

func BenchmarkOpenRTP(b *testing.B) {
	const n = 8192 // a new session each time they have all been opened: it would call them replayed
	for _, p := range profiles {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%v/%d", p, size), func(b *testing.B) {
				in := packets(b, p, n, size)
				dst := make([]byte, 2048)
				s, i := newSession(b, testKeys(p)), 0
				b.ReportAllocs()
				for b.Loop() {
					if i == n {
						s, i = newSession(b, testKeys(p)), 0
					}
					if _, err := s.OpenRTP(dst, in[i]); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

func BenchmarkSealRTP(b *testing.B) {
	for _, p := range profiles {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%v/%d", p, size), func(b *testing.B) {
				s := newSession(b, testKeys(p))
				st := s.AddStream(testSSRC)
				slot, payload, index := make([]byte, 2048), seq(0, size), uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.SealRTP(slot, putHeader(slot, testSSRC, index), payload, st, index); err != nil {
						b.Fatal(err)
					}
					index++
				}
			})
		}
	}
}

func BenchmarkOpenRTCP(b *testing.B) {
	const n = 8192
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			in := controls(b, p, n)
			dst := make([]byte, 2048)
			s, i := newSession(b, testKeys(p)), 0
			b.ReportAllocs()
			for b.Loop() {
				if i == n {
					s, i = newSession(b, testKeys(p)), 0
				}
				if _, err := s.OpenRTCP(dst, in[i]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkSealRTCP(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			s := newSession(b, testKeys(p))
			plain, slot := unhex(b, compound), make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.SealRTCP(slot, copy(slot, plain)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuseForged is what a packet with a wrong tag costs.
func BenchmarkRefuseForged(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			from, to, st := pair(b, p)
			packet := mustSeal(b, from, st, 1, seq(0, 1100))
			packet[len(packet)-1] ^= 1
			dst := make([]byte, 2048)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := to.OpenRTP(dst, packet); err != ErrAuth {
					b.Fatal(err)
				}
			}
		})
	}
}
