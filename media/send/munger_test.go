package send

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// start is the instant at which tests begin; any but Never will do.
const start = mono.Time(time.Hour)

func at(d time.Duration) mono.Time { return start.Add(d) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// videoSpec is a subscription with everything negotiated.
func videoSpec() param.Subscribe {
	return param.Subscribe{
		Kind: param.Video, Codec: param.VP8, MID: "video_1", SSRC: 0x1111, RTXSSRC: 0x2222,
		PayloadType: 96, RTXType: 97, ClockRate: 90000,
		Extensions: param.Extensions{MID: 1, AbsSendTime: 2, TransportCC: 3, AudioLevel: 4, VideoOrientation: 5},
	}
}

func newVideo() *Stream {
	s := new(Stream)
	s.Init(videoSpec(), 100, 200)
	return s
}

func newAudio() *Stream {
	s := new(Stream)
	s.Init(param.Subscribe{Kind: param.Audio, Codec: param.Opus, SSRC: 1, PayloadType: 111, ClockRate: 48000}, 100, 0)
	return s
}

const keyFrame = packet.FlagKeyFrame | packet.FlagFrameStart

// pkt is a packet of a source that sends one every 10 ms.
func pkt(seq uint64, flags packet.Flags) *packet.Meta {
	return &packet.Meta{Seq: seq, Timestamp: uint32(seq) * 900, Arrival: at(ms(10 * int(seq))), Flags: flags}
}

// wantOut munges m and compares the output's sequence number with want.
func wantOut(t *testing.T, s *Stream, m *packet.Meta, want uint64) Out {
	t.Helper()
	out, ok := s.Munge(m)
	if !ok || out.Index != want {
		t.Fatalf("packet %d goes out as %d (%v), want %d", m.Seq, out.Index, ok, want)
	}
	return out
}

func wantRefused(t *testing.T, s *Stream, m *packet.Meta) {
	t.Helper()
	if out, ok := s.Munge(m); ok {
		t.Fatalf("packet %d goes out as %d, want it refused", m.Seq, out.Index)
	}
}

func TestVideoStartsWithTheFirstPacketOfAKeyFrame(t *testing.T) {
	s := newVideo()
	if !s.Waiting() {
		t.Fatal("not waiting")
	}
	wantRefused(t, s, pkt(1, 0))
	wantRefused(t, s, pkt(2, packet.FlagKeyFrame)) // from the middle of one
	wantRefused(t, s, pkt(3, packet.FlagFrameStart))
	wantOut(t, s, pkt(4, keyFrame), 100)
	if s.Waiting() {
		t.Fatal("still waiting")
	}
	wantOut(t, s, pkt(5, 0), 101)
	wantRefused(t, s, pkt(3, 0)) // late, and from before the start
	if st := s.Stats(); st.Waiting != 3 || st.Refused != 1 {
		t.Errorf("counted %+v", st)
	}
}

func TestAudioStartsAtOnce(t *testing.T) {
	wantOut(t, newAudio(), pkt(70000, 0), 100)
}

func TestFirstNumberIsInTheLowerHalf(t *testing.T) {
	s := new(Stream)
	s.Init(videoSpec(), 65535, 65535)
	wantOut(t, s, pkt(1, keyFrame), 1<<15-1)
	if _, index := s.PutRTXHeader(make([]byte, MaxHeader), pkt(1, 0), start, 0, 0); index != 1<<15-1 {
		t.Errorf("first RTX index %d", index)
	}
}

func TestGapsStayGapsAndLatePacketsFillThem(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(1000, keyFrame), 100)
	wantOut(t, s, pkt(1004, 0), 104)
	wantOut(t, s, pkt(1002, 0), 102)
	wantOut(t, s, pkt(1005, 0), 105)
	wantOut(t, s, pkt(1001, 0), 101)
	for _, seq := range []uint64{1000, 1001, 1002, 1004, 1005} {
		wantRefused(t, s, pkt(seq, 0))
	}
	if !s.Awaits(103) || s.Awaits(102) || s.Awaits(106) || s.Awaits(99) {
		t.Error("only 103 is still waited for")
	}
}

func TestRolloverCounterFollowsTheWrap(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(500, keyFrame), 100)
	for seq := uint64(501); seq < 140_000; seq++ {
		if seq == 66_000 {
			continue
		}
		wantOut(t, s, pkt(seq, 0), seq-400)
		if seq == 66_010 {
			wantOut(t, s, pkt(66_000, 0), 65_600)
		}
	}
}

