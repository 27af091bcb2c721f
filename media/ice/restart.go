package ice

import (
	"time"

	"tsubame/netio/mono"
)

// How often one connection may restart ICE. A client restarts when its network changes, so a
// few in a row are normal (Wi-Fi to cellular and back) and more are an attack or a loop.
const (
	RestartBurst    = 3
	RestartInterval = 2 * time.Second
)

// RestartLimit is the token bucket of one connection's ICE restarts: RestartBurst at once,
// then one each RestartInterval. The zero value is full. It has no lock: one goroutine.
type RestartLimit struct {
	full mono.Time // when the bucket would be full again if nothing more was taken
}

// Allow takes a token. Without one it says false, and the restart is refused; refusing costs
// nothing, so that a storm does not keep out the restart that comes after it.
func (l *RestartLimit) Allow(now mono.Time) bool {
	full := max(l.full, now)
	if full.Sub(now) > (RestartBurst-1)*RestartInterval {
		return false
	}
	l.full = full.Add(RestartInterval)
	return true
}
