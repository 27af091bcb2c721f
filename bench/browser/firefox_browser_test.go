//go:build browser

package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// firefoxPrefs are the settings of a fresh profile: fake devices that nobody is
// asked about, sound without a touch, this machine's own addresses in ICE, and
// nothing that calls home. Without the plug-ins that Mozilla offers for download
// there is no H.264, whatever network the machine has.
const firefoxPrefs = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.getusermedia.insecure.enabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.autoplay.block-webaudio", false);
user_pref("media.cubeb.force_mock_context", true);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.gmp-gmpopenh264.enabled", false);
user_pref("media.gmp-provider.enabled", false);
user_pref("network.proxy.type", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.lna.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("app.normandy.enabled", false);
user_pref("app.shield.optoutstudies.enabled", false);
user_pref("messaging-system.rsexperimentloader.enabled", false);
user_pref("nimbus.rollouts.enabled", false);
user_pref("services.settings.server", "data:,#");
user_pref("extensions.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.discovery.enabled", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.startup.page", 0);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.unified", false);
user_pref("toolkit.telemetry.server", "");
user_pref("dom.push.connection.enabled", false);
user_pref("geo.enabled", false);
`

// firefox is one running Firefox with its own profile.
type firefox struct {
	ctx     context.Context // ends with the process; its cause says why
	profile string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has been reaped
	newest  string        // the browsing context that was opened last
	stderr  *tail
	*bidi

	mu   sync.Mutex
	logs map[string][]string // errors in the console, by browsing context
}

var sharedFirefox struct {
	once sync.Once
	*firefox
	err error
}

// theFirefox is the Firefox of all tests; each tab has a profile of its own in it.
func theFirefox(t *testing.T) *firefox {
	t.Helper()
	sharedFirefox.once.Do(func() { sharedFirefox.firefox, sharedFirefox.err = startFirefox() })
	if sharedFirefox.err != nil {
		t.Fatal(sharedFirefox.err)
	}
	return sharedFirefox.firefox
}

// stopFirefox ends the Firefox of all tests, if there is one.
func stopFirefox() {
	if sharedFirefox.firefox != nil {
		sharedFirefox.stop()
	}
}

func findFirefox() (string, error) {
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Firefox here. Install it:\n  apt-get update && apt-get install -y firefox-esr")
}

// startFirefox starts the Firefox that is installed.
func startFirefox() (*firefox, error) {
	path, err := findFirefox()
	if err != nil {
		return nil, err
	}
	return launchFirefox(path)
}

// launchFirefox starts a Firefox without windows on the screen and begins a session
// with it. What it says on its standard error is in every error.
func launchFirefox(path string) (*firefox, error) {
	profile, err := os.MkdirTemp("", "tsubame-firefox-")
	if err != nil {
		return nil, err
	}
	f := &firefox{profile: profile, ended: make(chan struct{}), stderr: newTail(), logs: make(map[string][]string)}
	if err := f.launch(path); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), os.RemoveAll(profile))
	}
	ctx, cancel := context.WithTimeout(f.ctx, 2*callTimeout) // it has to start first
	defer cancel()
	if err := f.connect(ctx); err != nil {
		f.stop()
		return nil, fmt.Errorf("starting %s: %w\n%s", path, err, f.stderr)
	}
	return f, nil
}

// launch starts the process. Its home is the profile too, so that it finds and
// leaves nothing elsewhere.
func (f *firefox) launch(path string) error {
	if err := os.WriteFile(filepath.Join(f.profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
		return err
	}
	f.cmd = exec.Command(path, "--headless", "--no-remote", "--profile", f.profile, "--remote-debugging-port", "0")
	f.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "MOZ_")
	}), "HOME="+f.profile, "MOZ_CRASHREPORTER_DISABLE=1")
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // all its processes can be stopped by their group
	dieWithThread(f.cmd.SysProcAttr)
	f.cmd.Stderr = f.stderr
	f.cmd.WaitDelay = 5 * time.Second // for a process that has left the group and keeps the pipe
	ctx, cancel := context.WithCancelCause(context.Background())
	f.ctx = ctx
	started := make(chan error)
	go func() {
		// The thread that starts the process stays until it has ended: see dieWithThread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := f.cmd.Start(); err != nil {
			started <- err
			return
		}
		close(started)
		err := f.cmd.Wait()
		cancel(fmt.Errorf("it has ended (%v)", err))
		close(f.ended)
	}()
	return <-started
}

// connect waits for the address that Firefox says and begins the session.
func (f *firefox) connect(ctx context.Context) error {
	var url string
	select {
	case url = <-f.stderr.address:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	if f.bidi, err = dialBidi(ctx, url+"/session", f.noteEvent); err != nil {
		return err
	}
	if err := f.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}}, nil); err != nil {
		return err
	}
	return f.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
}

// stop ends every process of the browser and removes the profile.
func (f *firefox) stop() {
	if f.bidi != nil {
		f.conn.CloseNow()
	}
	// An error means that there is no such process any more.
	_ = syscall.Kill(-f.cmd.Process.Pid, syscall.SIGKILL)
	<-f.ended
	if err := os.RemoveAll(f.profile); err != nil {
		fmt.Fprintln(os.Stderr, "removing the profile of Firefox:", err)
	}
}

// noteEvent keeps what the console shows as errors: among them are some that no
// script of the page can see.
func (f *firefox) noteEvent(method string, params json.RawMessage) {
	var entry struct {
		Level  string `json:"level"`
		Text   string `json:"text"`
		Source struct {
			Context string `json:"context"`
		} `json:"source"`
	}
	if method != "log.entryAdded" {
		return
	}
	if err := json.Unmarshal(params, &entry); err != nil {
		entry.Level, entry.Text = "error", fmt.Sprintf("log entry %s: %v", params, err)
	}
	if entry.Level != "error" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[entry.Source.Context] = append(f.logs[entry.Source.Context], entry.Text)
}

func (f *firefox) takeConsoleErrors(browsingContext string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	errors := f.logs[browsingContext]
	delete(f.logs, browsingContext)
	return errors
}

// open loads a page into a new window with a profile of its own: a window, because
// a tab behind another one is slowed down. When the test ends, any error that the
// page, the SDK or the console saw fails it.
func (f *firefox) open(t *testing.T, name, url string) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
	defer cancel()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %s: %v", name, what, err)
		}
	}
	var user struct {
		UserContext string `json:"userContext"`
	}
	must("a profile", f.call(ctx, "browser.createUserContext", map[string]any{}, &user))
	var window struct {
		Context string `json:"context"`
	}
	must("a window", f.call(ctx, "browsingContext.create",
		map[string]any{"type": "window", "userContext": user.UserContext}, &window))
	f.newest = window.Context
	tb := &tab{t: t, name: name, ctx: f.ctx, evaluate: func(ctx context.Context, expression string, out any) error {
		if _, nothing := out.(*chromedp.Void); nothing {
			out = nil
		}
		return f.evaluate(ctx, window.Context, expression, true, out)
	}}
	t.Cleanup(func() {
		tb.requireNoErrors()
		for _, text := range f.takeConsoleErrors(window.Context) {
			t.Errorf("%s: in the console: %s", name, text)
		}
		// Removing the profile closes its window.
		ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
		defer cancel()
		if err := f.call(ctx, "browser.removeUserContext", user, nil); err != nil {
			t.Errorf("%s: closing: %v", name, err)
		}
	})
	must("putting the probe in", f.call(ctx, "script.addPreloadScript", map[string]any{
		"functionDeclaration": "() => {\n" + probeScript + "\n}", "contexts": []string{window.Context}}, nil))
	must("open "+url, f.call(ctx, "browsingContext.navigate",
		map[string]any{"context": window.Context, "url": url, "wait": "complete"}, nil))
	return tb
}

// tail keeps the end of what a process says, and the address that it announces.
type tail struct {
	address chan string // has room for the one address

	mu   sync.Mutex
	text []byte
}

// maxTail is enough for the last messages of a browser that does not start.
const maxTail = 8 << 10

func newTail() *tail { return &tail{address: make(chan string, 1)} }

// Write takes what the process says, in pieces of any size.
func (w *tail) Write(p []byte) (int, error) {
	const announces = "WebDriver BiDi listening on "
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	for s := bufio.NewScanner(bytes.NewReader(w.text)); s.Scan(); {
		if url, ok := strings.CutPrefix(s.Text(), announces); ok && bytes.HasSuffix(w.text, []byte("\n")) {
			select {
			case w.address <- url:
			default: // said already
			}
		}
	}
	if n := len(w.text) - maxTail; n > 0 {
		w.text = slices.Delete(w.text, 0, n)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "its standard error ends with:\n" + string(w.text)
}
