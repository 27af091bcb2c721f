package codec

import (
	"bytes"
	"testing"
)

// redPayloads are payloads as they are on the wire: redundant blocks as type/offset/bytes.
var redPayloads = []struct {
	name, payload string
	blocks        []block
	primaryType   uint8
	primary       string
}{
	// One level at 48 kHz and 20 ms (offset 960), as Chromium sends it: 63 around 111.
	{"one level", "ef0f0002" + "6f" + "aabb" + "0102 03", []block{{111, 960, "aabb"}}, 111, "010203"},
	{"two levels, oldest first", "ef1e0001" + "ef0f0002" + "6f" + "aa" + "bbcc" + "dd", []block{{111, 1920, "aa"}, {111, 960, "bbcc"}}, 111, "dd"},
	{"primary alone", "6f" + "0102", nil, 111, "0102"},
	{"empty primary", "6f", nil, 111, ""},
	{"empty block", "ef0f0000" + "6f" + "01", []block{{111, 960, ""}}, 111, "01"},
	{"redundancy without a primary", "ef0f0001" + "6f" + "01", []block{{111, 960, "01"}}, 111, ""},
	{"largest offset", "effffc01" + "6f" + "0102", []block{{111, MaxREDOffset, "01"}}, 111, "02"},
	// What these types mean is not the parser's to say: RED in RED, FEC.
	{"other types", "bf0f0001" + "7f" + "0102", []block{{63, 960, "01"}}, 127, "02"},
}

type block struct {
	payloadType uint8
	offset      uint16
	data        string
}

// Row RTP-16.
func TestREDIsReadAsItIsOnTheWire(t *testing.T) {
	for _, c := range redPayloads {
		b := unhex(t, c.payload)
		r, err := ParseRED(b)
		if err != nil || r.PayloadType != c.primaryType || !bytes.Equal(b[r.At:], unhex(t, c.primary)) || len(r.Blocks()) != len(c.blocks) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
			continue
		}
		for i, got := range r.Blocks() {
			want := c.blocks[i]
			if got.PayloadType != want.payloadType || got.Offset != want.offset || !bytes.Equal(b[got.At:got.At+got.Len], unhex(t, want.data)) {
				t.Errorf("%s: block %d is %+v, want %+v", c.name, i, got, want)
			}
		}
	}
}

// Row RTP-16.
func TestMalformedREDIsRefused(t *testing.T) {
	tenBlocks := bytes.Repeat(unhex(t, "ef0f0000"), MaxREDBlocks+1)
	for _, c := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"nothing", nil, ErrShort},
		{"a header that ends", unhex(t, "ef0f00"), ErrShort},
		{"no primary header", unhex(t, "ef0f0000"), ErrShort},
		{"a block past the end", unhex(t, "ef0f0003"+"6f"+"0102"), ErrShort},
		{"the longest block, past the end", unhex(t, "ef0f03ff"+"6f"+"0102"), ErrShort},
		{"a second block past the end", unhex(t, "ef1e0001"+"ef0f0002"+"6f"+"0102"), ErrShort},
		{"more blocks than anybody sends", append(tenBlocks, 0x6f), ErrMalformed},
		{"headers without end", bytes.Repeat([]byte{0xff}, 1400), ErrMalformed},
	} {
		if r, err := ParseRED(c.payload); err != c.want || r != (RED{}) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
	}
	if r, err := ParseRED(append(tenBlocks[REDBlockHeader:], 0x6f)); err != nil || len(r.Blocks()) != MaxREDBlocks {
		t.Errorf("as many blocks as may be: %+v, %v", r, err)
	}
}

// Row RTP-16.
func TestREDCutShortLosesThePrimaryOrIsRefused(t *testing.T) {
	b := unhex(t, "ef1e0001"+"ef0f0002"+"6f"+"aa"+"bbcc"+"dd")
	headers := len(b) - 1
	for n := range b {
		r, err := ParseRED(b[:n])
		if n < headers && err == nil {
			t.Errorf("%d bytes: %+v", n, r)
		}
		if n >= headers && (err != nil || int(r.At) != headers) {
			t.Errorf("%d bytes: %+v, %v", n, r, err)
		}
	}
}

func TestREDIsWrittenAsItIsRead(t *testing.T) {
	want := unhex(t, "ef1e0001"+"ef0f0002"+"6f"+"aa"+"bbcc"+"dd")
	b := AppendREDBlock(nil, 111, 1920, 1)
	b = AppendREDBlock(b, 111, 960, 2)
	b = AppendREDPrimary(b, 111)
	if got := append(b, 0xaa, 0xbb, 0xcc, 0xdd); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestReadingREDAllocatesNothing(t *testing.T) {
	b := unhex(t, "ef1e0001"+"ef0f0002"+"6f"+"aa"+"bbcc"+"dd")
	dst := make([]byte, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		r, err := ParseRED(b)
		if err != nil || r.N != 2 {
			t.Fatal(r, err)
		}
		AppendREDPrimary(AppendREDBlock(dst, 111, 960, 2), 111)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRED reads arbitrary payloads: what it finds lies within them, one block behind the
// other, and writing that again gives the same bytes.
func FuzzRED(f *testing.F) {
	for _, c := range redPayloads {
		f.Add(unhex(f, c.payload))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		r, err := ParseRED(b)
		if !bytes.Equal(b, before) {
			t.Fatal("reading wrote to the payload")
		}
		if err != nil {
			if r != (RED{}) {
				t.Fatalf("%+v with %v", r, err)
			}
			return
		}
		var again []byte
		for _, x := range r.Blocks() {
			again = AppendREDBlock(again, x.PayloadType, uint32(x.Offset), int(x.Len))
		}
		again = AppendREDPrimary(again, r.PayloadType)
		for _, x := range r.Blocks() {
			if int(x.At) != len(again) {
				t.Fatalf("a block at %d, behind %d bytes", x.At, len(again))
			}
			again = append(again, b[x.At:x.At+x.Len]...)
		}
		if int(r.At) != len(again) {
			t.Fatalf("the primary at %d, behind %d bytes", r.At, len(again))
		}
		if again = append(again, b[r.At:]...); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
