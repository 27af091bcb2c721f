package edge

import (
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

func TestFeedbackIsToldByItsHeaderAlone(t *testing.T) {
	const gcm, cm = 20, 14
	twcc, _ := rtcp.AppendTWCC(nil, 1, 5000, 0, 1, []mono.Time{1, 2, 3, 4, 5})
	nack := rtcp.AppendNACK(nil, 1, 5000, []uint16{1, 2})
	rr := rtcp.AppendRR(nil, 1, nil)
	for _, c := range []struct {
		name   string
		packet []byte
		rest   int
		want   uint8 // 0: not to be dropped
	}{
		{"transport-wide feedback", twcc, gcm, rtcp.FormatTWCC},
		{"the same under HMAC-SHA1", twcc, cm, rtcp.FormatTWCC},
		{"a NACK", nack, gcm, rtcp.FormatNACK},
		{"a NACK and a PLI", rtcp.AppendPLI(append([]byte(nil), nack...), 1, 5000), gcm, 0},
		{"a report", rr, gcm, 0},
		{"feedback behind a report", append(append([]byte(nil), rr...), twcc...), gcm, 0},
		{"a PLI", rtcp.AppendPLI(nil, 1, 5000), gcm, 0},
		{"a length that is none of ours", twcc, gcm + 4, 0},
		{"other transport feedback", []byte{0x83, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1}, gcm, 0},
		{"RTP", []byte{0x8f, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, gcm, 0},
	} {
		b := append(append([]byte(nil), c.packet...), make([]byte, c.rest)...)
		if format, ok := soleFeedback(b); ok != (c.want != 0) || ok && format != c.want {
			t.Errorf("%s: format %d, %v; want %d", c.name, format, ok, c.want)
		}
		first := 4 * (1 + int(binary.BigEndian.Uint16(b[2:])))
		for n := range len(b) {
			if _, ok := soleFeedback(b[:n]); ok && n != first+cm && n != first+gcm {
				t.Errorf("%s, cut to %d bytes, is told for feedback", c.name, n)
			}
		}
	}
	if srtp.AEAD_AES_128_GCM.RTCPOverhead() != gcm || srtp.AES_CM_128_HMAC_SHA1_80.RTCPOverhead() != cm {
		t.Error("the profiles' overhead is not what this test says")
	}
}

// pressed is a call whose shard has found full batches of feedback without end.
type pressed struct {
	*call
	twcc []byte
}

func newPressed(t *testing.T) *pressed {
	p := &pressed{call: newCall(t, 2, make([]int, fullBatch), nil)}
	p.twcc, _ = rtcp.AppendTWCC(nil, 1, 5000, 0, 1, []mono.Time{1, 2, 3})
	p.frame(true)
	p.settle()
	p.take()
	return p
}

// batch is a full one of which the first datagrams are these, the rest feedback.
func (p *pressed) batch(more ...datagram) {
	in := mmsg.NewRxBatch(2 * fullBatch)
	for _, d := range more {
		in.Append(d.key, d.bytes)
	}
	for i := 0; in.Room() > 0; i++ {
		v := p.viewers[i%len(p.viewers)]
		in.Append(v.key, v.rtcp(p.twcc))
	}
	p.now = p.now.Add(10 * time.Millisecond)
	p.p.shards[0].HandleBatch(p.now, in, p.outs[0])
	p.collect(0)
}

// press brings so many batches that the shard is behind with the next.
func (p *pressed) press() {
	for range pressedAfter - 1 {
		p.batch()
	}
}

func TestShardThatIsBehindDropsFeedbackAndNothingElse(t *testing.T) {
	p := newPressed(t)
	n := &p.p.shards[0].count
	p.press()
	if n.DropFeedback.Load() != 0 || n.Conn.FeedbackIn.Load() != (pressedAfter-1)*2*fullBatch {
		t.Fatalf("drop_feedback %d, feedback_in %d before the shard is behind", n.DropFeedback.Load(), n.Conn.FeedbackIn.Load())
	}
	p.take()
	read, checks, packets := n.Conn.FeedbackIn.Load(), n.STUNReplies.Load(), n.Conn.RTPIn.Load()
	v := p.viewers[3]
	p.seq++
	p.batch(datagram{key: v.key, bytes: v.check(false)},
		datagram{key: p.pub.key, bytes: p.pub.rtp(1000, p.seq, 3000*uint32(p.seq), vp8(false, 2))},
		datagram{key: v.key, bytes: v.rtcp(rtcp.AppendPLI(nil, 1, 5000))})
	if got := n.Conn.FeedbackIn.Load() - read; got != pressedFeedback {
		t.Errorf("%d feedback datagrams were read, want %d", got, pressedFeedback)
	}
	if got := n.DropFeedback.Load(); got != 2*fullBatch-3-pressedFeedback {
		t.Errorf("drop_feedback %d, want all the others", got)
	}
	if n.STUNReplies.Load() != checks+1 || n.Conn.RTPIn.Load() != packets+1 || n.Conn.PLIIn.Load() != 1 {
		t.Errorf("%d checks, %d packets and %d PLI were handled, want one of each",
			n.STUNReplies.Load()-checks, n.Conn.RTPIn.Load()-packets, n.Conn.PLIIn.Load())
	}
	if got := v.received(p.take()); len(got) != 1 {
		t.Errorf("the viewer was sent %d packets, want 1", len(got))
	}
	p.finish()
}

func TestShardThatIsBehindTakesSomeNACKs(t *testing.T) {
	p := newPressed(t)
	p.press()
	var nacks []datagram
	for i := range 2 * fullBatch {
		v := p.viewers[i%len(p.viewers)]
		nacks = append(nacks, datagram{key: v.key, bytes: v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{1}))})
	}
	p.batch(nacks...)
	n := &p.p.shards[0].count
	if n.Conn.NACKIn.Load() != pressedNACKs || n.DropFeedback.Load() != 2*fullBatch-pressedNACKs {
		t.Fatalf("nack_in %d, drop_feedback %d; want %d and the rest", n.Conn.NACKIn.Load(), n.DropFeedback.Load(), pressedNACKs)
	}
	p.finish()
}

