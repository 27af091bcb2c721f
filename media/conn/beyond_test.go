package conn

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// A publisher whose own link loses nothing learns how much its encoder has to protect: where that
// does not mislead its estimate of the bandwidth, and the viewer has nothing better.
func TestPublisherOfAVoiceIsToldOfTheLossAtItsViewers(t *testing.T) {
	voice := param.Publish{
		Kind: param.Audio, Codec: param.Opus, MID: "audio_1", SSRC: 2000, PayloadType: 111, ClockRate: 48000,
		Extensions: param.Extensions{TransportCC: 4}, Feedback: param.Feedback{TransportCC: true}, ReducedSize: true,
	}
	for name, c := range map[string]struct {
		change func(*param.Publish, *param.Subscribe)
		told   bool
	}{
		"transport-wide feedback":    {func(*param.Publish, *param.Subscribe) {}, true},
		"no transport-wide feedback": {func(p *param.Publish, _ *param.Subscribe) { p.Feedback = param.Feedback{} }, false},
		"a viewer with redundancy":   {func(_ *param.Publish, s *param.Subscribe) { s.REDType = 63 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := voice, param.Subscribe{
				Kind: param.Audio, Codec: param.Opus, SSRC: 5000, PayloadType: 111, ClockRate: 48000, ReducedSize: true,
			}
			c.change(&in, &out)
			r := newRig(t)
			pub, viewer := r.connect(1, srtp.AEAD_AES_128_GCM), r.connect(2, srtp.AEAD_AES_128_GCM)
			out.Track = pub.publish(in)
			if ok, _ := viewer.conn.Subscribe(&r.env, r.now, &out); !ok {
				t.Fatal("not subscribed")
			}
			worst := uint8(0)
			for seq := range uint16(20 * 50) {
				pub.conn.HandleRTP(&r.env, r.now, pub.packet(rtp.HeaderFields{PayloadType: 111, Seq: seq, Timestamp: uint32(seq) * 960, SSRC: 2000}, make([]byte, 80)))
				r.route(nil)
				if seq%50 == 0 {
					b := []rtcp.ReportBlock{{SSRC: 5000, FractionLost: 30}}
					viewer.conn.HandleRTCP(&r.env, r.now, viewer.control(rtcp.AppendRR(nil, 1, b)))
				}
				r.turn(pub.conn, 20*time.Millisecond)
				for _, q := range pub.sent() {
					if _, blocks, err := q.RR(); err == nil && blocks.Len() > 0 {
						worst = max(worst, blocks.At(0).FractionLost)
					}
				}
			}
			if told := worst == 30; told != c.told {
				t.Errorf("told of %d of 256", worst)
			}
			if pub.conn.quality.receivedLoss != 0 {
				t.Error("it counts as lost on the way to us")
			}
		})
	}
}