func TestSkippedPacketsLeaveNoGap(t *testing.T) {
	s := newVideo()
	if !s.Skip(pkt(9, 0)) {
		t.Fatal("skip before the start")
	}
	wantOut(t, s, pkt(10, keyFrame), 100)
	for seq := uint64(11); seq < 15; seq++ {
		if !s.Skip(pkt(seq, 0)) {
			t.Fatal("not skipped")
		}
	}
	wantOut(t, s, pkt(15, 0), 101)
	if s.munger.n != 2 {
		t.Errorf("%d runs for one stretch of padding", s.munger.n)
	}
	// 16 is lost, 17 skipped: the gap of 16 stays, that of 17 does not.
	if !s.Skip(pkt(17, 0)) {
		t.Fatal("not skipped")
	}
	wantOut(t, s, pkt(18, 0), 103)
	wantOut(t, s, pkt(16, 0), 102)
	wantRefused(t, s, pkt(17, 0))
	wantRefused(t, s, pkt(12, 0))
	if !s.Skip(pkt(17, 0)) || !s.Skip(pkt(18, 0)) {
		t.Error("skipping again is nothing to send")
	}
}

func TestPaddingThatComesTooLateToBeSkippedHasToBeSent(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(12, 0), 102)
	if s.Skip(pkt(11, 0)) {
		t.Fatal("skipped although the viewer waits for the number")
	}
	wantOut(t, s, pkt(11, 0), 101)
}

func TestPacketThatSkippedOnesOvertookIsStillSent(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	s.Skip(pkt(13, 0))
	s.Skip(pkt(14, 0))
	wantOut(t, s, pkt(12, 0), 102)
	wantOut(t, s, pkt(11, 0), 101)
	wantRefused(t, s, pkt(12, 0))
	wantOut(t, s, pkt(15, 0), 103)
}

func TestOldestRunsAreForgottenAndTheirLatePacketsRefused(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(12, 0), 102)
	seq, out := uint64(13), uint64(103)
	for range maxRuns {
		s.Skip(pkt(seq, 0))
		wantOut(t, s, pkt(seq+1, 0), out)
		seq, out = seq+2, out+1
	}
	wantRefused(t, s, pkt(11, 0))
	if _, ok := s.Original(101); ok {
		t.Error("a number of a forgotten run is still known")
	}
	if ext, ok := s.Original(uint16(out - 1)); !ok || ext != seq-1 {
		t.Errorf("the newest number is known as %d, %v", ext, ok)
	}
}

func TestOriginalIsTheInverse(t *testing.T) {
	s := newVideo()
	want := map[uint16]uint64{}
	for seq := uint64(1); seq < 200; seq++ {
		switch {
		case seq == 1:
			wantOut(t, s, pkt(seq, keyFrame), 100)
			want[100] = seq
		case seq%50 == 0:
			s.Skip(pkt(seq, 0))
		case seq%7 == 0: // lost: the number is known all the same
		default:
			out, _ := s.Munge(pkt(seq, 0))
			want[uint16(out.Index)] = seq
		}
	}
	for seq, ext := range want {
		if got, ok := s.Original(seq); !ok || got != ext {
			t.Errorf("number %d is known as %d (%v), want %d", seq, got, ok, ext)
		}
	}
	if ext, ok := s.Original(106); !ok || ext != 7 {
		t.Errorf("the lost packet 7 is known as %d, %v", ext, ok)
	}
	for _, seq := range []uint16{99, 50, 40000, 65535, 296} {
		if ext, ok := s.Original(seq); ok {
			t.Errorf("number %d, which was never used, is known as %d", seq, ext)
		}
	}
}

func TestNumbersBeyondTheWindowAreUnknownAndTheirPacketsRefused(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	for seq := uint64(12); seq < 11+Window+1; seq++ {
		wantOut(t, s, pkt(seq, 0), seq+90)
	}
	if _, ok := s.Original(101); ok {
		t.Error("a number beyond the window is known")
	}
	late := pkt(11, 0)
	wantRefused(t, s, late)
	if ext, ok := s.Original(102); !ok || ext != 12 {
		t.Errorf("the oldest of the window is known as %d, %v", ext, ok)
	}
}

// Row RTP-05.
func TestLossBeyondRepairWaitsForAKeyFrameAndLeavesNoGap(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(10+maxGap, 0), 100+maxGap)
	wantRefused(t, s, pkt(11+2*maxGap, 0))
	if !s.Waiting() {
		t.Fatal("not waiting after a loss beyond repair")
	}
	wantRefused(t, s, pkt(12+2*maxGap, 0))
	wantOut(t, s, pkt(13+2*maxGap, keyFrame), 101+maxGap)
	if s.Stats().Restarts != 1 {
		t.Errorf("counted %+v", s.Stats())
	}
}

