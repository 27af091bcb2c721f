package edge

import (
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// jammed is a call whose first viewer is behind a stream, with audio besides; its second viewer
// is not.
type jammed struct {
	*call
	pipe  *testPipe
	audio param.TrackID
	tick  uint16
}

// newJammed has the connection of the first viewer on shard owner, its stream at home on shard
// home.
func newJammed(t *testing.T, owner, home int) *jammed {
	j := &jammed{call: newCall(t, 2, nil, nil)}
	j.audio = j.pub.publish(audioIn)
	audioOut := videoOut(j.audio, 7000)
	audioOut.Kind, audioOut.Codec, audioOut.RTXSSRC, audioOut.PayloadType = param.Audio, param.Opus, 0, 111
	for i := range 2 {
		v := j.open(owner, key("192.0.2.1", "10.0.0.8:5"))
		v.key.Port += uint16(i)
		v.c.Subscribe(videoOut(j.track, 5000))
		v.c.Subscribe(audioOut)
		v.establish()
		j.viewers = append(j.viewers, v)
	}
	var k flow.Key
	j.pipe, k = j.stream(flow.FramedStream, "192.0.2.1", j.remoteOn(home, 0), false)
	j.viewers[0].to(k, home).nominate()
	j.settle()
	j.take()
	return j
}

// step sends a packet of each kind and returns what of video and audio each viewer got.
func (j *jammed) step(keyFrame bool) (video, audio [2]int) {
	j.t.Helper()
	j.tick++
	j.frame(keyFrame)
	h := header{PayloadType: 111, Seq: j.tick, Timestamp: 960 * uint32(j.tick), SSRC: 2000}
	j.deliver(0, j.pub.key, j.pub.packet(h, "", []byte{0x78, 1, 2, 3}))
	j.settle()
	sent := j.take()
	for i, v := range j.viewers {
		for _, b := range v.received(sent) {
			if b[1]&0x7f == 111 {
				audio[i]++
			} else {
				video[i]++
			}
		}
	}
	j.asked(sent)
	return video, audio
}

// asked counts what of the publisher's was asked for.
func (j *jammed) asked(sent []datagram) int { return j.pub.plis(sent)[1000] }

// Row ICE-14: of a stream that cannot keep up, the viewer gets no video until the next key frame,
// and all its audio; others are not touched.
func TestStreamThatRefusesVideoWaitsForAKeyFrame(t *testing.T) {
	for name, at := range map[string][2]int{"at home": {0, 0}, "elsewhere": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			j := newJammed(t, at[0], at[1])
			if v, a := j.step(true); v != [2]int{1, 1} || a != [2]int{1, 1} {
				t.Fatalf("video %v, audio %v", v, a)
			}
			j.pipe.refuse[mmsg.Video] = true
			for range 3 {
				if v, a := j.step(false); v != [2]int{0, 1} || a != [2]int{1, 1} {
					t.Fatalf("jammed: video %v, audio %v", v, a)
				}
			}
			j.pipe.refuse[mmsg.Video] = false
			for range 3 {
				if v, a := j.step(false); v != [2]int{0, 1} || a != [2]int{1, 1} {
					t.Fatalf("before a key frame: video %v, audio %v", v, a)
				}
			}
			if v, a := j.step(true); v != [2]int{1, 1} || a != [2]int{1, 1} {
				t.Fatalf("at the key frame: video %v, audio %v", v, a)
			}
			if v, _ := j.step(false); v != [2]int{1, 1} {
				t.Fatalf("after it: video %v", v)
			}
			if n := j.sum(func(c *Counters) uint64 { return c.DropStreamVideo.Load() }); n == 0 || n > 2 {
				t.Errorf("drop_stream_video %d", n)
			}
			if n := j.sum(func(c *Counters) uint64 { return c.Conn.Interrupted.Load() }); n != 1 {
				t.Errorf("interrupted %d", n)
			}
			j.finish()
		})
	}
}

// The key frame is asked for, but not while the stream is likely to be as full as it was.
func TestJammedViewerAsksForAKeyFrameLater(t *testing.T) {
	j := newJammed(t, 0, 0)
	j.step(true)
	j.advance(time.Second)
	j.take()
	j.pipe.refuse[mmsg.Video] = true
	j.frame(false)
	j.settle()
	asked := func(d time.Duration) (n int) {
		for end := j.now.Add(d); j.now < end; {
			j.frame(false)
			j.advance(20 * time.Millisecond)
			n += j.asked(j.take())
		}
		return n
	}
	if n := asked(400 * time.Millisecond); n != 0 {
		t.Errorf("asked for %d key frames at once", n)
	}
	if n := asked(time.Second); n == 0 {
		t.Error("never asked")
	}
	j.finish()
}

