package send

import (
	"strings"
	"testing"

	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/netio/packet"
)

func TestHeaderSaysWhatWasNegotiated(t *testing.T) {
	s, spec := newVideo(), videoSpec()
	m := pkt(7, keyFrame|packet.FlagMarker|packet.FlagAudioLevel|packet.FlagVideoOrientation)
	m.AudioLevel, m.VideoOrientation = 0x85, 0x03
	out := wantOut(t, s, m, 100)
	out.Index += 3 << 16 // only the sequence number is on the wire
	b := make([]byte, MaxHeader)
	const ntp = 0x0000_0025_8000_0000 // 37.5 s
	n := s.PutHeader(b, m, out, start, ntp, 0xabcd)
	v, err := rtp.ParseHeader(b[:n])
	if err != nil || v.HeaderLen != n {
		t.Fatalf("%d bytes, header of %d: %v", n, v.HeaderLen, err)
	}
	if v.PayloadType != spec.PayloadType || !v.Marker || v.Seq != 100 || v.Timestamp != m.Timestamp || v.SSRC != spec.SSRC {
		t.Errorf("header %+v", v)
	}
	k := v.Known(&spec.Extensions)
	if string(k.MID) != spec.MID || k.TransportSeq != 0xabcd || k.AudioLevel != 0x85 || k.VideoOrientation != 0x03 || k.AbsSendTime != 37<<18|1<<17 {
		t.Errorf("extensions %+v", k)
	}
}

func TestExtensionsThatThePacketLacksAreLeftOut(t *testing.T) {
	s, spec := newVideo(), videoSpec()
	m := pkt(7, keyFrame)
	b := make([]byte, MaxHeader)
	n := s.PutHeader(b, m, wantOut(t, s, m, 100), start, 0, 1)
	v, err := rtp.ParseHeader(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	if k := v.Known(&spec.Extensions); k.HasAudioLevel || k.HasVideoOrientation || !k.HasTransportSeq || v.Marker {
		t.Errorf("extensions %+v, marker %v", k, v.Marker)
	}
}

func TestRetransmissionHeaderHasItsOwnNumbersAndTheOriginalsTime(t *testing.T) {
	s, spec := newVideo(), videoSpec()
	wantOut(t, s, pkt(6, keyFrame), 100)
	jumped := pkt(7, packet.FlagMarker)
	jumped.Timestamp += 1 << 31
	out := wantOut(t, s, jumped, 101)
	b := make([]byte, MaxHeader)
	for i := range uint64(3) {
		n, index := s.PutRTXHeader(b, jumped, start, 0, 9)
		v, err := rtp.ParseHeader(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		if index != 200+i || v.Seq != uint16(index) || v.PayloadType != spec.RTXType || v.SSRC != spec.RTXSSRC || !v.Marker || v.Timestamp != out.Timestamp {
			t.Errorf("index %d, header %+v; want the timestamp %d", index, v, out.Timestamp)
		}
		if k := v.Known(&spec.Extensions); string(k.MID) != spec.MID || k.TransportSeq != 9 {
			t.Errorf("extensions %+v", k)
		}
	}
}

// Row RTP-12.
func TestCollidingExtensionIdsAndLongNamesAreLeftOut(t *testing.T) {
	spec := videoSpec()
	spec.Extensions = param.Extensions{MID: 3, AbsSendTime: 3, TransportCC: 3, AudioLevel: 200, VideoOrientation: 200}
	spec.MID = strings.Repeat("x", rtp.MaxMID+1)
	s := new(Stream)
	s.Init(spec, 1, 1)
	m := pkt(1, keyFrame|packet.FlagAudioLevel|packet.FlagVideoOrientation)
	m.AudioLevel, m.VideoOrientation = 7, 3
	b := make([]byte, MaxHeader)
	n := s.PutHeader(b, m, wantOut(t, s, m, 1), start, 0, 5)
	v, err := rtp.ParseHeader(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	k := v.Known(&param.Extensions{TransportCC: 3, AudioLevel: 200})
	if k.TransportSeq != 5 || k.AudioLevel != 7 || !k.HasAudioLevel {
		t.Errorf("extensions %+v", k)
	}
}

func TestStreamWithoutRTXNeverResends(t *testing.T) {
	s := newAudio()
	wantOut(t, s, pkt(1, 0), 100)
	s.Sent(100_000)
	if s.AllowResend(start, 100, 10, 0, false) {
		t.Error("allowed")
	}
	defer func() {
		if recover() == nil {
			t.Error("an RTX header without RTX")
		}
	}()
	s.PutRTXHeader(make([]byte, MaxHeader), pkt(1, 0), start, 0, 0)
}