func TestLatePacketFromBeforeALongLossIsNoStart(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(20, 0), 110)
	wantRefused(t, s, pkt(5000, 0))
	wantOut(t, s, pkt(15, keyFrame), 105) // in its place, and nothing starts
	if !s.Waiting() {
		t.Fatal("started with a packet from before the loss")
	}
	wantOut(t, s, pkt(5001, keyFrame), 111)
}

func TestTimestampsOfTheSameSourceAreKeptAcrossALongLoss(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	m := pkt(5000, keyFrame)
	m.Arrival = m.Arrival.Add(ms(70)) // late, which is not the source's time
	if out := wantOut(t, s, m, 101); out.Timestamp != m.Timestamp {
		t.Errorf("timestamp %d, want that of the source, %d", out.Timestamp, m.Timestamp)
	}
}

// Row RTP-05.
func TestAudioGoesOnAfterAnyLoss(t *testing.T) {
	s := newAudio()
	wantOut(t, s, pkt(10, 0), 100)
	wantOut(t, s, pkt(60_000, 0), 101)
	wantOut(t, s, pkt(60_001, 0), 102)
}

func TestGapCannotGrowBehindSkippedPackets(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	for i := range uint64(10) {
		s.Skip(pkt(10+(i+1)*maxGap/2, 0))
	}
	if out, ok := s.Munge(pkt(11+10*maxGap/2, 0)); ok && out.Index > 100+maxGap {
		t.Fatalf("the viewer sees a gap of %d", out.Index-100)
	}
}

func TestRetargetContinuesNumbersAndTime(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(10, keyFrame), 100)
	last := wantOut(t, s, pkt(11, 0), 101)
	s.Retarget()
	if !s.Waiting() {
		t.Fatal("not waiting after a change of source")
	}
	if _, ok := s.Original(101); ok {
		t.Error("a number of the old source would be looked up in the new one")
	}
	other := &packet.Meta{Seq: 900_000, Timestamp: 77, Arrival: pkt(11, 0).Arrival.Add(ms(200)), Flags: keyFrame}
	out := wantOut(t, s, other, 102)
	if d := out.Timestamp - last.Timestamp; d != 200*90 {
		t.Errorf("the timestamp moved by %d, want %d", d, 200*90)
	}
	wantOut(t, s, &packet.Meta{Seq: 900_001, Timestamp: 77, Arrival: other.Arrival}, 103)
	if ext, ok := s.Original(103); !ok || ext != 900_001 {
		t.Errorf("number 103 is known as %d, %v", ext, ok)
	}
	if _, ok := s.Original(101); ok {
		t.Error("a number of the old source is known in the new one")
	}
}

func TestRetargetBeforeAnythingWasSentStartsAtTheBeginning(t *testing.T) {
	s := newVideo()
	s.Retarget()
	out := wantOut(t, s, &packet.Meta{Seq: 5, Timestamp: 1234, Arrival: start, Flags: keyFrame}, 100)
	if out.Timestamp != 1234 {
		t.Errorf("timestamp %d", out.Timestamp)
	}
}

// Row RTP-05.
func TestTimestampJumpsAreSmoothedOut(t *testing.T) {
	for _, jump := range []uint32{1 << 31, 1 << 30, 3 << 30, ^uint32(6*90_000) + 1, 6 * 90_000} {
		s := newVideo()
		last := wantOut(t, s, pkt(1, keyFrame), 100)
		s.munger.fresh = false // it has come as it was sent
		for seq := uint64(2); seq < 100; seq++ {
			m := pkt(seq, 0)
			if seq >= 50 {
				m.Timestamp += jump
			}
			out, ok := s.Munge(m)
			if !ok {
				t.Fatalf("packet %d is refused", seq)
			}
			if d := out.Timestamp - last.Timestamp; d != 900 {
				t.Fatalf("jump by %d: output moved by %d at packet %d", int32(jump), int32(d), seq)
			}
			last = out
		}
		// Late packets of before the jump keep the timestamps of before the jump.
		if r, ok := s.munger.find(49); !ok || r.ts != 0 {
			t.Errorf("jump by %d: the run before it is %+v", int32(jump), r)
		}
	}
}

func TestLongPauseIsNoTimestampJump(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(1, keyFrame), 100)
	m := pkt(2, 0)
	m.Arrival = m.Arrival.Add(50 * time.Hour)
	m.Timestamp += uint32(uint64(50*3600*90_000) & 0xffffffff)
	if out := wantOut(t, s, m, 101); out.Timestamp != m.Timestamp {
		t.Errorf("timestamp %d, want that of the source, %d", out.Timestamp, m.Timestamp)
	}
}

