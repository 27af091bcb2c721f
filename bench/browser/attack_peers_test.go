//go:build browser

package browser

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"tsubame/bench/attack"
	"tsubame/bench/bot"
	"tsubame/media/param"
)

// peerRate is for what a participant sends that is to reach decryption: less than the server
// takes of one connection.
const peerRate = 4000

// joinRate is how many participants join in a second who each do a handshake: a few
// milliseconds of work for bot and server, and two lines of log.
const joinRate = 10

// pace does something at a rate until the time of an attack is over.
func pace(t *testing.T, rate int, do func(i int) bool) (n int) {
	t.Helper()
	return paceFor(t, attackTime, rate, do)
}

func paceFor(t *testing.T, d time.Duration, rate int, do func(i int) bool) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	start := time.Now()
	n, err := attack.Pace(ctx, rate, do)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("%d in %.1f s", n, took.Seconds())
	if float64(n) < took.Seconds()*float64(rate)/2 {
		t.Errorf("only %d in %.1f s, at a rate of %d", n, took.Seconds(), rate)
	}
	return n
}

// pair is a publisher and a viewer of it, in a channel of the test's own.
type pair struct{ publisher, viewer *bot.Bot }

func (s *siege) pair(t *testing.T, publisher, viewer bot.Config) pair {
	t.Helper()
	publisher.Role, publisher.Audio, publisher.Video = bot.SendOnly, true, true
	viewer.Role, viewer.Audio, viewer.Video = bot.RecvOnly, true, true
	p := pair{s.bot(t, publisher), s.bot(t, viewer)}
	eventually(t, arriveTimeout, "the viewer receives the publisher", func() (bool, any) {
		r := p.viewer.Stats().Receiving
		return len(r) == 2 && r[0].Frames > 10 && r[1].Frames > 10, r
	})
	return p
}

// elsewhere puts a bot into another channel.
func elsewhere(t *testing.T, cfg bot.Config) bot.Config {
	cfg.Channel = channelName(t) + "-elsewhere"
	return cfg
}

// sending returns the SSRC of what the publisher sends.
func (p pair) sending(kind param.Kind) uint32 {
	for _, s := range p.publisher.Stats().Sending {
		if s.Kind == kind {
			return s.SSRC
		}
	}
	return 0
}

// viewing returns what the viewer receives.
func (p pair) viewing(kind param.Kind) bot.ReceiveStats {
	for _, r := range p.viewer.Stats().Receiving {
		if r.Kind == kind {
			return r
		}
	}
	return bot.ReceiveStats{}
}

// headers returns the headers of the first packets of each SSRC on a tape.
func headers(t *testing.T, tape [][]byte) map[uint32]rtp.Header {
	t.Helper()
	out := make(map[uint32]rtp.Header)
	for _, b := range tape {
		if isRTCP(b) {
			continue
		}
		h, err := attack.RTPHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := out[h.SSRC]; !ok {
			out[h.SSRC] = h
		}
	}
	return out
}

// injectedMedia is what somebody sends who can forge the address of a publisher but has no
// key: known SSRCs, unknown ones that claim to belong to its video, and RTCP. Nothing of it may
// show in what viewers get or in what the publisher is told.
func injectedMedia(t *testing.T, s *siege) {
	sample := &tape{limit: 100}
	p := s.pair(t, bot.Config{Outgoing: sample.record}, bot.Config{})
	var forged [][]byte
	for ssrc, h := range headers(t, sample.wait(t)) {
		// Ahead of all that is sent meanwhile: what is behind would be taken for a replay.
		next := h.SequenceNumber + 10_000
		for i := range uint16(100) {
			h.SequenceNumber = next + 7*i
			h.SSRC = ssrc
			forged = append(forged, attack.Forged(h, 60))
			if i%8 == 0 { // of RTCP the server takes a thousand a second only, forged or not
				forged = append(forged, attack.ForgedRTCP(ssrc, 60))
			}
			h.SSRC = ssrc ^ 1<<31 ^ uint32(i)<<16
			forged = append(forged, attack.Forged(h, 60))
		}
	}
	before := s.server.Counters()
	n := pace(t, peerRate, func(i int) bool { return p.publisher.SendRaw(forged[i%len(forged)]) == nil })
	s.requireCounted(t, before, map[string]uint64{
		"drop_auth": uint64(n), "nack_out": 0, "pli_out": 0, "drop_replay": 0, "drop_dup": 0,
	})
	requireWholeMedia(t, p.viewer)
	// A key frame is still asked for under the SSRC that is the publisher's.
	late := s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true, Video: true})
	eventually(t, arriveTimeout, "who comes now gets a key frame", func() (bool, any) {
		r := late.Stats().Receiving
		return len(r) == 2 && r[0].Frames > 0 && r[1].Frames > 0, r
	})
	requireUnharmed(t, p.publisher, p.viewer)
}

