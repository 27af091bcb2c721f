package send

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

func TestNumberIsThatOfPacketsThatWereSent(t *testing.T) {
	var s Stream
	s.Init(param.Subscribe{Kind: param.Audio, SSRC: 1}, 100, 0)
	if _, ok := s.Number(1000); ok || s.Next() != 0 {
		t.Error("a number before anything was sent")
	}
	sent := map[uint64]uint64{}
	for seq := uint64(1000); seq < 1010; seq++ {
		m := packet.Meta{Seq: seq, Timestamp: uint32(seq), Arrival: mono.Time(seq) * mono.Time(time.Millisecond)}
		switch {
		case seq == 1003: // lost on its way to us
		case seq == 1006:
			if !s.Skip(&m) {
				t.Fatal("not skipped")
			}
		default:
			out, ok := s.Munge(&m)
			if !ok {
				t.Fatal("not sent")
			}
			sent[seq] = out.Index
		}
	}
	if s.Next() != 1010 {
		t.Errorf("next %d", s.Next())
	}
	for seq := uint64(990); seq < 1020; seq++ {
		index, was := sent[seq]
		if n, ok := s.Number(seq); ok != was || was && n != uint16(index) {
			t.Errorf("packet %d: %d, %v; want %d, %v", seq, n, ok, index, was)
		}
	}
}

func TestPaddingIsOfTheRTXStreamAndItsNumbersAreNeverUsedTwice(t *testing.T) {
	var s Stream
	s.Init(param.Subscribe{Kind: param.Audio, SSRC: 1, RTXSSRC: 2, PayloadType: 96, RTXType: 97}, 100, 7)
	m := packet.Meta{Seq: 1000, Timestamp: 5000, Arrival: mono.Time(time.Second)}
	out, _ := s.Munge(&m)
	var buf [MaxHeader]byte
	for i := range uint64(3) {
		var n int
		var index uint64
		if i == 1 {
			n, index = s.PutRTXHeader(buf[:], &m, mono.Time(time.Second), 0, 0)
		} else {
			n, index = s.PutPadding(buf[:], mono.Time(time.Second), 0, 0)
		}
		h, err := rtp.ParseHeader(buf[:n])
		if err != nil || index != 7+i || h.Seq != uint16(7+i) || h.SSRC != 2 || h.PayloadType != 97 || h.Padded != (i != 1) || h.Timestamp != out.Timestamp {
			t.Errorf("%d: index %d, %v, %+v", i, index, err, h)
		}
	}
	if s.Extra(300); s.Stats().ResentBytes != 300 {
		t.Errorf("%d bytes", s.Stats().ResentBytes)
	}
}

func TestReportBlocksAreAboutWhatCameSinceTheOneBefore(t *testing.T) {
	var s Stream
	s.Init(param.Subscribe{Kind: param.Audio, SSRC: 1}, 0, 0)
	for i, c := range []struct {
		highest uint32
		want    uint64
	}{{1000, 0}, {1100, 100}, {1100, 0}, {1090, 0}, {1120, 30}, {1 << 31, 0}, {1<<31 + 5, 5}} {
		if n := s.Expected(rtcp.ReportBlock{HighestSeq: c.highest}); n != c.want {
			t.Errorf("block %d: %d packets, want %d", i, n, c.want)
		}
	}
}

func TestTransportWideIsWhatTheHeaderHas(t *testing.T) {
	var s Stream
	s.Init(param.Subscribe{SSRC: 1, Extensions: param.Extensions{TransportCC: 3}}, 0, 0)
	if !s.TransportWide() {
		t.Error("not with the extension")
	}
	s.Init(param.Subscribe{SSRC: 1, Extensions: param.Extensions{AbsSendTime: 3}}, 0, 0)
	if s.TransportWide() {
		t.Error("without it")
	}
}
