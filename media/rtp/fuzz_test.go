package rtp

import (
	"bytes"
	"testing"

	"tsubame/media/param"
)

// FuzzView parses arbitrary bytes in every way there is, checks what must hold of any
// result, and compares with pion/rtp.
func FuzzView(f *testing.F) {
	for _, packet := range validPackets {
		f.Add(unhex(f, packet))
	}
	f.Add(unhex(f, testHeader+"BEDE0006 10 C5 22 ABCDEF 31 1234 42 616263 A0 72 B1 7273 D0 03 00000000"))
	f.Add(unhex(f, testHeader+"10000007 01 01 C5 02 03 ABCDEF 03 02 1234 04 03 616263 0A 01 72 0B 02 7273 0D 01 03 00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// A receive slot holds no more, and the checks below walk it more than once.
		b = b[:min(len(b), 2048)]
		before := bytes.Clone(b)
		v, err := Parse(b)
		h, headerErr := ParseHeader(b)
		if headerErr != nil && err == nil {
			t.Fatal("whole packet without a header")
		}
		if headerErr == nil {
			checkView(t, &h, b)
		}
		if err == nil {
			checkView(t, &v, b)
		}
		comparePion(t, b)
		if IsRTCP(b) && len(b) < 2 {
			t.Fatal("RTCP without a packet type")
		}
		if headerErr == nil && Classify(b) != ClassRTP {
			t.Fatal("RTP that is not classified so")
		}
		if !bytes.Equal(b, before) {
			t.Fatal("parsing wrote to the packet")
		}
	})
}

// checkView reads everything a view offers.
func checkView(t *testing.T, v *View, b []byte) {
	if v.HeaderLen < HeaderSize || v.HeaderLen+v.Padding > len(b) {
		t.Fatalf("header of %d, padding of %d in %d bytes", v.HeaderLen, v.Padding, len(b))
	}
	if v.HeaderLen+len(v.Payload())+v.Padding != len(b) {
		t.Fatal("the parts are not the whole")
	}
	for i := range int(v.CSRCCount) {
		v.CSRC(i)
	}
	ids := param.Extensions{MID: 1, RID: 2, RepairedRID: 3, AbsSendTime: 4, TransportCC: 5, AudioLevel: 6, VideoOrientation: 7}
	k := v.Known(&ids)
	r := v.Extensions()
	total := 0
	for {
		id, value, ok := r.Next()
		if !ok {
			break
		}
		if id == 0 {
			t.Fatal("element with id 0")
		}
		total += 1 + len(value)
		if total < 256 && v.Extension(id) == nil {
			t.Fatalf("id %d is not found", id)
		}
	}
	if total > v.HeaderLen-HeaderSize {
		t.Fatal("elements longer than their block")
	}
	if k.HasTransportSeq && v.Extension(ids.TransportCC) == nil {
		t.Fatal("known but not there")
	}
	if _, _, ok := r.Next(); ok {
		t.Fatal("an element behind the last one")
	}
}

// FuzzTemplate lays out a header from arbitrary ids and names, and reads it back.
func FuzzTemplate(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(3), uint8(4), uint8(5), "mid", uint16(7), uint32(9), true)
	f.Add(uint8(15), uint8(0), uint8(0), uint8(200), uint8(5), "a name of more than 16", uint16(7), uint32(9), false)
	f.Fuzz(func(t *testing.T, mid, sendTime, transport, level, orientation uint8, name string, seq uint16, value uint32, has bool) {
		ids := param.Extensions{MID: mid, AbsSendTime: sendTime, TransportCC: transport, AudioLevel: level, VideoOrientation: orientation}
		seen := map[uint8]bool{}
		for _, id := range []uint8{mid, sendTime, transport, level, orientation} {
			if id != 0 && seen[id] {
				return // a mistake of the caller, which panics
			}
			seen[id] = true
		}
		var tpl Template
		if err := tpl.Init(96, 1, &ids, name); err != nil {
			if len(name) <= MaxMID {
				t.Fatal(err)
			}
			return
		}
		b := make([]byte, tpl.Len())
		values := Values{Seq: seq, Timestamp: value, TransportSeq: seq, AbsSendTime: value & 0xffffff,
			AudioLevel: uint8(value), HasAudioLevel: has, VideoOrientation: uint8(seq), HasVideoOrientation: !has}
		tpl.Put(b, &values)
		v, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if v.HeaderLen != len(b) || v.Seq != seq || v.Timestamp != value {
			t.Fatalf("%x", b)
		}
		k := v.Known(&ids)
		if string(k.MID) != name && mid != 0 {
			t.Fatalf("MID %q, want %q", k.MID, name)
		}
		if k.HasAbsSendTime != (sendTime != 0) || (k.HasAbsSendTime && k.AbsSendTime != value&0xffffff) ||
			k.HasTransportSeq != (transport != 0) || (k.HasTransportSeq && k.TransportSeq != seq) ||
			k.HasAudioLevel != (level != 0 && has) || (k.HasAudioLevel && k.AudioLevel != uint8(value)) ||
			k.HasVideoOrientation != (orientation != 0 && !has) || (k.HasVideoOrientation && k.VideoOrientation != uint8(seq)) {
			t.Fatalf("%+v of %+v in %x", k, values, b)
		}
	})
}

// FuzzUnwrapper compares with a slow model: the number nearest to the highest one.
func FuzzUnwrapper(f *testing.F) {
	f.Add([]byte{0, 0, 0xff, 0xff, 0x80, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var u Unwrapper
		var highest uint64
		for ; len(b) >= 2; b = b[2:] {
			seq := uint16(b[0])<<8 | uint16(b[1])
			got := u.Unwrap(seq)
			if uint16(got) != seq {
				t.Fatalf("%d became %d", seq, got)
			}
			if highest != 0 && (got > highest+1<<15 || got+1<<15 <= highest) {
				t.Fatalf("%d is not near %d", got, highest)
			}
			highest = max(highest, got)
			if h, ok := u.Highest(); !ok || h != highest {
				t.Fatalf("highest %d, want %d", h, highest)
			}
		}
	})
}