// replayedMedia sends what was sent before, byte by byte.
func replayedMedia(t *testing.T, s *siege) {
	sent := &tape{}
	p := s.pair(t, bot.Config{Outgoing: sent.record}, bot.Config{})
	// From now on: what was sent before the server had keys was never received, and is new.
	sent.start(500)
	recorded := sent.wait(t)
	before := s.server.Counters()
	n := pace(t, peerRate, func(i int) bool { return p.publisher.SendRaw(recorded[i%len(recorded)]) == nil })
	s.requireCounted(t, before, map[string]uint64{"drop_replay": uint64(n), "drop_auth": 0, "drop_dup": 0, "pli_out": 0})
	requireWholeMedia(t, p.viewer)
	requireUnharmed(t, p.publisher, p.viewer)
}

// badFingerprints are participants who show another certificate than their answer names.
func badFingerprints(t *testing.T, s *siege) {
	before := s.server.Counters()
	n := pace(t, joinRate, func(int) bool {
		b := s.dial(t, bot.Config{Role: bot.SendRecv, Audio: true, Video: true, WrongFingerprint: true})
		select {
		case <-b.Failed():
		case <-time.After(arriveTimeout):
			t.Fatal("a wrong fingerprint was not refused")
		}
		var closed *bot.SignalingClosed
		if err := b.Err(); !errors.As(err, &closed) || closed.Code != 4490 || closed.Reason != "BAD-FINGERPRINT" {
			t.Fatalf("a wrong fingerprint: %v", err)
		}
		return true
	})
	s.requireCounted(t, before, map[string]uint64{
		"bad_fingerprints": uint64(n), "established": 0, "signal_closed_4490_BAD-FINGERPRINT": uint64(n),
	})
}

// aMillionSSRCs is a participant that sends each packet under another SSRC: two hundred that
// its video claims, with the right key, and then a million that no m-section claims. Of the
// former the server takes one a second for what it says it is, an encoder that was restarted;
// the latter it does not even decrypt.
func aMillionSSRCs(t *testing.T, s *siege) {
	const all, rate, claimed = 1_000_000, 50_000, 200
	sample := &tape{limit: 100}
	p := s.pair(t, bot.Config{Outgoing: sample.record}, bot.Config{})
	video := p.sending(param.Video)
	h, ok := headers(t, sample.wait(t))[video]
	if !ok {
		t.Fatal("no video on tape")
	}
	before, start := s.server.Counters(), time.Now()
	for i := range uint32(claimed) {
		h.SSRC = video ^ 1<<30 ^ i<<8
		if err := p.publisher.SendRTP(attack.Forged(h, 100)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, arriveTimeout, "they are counted", func() (bool, any) {
		n := s.grown(before, "drop_ssrc")
		return n >= claimed-2, n
	})
	shown := p.viewing(param.Video).Frames
	eventually(t, arriveTimeout, "the genuine video is back", func() (bool, any) {
		n := p.viewing(param.Video).Frames
		return n > shown+25, n
	})
	if n, limit := s.grown(before, "source_switches"), uint64(time.Since(start)/time.Second)+1; n == 0 || n > limit {
		t.Errorf("%d changes of source in %v", n, time.Since(start))
	}

	before = s.server.Counters()
	datagram := attack.Forged(rtp.Header{Version: 2, PayloadType: h.PayloadType}, 200)
	n, err := attack.Pace(t.Context(), rate, func(i int) bool {
		binary.BigEndian.PutUint16(datagram[2:], uint16(i))
		binary.BigEndian.PutUint32(datagram[8:], uint32(i)*2+1<<31)
		return i < all && p.publisher.SendRaw(datagram) == nil
	})
	if err != nil || n != all {
		t.Fatalf("%d, %v", n, err)
	}
	s.requireCounted(t, before, map[string]uint64{"drop_ssrc": all, "drop_arena": 0, "source_switches": 0})
	requireUnharmed(t, p.publisher, p.viewer)
}

// floodOfAParticipant is a publisher whose video is a hundred megabits a second and more: the server
// takes fifty, and all of its voice. What the server passes on is measured by its counters: the
// viewer of the video cannot keep up with it.
func floodOfAParticipant(t *testing.T, s *siege) {
	const limit, rest = 50_000_000, 5_000_000 // bits a second: recv.DefaultBitrate, and what the call takes
	s.bot(t, bot.Config{
		Role: bot.SendOnly, Audio: true, Video: true, Bitrate: 2 * limit,
		Connect: map[string]any{"video": map[string]any{"codec_type": "VP8", "bit_rate": 5000}},
	})
	s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true, Video: true, NoNACK: true, NoPLI: true})
	listener := s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true})
	before, start := s.server.Counters(), time.Now()
	<-time.After(attackTime)
	after, took := s.server.Counters(), time.Since(start)
	rate := func(name string) float64 { return float64(after[name]-before[name]) * 8 / took.Seconds() }
	offered, passed := rate("rtp_in_bytes"), rate("rtp_out_bytes")
	t.Logf("%.0f Mbps came, %.0f Mbps were passed on, %d packets refused, %d lost in the kernel", offered/1e6, passed/1e6,
		after["drop_policer"]-before["drop_policer"], after["net_rx_overflow"]-before["net_rx_overflow"])
	if offered < 1.5*limit {
		t.Errorf("%.0f Mbps are no flood", offered/1e6)
	}
	if passed > 1.05*limit+rest || passed < limit/4 {
		t.Errorf("%.0f Mbps were passed on", passed/1e6)
	}
	if after["drop_policer"] == before["drop_policer"] {
		t.Error("drop_policer counts nothing")
	}
	requireWholeMedia(t, listener)
}

