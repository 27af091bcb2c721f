package rtcp

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// checker is what *testing.T and *rapid.T have in common.
type checker interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// statuses reads all of a feedback message.
func statuses(t checker, p Packet) (TWCC, []TWCCStatus) {
	t.Helper()
	w, err := p.TWCC()
	if err != nil {
		t.Fatal(err)
	}
	head := w
	var got []TWCCStatus
	for {
		s, ok := w.Next()
		if !ok {
			break
		}
		got = append(got, s)
	}
	if len(got) != int(head.StatusCount) {
		t.Fatalf("%d statuses, count %d", len(got), head.StatusCount)
	}
	return head, got
}

func TestFeedbackIsRead(t *testing.T) {
	for _, name := range []string{"TWCC", "TWCC padded as libwebrtc does"} {
		w, got := statuses(t, one(t, validPackets[name]))
		if w.Sender != 1 || w.Media != 2 || w.Base != 1 || w.ReferenceTime != 10 || w.FeedbackCount != 5 {
			t.Errorf("%s: %+v", name, w)
		}
		at := func(ticks int) time.Duration { return 10*TWCCReference + time.Duration(ticks)*TWCCDelta }
		want := []TWCCStatus{
			{Seq: 1, Received: true, Delta: 0, Arrival: at(0)},
			{Seq: 2, Received: true, Delta: -200, Arrival: at(-200)},
			{Seq: 3, Received: true, Delta: 0x14, Arrival: at(-180)},
			{Seq: 4}, {Seq: 5},
			{Seq: 6, Received: true, Delta: 0xA0, Arrival: at(-20)},
			{Seq: 7},
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// symbols describes statuses: 0 lost, 1 received.
func symbols(got []TWCCStatus) string {
	var s []byte
	for _, status := range got {
		if status.Received {
			s = append(s, '1')
		} else {
			s = append(s, '0')
		}
	}
	return string(s)
}

func TestEveryChunkFormIsRead(t *testing.T) {
	const head = " 00000001 00000002 FFFE "
	for _, c := range []struct{ name, packet, want string }{
		{"draft section 3.1.3, run of 5 lost", "8FCD0005" + head + "0005 00000000 0005 0000", "00000"},
		{"run of small deltas, cut by the count", "8FCD0005" + head + "0002 00000000 3FFF 01 02", "11"},
		{"run of large deltas", "8FCD0006" + head + "0002 00000000 4002 0001 FFFF 0000", "11"},
		{"empty run is skipped", "8FCD0006" + head + "0001 00000000 0000 2000 2001 07 00", "1"},
		{"draft section 3.1.4, one-bit vector", "8FCD0007" + head + "000E 00000000 9F1C 01020304 05060708 0000", "01111100011100"},
		{"one-bit vector, cut by the count", "8FCD0005" + head + "0001 00000000 BFFF 01 00", "1"},
		{"two-bit vector", "8FCD0006" + head + "0007 00000000 C554 01 02 03 04 05 00", "0111110"},
		{"reserved symbol behind the count", "8FCD0005" + head + "0001 00000000 DFFF 01 00", "1"},
		{"reserved run of none", "8FCD0005" + head + "0001 00000000 6000 0001", "0"},
		{"negative reference time", "8FCD0005" + head + "0001 FFFFFF00 2001 01 00", "1"},
	} {
		w, got := statuses(t, one(t, c.packet))
		if symbols(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, symbols(got), c.want)
		}
		for i, s := range got {
			if s.Seq != w.Base+uint16(i) {
				t.Errorf("%s: status %d is of %d", c.name, i, s.Seq)
			}
		}
	}
	w, got := statuses(t, one(t, "8FCD0005"+head+"0001 FFFFFF00 2001 01 00"))
	if w.ReferenceTime != -1 || got[0].Arrival != -TWCCReference+TWCCDelta {
		t.Errorf("reference %d, arrival %v", w.ReferenceTime, got[0].Arrival)
	}
}

// Row RTP-11.
func TestBadFeedbackIsRefused(t *testing.T) {
	const head = " 00000001 00000002 0001 "
	for _, c := range []struct {
		name, packet string
		want         error
	}{
		{"no status", "8FCD0005" + head + "0000 00000000 0000 0000", ErrMalformed},
		{"no chunk", "8FCD0004" + head + "0001 00000000", ErrShort},
		{"chunks end before the count", "8FCD0005" + head + "FFFF 00000000 1FFF 1FFF", ErrShort},
		{"deltas of a run missing", "8FCD0005" + head + "0003 00000000 2003 0102", ErrShort},
		{"second half of a large delta missing", "8FCD0005" + head + "0002 00000000 D800 0102", ErrShort},
		{"65,535 small deltas claimed", "8FCD0007" + head + "FFFF 00000000 3FFF 3FFF 3FFF 3FFF 3FFF 3FFF", ErrShort},
		{"reserved run", "8FCD0005" + head + "0001 00000000 6001 0102", ErrMalformed},
		{"reserved symbol in a vector", "8FCD0005" + head + "0001 00000000 F000 0102", ErrMalformed},
		{"nothing but empty runs", "8FCD0005" + head + "0001 00000000 0000 2000", ErrShort},
	} {
		// Past the Reader, whose caps some of these are above.
		p := Packet{Type: TypeRTPFB, Count: FormatTWCC, Body: unhex(t, c.packet)[HeaderSize:]}
		if _, err := p.TWCC(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSkippingLeadsToTheSameStatuses(t *testing.T) {
	const head = " 00000001 00000002 FFFE "
	for _, packet := range []string{
		"8FCD0006" + head + "0007 00000000 C554 01 02 03 04 05 00",
		"8FCD0007" + head + "000E 00000000 9F1C 01020304 05060708 0000",
		"8FCD0007" + head + "0008 00000000 0005 0000 2003 07 08 09 000000", // 5 lost, none, 3 received
		"8FCD0006" + head + "0002 00000000 4002 0001 FFFF 0000",
	} {
		head, all := statuses(t, one(t, packet))
		for n := range len(all) + 2 {
			w := head
			w.Pass(n)
			var got []TWCCStatus
			for s, ok := w.Next(); ok; s, ok = w.Next() {
				got = append(got, s)
			}
			if want := all[min(n, len(all)):]; !slices.Equal(got, want) {
				t.Errorf("%s behind %d: %+v, want %+v", packet, n, got, want)
			}
		}
	}
}
