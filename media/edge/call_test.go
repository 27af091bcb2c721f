package edge

import (
	"testing"

	"tsubame/media/param"
)

// call is a publisher on shard 0 with viewers on the shards given.
type call struct {
	*rig
	pub     *peer
	track   param.TrackID
	viewers []*peer
	seq     uint16
}

func newCall(t testing.TB, shards int, viewers []int, change func(*Config)) *call {
	t.Helper()
	return newCallOf(t, shards, viewers, change, func(*param.Subscribe) {})
}

// newCallOf is newCall with viewers who negotiated something else.
func newCallOf(t testing.TB, shards int, viewers []int, change func(*Config), negotiate func(*param.Subscribe)) *call {
	t.Helper()
	c := &call{rig: newRig(t, shards, change)}
	c.pub = c.open(0, key("127.0.0.1", "127.0.0.1:50000"))
	c.track = c.pub.publish(videoIn)
	c.pub.establish()
	for i, shard := range viewers {
		k := key("127.0.0.1", "127.0.0.1:50001")
		k.Port += uint16(i)
		v := c.open(shard, k)
		spec := videoOut(c.track, 5000)
		negotiate(&spec)
		v.c.Subscribe(spec)
		v.establish()
		c.viewers = append(c.viewers, v)
	}
	c.settle()
	c.take()
	return c
}

// frame sends one packet that is a whole frame.
func (c *call) frame(keyFrame bool) {
	c.seq++
	c.deliver(0, c.pub.key, c.pub.rtp(1000, c.seq, 3000*uint32(c.seq), vp8(keyFrame, byte(c.seq))))
}
