package edge

import (
	"testing"

	"tsubame/netio/mmsg"
)

func TestCheckIsAnsweredWithoutAllocating(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	in := mmsg.NewRxBatch(1)
	in.Append(pathA, p.check(true))
	if n := testing.AllocsPerRun(200, func() {
		r.p.shards[0].HandleBatch(r.now, in, r.outs[0])
		r.outs[0].Reset()
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a check", n)
	}
	r.finish()
}

// A check and a packet of a roamed flow, from one shard's batch to the other's answer.
func TestForwardedDatagramAllocatesNothing(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	p.publish(videoIn)
	p.establish()
	in := mmsg.NewRxBatch(2)
	in.Append(pathB, p.check(false))
	in.Append(pathB, p.rtp(1000, 1, 3000, vp8(true, 1))) // a replay but for the first time
	if n := testing.AllocsPerRun(200, func() {
		r.p.shards[1].HandleBatch(r.now, in, r.outs[1])
		r.p.shards[0].HandleMessages(r.now, r.outs[0])
		r.outs[0].Reset()
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for two forwarded datagrams", n)
	}
	if n := r.p.shards[1].count.Roamed.Load(); n != 2*201 {
		t.Errorf("roamed %d", n)
	}
	r.finish()
}
