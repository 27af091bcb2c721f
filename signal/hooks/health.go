package hooks

import (
	"log/slog"
	"sync"
	"time"
)

// sayEvery is how often at most the server's log tells that a kind of webhook fails: a
// server that answers every other request would fill it otherwise. Every single failure is
// in the webhook's own error file.
const sayEvery = 10 * time.Second

// health is whether a kind of webhook works, for the server's log.
type health struct {
	mu      sync.Mutex
	failing bool
	said    time.Time // of the last failure that was told
	untold  int       // failures since
}

func (h *health) failed(log *slog.Logger, name, url string, f *failure, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = true
	if now.Sub(h.said) < sayEvery {
		h.untold++
		return
	}
	log.Warn("WEBHOOK-FAILS", "webhook", name, "url", url, "reason", f.Error(), "more", h.untold)
	h.said, h.untold = now, 0
}

func (h *health) worked(log *slog.Logger, name, url string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Within the interval both would be told again and again.
	if !h.failing || time.Since(h.said) < sayEvery {
		return
	}
	h.failing = false
	log.Info("WEBHOOK-WORKS-AGAIN", "webhook", name, "url", url, "failures", h.untold)
	h.untold = 0
}
