package rtp

import (
	"bytes"
	"errors"
	"testing"

	"tsubame/media/param"
)

const testHeader = "90 60 0001 00000002 00000003 "

type element struct {
	id    uint8
	value string
}

// elements walks a header extension to its end.
func elements(t testing.TB, packet string) (got []element, err error) {
	t.Helper()
	v, err := Parse(unhex(t, packet))
	if err != nil {
		t.Fatal(err)
	}
	r := v.Extensions()
	for {
		id, value, ok := r.Next()
		if !ok {
			return got, r.Err()
		}
		got = append(got, element{id, string(value)})
	}
}

func TestExtensionElementsAreWalked(t *testing.T) {
	for _, c := range []struct {
		name, block string
		want        []element
		err         error
	}{
		{"none", "BEDE0000", nil, nil},
		{"RFC 8285 section 4.2: two elements, then padding, then a third",
			"BEDE0003 10 AA 21 BB BB 00 00 33 CC CC CC CC",
			[]element{{1, "\xaa"}, {2, "\xbb\xbb"}, {3, "\xcc\xcc\xcc\xcc"}}, nil},
		{"one-byte form, longest value", "BEDE0005 EF 000102030405060708090A0B0C0D0E0F 000000",
			[]element{{14, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"}}, nil},
		{"one-byte form, all padding", "BEDE0002 0000000000000000", nil, nil},
		{"id 15 ends everything", "BEDE0002 10 AA F1 BB BB 20 CC 00", []element{{1, "\xaa"}}, nil},
		{"id 15 with a length past the end", "BEDE0001 10 AA FF 00", []element{{1, "\xaa"}}, nil},
		{"id 0 with a length ends everything", "BEDE0002 10 AA 01 BB BB 20 CC 00", []element{{1, "\xaa"}}, nil},
		{"one-byte form, value past the end", "BEDE0002 10 AA 00 00 25 BB BB BB", []element{{1, "\xaa"}}, ErrElement},
		{"one-byte form, header in the last byte", "BEDE0001 10 AA 00 20", []element{{1, "\xaa"}}, ErrElement},
		{"RFC 8285 section 4.3: empty value, padding, four bytes",
			"10000003 01 00 02 01 BB 00 03 04 CC CC CC CC",
			[]element{{1, ""}, {2, "\xbb"}, {3, "\xcc\xcc\xcc\xcc"}}, nil},
		{"application bits are ignored", "100F0001 FF 02 AA BB", []element{{255, "\xaa\xbb"}}, nil},
		{"two-byte form: 15 is an id", "10000001 0F 01 AA 00", []element{{15, "\xaa"}}, nil},
		{"two-byte form, value past the end", "10000002 01 01 AA 00 02 03 BB BB", []element{{1, "\xaa"}}, ErrElement},
		{"two-byte form, no length", "10000001 01 01 AA 02", []element{{1, "\xaa"}}, ErrElement},
		{"profile of RFC 3550", "ABCD0001 10 AA 00 00", nil, nil},
		{"profile 0x1010", "10100001 01 01 AA 00", nil, nil},
	} {
		got, err := elements(t, testHeader+c.block)
		if !errors.Is(err, c.err) || len(got) != len(c.want) {
			t.Errorf("%s: %q, %v", c.name, got, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: element %d is %q", c.name, i, got[i])
			}
		}
	}
}

func TestPacketWithoutExtensionHasNoElements(t *testing.T) {
	v, err := Parse(unhex(t, validPackets["marker and payload"]))
	if err != nil {
		t.Fatal(err)
	}
	r := v.Extensions()
	if _, _, ok := r.Next(); ok || r.Err() != nil || v.HasExtensions() || v.Extension(1) != nil {
		t.Error("elements out of nothing")
	}
}

func TestExtensionFindsTheFirstOfAnID(t *testing.T) {
	v, err := Parse(unhex(t, testHeader+"BEDE0002 10 AA 20 BB 20 CC 00 00"))
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Extension(2); !bytes.Equal(got, []byte{0xBB}) {
		t.Errorf("id 2 is %x", got)
	}
	if v.Extension(3) != nil || v.Extension(0) != nil {
		t.Error("found an id that is not there")
	}
}

func TestEmptyValueIsNotAbsent(t *testing.T) {
	v, err := Parse(unhex(t, testHeader+"10000001 05 00 00 00"))
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Extension(5); got == nil || len(got) != 0 {
		t.Errorf("id 5 is %v", got)
	}
}

func TestKnownReadsWhatWasNegotiated(t *testing.T) {
	ids := param.Extensions{MID: 4, RID: 10, RepairedRID: 11, AbsSendTime: 2, TransportCC: 3, AudioLevel: 1, VideoOrientation: 13}
	for name, packet := range map[string]string{
		"one-byte form": testHeader + "BEDE0006 10 C5 22 ABCDEF 31 1234 42 616263 A0 72 B1 7273 D0 03 00000000",
		"two-byte form": testHeader + "10000007 01 01 C5 02 03 ABCDEF 03 02 1234 04 03 616263 0A 01 72 0B 02 7273 0D 01 03 00",
	} {
		v, err := Parse(unhex(t, packet))
		if err != nil {
			t.Fatal(name, err)
		}
		k := v.Known(&ids)
		if string(k.MID) != "abc" || string(k.RID) != "r" || string(k.RepairedRID) != "rs" {
			t.Errorf("%s: names %q %q %q", name, k.MID, k.RID, k.RepairedRID)
		}
		if !k.HasAbsSendTime || k.AbsSendTime != 0xABCDEF || !k.HasTransportSeq || k.TransportSeq != 0x1234 {
			t.Errorf("%s: %+v", name, k)
		}
		if !k.HasAudioLevel || k.AudioLevel != 0xC5 || !k.HasVideoOrientation || k.VideoOrientation != 3 {
			t.Errorf("%s: %+v", name, k)
		}
		if level, voice := AudioLevel(k.AudioLevel); level != 0x45 || !voice {
			t.Errorf("%s: audio level %d %v", name, level, voice)
		}
	}
}

// Row RTP-12.
func TestExtensionIDsMeanOnlyWhatWasNegotiated(t *testing.T) {
	t.Run("not negotiated", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0001 10 C5 20 01"))
		if k := v.Known(&param.Extensions{MID: 3}); k.HasAudioLevel || k.HasVideoOrientation || k.MID != nil {
			t.Errorf("%+v", k)
		}
	})
	t.Run("renegotiated id", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0001 10 C5 20 01"))
		before := v.Known(&param.Extensions{AudioLevel: 1})
		after := v.Known(&param.Extensions{AudioLevel: 2})
		if before.AudioLevel != 0xC5 || after.AudioLevel != 1 {
			t.Errorf("%x, %x", before.AudioLevel, after.AudioLevel)
		}
	})
	t.Run("one id for two extensions", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0001 10 C5 00 00"))
		k := v.Known(&param.Extensions{AudioLevel: 1, VideoOrientation: 1})
		if !k.HasAudioLevel || k.HasVideoOrientation {
			t.Errorf("%+v", k)
		}
	})
	t.Run("one id twice in a packet", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0001 10 C5 10 01"))
		if k := v.Known(&param.Extensions{AudioLevel: 1}); k.AudioLevel != 0xC5 {
			t.Errorf("the second one won: %+v", k)
		}
	})
	t.Run("wrong size", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0003 11 C5C5 21 ABCD 30 12 41 0303 00"))
		ids := param.Extensions{AudioLevel: 1, AbsSendTime: 2, TransportCC: 3, VideoOrientation: 4}
		if k := v.Known(&ids); k.HasAudioLevel || k.HasAbsSendTime || k.HasTransportSeq || k.HasVideoOrientation {
			t.Errorf("%+v", k)
		}
	})
	t.Run("empty in two-byte form", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"10000002 01 00 02 00 03 00 04 00"))
		ids := param.Extensions{AudioLevel: 1, AbsSendTime: 2, TransportCC: 3, MID: 4}
		if k := v.Known(&ids); k.HasAudioLevel || k.HasAbsSendTime || k.HasTransportSeq || k.MID != nil {
			t.Errorf("%+v", k)
		}
	})
	t.Run("id 15 in one-byte form hides what follows", func(t *testing.T) {
		v, _ := Parse(unhex(t, testHeader+"BEDE0001 F0 00 10 C5"))
		if k := v.Known(&param.Extensions{AudioLevel: 1, MID: 15}); k.HasAudioLevel || k.MID != nil {
			t.Errorf("%+v", k)
		}
	})
}

func TestAbsSendTimeIsTheMiddleOfAnNTPTimestamp(t *testing.T) {
	for _, c := range []struct {
		ntp  uint64
		want uint32
	}{
		{0, 0},
		{1 << 32, 1 << 18},             // one second
		{64 << 32, 0},                  // wraps after 64 s
		{1<<31 | 1<<13, 1 << 17},       // half a second, and what is cut off
		{^uint64(0), 0xffffff},         // all ones
		{0x0000002580000000, 0x960000}, // 37.5 s
	} {
		if got := AbsSendTime(c.ntp); got != c.want {
			t.Errorf("AbsSendTime(%#x) = %#x, want %#x", c.ntp, got, c.want)
		}
	}
}
