package rtcp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// unhex turns spaced hexadecimal into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Valid messages; the fuzz target and the truncation test start from them.
var validPackets = map[string]string{
	"SR": "80C80006 00000001 DA8BD1FC DDDDA05A AAF4EDD5 00000001 00000002",
	"SR with a block": "81C8000C 00000001 DA8BD1FC DDDDA05A AAF4EDD5 00000001 00000002" +
		"BC5E9A40 55FFFFFE 000046E1 00000111 09F36432 00024A79",
	"empty RR": "80C90001 00000001",
	"RR with two blocks": "82C9000D 00000001" +
		"BC5E9A40 00000000 000046E1 00000111 09F36432 00024A79" +
		"BC5E9A41 FF7FFFFF 000046E1 00000111 09F36432 00024A79",
	"RR with an extension": "80C90003 00000001 DEADBEEF 00000000",
	"SDES":                 "81CA0004 00000001 01 07 61406578616D70 00 0000",
	"SDES of two chunks":   "82CA0005 00000001 02 01 6E 01 01 63 0000 00000002 01 00 0000",
	"empty SDES":           "80CA0000",
	"BYE":                  "82CB0002 00000001 00000002",
	"BYE with a reason":    "81CB0003 00000001 04 67 6F6E65 000000",
	"APP":                  "80CC0003 00000001 6E616D65 00000000",
	"NACK":                 "81CD0004 00000001 00000002 0010 8001 FFFF 0003",
	"TWCC": "8FCD0006 00000001 00000002 00010007 00000A05" +
		"D904 00 FF38 14 A0 00",
	"TWCC padded as libwebrtc does": "AFCD0006 00000001 00000002 00010007 00000A05" +
		"D904 00 FF38 14 A0 01",
	"PLI":            "81CE0002 00000001 00000002",
	"FIR":            "84CE0004 00000001 00000000 00000002 2A000000",
	"REMB":           "8FCE0005 00000001 00000000 52454D42 010A0ABC 00000002",
	"other feedback": "83CD0003 00000001 00000002 00000000",
	"other AFB":      "8FCE0004 00000001 00000000 4F544852 00000000",
	"XR":             "80CF0004 00000001 04000002 DA8BD1FC DDDDA05A",
	"XR of three blocks": "80CF000D 00000007 04000002 DA8BD1FC DDDDA05A C8000001 FFFFFFFF" +
		"05000006 00000001 D1FCDDDD 00008000 00000002 00000003 00000004",
	"unknown type":      "80D20000",
	"padded RR":         "A0C90003 00000001 00000000 00000008",
	"compound":          "80C90001 00000001 81CA0002 00000001 01 01 61 00" + "81CE0002 00000001 00000002",
	"padded at its end": "80C90001 00000001 A1CE0003 00000001 00000002 00000004",
	"two padded TWCC":   strings.Repeat("AFCD0006 00000001 00000002 00010007 00000A05 D904 00 FF38 14 A0 01", 2),
}

// consume reads everything of a datagram through every view, and counts the packets.
func consume(b []byte) (packets int, err error) {
	r := NewReader(b)
	for {
		p, ok := r.Next()
		if !ok {
			return packets, r.Err()
		}
		packets++
		if viewErr := view(p); viewErr != nil && err == nil {
			return packets, viewErr
		}
	}
}

// view reads a packet through the view for its kind, to its end.
func view(p Packet) error {
	switch p.Kind() {
	case KindSR:
		_, blocks, err := p.SR()
		readBlocks(blocks)
		return err
	case KindRR:
		_, blocks, err := p.RR()
		readBlocks(blocks)
		return err
	case KindSDES:
		s, err := p.SDES()
		for ok := err == nil; ok; {
			_, _, ok = s.Next()
		}
		return errors.Join(err, s.Err())
	case KindBYE:
		s, err := p.BYE()
		readSources(s)
		return err
	case KindNACK:
		n, err := p.NACK()
		for ok := err == nil; ok; {
			_, ok = n.Next()
		}
		return err
	case KindTWCC:
		w, err := p.TWCC()
		for ok := err == nil; ok; {
			_, ok = w.Next()
		}
		return err
	case KindPLI:
		_, err := p.PLI()
		return err
	case KindFIR:
		f, err := p.FIR()
		for i := range f.Len() {
			f.At(i)
		}
		return err
	case KindREMB:
		r, err := p.REMB()
		readSources(r.Sources)
		return err
	case KindXR:
		x, err := p.XR()
		for ok := err == nil; ok; {
			var b XRBlock
			b, ok = x.Next()
			b.ReferenceTime()
			for i := range b.Len() {
				b.At(i)
			}
		}
		return err
	}
	return nil
}

