package channel

import "tsubame/signal/webhook"

// Counted is a Conn that knows what it has counted. Any goroutine may ask at any time, and after
// Close too. When MediaClosed comes, which it does after Close too, all is counted.
type Counted interface {
	Stats() webhook.LocalStats
}

// statsOf returns what a connection has counted; nothing if it does not count or was never
// opened.
func statsOf(c Conn) webhook.LocalStats {
	if counted, ok := c.(Counted); ok {
		return counted.Stats()
	}
	return webhook.LocalStats{}
}
