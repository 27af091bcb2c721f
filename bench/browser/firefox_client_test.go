//go:build browser

package browser

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The tests with Firefox believe what the client of WebDriver BiDi says, so that is
// tested too.

func TestFirefoxEvaluates(t *testing.T) {
	fox := theFirefox(t).open(t, "firefox", startSite(t).URL+"/sdk.html")
	if n := eval[int](fox, "Promise.resolve(6 * 7)"); n != 42 {
		t.Errorf("a promise of a number gives %d", n)
	}
	fox.run("undefined")
	ctx, cancel := context.WithTimeout(fox.ctx, callTimeout)
	defer cancel()
	var n int
	if err := fox.evaluate(ctx, "undefined", &n); !errors.Is(err, errNoValue) {
		t.Errorf("nothing where a number is wanted gives %v", err)
	}
	for _, expression := range []string{`Promise.reject(new Error("my reason"))`, `(() => { throw new Error("my reason") })()`} {
		if err := fox.evaluate(ctx, expression, &n); err == nil || !strings.Contains(err.Error(), "my reason") {
			t.Errorf("%s gives %v", expression, err)
		}
	}
	if err := fox.evaluate(ctx, "a syntax error", &n); err == nil {
		t.Error("no error for what is no expression")
	}
}

func TestFirefoxIsNotWaitedForLongerThanAsked(t *testing.T) {
	fox := theFirefox(t).open(t, "firefox", startSite(t).URL+"/sdk.html")
	ctx, cancel := context.WithTimeout(fox.ctx, 50*time.Millisecond)
	defer cancel()
	if err := fox.evaluate(ctx, "new Promise(() => {})", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a promise that is never kept gives %v", err)
	}
}

// What goes wrong in the page is noted by the probe, and by the console beside it.
func TestFirefoxCatchesSwallowedErrors(t *testing.T) {
	f := theFirefox(t)
	fox := f.open(t, "firefox", startSite(t).URL+"/sdk.html")
	for name, script := range map[string]string{
		"a promise that nobody looks at": `setTimeout(() => Promise.reject(new Error("one")))`,
		"an error outside any handler":   `setTimeout(() => { throw new Error("two") })`,
		"an error on the console":        `console.error("three")`,
		"a description that is caught":   `new RTCPeerConnection().setRemoteDescription({ type: "offer", sdp: "four" }).catch(() => {})`,
	} {
		fox.run("probe.errors.length = 0")
		fox.run(script)
		eventually(t, callTimeout, name+" is noted", func() (bool, any) {
			errors := eval[[]string](fox, "probe.errors")
			return len(errors) == 1, errors
		})
	}
	fox.run("probe.errors.length = 0")
	var console []string
	eventually(t, callTimeout, "the console has those that nobody caught", func() (bool, any) {
		console = append(console, f.takeConsoleErrors(f.newest)...)
		return len(console) == 3, console
	})
}

// A Firefox that does not come up says why, and leaves neither process nor profile.
func TestFirefoxThatEndsAtOnceIsAnError(t *testing.T) {
	f, err := launchFirefox("/bin/sh") // which does not know the options of Firefox
	if err == nil {
		f.stop()
		t.Fatal("a shell passes for Firefox")
	}
	if !strings.Contains(err.Error(), "option") || !strings.Contains(err.Error(), "exit status") {
		t.Errorf("the error does not tell what the process said: %v", err)
	}
}