func readBlocks(r Reports) {
	for i := range r.Len() {
		r.At(i)
	}
}

func readSources(s Sources) {
	for i := range s.Len() {
		s.At(i)
	}
}

// one returns the only packet of a datagram.
func one(t testing.TB, s string) Packet {
	t.Helper()
	r := NewReader(unhex(t, s))
	p, ok := r.Next()
	if !ok {
		t.Fatalf("%s: %v", s, r.Err())
	}
	if _, more := r.Next(); more || r.Err() != nil {
		t.Fatalf("%s: more than one packet, or %v", s, r.Err())
	}
	return p
}

func TestValidPacketsAreRead(t *testing.T) {
	for name, s := range validPackets {
		if n, err := consume(unhex(t, s)); err != nil || n == 0 {
			t.Errorf("%s: %d packets, %v", name, n, err)
		}
	}
}

func TestKindFollowsTypeFormatAndName(t *testing.T) {
	for name, want := range map[string]Kind{
		"SR": KindSR, "empty RR": KindRR, "SDES": KindSDES, "BYE": KindBYE, "NACK": KindNACK,
		"TWCC": KindTWCC, "PLI": KindPLI, "FIR": KindFIR, "REMB": KindREMB, "APP": KindOther,
		"XR": KindXR, "unknown type": KindOther, "other feedback": KindOther, "other AFB": KindOther,
	} {
		if got := one(t, validPackets[name]).Kind(); got != want {
			t.Errorf("%s: kind %d, want %d", name, got, want)
		}
	}
	// Too short for the fixed part: nothing that a view could read.
	for _, s := range []string{"80C80005 00000001 00000000 00000000 00000000 00000000", "80C90000",
		"81CD0001 00000001", "8FCD0003 00000001 00000002 00010001", "81CE0001 00000001",
		"84CE0001 00000001", "8FCE0003 00000001 00000000 52454D42"} {
		if got := one(t, s).Kind(); got != KindOther {
			t.Errorf("%s: kind %d", s, got)
		}
	}
}

func TestCompoundIsWalkedInOrder(t *testing.T) {
	r := NewReader(unhex(t, validPackets["compound"]))
	for i, want := range []Kind{KindRR, KindSDES, KindPLI} {
		p, ok := r.Next()
		if !ok || p.Kind() != want {
			t.Errorf("packet %d: kind %d, %v", i, p.Kind(), ok)
		}
	}
	if _, ok := r.Next(); ok || r.Err() != nil {
		t.Errorf("after the end: %v, %v", ok, r.Err())
	}
}

func TestPaddingIsNotPartOfTheBody(t *testing.T) {
	if p := one(t, validPackets["padded RR"]); len(p.Body) != 4 {
		t.Errorf("body of %d bytes", len(p.Body))
	}
	// All of the body may be padding.
	if p := one(t, "A0CA0001 00000004"); len(p.Body) != 0 {
		t.Errorf("body of %d bytes", len(p.Body))
	}
	if p := one(t, validPackets["TWCC padded as libwebrtc does"]); len(p.Body) != 23 {
		t.Errorf("body of %d bytes", len(p.Body))
	}
}

func TestBadFramingRefusesTheWholeDatagram(t *testing.T) {
	const good = "80C90001 00000001"
	for _, c := range []struct {
		name, datagram string
		want           error
	}{
		{"empty", "", ErrShort},
		{"three bytes", "80C900", ErrShort},
		{"length past the end", "80C90002 00000001", ErrShort},
		{"length 65535", "80C9FFFF 00000001", ErrShort},
		{"version 1", "40C90001 00000001", ErrVersion},
		{"version 3", "C0C90001 00000001", ErrVersion},
		{"garbage behind a good packet", good + "0102", ErrShort},
		{"version 0 behind a good packet", good + "00000000", ErrVersion},
		{"padding count 0", "A0C90001 00000000", ErrPadding},
		{"padding count not a multiple of four", "A0C90001 00000002", ErrPadding},
		{"padding larger than the body", "A0C90001 00000008", ErrPadding},
		{"padding bit on a bare header", "A0CA0000", ErrPadding},
		{"padding on a packet that is not the last", "A0C90002 00000001 00000004" + good, ErrPadding},
		{"TWCC padding count 0", "AFCD0001 00000000", ErrPadding},
		{"TWCC padding larger than the body", "AFCD0001 00000005", ErrPadding},
	} {
		r := NewReader(unhex(t, c.datagram))
		if p, ok := r.Next(); ok || !errors.Is(r.Err(), c.want) {
			t.Errorf("%s: %v %v, %v, want %v", c.name, p, ok, r.Err(), c.want)
		}
	}
}