func TestShardReadsAllFeedbackOnceItsSocketWasEmpty(t *testing.T) {
	p := newPressed(t)
	p.press()
	v := p.viewers[0]
	p.deliver(0, v.key, v.rtcp(p.twcc)) // a batch that is not full
	p.batch()
	n := &p.p.shards[0].count
	if n.DropFeedback.Load() != 0 {
		t.Fatalf("drop_feedback %d, want none", n.DropFeedback.Load())
	}
	p.finish()
}

func TestShardThatIsBehindLeavesItsMediaLaneForSomeTurnsOnly(t *testing.T) {
	p := newPressed(t)
	v := p.open(1, pathOf(1))
	spec := videoIn
	spec.SSRC, spec.RTXSSRC = 3000, 3001
	track := v.publish(spec)
	v.establish()
	p.viewers[0].c.Subscribe(videoOut(track, 7000))
	p.settle()
	p.take()
	p.press()
	in := &p.p.shards[0].count.Conn.RTPOut
	before := in.Load()
	p.deliver(1, v.key, v.rtp(3000, 1, 3000, vp8(true, 1)))
	for turn := range laneTurns + 1 {
		p.batch()
		p.p.shards[0].HandleMessages(p.now, p.outs[0])
		if sent := in.Load() - before; (sent != 0) != (turn == laneTurns) {
			t.Fatalf("turn %d: %d packets were sent", turn, sent)
		}
	}
	p.now = p.now.Add(time.Millisecond)
	p.deliver(1, v.key, v.rtp(3000, 2, 6000, vp8(false, 1)))
	p.p.shards[0].HandleMessages(p.now, p.outs[0]) // no batch in this turn
	if in.Load() != before+2 {
		t.Fatal("the media lane had to wait for nothing")
	}
	p.collect(0)
	p.finish()
}

func FuzzSoleFeedback(f *testing.F) {
	f.Add([]byte{0x8f, 205, 0, 0})
	f.Add(append([]byte{0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if format, ok := soleFeedback(b); ok && format != b[0]&0x1f {
			t.Fatalf("format %d of %x", format, b)
		}
	})
}