// A key frame that is refused as well makes the wait longer each time, so that one bad viewer
// does not make the publisher send nothing but key frames.
func TestViewerThatStaysJammedAsksSeldom(t *testing.T) {
	j := newJammed(t, 0, 0)
	j.step(true)
	j.pipe.refuse[mmsg.Video] = true
	asked := 0
	for range 20 * 50 {
		j.frame(asked > 0 && j.now/1e6%500 < 20)
		j.advance(20 * time.Millisecond)
		n := j.asked(j.take())
		if asked += n; n > 0 {
			j.frame(true) // and the publisher complies
		}
		for _, v := range j.viewers {
			j.deliver(v.shard, v.key, v.check(false))
		}
	}
	if asked > 8 {
		t.Errorf("%d key frames in 20 seconds", asked)
	}
	j.finish()
}

// A viewer that has been jammed for long gets its picture back as soon as it has all that was under
// way, however long the wait has become: it is behind a network that is well again.
func TestViewerThatHasCaughtUpGetsItsKeyFrameAtOnce(t *testing.T) {
	j := newJammed(t, 0, 0)
	v := j.viewers[0]
	highest, got := uint32(0), 0
	step := func(keyFrame bool) {
		j.frame(keyFrame)
		j.settle()
		sent := j.take()
		for _, b := range v.received(sent) {
			highest, got = uint32(binary.BigEndian.Uint16(b[2:])), got+1
		}
	}
	step(true)
	step(false)
	j.pipe.refuse[mmsg.Video] = true
	for range 40 {
		step(true) // and each of them makes the wait longer
	}
	j.pipe.refuse[mmsg.Video] = false
	asked := func(highest uint32) (n int) {
		report := rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: 5000, HighestSeq: highest}})
		j.deliver(v.shard, v.key, v.rtcp(report))
		for range 50 {
			j.frame(false)
			j.advance(20 * time.Millisecond)
			n += j.asked(j.take())
		}
		return n
	}
	if n := asked(highest - 1); n != 0 {
		t.Errorf("asked for %d key frames while something is under way", n)
	}
	if n := asked(highest); n == 0 {
		t.Error("not asked for a key frame")
	}
	before := got
	step(true)
	step(false)
	if got != before+2 {
		t.Errorf("%d packets came", got-before)
	}
	j.finish()
}

// A stream that is over leaves the connection to its other paths.
func TestStreamThatEndsGivesWayToAnotherPath(t *testing.T) {
	for name, home := range map[string]int{"at home": 0, "elsewhere": 1} {
		t.Run(name, func(t *testing.T) {
			j := newJammed(t, 0, home)
			v := j.viewers[0]
			stream := v.key
			j.step(true)
			j.hangUp(stream)
			v.to(key("192.0.2.1", "10.0.0.8:5"), 0) // where it came from
			j.step(false)                           // the owner may have to find out
			if video, _ := j.step(true); video != [2]int{1, 1} {
				t.Errorf("video %v", video)
			}
			if last := v.events[len(v.events)-1]; last.Kind != TransportChanged || last.Transport != TransportUDP {
				t.Errorf("last event %v", last)
			}
			for i, s := range j.p.shards {
				if _, ok := s.flows.get(&stream); ok || s.foreign.find(stream) != nil {
					t.Errorf("shard %d remembers the path", i)
				}
			}
			if n := j.p.streams.free.Free(); n != len(j.p.streams.links) {
				t.Errorf("%d of %d places are free", n, len(j.p.streams.links))
			}
			j.finish()
		})
	}
}

// Nothing else can come by the streams of a connection that is no more.
func TestEndOfAConnectionEndsItsStreams(t *testing.T) {
	for name, home := range map[string]int{"at home": 0, "elsewhere": 1} {
		t.Run(name, func(t *testing.T) {
			j := newJammed(t, 0, home)
			j.viewers[0].c.Close()
			j.settle()
			if j.pipe.closed {
				t.Fatal("closed before the farewell could go out")
			}
			j.advance(2 * lingerTime)
			if !j.pipe.closed {
				t.Error("left open")
			}
			j.finish()
		})
	}
}

// The new path is not made to suffer for the old one.
func TestViewerThatLeavesAJammedStreamGetsItsKeyFrameAtOnce(t *testing.T) {
	j := newJammed(t, 0, 0)
	j.step(true)
	j.pipe.refuse[mmsg.Video] = true
	for range 40 {
		j.step(true) // and each of them makes the wait longer
	}
	j.advance(time.Second)
	j.take()
	j.viewers[0].to(key("192.0.2.1", "10.0.0.8:5"), 0).nominate()
	j.frame(false)
	j.advance(20 * time.Millisecond)
	if n := j.asked(j.take()); n != 1 {
		t.Errorf("asked for %d key frames", n)
	}
	j.finish()
}

