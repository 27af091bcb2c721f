package rtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tsubame/media/param"
)

func TestHeaderIsWrittenByteForByte(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, HeaderSize+2)
	n := PutHeader(b, HeaderFields{PayloadType: 0x60, Marker: true, Seq: 0x1234, Timestamp: 0x00001000, SSRC: 0xCAFEBABE})
	if n != HeaderSize || !bytes.Equal(b, unhex(t, "80 E0 1234 00001000 CAFEBABE FFFF")) {
		t.Errorf("%d bytes, %x", n, b)
	}
	// A payload type of more than 7 bits must not become a marker.
	PutHeader(b, HeaderFields{PayloadType: 0xE0})
	if b[OffsetMarker] != 0x60 {
		t.Errorf("second byte %x", b[OffsetMarker])
	}
}

func TestExtensionWriterWritesBothForms(t *testing.T) {
	for _, c := range []struct {
		twoByte bool
		want    string
	}{
		{false, "90 60 0001 00000002 00000003 BEDE0004 10 C5 22 ABCDEF 31 1234 42 616263 51 7879"},
		{true, "90 60 0001 00000002 00000003 10000006 01 01 C5 02 03 ABCDEF 03 02 1234 04 03 616263 05 02 7879 00 00 00"},
	} {
		b := bytes.Repeat([]byte{0xff}, 64)
		n := PutHeader(b, HeaderFields{PayloadType: 0x60, Seq: 1, Timestamp: 2, SSRC: 3})
		var w ExtWriter
		w.Begin(b, n, c.twoByte)
		level := w.PutByte(1, 0xC5)
		sendTime := w.PutAbsSendTime(2, 0xABCDEF)
		seq := w.PutTransportSeq(3, 0x1234)
		mid := w.PutString(4, "abc")
		raw := w.Put(5, []byte("xy"))
		got := b[:w.End()]
		if !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("two-byte form %v: %x", c.twoByte, got)
			continue
		}
		if got[level] != 0xC5 || got[sendTime] != 0xAB || got[seq] != 0x12 || got[mid] != 'a' || got[raw] != 'x' {
			t.Errorf("two-byte form %v: offsets %d %d %d %d %d", c.twoByte, level, sendTime, seq, mid, raw)
		}
	}
}

func TestElementThatDoesNotFitPanics(t *testing.T) {
	for name, put := range map[string]func(w *ExtWriter){
		"id 0":     func(w *ExtWriter) { w.PutByte(0, 1) },
		"id 15":    func(w *ExtWriter) { w.PutByte(15, 1) },
		"empty":    func(w *ExtWriter) { w.Put(1, nil) },
		"17 bytes": func(w *ExtWriter) { w.Put(1, make([]byte, 17)) },
		"slice too short": func(w *ExtWriter) {
			for range 20 {
				w.Put(1, make([]byte, 16))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := make([]byte, 64)
			var w ExtWriter
			w.Begin(b, PutHeader(b, HeaderFields{}), false)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			put(&w)
		})
	}
}

var allIDs = param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, AudioLevel: 1, VideoOrientation: 13}

// idsOf returns a copy of allIDs with one of them changed.
func idsOf(change func(*param.Extensions)) param.Extensions {
	ids := allIDs
	change(&ids)
	return ids
}

