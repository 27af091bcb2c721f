package rtcp

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// seqsOf reads all sequence numbers of all NACKs in a datagram.
func seqsOf(t testing.TB, b []byte) (seqs []uint16, packets int) {
	t.Helper()
	if len(b) == 0 {
		return nil, 0
	}
	r := NewReader(b)
	for {
		p, ok := r.Next()
		if !ok {
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			return seqs, packets
		}
		packets++
		n, err := p.NACK()
		if err != nil {
			t.Fatal(err)
		}
		if n.Sender != 1 || n.Media != 2 {
			t.Fatalf("%+v", n.Feedback)
		}
		for {
			seq, ok := n.Next()
			if !ok {
				break
			}
			seqs = append(seqs, seq)
		}
	}
}

func TestNACKPairsAreExpanded(t *testing.T) {
	got, _ := seqsOf(t, unhex(t, validPackets["NACK"]))
	if want := []uint16{16, 17, 32, 0xFFFF, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	all, _ := seqsOf(t, unhex(t, "81CD0003 00000001 00000002 FFF8 FFFF"))
	want := []uint16{0xFFF8, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0, 1, 2, 3, 4, 5, 6, 7, 8}
	if !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

func TestNACKIsWrittenInPairs(t *testing.T) {
	got := AppendNACK(nil, 1, 2, []uint16{16, 17, 32, 0xFFFF, 0, 1})
	if !bytes.Equal(got, unhex(t, validPackets["NACK"])) {
		t.Errorf("%x", got)
	}
	if got := AppendNACK(nil, 1, 2, nil); len(got) != 0 {
		t.Errorf("of nothing: %x", got)
	}
	// 16 after the first still fits the mask, 17 does not; repetitions fold.
	got = AppendNACK(nil, 1, 2, []uint16{100, 100, 116, 117})
	if !bytes.Equal(got, unhex(t, "81CD0004 00000001 00000002 0064 8000 0075 0000")) {
		t.Errorf("%x", got)
	}
}

func TestLongNACKsAreSplit(t *testing.T) {
	seqs := make([]uint16, 600)
	for i := range seqs {
		seqs[i] = uint16(100 * i) // a pair each
	}
	got, packets := seqsOf(t, AppendNACK(nil, 1, 2, seqs))
	if packets != 3 || !slices.Equal(got, seqs) {
		t.Errorf("%d packets, %d numbers", packets, len(got))
	}
}

func TestAnyNACKAsksForExactlyItsNumbers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seqs := rapid.SliceOfN(rapid.OneOf(rapid.Uint16(), rapid.Uint16Range(0xFFE0, 0xFFFF), rapid.Uint16Range(0, 64)), 0, 200).Draw(rt, "seqs")
		got, _ := seqsOf(t, AppendNACK(nil, 1, 2, seqs))
		set := func(s []uint16) []uint16 {
			s = slices.Clone(s)
			slices.Sort(s)
			return slices.Compact(s)
		}
		if !slices.Equal(set(got), set(seqs)) {
			rt.Fatalf("%v, want %v", got, seqs)
		}
	})
}

func TestSeqsInOrderTakeOnePairPer17(t *testing.T) {
	seqs := make([]uint16, 170)
	for i := range seqs {
		seqs[i] = uint16(0xFFF0 + i)
	}
	b := AppendNACK(nil, 1, 2, seqs)
	if want := HeaderSize + feedbackSize + 10*nackPairSize; len(b) != want {
		t.Errorf("%d bytes, want %d", len(b), want)
	}
	if got, _ := seqsOf(t, b); !slices.Equal(got, seqs) {
		t.Errorf("%v", got)
	}
}

func TestPictureLossIndication(t *testing.T) {
	f, err := one(t, validPackets["PLI"]).PLI()
	if err != nil || f != (Feedback{Sender: 1, Media: 2}) {
		t.Errorf("%+v, %v", f, err)
	}
	if got := AppendPLI(nil, 1, 2); !bytes.Equal(got, unhex(t, validPackets["PLI"])) {
		t.Errorf("%x", got)
	}
}

func TestFullIntraRequest(t *testing.T) {
	f, err := one(t, validPackets["FIR"]).FIR()
	if err != nil || f.Sender != 1 || f.Len() != 1 || f.At(0) != (FIREntry{SSRC: 2, Seq: 42}) {
		t.Errorf("%+v, %v", f, err)
	}
	if got := AppendFIR(nil, 1, 2, 42); !bytes.Equal(got, unhex(t, validPackets["FIR"])) {
		t.Errorf("%x", got)
	}
	two, err := one(t, "84CE0006 00000001 00000000 00000002 2A000000 00000003 2B000000").FIR()
	if err != nil || two.Len() != 2 || two.At(1) != (FIREntry{SSRC: 3, Seq: 43}) {
		t.Errorf("%+v, %v", two, err)
	}
}

func TestBitrateEstimate(t *testing.T) {
	r, err := one(t, validPackets["REMB"]).REMB()
	if err != nil || r.Sender != 1 || r.Bitrate != 0x20ABC<<2 || r.Sources.Len() != 1 || r.Sources.At(0) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := AppendREMB(nil, 1, 0x20ABC<<2, []uint32{2}); !bytes.Equal(got, unhex(t, validPackets["REMB"])) {
		t.Errorf("%x", got)
	}
}

func TestBitrateKeeps18BitsAndNeverGrows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Uint64().Draw(rt, "rate") >> rapid.IntRange(0, 63).Draw(rt, "shift")
		reader := NewReader(AppendREMB(nil, 1, rate, nil))
		p, _ := reader.Next()
		r, err := p.REMB()
		if err != nil {
			rt.Fatal(err)
		}
		if r.Bitrate > rate || rate-r.Bitrate > rate>>17 {
			rt.Fatalf("%d is read as %d", rate, r.Bitrate)
		}
		if rate < 1<<18 && r.Bitrate != rate {
			rt.Fatalf("%d is read as %d", rate, r.Bitrate)
		}
	})
}

func TestAbsurdBitratesSaturate(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  uint64
	}{
		{"00 00 00 00", 0},
		{"00 FC 00 00", 0},                 // 0 << 63
		{"00 FF FF FF", math.MaxUint64},    // (2^18-1) << 63
		{"00 FC 00 01", 1 << 63},           // 2^63
		{"00 BB FF FF", (1<<18 - 1) << 46}, // the largest that fits
		{"00 BF FF FF", math.MaxUint64},    // one bit more
	} {
		r, err := one(t, "8FCE0004 00000001 00000000 52454D42"+c.bytes).REMB()
		if err != nil || r.Bitrate != c.want {
			t.Errorf("%s: %d, want %d, %v", c.bytes, r.Bitrate, c.want, err)
		}
	}
}