// meter measures what a viewer is sent, by SSRC.
type meter struct {
	mu    sync.Mutex
	bytes map[uint32]uint64
	last  map[uint32]uint16 // sequence numbers
}

func newMeter() *meter {
	return &meter{bytes: make(map[uint32]uint64), last: make(map[uint32]uint16)}
}

// read is for a bot's Incoming.
func (m *meter) read(datagram []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(datagram) > 12 && datagram[0]&0xc0 == 0x80 && !isRTCP(datagram) {
		ssrc := binary.BigEndian.Uint32(datagram[8:])
		m.bytes[ssrc] += uint64(len(datagram))
		m.last[ssrc] = binary.BigEndian.Uint16(datagram[2:])
	}
	return true
}

func (m *meter) of(ssrc uint32) (bytes uint64, last uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes[ssrc], m.last[ssrc]
}

// total returns the bytes of all streams.
func (m *meter) total() (n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.bytes {
		n += b
	}
	return n
}

// nackAbuse asks for every packet sixteen times, for packets that were never sent, and for
// those of others. What comes, from the first packet on, is one and a half times the media at
// most.
func nackAbuse(t *testing.T, s *siege) {
	received := newMeter()
	p := s.pair(t, bot.Config{Bitrate: 1_000_000}, bot.Config{NoNACK: true, Incoming: received.read})
	other := s.pair(t, elsewhere(t, bot.Config{}), elsewhere(t, bot.Config{NoNACK: true}))
	video, foreign := p.viewing(param.Video).SSRC, other.viewing(param.Video).SSRC
	audio := p.viewing(param.Audio).SSRC
	ask := func(media uint32, first uint16, n int) rtcp.Packet {
		nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: media}
		for i := range n {
			nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: first + uint16(17*i), LostPackets: 0xffff})
		}
		return nack
	}
	before := s.server.Counters()
	pace(t, 500, func(i int) bool {
		_, last := received.of(video)
		report := &rtcp.ReceiverReport{SSRC: 1}
		// The latest 170 packets; 1,700 that are to come yet; and somebody else's.
		return p.viewer.SendRTCP(report, ask(video, last-170, 10)) == nil &&
			p.viewer.SendRTCP(report, ask(video, last+1000, 40)) == nil &&
			p.viewer.SendRTCP(report, ask(foreign, last-170, 10)) == nil
	})
	total := received.total()
	media, _ := received.of(video)
	voice, _ := received.of(audio)
	repeated := total - media - voice
	// Refused are those that were never sent, or were sent again just now; beyond a peer's share
	// nothing is looked for.
	asked, refused := s.grown(before, "nack_in"), s.grown(before, "nack_refused")+s.grown(before, "nack_over")
	t.Logf("%d bytes of video, and %d again: %.2f times; %d numbers asked for, %d refused, %d served",
		media, repeated, 1+float64(repeated)/float64(media), asked, refused, s.grown(before, "rtx_out"))
	if repeated == 0 || float64(repeated) > 0.5*float64(media) {
		t.Errorf("%d bytes were sent again for %d bytes of media", repeated, media)
	}
	if asked == 0 || refused < asked*9/10 {
		t.Errorf("%d of %d were refused", refused, asked)
	}
	if n := other.viewing(param.Video); n.RTXPackets != 0 {
		t.Errorf("somebody else was sent %d packets again", n.RTXPackets)
	}
	requireWholeMedia(t, other.viewer)
	requireUnharmed(t, p.publisher, p.viewer, other.publisher)
}

