package rtcp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCNAMEsAreRead(t *testing.T) {
	for _, c := range []struct {
		name, packet string
		ssrcs        []uint32
		cnames       []string
	}{
		{"one chunk", validPackets["SDES"], []uint32{1}, []string{"a@examp"}},
		{"two chunks, a NAME before the CNAME, an empty CNAME", validPackets["SDES of two chunks"], []uint32{1, 2}, []string{"c", ""}},
		{"no chunk", validPackets["empty SDES"], nil, nil},
		{"no CNAME", "81CA0002 00000007 00000000", []uint32{7}, []string{"-"}},
		{"two CNAMEs: the first", "81CA0003 00000007 01 01 61 01 01 62 0000", []uint32{7}, []string{"a"}},
	} {
		s, err := one(t, c.packet).SDES()
		if err != nil {
			t.Fatal(c.name, err)
		}
		for i := range c.ssrcs {
			ssrc, cname, ok := s.Next()
			if cname == nil {
				cname = []byte("-")
			}
			if !ok || ssrc != c.ssrcs[i] || string(cname) != c.cnames[i] {
				t.Errorf("%s: chunk %d: %d %q %v", c.name, i, ssrc, cname, ok)
			}
		}
		if _, _, ok := s.Next(); ok || s.Err() != nil {
			t.Errorf("%s: more chunks, or %v", c.name, s.Err())
		}
	}
}

func TestChunksPastTheEndAreMalformed(t *testing.T) {
	for name, packet := range map[string]string{
		"no chunk":                     "81CA0000",
		"item list does not end":       "81CA0002 00000001 01 02 6162",
		"nothing behind the SSRC":      "81CA0001 00000001",
		"item length past the end":     "81CA0002 00000001 01 FF 6162",
		"item length is the last byte": "81CA0002 00000001 01 01 61 01",
		"second chunk missing":         "82CA0002 00000001 01 01 61 00",
		"31 chunks claimed":            "9FCA0002 00000001 01 01 61 00",
	} {
		s, err := one(t, packet).SDES()
		if err != nil {
			t.Fatal(name, err)
		}
		for ok := true; ok; {
			_, _, ok = s.Next()
		}
		if !errors.Is(s.Err(), ErrMalformed) {
			t.Errorf("%s: %v", name, s.Err())
		}
	}
}

func TestCNAMEIsWrittenForEveryLength(t *testing.T) {
	for n := range 300 {
		cname := strings.Repeat("c", n)
		b := AppendSDES(nil, 0xCAFE, cname)
		r := NewReader(b)
		p, ok := r.Next()
		if !ok {
			t.Fatalf("%d bytes: %v", n, r.Err())
		}
		s, err := p.SDES()
		if err != nil {
			t.Fatal(err)
		}
		ssrc, got, ok := s.Next()
		if !ok || ssrc != 0xCAFE || string(got) != cname[:min(n, 255)] {
			t.Errorf("%d bytes: %d %q %v", n, ssrc, got, ok)
		}
		if b[len(b)-1] != 0 {
			t.Errorf("%d bytes: the item list does not end with zero", n)
		}
	}
	if got := AppendSDES(nil, 1, "a@examp"); !bytes.Equal(got, unhex(t, validPackets["SDES"])) {
		t.Errorf("%x", got)
	}
}

func TestByeNamesItsSources(t *testing.T) {
	for _, name := range []string{"BYE", "BYE with a reason"} {
		s, err := one(t, validPackets[name]).BYE()
		if err != nil || s.Len() == 0 || s.At(0) != 1 {
			t.Errorf("%s: %d sources, %v", name, s.Len(), err)
		}
	}
	if got := AppendBYE(nil, 1, 2); !bytes.Equal(got, unhex(t, validPackets["BYE"])) {
		t.Errorf("%x", got)
	}
	if got := AppendBYE(nil); len(got) != 0 {
		t.Errorf("without sources: %x", got)
	}
	many := make([]uint32, 40)
	many[39] = 9
	r := NewReader(AppendBYE(nil, many...))
	p, _ := r.Next()
	q, ok := r.Next()
	s, err := q.BYE()
	if p.Count != 31 || !ok || err != nil || s.Len() != 9 || s.At(8) != 9 {
		t.Errorf("40 sources: %d and %d, %v", p.Count, s.Len(), err)
	}
}
