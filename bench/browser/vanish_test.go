//go:build browser

package browser

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
)

// crash ends the tab's renderer as a bug in it would: no script runs any more, and
// nothing says good-bye.
func (tb *tab) crash() {
	tb.dead = true
	ctx, cancel := context.WithTimeout(tb.ctx, 5*time.Second)
	defer cancel()
	// A crashed page cannot answer: the command ends by its deadline or with an
	// error, and whether it worked shows in what the others are told.
	_, _ = chromedp.Call(ctx, page.Crash, cdp.Empty{})
}

func TestCrashedTabIsNoticedAndAnnounced(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	stays, dies := s.client(b, "stays", 1), s.client(ownChromium(t), "dies", 6)
	stays.join("sendrecv")
	dies.join("sendrecv")
	stays.requireArrivesFrom(dies)
	dies.crash()
	if n := stays.requireNotify(arriveTimeout, "connection.destroyed", dies.id); n.ChannelConnections != 1 {
		t.Errorf("after the crash there are %d connections", n.ChannelConnections)
	}
	stays.requireOnly()
}

func TestKilledBrowserIsNoticedAndAnnounced(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	own := ownChromium(t)
	stays, dies := s.client(b, "stays", 1), s.client(own, "dies", 6)
	stays.join("sendrecv")
	dies.join("sendrecv")
	stays.requireArrivesFrom(dies)
	dies.dead = true
	own.signal(t, syscall.SIGKILL)
	stays.requireNotify(arriveTimeout, "connection.destroyed", dies.id)
	stays.requireOnly()
}

// A browser that is frozen keeps its sockets open and says nothing: only the
// missing consent checks tell (RFC 7675: 30 s without one).
func TestFrozenBrowserIsNoticedByItsMissingConsent(t *testing.T) {
	besideChurn(t)
	const consent = 30 * time.Second
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{"consent_grace": "0 s"}})
	b := sharedChromium(t)
	own := ownChromium(t)
	stays, freezes := s.client(b, "stays", 1), s.client(own, "freezes", 6)
	stays.join("sendrecv")
	freezes.join("sendrecv")
	stays.requireArrivesFrom(freezes)
	freezes.dead = true
	own.signal(t, syscall.SIGSTOP)
	t.Cleanup(func() { own.signal(t, syscall.SIGKILL) }) // a stopped browser cannot be closed
	start := time.Now()
	stays.requireNotify(consent+15*time.Second, "connection.destroyed", freezes.id)
	if after := time.Since(start); after < consent/2 {
		t.Errorf("given up after %v: a client may be silent for longer", after)
	}
	stays.requireOnly()
}