// A client whose only path was a stream may come back by another one.
func TestPeerComesBackByAnotherStream(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, flow.Key{})
	_, first := r.stream(flow.TURNStream, "192.0.2.1", r.remoteOn(0, 0), true)
	v := p.over(first, 0, 0, 0)
	p.via(v).establish()
	r.hangUp(first)
	if n := r.p.Counters()["turn_allocations"]; n != 0 {
		t.Errorf("%d allocations of a stream that is over", n)
	}
	r.advance(20 * time.Second)
	if len(p.events) != 1 {
		t.Fatalf("events %v", p.events)
	}
	_, second := r.stream(flow.TURNStream, "192.0.2.1", r.remoteOn(1, 0), true)
	p.via(p.over(second, 0, 0, 0)).nominate()
	r.advance(20 * time.Second)
	if len(p.events) != 1 {
		t.Fatalf("events %v", p.events)
	}
	r.hangUp(second)
	r.advance(40 * time.Second)
	if len(p.events) != 2 || p.events[1].Reason != ReasonConsentLost {
		t.Errorf("events %v", p.events)
	}
	r.finish()
}

// Places are used again at once: nothing for the former stream may go into the new one.
func TestPlaceOfAFormerStreamIsNotItsPath(t *testing.T) {
	j := newJammed(t, 0, 1)
	former := j.viewers[0].key
	j.step(true)
	j.hangUp(former)
	pipe, k := j.stream(flow.FramedStream, "192.0.2.1", j.remoteOn(1, 1), false)
	if k.Via != former.Via {
		t.Fatalf("another place: %#x, not %#x", k.Via, former.Via)
	}
	j.frame(false)
	j.settle()
	j.advance(2 * time.Second)
	if len(pipe.out) != 0 {
		t.Errorf("%d frames for somebody else", len(pipe.out))
	}
	if n := j.sum(func(c *Counters) uint64 { return c.DropStreamGone.Load() }); n == 0 {
		t.Error("nothing was sent for the former stream")
	}
	j.finish()
}

// Frames that wait are not lost when the stream ends behind them.
func TestLastFramesOfAStreamAreTaken(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, flow.Key{})
	pipe, k := r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:1", false)
	for range streamBudget {
		pipe.in = append(pipe.in, []byte{99})
	}
	pipe.in = append(pipe.in, p.check(true))
	r.p.streamOver(pipe.place)
	r.settle()
	if _, owned := p.c.owner(); !owned {
		t.Error("the check was lost")
	}
	if n := r.p.streams.free.Free(); n != len(r.p.streams.links) {
		t.Errorf("%d of %d places are free", n, len(r.p.streams.links))
	}
	_ = k
	r.finish()
}

func TestOneStreamCannotKeepAShardFromTheOthers(t *testing.T) {
	r := newRig(t, 1, nil)
	busy, _ := r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:1", false)
	for range 10 * streamBudget {
		busy.in = append(busy.in, []byte{99})
	}
	other, _ := r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:2", false)
	other.in = append(other.in, []byte{99})
	r.p.streamReady(busy.place)
	r.p.streamReady(other.place)
	if more := r.p.shards[0].HandleMessages(r.now, r.outs[0]); !more {
		t.Error("the shard thinks that it is done")
	}
	if len(other.in) != 0 {
		t.Errorf("%d frames of the other were not taken", len(other.in))
	}
	if len(busy.in) == 0 {
		t.Error("the budget has no effect")
	}
	r.settle()
	if len(busy.in) != 0 || busy.holding || other.holding {
		t.Error("frames were left, or not released")
	}
	r.finish()
}

// On a stream of TURN there is nothing but TURN: what would be a check there is none.
func TestChecksOnAStreamOfTURNAreNotAnswered(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, flow.Key{})
	pipe, _ := r.stream(flow.TURNStream, "192.0.2.1", "10.0.0.8:1", false)
	pipe.in = append(pipe.in, p.check(true))
	r.p.streamReady(pipe.place)
	r.settle()
	if len(pipe.out) != 0 || r.p.shards[0].count.DropUnknown.Load() != 1 {
		t.Errorf("%d answers", len(pipe.out))
	}
	r.finish()
}

// Of another shard's media lane video for streams may have only half.
func TestVideoForAnotherShardsStreamHasHalfOfItsLane(t *testing.T) {
	j := newJammed(t, 0, 1)
	s := j.p.shards[0]
	lane := j.p.shards[1].media
	to, room := j.viewers[0].key, lane.Cap()
	for range room {
		s.toStream(to, mmsg.Video, make([]byte, 100))
	}
	if lane.Len() != room/2 {
		t.Errorf("%d entries of %d are video", lane.Len(), room)
	}
	if !s.toStream(to, mmsg.Audio, make([]byte, 100)) || !s.toStream(to, mmsg.Control, make([]byte, 100)) {
		t.Error("no room for audio and control")
	}
	for range room {
		s.toStream(to, mmsg.Audio, make([]byte, 100))
	}
	if lane.Len() != room || s.count.DropRingStream.Load() == 0 {
		t.Errorf("%d entries, drop_ring_stream %d", lane.Len(), s.count.DropRingStream.Load())
	}
	j.settle()
	j.finish()
}
