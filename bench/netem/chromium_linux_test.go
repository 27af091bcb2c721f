//go:build browser

package netem

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
)

// callTimeout bounds one command to a browser, joining among them.
const callTimeout = 30 * time.Second

// chromium is a browser in a namespace with fake devices.
type chromium struct {
	ctx  context.Context
	page string // its own site's, at its loopback address: pages may use devices there
}

// findChromium looks for the names under which distributions install it.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium here; make deps installs it")
	return ""
}

// startChromium starts a browser that knows no other network than its namespace's. It uses the
// address of the default route only, and so never the side link of signaling.
func startChromium(t *testing.T, ns *netns.Namespace, film, sound string) *chromium {
	t.Helper()
	script := filepath.Join(t.TempDir(), "chromium")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s '%s' \"$@\"\n", ns.Name(), findChromium(t))
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(script), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU, chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-video-capture", film),
		chromedp.Flag("use-file-for-fake-audio-capture", sound),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks"),
		chromedp.Flag("force-webrtc-ip-handling-policy", "default_public_and_private_interfaces"),
	}
	ctx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancelBrowser()
		cancelAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &chromium{ctx: ctx, page: serveSite(t, ns) + "/rig.html"}
}

// serveSite serves the pages at the loopback address of a namespace.
func serveSite(t *testing.T, ns *netns.Namespace) (url string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	sdk := filepath.Join(root, "bench", "browser", "node_modules", "sora-js-sdk", "dist", "sora.js")
	if _, err := os.Stat(sdk); err != nil {
		t.Fatalf("the client SDK is not installed: run bench/browser/install.sh (make deps)\n%v", err)
	}
	var l net.Listener
	ns.Do(func() { l, err = net.Listen("tcp4", "127.0.0.1:0") })
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sdk/sora.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, sdk) })
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join(root, "bench", "netem", "static"))))
	site := &http.Server{Handler: mux}
	go func() { _ = site.Serve(l) }() // the error is that it was closed
	t.Cleanup(func() { site.Close() })
	return "http://" + l.Addr().String()
}

// tab is one end of a call.
type tab struct {
	name string
	ctx  context.Context
	end  context.CancelFunc
}

// open loads the page into a tab with a profile of its own.
func (b *chromium) open(name string) (*tab, error) {
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tb := &tab{name: name, ctx: ctx, end: cancel}
	if err := chromedp.Do(ctx); err != nil { // with a context that lasts as long as the tab
		cancel()
		return nil, fmt.Errorf("%s: a new tab: %w", name, err)
	}
	limited, done := context.WithTimeout(ctx, callTimeout)
	defer done()
	if err := chromedp.Do(limited, chromedp.Navigate(b.page)); err != nil {
		cancel()
		return nil, fmt.Errorf("%s: opening %s: %w", name, b.page, err)
	}
	err := tb.until(callTimeout, "the page is there", func() (bool, error) {
		return eval[bool](tb, "typeof rig === 'object'")
	})
	return tb, err
}

// eval runs an expression in the page, waits for its promise if it is one, and decodes the
// result.
func eval[T any](tb *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tb.ctx, callTimeout)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		err = fmt.Errorf("%s: %.200s: %w", tb.name, expression, err)
	}
	return v, err
}

// do is eval for an expression whose result does not matter.
func (tb *tab) do(expression string) error {
	_, err := eval[chromedp.Void](tb, expression)
	return err
}

// until asks again and again until something is so.
func (tb *tab) until(timeout time.Duration, what string, so func() (bool, error)) error {
	for end := time.Now().Add(timeout); ; pause(50 * time.Millisecond) {
		ok, err := so()
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %s", tb.name, timeout, what)
		}
	}
}