func TestTemplateIsWrittenByteForByte(t *testing.T) {
	for _, c := range []struct {
		name, mid string
		ids       param.Extensions
		values    Values
		want      string
	}{
		{"no extension", "0", param.Extensions{}, Values{Seq: 1, Timestamp: 2},
			"80 60 0001 00000002 000000AA"},
		{"all", "mid", allIDs,
			Values{Marker: true, Seq: 0xFFFE, Timestamp: 3, AbsSendTime: 0xABCDEF, TransportSeq: 0x1234,
				AudioLevel: 0x85, HasAudioLevel: true, VideoOrientation: 1, HasVideoOrientation: true},
			"90 E0 FFFE 00000003 000000AA BEDE0004 31 1234 22 ABCDEF 42 6D6964 10 85 D0 01 00"},
		{"without the optional ones they are padding", "mid", allIDs,
			Values{Seq: 1, Timestamp: 2, AbsSendTime: 1, TransportSeq: 2, AudioLevel: 0x85, VideoOrientation: 1},
			"90 60 0001 00000002 000000AA BEDE0004 31 0002 22 000001 42 6D6964 00 00 00 00 00"},
		{"padding before the orientation", "mid", allIDs,
			Values{Seq: 1, Timestamp: 2, AbsSendTime: 1, TransportSeq: 2, VideoOrientation: 1, HasVideoOrientation: true},
			"90 60 0001 00000002 000000AA BEDE0004 31 0002 22 000001 42 6D6964 00 00 D0 01 00"},
		{"no MID to send", "", allIDs, Values{Seq: 1, Timestamp: 2},
			"90 60 0001 00000002 000000AA BEDE0003 31 0000 22 000000 00 00 00 00 00"},
		{"id above 14", "mid", idsOf(func(e *param.Extensions) { e.VideoOrientation = 15 }),
			Values{Seq: 1, Timestamp: 2, TransportSeq: 5, HasVideoOrientation: true, VideoOrientation: 2},
			"90 60 0001 00000002 000000AA 10000005 03 02 0005 02 03 000000 04 03 6D6964 000000 0F 01 02"},
		{"MID of 17 bytes", "abcdefghijklmnopq", param.Extensions{MID: 4}, Values{Seq: 1, Timestamp: 2},
			"90 60 0001 00000002 000000AA 10000005 04 11 6162636465666768696A6B6C6D6E6F7071 00"},
		{"MID of 16 bytes", "abcdefghijklmnop", param.Extensions{MID: 4}, Values{Seq: 1, Timestamp: 2},
			"90 60 0001 00000002 000000AA BEDE0005 4F 6162636465666768696A6B6C6D6E6F70 00 00 00"},
	} {
		var tpl Template
		if err := tpl.Init(0x60, 0xAA, &c.ids, c.mid); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b := bytes.Repeat([]byte{0xff}, MaxTemplate)
		got := b[:tpl.Put(b, &c.values)]
		if !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x", c.name, got)
		}
		if len(got) != tpl.Len() {
			t.Errorf("%s: %d bytes, Len %d", c.name, len(got), tpl.Len())
		}
	}
}

func TestTemplateFieldsArePatchedInPlace(t *testing.T) {
	var tpl Template
	if err := tpl.Init(96, 1, &allIDs, "mid"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, tpl.Len())
	tpl.Put(b, &Values{TransportSeq: 1, AbsSendTime: 2})
	tpl.PatchTransportSeq(b, 0xBEEF)
	tpl.PatchAbsSendTime(b, 0x123456)
	v, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	k := v.Known(&allIDs)
	if k.TransportSeq != 0xBEEF || k.AbsSendTime != 0x123456 || string(k.MID) != "mid" {
		t.Errorf("%+v", k)
	}
	at := tpl.Layout()
	if b[at.TransportSeq] != 0xBE || b[at.AbsSendTime] != 0x12 || b[at.MID] != 'm' {
		t.Errorf("layout %+v", at)
	}
}

func TestPatchWithoutTheExtensionDoesNothing(t *testing.T) {
	var tpl Template
	if err := tpl.Init(96, 1, &param.Extensions{AudioLevel: 1}, "mid"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, tpl.Len())
	tpl.Put(b, &Values{})
	before := bytes.Clone(b)
	tpl.PatchTransportSeq(b, 0xBEEF)
	tpl.PatchAbsSendTime(b, 0x123456)
	if !bytes.Equal(b, before) {
		t.Errorf("%x became %x", before, b)
	}
}

func TestLongestTemplateFits(t *testing.T) {
	ids := param.Extensions{MID: 255, AbsSendTime: 254, TransportCC: 253, AudioLevel: 252, VideoOrientation: 251}
	var tpl Template
	if err := tpl.Init(96, 1, &ids, strings.Repeat("m", MaxMID)); err != nil {
		t.Fatal(err)
	}
	if tpl.Len() != MaxTemplate {
		t.Errorf("longest header has %d bytes, MaxTemplate is %d", tpl.Len(), MaxTemplate)
	}
	if err := tpl.Init(96, 1, &ids, strings.Repeat("m", MaxMID+1)); !errors.Is(err, ErrMID) {
		t.Errorf("longer MID: %v", err)
	}
}

func TestTemplateWithOneIDTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var tpl Template
	_ = tpl.Init(96, 1, &param.Extensions{AbsSendTime: 3, TransportCC: 3}, "")
}
