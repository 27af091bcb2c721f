package edge

import (
	"time"

	"tsubame/media/conn"
)

// The key frame cache (media/conn/cache.go) is a longer life for what the retransmission rings
// have anyway.
const (
	// cacheAge is the default of Config.CacheAge.
	cacheAge = 10 * time.Second

	// cachePacket is how long the packets are for which there are slots: shorter ones fill the
	// slots before the bytes.
	cachePacket = 1024

	maxCacheSlots = 16384
)

// cache makes the rings as long as the key frame cache wants them.
func (c *Config) cache() {
	if c.KeyFrameCache <= 0 {
		c.KeyFrameCache, c.CacheAge = 0, 0
		return
	}
	if c.CacheAge <= 0 {
		c.CacheAge = cacheAge
	}
	want := c.RTX.Slots + c.KeyFrameCache/cachePacket
	for c.RTX.Slots < min(want, maxCacheSlots) {
		c.RTX.Slots *= 2
	}
	c.RTX.HoldBytes = c.KeyFrameCache
	// A replay that begins at the last moment needs it for as long as it takes.
	c.RTX.HoldAge = max(c.CacheAge+conn.ReplayTime, c.RTX.MaxAge)
}
