package rtp

import (
	"testing"

	"tsubame/media/param"
)

// typical is a video packet of a browser: MID, abs-send-time and transport-wide sequence.
func typical(t testing.TB) (packet []byte, ids param.Extensions) {
	t.Helper()
	ids = param.Extensions{MID: 4, AbsSendTime: 2, TransportCC: 3, VideoOrientation: 13}
	var tpl Template
	if err := tpl.Init(96, 0xCAFE, &ids, "video_ABCDEF"); err != nil {
		t.Fatal(err)
	}
	packet = make([]byte, 1200)
	tpl.Put(packet, &Values{Marker: true, Seq: 1, Timestamp: 2, AbsSendTime: 3, TransportSeq: 4})
	return packet, ids
}

func TestParsingAndWritingDoNotAllocate(t *testing.T) {
	packet, ids := typical(t)
	var tpl Template
	if err := tpl.Init(96, 1, &ids, "video_ABCDEF"); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 1500)
	var u Unwrapper
	sum := 0
	for name, f := range map[string]func(){
		"parse": func() {
			if Classify(packet) != ClassRTP || IsRTCP(packet) {
				t.Fatal("not RTP")
			}
			v, err := Parse(packet)
			if err != nil {
				t.Fatal(err)
			}
			k := v.Known(&ids)
			sum += len(k.MID) + len(v.Payload()) + len(v.Extension(3))
			sum += int(u.Unwrap(v.Seq))
		},
		"refuse": func() {
			if _, err := Parse(packet[:20]); err == nil {
				t.Fatal("a packet of 20 bytes")
			}
		},
		"template": func() {
			sum += tpl.Put(dst, &Values{Seq: 1, Timestamp: 2, AbsSendTime: 3, TransportSeq: 4})
			tpl.PatchTransportSeq(dst, 5)
		},
		"layout": func() {
			if err := tpl.Init(96, 1, &ids, "video_ABCDEF"); err != nil {
				t.Fatal(err)
			}
		},
		"writer": func() {
			var w ExtWriter
			w.Begin(dst, PutHeader(dst, HeaderFields{Seq: 1}), false)
			w.PutTransportSeq(3, 1)
			w.PutString(4, "video_ABCDEF")
			sum += w.End()
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if sum == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkParse(b *testing.B) {
	packet, _ := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseKnown(b *testing.B) {
	packet, ids := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		v, err := Parse(packet)
		if err != nil {
			b.Fatal(err)
		}
		if k := v.Known(&ids); !k.HasTransportSeq {
			b.Fatal("no transport-wide sequence")
		}
	}
}

func BenchmarkTemplatePut(b *testing.B) {
	_, ids := typical(b)
	var tpl Template
	if err := tpl.Init(96, 1, &ids, "video_ABCDEF"); err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, MaxTemplate)
	v := Values{Marker: true, Seq: 1, Timestamp: 2, AbsSendTime: 3, TransportSeq: 4}
	b.ReportAllocs()
	for b.Loop() {
		v.Seq++
		tpl.Put(dst, &v)
	}
}

func BenchmarkUnwrap(b *testing.B) {
	var u Unwrapper
	seq := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		u.Unwrap(seq)
	}
}
