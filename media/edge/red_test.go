package edge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/netio/mmsg"
)

const (
	opusType = 111
	redType  = 63
)

func audioOut(id param.TrackID, ssrc uint32, red uint8) param.Subscribe {
	return param.Subscribe{
		Track: id, Kind: param.Audio, Codec: param.Opus, MID: "a", SSRC: ssrc, PayloadType: opusType, REDType: red,
		ClockRate: 48000, CNAME: "c",
	}
}

// voice is a publisher of redundant audio on shard 0.
type voice struct {
	*rig
	pub   *peer
	track param.TrackID
}

func newVoice(t testing.TB, shards int) *voice {
	t.Helper()
	v := &voice{rig: newRig(t, shards, nil)}
	v.pub = v.open(0, pathB)
	spec := audioIn
	spec.REDType = redType
	v.track = v.pub.publish(spec)
	v.pub.establish()
	return v
}

// listener makes a viewer on a shard, with redundancy or without.
func (v *voice) listener(shard int, k int, red uint8) *peer {
	p := v.open(shard, key("127.0.0.1", fmt.Sprintf("127.0.0.1:%d", 51000+k)))
	p.c.Subscribe(audioOut(v.track, 5000, red))
	p.establish()
	return p
}

func word(i int) string { return fmt.Sprintf("word %d", i) }

// says brings packet i, with the one before it.
func (v *voice) says(i int) {
	v.advance(20 * time.Millisecond)
	var b []byte
	if i > 0 {
		b = codec.AppendREDBlock(b, opusType, 960, len(word(i-1)))
	}
	b = codec.AppendREDPrimary(b, opusType)
	if i > 0 {
		b = append(b, word(i-1)...)
	}
	v.deliver(0, v.pub.key, v.pub.packet(header{PayloadType: redType, Seq: uint16(i), Timestamp: uint32(960 * i), SSRC: 2000}, "", append(b, word(i)...)))
	v.settle()
}

// heard returns what packets say, and what they repeat.
func heard(t *testing.T, packets [][]byte) (words, repeated []string) {
	t.Helper()
	for _, b := range packets {
		view, err := rtp.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		payload := view.Payload()
		if view.PayloadType == redType {
			r, err := codec.ParseRED(payload)
			if err != nil || r.PayloadType != opusType {
				t.Fatalf("%x: %v", payload, err)
			}
			for _, x := range r.Blocks() {
				repeated = append(repeated, string(payload[x.At:x.At+x.Len]))
			}
			payload = payload[r.At:]
		}
		words = append(words, string(payload))
	}
	return words, repeated
}

func TestRedundancyIsTheSameOnEveryShardAndNothingToOthers(t *testing.T) {
	v := newVoice(t, 3)
	tap, err := router.NewTap(64)
	if err != nil {
		t.Fatal(err)
	}
	v.p.OpenTap(v.track, tap)
	var listeners []*peer
	for i, shard := range []int{0, 1, 2, 1} {
		listeners = append(listeners, v.listener(shard, i, redType))
	}
	plain := []*peer{v.listener(0, 10, 0), v.listener(2, 11, 0)}
	v.settle()
	v.take()
	var want []string
	for i := range 12 {
		want = append(want, word(i))
		if i == 3 || i == 7 || i == 8 { // 7 is lost for good
			continue
		}
		v.says(i)
	}
	want = slices.Delete(want, 7, 8)
	sent := v.take()
	var repeats []string
	for i := range want {
		if i > 0 {
			repeats = append(repeats, want[i-1])
		}
	}
	for i, p := range listeners {
		words, repeated := heard(t, p.received(sent))
		if !slices.Equal(words, want) || !slices.Equal(repeated, repeats) {
			t.Errorf("listener %d hears %q and %q again", i, words, repeated)
		}
	}
	for i, p := range plain {
		words, repeated := heard(t, p.received(sent))
		if !slices.Equal(words, want) || repeated != nil {
			t.Errorf("plain listener %d hears %q and %q again", i, words, repeated)
		}
	}
	var tapped []string
	for m := v.p.arena.Magazine(); ; {
		x, ok := tap.Pop()
		if !ok {
			break
		}
		tapped = append(tapped, string(v.p.arena.Payload(x.Ref)))
		m.Release(x.Ref)
	}
	if !slices.Equal(tapped, want) {
		t.Errorf("the tap has %q", tapped)
	}
	if n := v.sum(func(c *Counters) uint64 { return c.Conn.REDRecovered.Load() }); n != 2 {
		t.Errorf("%d recovered", n)
	}
	v.p.CloseTap(v.track, tap)
	v.settle()
	v.finish()
}

