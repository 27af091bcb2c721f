package rtcp

import (
	"testing"

	"tsubame/netio/mono"
)

// typicalArrivals is 100 ms of a stream of 2 Mbps with some loss.
func typicalArrivals() []mono.Time {
	arrivals := make([]mono.Time, 25)
	for i := range arrivals {
		if i%9 != 5 {
			arrivals[i] = mono.Time(1e9) + 4*msec*mono.Time(i)
		}
	}
	return arrivals
}

// typicalCompound is what a viewer sends about one stream.
func typicalCompound() []byte {
	b := AppendRR(nil, 1, []ReportBlock{{SSRC: 2}})
	b = AppendSDES(b, 1, "0123456789abcdef")
	b = AppendNACK(b, 1, 2, []uint16{1, 2, 3, 40})
	b = AppendPLI(b, 1, 2)
	b = AppendREMB(b, 1, 1_000_000, []uint32{2})
	b = AppendXR(b, 1, 5, []DLRR{{2, 3, 4}})
	b, _ = AppendTWCC(b, 1, 2, 3, 4, typicalArrivals())
	return b
}

func TestReadingAndBuildingDoNotAllocate(t *testing.T) {
	compound := typicalCompound()
	arrivals := typicalArrivals()
	blocks := make([]ReportBlock, 40)
	seqs := []uint16{1, 2, 3, 40, 41, 900}
	ssrcs := []uint32{1, 2, 3}
	dst := make([]byte, 0, 4096)
	done := 0
	for name, f := range map[string]func(){
		"read": func() {
			n, err := consume(compound)
			if err != nil {
				t.Fatal(err)
			}
			done += n
		},
		"refuse": func() {
			if _, err := consume(compound[:len(compound)-1]); err == nil {
				t.Fatal("a truncated datagram")
			}
		},
		"reports": func() {
			dst = AppendRR(AppendSR(dst[:0], SR{SSRC: 1}, blocks), 1, blocks)
			done += len(dst)
		},
		"XR": func() {
			dst = AppendXR(dst[:0], 1, 5, []DLRR{{2, 3, 4}, {5, 6, 7}})
			done += len(dst)
		},
		"sources": func() {
			dst = AppendBYE(AppendSDES(dst[:0], 1, "a name"), ssrcs...)
			done += len(dst)
		},
		"one BYE": func() {
			dst = AppendBYE(dst[:0], 7)
			done += len(dst)
		},
		"feedback": func() {
			dst = AppendNACK(dst[:0], 1, 2, seqs)
			dst = AppendPLI(dst, 1, 2)
			dst = AppendFIR(dst, 1, 2, 3)
			dst = AppendREMB(dst, 1, 5_000_000, ssrcs)
			done += len(dst)
		},
		"transport-cc": func() {
			var n int
			dst, n = AppendTWCC(dst[:0], 1, 2, 3, 4, arrivals)
			done += n
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if done == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkReadCompound(b *testing.B) {
	compound := typicalCompound()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := consume(compound); err != nil {
			b.Fatal(err)
		}
	}
}

// The most work that one datagram of 1,500 bytes can ask for.
func BenchmarkReadBomb(b *testing.B) {
	var bomb []byte
	for range 2 {
		bomb = appendFeedback(bomb, TypeRTPFB, FormatTWCC, 1, 2, 12)
		bomb = append(bomb, 0, 1, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff, 0, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n, err := consume(bomb); err != nil || n != 2 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkAppendTWCC(b *testing.B) {
	arrivals := typicalArrivals()
	dst := make([]byte, 0, MaxTWCCSize)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendTWCC(dst[:0], 1, 2, 3, 4, arrivals)
	}
}

func BenchmarkAppendNACK(b *testing.B) {
	seqs := []uint16{1, 2, 3, 40, 41, 900}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendNACK(dst[:0], 1, 2, seqs)
	}
}
