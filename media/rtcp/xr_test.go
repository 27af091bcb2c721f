package rtcp

import (
	"bytes"
	"errors"
	"testing"
)

func TestBlocksOfAnExtendedReportAreRead(t *testing.T) {
	x, err := one(t, validPackets["XR of three blocks"]).XR()
	if err != nil || x.Sender != 7 {
		t.Fatalf("%+v, %v", x, err)
	}
	b, ok := x.Next()
	ntp, isRRTR := b.ReferenceTime()
	if !ok || !isRRTR || ntp != 0xDA8BD1FC_DDDDA05A || b.Len() != 0 {
		t.Errorf("first block: %+v, %#x", b, ntp)
	}
	b, ok = x.Next()
	if _, isRRTR = b.ReferenceTime(); !ok || isRRTR || b.Type != 200 || b.Len() != 0 {
		t.Errorf("second block: %+v", b)
	}
	b, ok = x.Next()
	if !ok || b.Len() != 2 || b.At(0) != (DLRR{SSRC: 1, LastRR: 0xD1FCDDDD, Delay: 0x8000}) ||
		b.At(1) != (DLRR{SSRC: 2, LastRR: 3, Delay: 4}) {
		t.Errorf("third block: %+v", b)
	}
	if b, ok = x.Next(); ok {
		t.Errorf("a fourth block: %+v", b)
	}
}

func TestExtendedReportIsWrittenAsTheRFCHasIt(t *testing.T) {
	for _, c := range []struct {
		ntp     uint64
		entries []DLRR
		want    string
	}{
		{0, nil, ""},
		{0xDA8BD1FC_DDDDA05A, nil, "80CF0004 00000001 04000002 DA8BD1FC DDDDA05A"},
		{0, []DLRR{{2, 3, 4}}, "80CF0005 00000001 05000003 00000002 00000003 00000004"},
		{5, []DLRR{{2, 3, 4}, {6, 7, 8}}, "80CF000B 00000001 04000002 00000000 00000005 05000006 00000002 00000003 00000004 00000006 00000007 00000008"},
	} {
		if got := AppendXR(nil, 1, c.ntp, c.entries); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%d and %d entries: %X", c.ntp, len(c.entries), got)
		}
	}
}

// Row RTP-11.
func TestExtendedReportsThatContradictThemselvesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		packet string
		want   error
	}{
		"block past the end":            {"80CF0003 00000001 04000002 DA8BD1FC", ErrShort},
		"unknown block past the end":    {"80CF0002 00000001 C800FFFF", ErrShort},
		"reference time of three words": {"80CF0005 00000001 04000003 00000000 00000000 00000000", ErrMalformed},
		"reference time of none":        {"80CF0002 00000001 04000000", ErrMalformed},
		"half an entry":                 {"80CF0003 00000001 05000001 00000001", ErrMalformed},
		"one and a bit":                 {"80CF0006 00000001 05000004 00000001 00000002 00000003 00000004", ErrMalformed},
	} {
		if _, err := one(t, c.packet).XR(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for n := range xrSize {
		if _, err := (Packet{Type: TypeXR, Body: make([]byte, n)}).XR(); !errors.Is(err, ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestReportWithoutABlockIsEmpty(t *testing.T) {
	x, err := one(t, "80CF0001 00000009").XR()
	if _, ok := x.Next(); err != nil || x.Sender != 9 || ok {
		t.Errorf("%+v, %v", x, err)
	}
	x, err = one(t, "80CF0002 00000009 05000000").XR()
	if b, ok := x.Next(); err != nil || !ok || b.Len() != 0 {
		t.Errorf("DLRR without an entry: %+v, %v", b, err)
	}
}