// However a listener's packets travel, by UDP or TCP, through TURN or not, and whichever shard's
// socket they leave by, there is the same redundancy in them.
func TestRedundancyIsTheSameByEveryWay(t *testing.T) {
	v := newVoice(t, 2)
	p := v.open(0, pathA)
	p.c.Subscribe(audioOut(v.track, 5000, redType))
	p.establish()
	v.says(0)
	for i, next := range wander(p) {
		next()
		p.nominate()
		v.take()
		v.says(i + 1)
		words, repeated := heard(t, p.received(v.take()))
		if !slices.Equal(words, []string{word(i + 1)}) || !slices.Equal(repeated, []string{word(i)}) {
			t.Errorf("stop %d, by %v: %q, and %q again", i, p.key, words, repeated)
		}
	}
}

// Nothing is repeated from before somebody listened, and the memory of one track is not told to
// those who listen to the next.
func TestRedundancyBeginsAndEndsWithThoseWhoListen(t *testing.T) {
	v := newVoice(t, 2)
	v.says(0)
	p := v.listener(1, 0, redType)
	v.take()
	for i, want := range [][]string{nil, {word(1)}, {word(2)}} {
		v.says(i + 1)
		if _, repeated := heard(t, p.received(v.take())); !slices.Equal(repeated, want) {
			t.Errorf("packet %d repeats %q", i+1, repeated)
		}
	}
	p.c.Close()
	v.settle()
	v.says(4)
	again := v.listener(1, 1, redType)
	v.take()
	v.says(5)
	if words, repeated := heard(t, again.received(v.take())); !slices.Equal(words, []string{word(5)}) || repeated != nil {
		t.Errorf("%q, and %q again", words, repeated)
	}
	v.finish()
}

// A publisher that pauses, or is muted, comes back with whatever comes: what it said before is
// too long ago to be repeated.
func TestAPauseIsNotRepeated(t *testing.T) {
	v := newVoice(t, 1)
	p := v.listener(0, 0, redType)
	v.says(0)
	v.says(1)
	v.take()
	v.advance(2 * time.Second)
	v.deliver(0, v.pub.key, v.pub.packet(header{PayloadType: opusType, Seq: 2, Timestamp: 960 * 102, SSRC: 2000}, "", []byte("again")))
	v.settle()
	got := p.received(v.take())
	if words, repeated := heard(t, got); len(got) != 1 || words[0] != "again" || repeated != nil {
		t.Errorf("%q, and %q again", words, repeated)
	}
	v.finish()
}

func TestRedundantAudioThroughTwoShardsAllocatesNothing(t *testing.T) {
	v := newVoice(t, 2)
	for i := range 8 {
		v.listener(i%2, i, []uint8{redType, 0}[i/4])
	}
	v.says(0)
	v.says(1)
	v.take()
	const runs = 100
	var datagrams [][]byte
	for i := range runs + 2 {
		seq := 3 + 2*i // every other packet is lost
		b := codec.AppendREDPrimary(codec.AppendREDBlock(nil, opusType, 960, 3), opusType)
		datagrams = append(datagrams, v.pub.packet(header{PayloadType: redType, Seq: uint16(seq), Timestamp: uint32(960 * seq), SSRC: 2000}, "", append(b, "oneand another"...)))
	}
	k, i := v.pub.key, 0
	batches := make([]func(), len(datagrams))
	for n, b := range datagrams {
		in := mmsg.NewRxBatch(1)
		in.Append(k, b)
		batches[n] = func() {
			v.p.shards[0].HandleBatch(v.now, in, v.outs[0])
			v.p.shards[1].HandleMessages(v.now, v.outs[1])
			v.outs[0].Reset()
			v.outs[1].Reset()
		}
	}
	if n := testing.AllocsPerRun(runs, func() { batches[i](); i++ }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a packet and the one that it brought", n)
	}
	if n := v.sum(func(c *Counters) uint64 { return c.Conn.REDRecovered.Load() }); n < runs {
		t.Errorf("%d recovered", n)
	}
	v.finish()
}