// Row RTP-05.
func TestRandomTimestampsMoveTheOutputByBoundedSteps(t *testing.T) {
	s := newVideo()
	last := wantOut(t, s, pkt(1, keyFrame), 100)
	lcg := uint32(1)
	for seq := uint64(2); seq < 5000; seq++ {
		lcg = lcg*1664525 + 1013904223
		m := pkt(seq, 0)
		m.Timestamp = lcg
		out, ok := s.Munge(m)
		if !ok {
			t.Fatalf("packet %d is refused", seq)
		}
		if d := int32(out.Timestamp - last.Timestamp); d < -5*90_000 || d > 6*90_000 {
			t.Fatalf("output moved by %d at packet %d", d, seq)
		}
		last = out
	}
}

func TestLatePacketWithAnImpossibleTimestampIsRefused(t *testing.T) {
	s := newVideo()
	wantOut(t, s, pkt(1, keyFrame), 100)
	wantOut(t, s, pkt(3, 0), 102)
	m := pkt(2, 0)
	m.Timestamp += 1 << 31
	wantRefused(t, s, m)
	wantOut(t, s, pkt(2, 0), 101)
}

// What a publisher's stream held while nothing came through comes late and at once, and without
// what there was no room for: the timestamps are the source's all the same, also of what is
// repaired after.
func TestPacketsThatWaitedKeepTheirTimestamps(t *testing.T) {
	s := newVideo()
	var lateness time.Duration
	keeps := func(seq uint64) {
		t.Helper()
		m := pkt(seq, 0)
		if seq == 1 {
			m.Flags = keyFrame
		}
		m.Arrival = m.Arrival.Add(lateness)
		if out := wantOut(t, s, m, 99+seq); out.Timestamp != m.Timestamp {
			t.Fatalf("packet %d: timestamp moved by %d", seq, int32(out.Timestamp-m.Timestamp))
		}
	}
	for seq := uint64(1); seq < 100; seq++ {
		keeps(seq)
	}
	for seq := uint64(100); seq < 300; seq++ { // for ten seconds nothing came
		lateness = ms(10 * int(1100-seq))
		keeps(seq)
	}
	lateness = 0
	for seq := uint64(1101); seq < 1200; seq++ { // 300 to 1100 had no room
		keeps(seq)
	}
	lateness = ms(10 * 300)
	for seq := uint64(900); seq < 1101; seq++ {
		keeps(seq)
	}
	if s.munger.lag != 0 {
		t.Errorf("lags by %d at the end", s.munger.lag)
	}
}

// What was late once gives no more room to timestamps than it was late, nor beyond maxLag at all.
func TestTimestampsAheadOfTheirLagHaveJumped(t *testing.T) {
	for name, c := range map[string]struct {
		wait  time.Duration
		ahead time.Duration
		kept  bool
	}{
		"as far as they lag":  {10 * time.Second, 10 * time.Second, true},
		"within the bound":    {10 * time.Second, 15*time.Second - ms(10), true},
		"further":             {10 * time.Second, 15*time.Second - ms(9), false},
		"the longest wait":    {maxLag + ms(10), maxLag, true},
		"longer than maxLag":  {maxLag + ms(11), maxLag, false},
		"without having been": {0, 5*time.Second + ms(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newVideo()
			wantOut(t, s, pkt(1, keyFrame), 100)
			s.munger.fresh = false
			late, live := pkt(2, 0), pkt(3, 0)
			late.Arrival = at(ms(10) + max(c.wait, ms(10)))
			live.Arrival = late.Arrival
			live.Timestamp = late.Timestamp + uint32(c.ahead*90_000/time.Second)
			wantOut(t, s, late, 101)
			out := wantOut(t, s, live, 102)
			if kept := out.Timestamp == live.Timestamp; kept != c.kept {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}

// A viewer may begin with packets that a publisher's stream has held.
func TestFirstPacketMayHaveWaited(t *testing.T) {
	for name, c := range map[string]struct {
		after, ahead time.Duration
		kept         bool
	}{
		"at once":                    {0, 20 * time.Second, true},
		"a little later":             {firstLag, 20*time.Second + firstLag, true},
		"later":                      {firstLag + ms(1), 20 * time.Second, false},
		"later, within a usual step": {2 * firstLag, 14 * time.Second, true},
		"longer than maxLag":         {0, maxLag + ms(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newVideo()
			wantOut(t, s, pkt(1, keyFrame), 100)
			live := pkt(2, 0)
			live.Arrival = pkt(1, 0).Arrival.Add(c.after)
			live.Timestamp = pkt(1, 0).Timestamp + uint32(c.ahead*90_000/time.Second)
			out := wantOut(t, s, live, 101)
			if kept := out.Timestamp == live.Timestamp; kept != c.kept {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}