// keyFrameStorm is ten viewers that ask for key frames all the time, by PLI and by FIR.
func keyFrameStorm(t *testing.T, s *siege) {
	p := s.pair(t, bot.Config{}, bot.Config{NoPLI: true})
	viewers := []*bot.Bot{p.viewer}
	for range 9 {
		viewers = append(viewers, s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true, Video: true, NoPLI: true}))
	}
	eventually(t, arriveTimeout, "all receive", func() (bool, any) {
		for _, v := range viewers {
			if r := v.Stats().Receiving; len(r) != 2 || r[0].Frames == 0 || r[1].Frames == 0 {
				return false, r
			}
		}
		return true, nil
	})
	ssrcs := make([]uint32, len(viewers))
	for i, v := range viewers {
		ssrcs[i] = pair{viewer: v}.viewing(param.Video).SSRC
	}
	before, start := s.server.Counters(), time.Now()
	told := p.publisher.Stats()
	n := pace(t, 5000, func(i int) bool {
		k := i % len(viewers)
		var request rtcp.Packet = &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: ssrcs[k]}
		if i%3 == 0 {
			request = &rtcp.FullIntraRequest{SenderSSRC: 1, FIR: []rtcp.FIREntry{{SSRC: ssrcs[k], SequenceNumber: uint8(i)}}}
		}
		return viewers[k].SendRTCP(request) == nil
	})
	took := time.Since(start)
	s.requireCountedWith(t, 200, before, map[string]uint64{"pli_in": uint64(n)})
	var requests uint64
	now := p.publisher.Stats()
	for i := range now.Sending {
		requests += now.Sending[i].PLI + now.Sending[i].FIR - told.Sending[i].PLI - told.Sending[i].FIR
	}
	t.Logf("%d requests became %d", n, requests)
	if limit := uint64(took/(500*time.Millisecond)) + 2; requests == 0 || requests > limit {
		t.Errorf("%d requests in %v reached the publisher", requests, took)
	}
	requireUnharmed(t, append(viewers, p.publisher)...)
}

// rtcpBombs sends compounds that are as much work as a datagram can ask for, sealed: first as
// many as are read, then many more than that.
func rtcpBombs(t *testing.T, s *siege) {
	const read = 100 // a second; of RTCP the server takes two megabits
	p := s.pair(t, bot.Config{}, bot.Config{NoNACK: true, NoPLI: true})
	other := s.pair(t, elsewhere(t, bot.Config{}), elsewhere(t, bot.Config{}))
	bombs := attack.RTCPBombs(1, p.viewing(param.Video).SSRC, other.viewing(param.Video).SSRC)
	throw := func(i int) bool {
		raw := rtcp.RawPacket(bombs[i%len(bombs)])
		return p.viewer.SendRTCP(&raw) == nil
	}
	before := s.server.Counters()
	n := paceFor(t, attackTime/2, read, throw)
	eventually(t, arriveTimeout, "half of the bombs are found to be bad", func() (bool, any) {
		bad := s.grown(before, "rtcp_bad")
		return bad >= uint64(n)/2, bad
	})
	s.requireCounted(t, before, map[string]uint64{"drop_policer": 0, "drop_auth": 0})

	before = s.server.Counters()
	n = paceFor(t, attackTime/2, peerRate, throw)
	eventually(t, arriveTimeout, "most of the bombs are not read at all", func() (bool, any) {
		in, policed := s.grown(before, "rtcp_in"), s.grown(before, "drop_policer")
		return in >= uint64(n) && policed >= uint64(n)/2, []uint64{in, policed}
	})
	requireWholeMedia(t, other.viewer)
	requireUnharmed(t, p.publisher, p.viewer, other.publisher, other.viewer)
}
