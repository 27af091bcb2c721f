//go:build browser

package browser

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed static/probe.js
var probeScript string

// callTimeout bounds one command to the browser, joining a channel among them; a machine with two cores that
// encodes and decodes several pictures answers late.
const callTimeout = 60 * time.Second

// chromium is one running browser process with its own profile.
type chromium struct {
	ctx    context.Context
	cancel context.CancelFunc
	cmd    *exec.Cmd // filled in when the browser starts
}

var shared struct {
	once sync.Once
	*chromium
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	// besideChurn is what bounds how many tests run at a time.
	if err := flag.Set("test.parallel", "1000"); err != nil {
		panic(err)
	}
	code := m.Run()
	if shared.chromium != nil {
		shared.cancel()
	}
	stopFirefox()
	os.Exit(code)
}

// findChromium looks for the names under which distributions install it.
func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium here. Install it:\n  apt-get update && apt-get install -y chromium")
}

// oneInterface makes a browser use the interface of the default route only, as most
// clients have no other. Those of the other tests use the loopback interface too.
var oneInterface = []chromedp.ExecAllocatorOption{
	chromedp.Flag("allow-loopback-in-peer-connection", false),
	chromedp.Flag("force-webrtc-ip-handling-policy", "default_public_interface_only"),
}

// startChromium starts a browser with fake devices that lets pages play sound,
// use the devices and reach this machine without asking. Options that follow win.
func startChromium(more ...chromedp.ExecAllocatorOption) (*chromium, error) {
	path, err := findChromium()
	if err != nil {
		return nil, err
	}
	b := &chromium{}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks"),
		chromedp.Flag("force-webrtc-ip-handling-policy", "default"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			b.cmd = cmd
			if cmd.SysProcAttr == nil {
				cmd.SysProcAttr = &syscall.SysProcAttr{}
			}
			cmd.SysProcAttr.Setpgid = true // the whole browser can be stopped by its group
		}),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	options = append(options, more...)
	ctx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	b.ctx = ctx
	b.cancel = func() {
		cancelBrowser()
		cancelAllocator()
	}
	if err := chromedp.Do(ctx); err != nil {
		b.cancel()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return b, nil
}

// sharedChromium is the browser that most tests use; each tab has a profile of
// its own in it.
func sharedChromium(t *testing.T) *chromium {
	t.Helper()
	shared.once.Do(func() { shared.chromium, shared.err = startChromium() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.chromium
}

// ownChromium starts a browser for one test, which may do with it what it likes.
func ownChromium(t *testing.T, more ...chromedp.ExecAllocatorOption) *chromium {
	t.Helper()
	b, err := startChromium(more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cancel)
	return b
}

// signal sends a signal to every process of the browser.
func (b *chromium) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-b.cmd.Process.Pid, sig); err != nil {
		t.Fatalf("signal %v to the browser: %v", sig, err)
	}
}

// browser is what opens tabs.
type browser interface {
	open(t *testing.T, name, url string) *tab
}

// tab is one page in a browser, watched by the probe.
type tab struct {
	t    *testing.T
	name string
	ctx  context.Context
	dead bool // the test killed it: nothing can be asked any more
	// evaluate runs an expression and decodes the result into out; nil: chromedp does.
	evaluate func(ctx context.Context, expression string, out any) error
}

// open loads a page into a new tab with a profile of its own. When the test ends,
// any error that the page or the SDK saw, swallowed ones too, fails it.
func (b *chromium) open(t *testing.T, name, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tb := &tab{t: t, name: name, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		t.Fatalf("%s: a new tab: %v", name, err)
	}
	t.Cleanup(func() {
		if !tb.dead {
			tb.requireNoErrors()
		}
		cancel()
	})
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
		page.AddScriptToEvaluateOnNewDocumentParams{Source: probeScript})
	if err != nil {
		t.Fatalf("%s: putting the probe in: %v", name, err)
	}
	tb.do("open "+url, chromedp.Navigate(url))
	return tb
}

func (tb *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, callTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tb.t.Fatalf("%s: %s: %v", tb.name, what, err)
	}
}

// eval runs an expression in the page, waits for its promise if it is one, and
// decodes the result.
func eval[T any](tb *tab, expression string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, callTimeout)
	defer cancel()
	var v T
	var err error
	if tb.evaluate != nil {
		err = tb.evaluate(ctx, expression, &v)
	} else {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		tb.t.Fatalf("%s: %s: %v", tb.name, expression, err)
	}
	return v
}

// run is eval for an expression whose result does not matter.
func (tb *tab) run(expression string) {
	tb.t.Helper()
	eval[chromedp.Void](tb, expression)
}
