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

// failed notes a failure. The log is written without the mutex: whoever reads it may be
// slow.
func (h *health) failed(log *slog.Logger, name, url string, f *failure, now time.Time) {
	if tell, untold := h.noteFailed(now); tell {
		log.Warn("WEBHOOK-FAILS", "webhook", name, "url", url, "reason", f.Error(), "more", untold)
	}
}

func (h *health) noteFailed(now time.Time) (tell bool, untold int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = true
	if now.Sub(h.said) < sayEvery {
		h.untold++
		return false, 0
	}
	untold = h.untold
	h.said, h.untold = now, 0
	return true, untold
}

func (h *health) worked(log *slog.Logger, name, url string) {
	if tell, failures := h.noteWorked(); tell {
		log.Info("WEBHOOK-WORKS-AGAIN", "webhook", name, "url", url, "failures", failures)
	}
}

func (h *health) noteWorked() (tell bool, failures int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Within the interval both would be told again and again.
	if !h.failing || time.Since(h.said) < sayEvery {
		return false, 0
	}
	failures = h.untold
	h.failing, h.untold = false, 0
	return true, failures
}