// A datagram cut anywhere is refused, unless the cut is between two packets: that is a
// shorter compound, which reduced size (RFC 5506) allows.
func TestTruncatedDatagramsAreRefusedOrShorter(t *testing.T) {
	for name, s := range validPackets {
		b := unhex(t, s)
		boundary := map[int]bool{}
		for at := 0; at < len(b); at += packetSize(b[at:]) {
			boundary[at] = true
		}
		for n := range b {
			_, err := consume(b[:n:n])
			if valid := boundary[n] && n > 0; valid != (err == nil) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
	}
}

// The same, but with the common header's length corrected to the shorter body: now the
// views have to find out. Some messages are valid at more lengths than one.
func TestShortenedBodiesAreRefusedByTheViews(t *testing.T) {
	stillValid := map[string][]int{ // lengths in bytes
		"RR with an extension":          {8, 12}, // the extension is ignored
		"BYE with a reason":             {8, 12}, // so is the reason
		"NACK":                          {16},    // one pair
		"XR":                            {8},     // no block
		"XR of three blocks":            {8, 20, 28},
		"TWCC":                          {},
		"TWCC padded as libwebrtc does": {},
	}
	for name, s := range validPackets {
		b := unhex(t, s)
		if packetSize(b) != len(b) || b[0]&0x20 != 0 {
			continue // compounds and padded ones are cut elsewhere
		}
		whole := one(t, s)
		if whole.Kind() == KindOther {
			continue
		}
		valid := map[int]bool{}
		for _, n := range stillValid[name] {
			valid[n] = true
		}
		for n := HeaderSize; n < len(b); n += 4 {
			cut := bytes.Clone(b[:n])
			patchLength(cut)
			r := NewReader(cut)
			p, ok := r.Next()
			if !ok {
				t.Fatalf("%s cut to %d: %v", name, n, r.Err())
			}
			refused := view(p) != nil || p.Kind() == KindOther
			if refused == valid[n] {
				t.Errorf("%s cut to %d: refused %v", name, n, refused)
			}
		}
	}
}

func TestViewsRefusePacketsOfOtherTypes(t *testing.T) {
	for name, s := range validPackets {
		b := unhex(t, s)
		if packetSize(b) != len(b) {
			continue
		}
		p := one(t, s)
		_, _, sr := p.SR()
		_, _, rr := p.RR()
		_, sdes := p.SDES()
		_, bye := p.BYE()
		_, nack := p.NACK()
		_, twcc := p.TWCC()
		_, pli := p.PLI()
		_, fir := p.FIR()
		_, remb := p.REMB()
		_, xr := p.XR()
		for kind, err := range map[Kind]error{KindSR: sr, KindRR: rr, KindSDES: sdes, KindBYE: bye,
			KindNACK: nack, KindTWCC: twcc, KindPLI: pli, KindFIR: fir, KindREMB: remb, KindXR: xr} {
			if kind == p.Kind() && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if kind != p.Kind() && !errors.Is(err, ErrType) {
				t.Errorf("%s as kind %d: %v", name, kind, err)
			}
		}
	}
}

func TestViewsRefuseBodiesShorterThanTheirFixedPart(t *testing.T) {
	body := make([]byte, 64)
	for _, c := range []struct {
		p    Packet
		size int
		read func(Packet) error
	}{
		{Packet{Type: TypeSR}, 24, func(p Packet) error { _, _, err := p.SR(); return err }},
		{Packet{Type: TypeRR}, 4, func(p Packet) error { _, _, err := p.RR(); return err }},
		{Packet{Type: TypeBYE, Count: 3}, 12, func(p Packet) error { _, err := p.BYE(); return err }},
		{Packet{Type: TypeRTPFB, Count: FormatNACK}, 12, func(p Packet) error { _, err := p.NACK(); return err }},
		{Packet{Type: TypeRTPFB, Count: FormatTWCC}, 16, func(p Packet) error { _, err := p.TWCC(); return err }},
		{Packet{Type: TypePSFB, Count: FormatPLI}, 8, func(p Packet) error { _, err := p.PLI(); return err }},
		{Packet{Type: TypePSFB, Count: FormatFIR}, 16, func(p Packet) error { _, err := p.FIR(); return err }},
	} {
		for n := range c.size {
			c.p.Body = body[:n:n]
			if err := c.read(c.p); !errors.Is(err, ErrShort) {
				t.Errorf("type %d, %d bytes: %v", c.p.Type, n, err)
			}
		}
	}
	remb := unhex(t, validPackets["REMB"])[HeaderSize:]
	for n := range remb {
		p := Packet{Type: TypePSFB, Count: FormatREMB, Body: remb[:n:n]}
		if _, err := p.REMB(); !errors.Is(err, ErrShort) {
			t.Errorf("REMB, %d bytes: %v", n, err)
		}
	}
}
