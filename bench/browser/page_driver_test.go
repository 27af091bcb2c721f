//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// little is a test pattern that costs the machine next to nothing.
const little = "source=test&pattern_size=320x180&fps=10"

// text is what an element says, without the spaces around it; "" if it is not there
// or hidden.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return eval[string](tb, fmt.Sprintf(`document.querySelector(%s)?.checkVisibility() ? document.querySelector(%[1]s).textContent.replace(/\s+/g, " ").trim() : ""`, jsString(selector)))
}

func (tb *tab) attribute(selector, name string) string {
	tb.t.Helper()
	return eval[string](tb, fmt.Sprintf(`document.querySelector(%s)?.getAttribute(%s) ?? ""`, jsString(selector), jsString(name)))
}

// requireText waits until the element is visible and its text contains want.
func (tb *tab) requireText(selector, want string) {
	tb.t.Helper()
	eventually(tb.t, arriveTimeout, tb.name+": "+selector+" says "+want, func() (bool, any) {
		text := tb.text(selector)
		return strings.Contains(text, want), text
	})
}

// requireTrue waits until an expression holds.
func (tb *tab) requireTrue(what, expression string) {
	tb.t.Helper()
	eventually(tb.t, arriveTimeout, tb.name+": "+what, func() (bool, any) {
		return eval[bool](tb, expression), expression
	})
}

// click presses the mouse on an element. It aims once the element rests, as a person does: a
// list of devices may just be making room for itself. If it moved all the same, and the click
// went elsewhere, it is repeated.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	for range clickTries {
		tb.run(fmt.Sprintf(aimScript, jsString(selector)))
		// The first one that matches: of a plain string all have to be visible.
		tb.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
		if eval[bool](tb, "globalThis.hit ?? true") { // the click may have led to another page
			return
		}
	}
	tb.t.Fatalf("%s: %s could not be hit by %d clicks", tb.name, selector, clickTries)
}

const clickTries = 5

// aimScript waits until an element has not moved for two looks in a row, and listens for the
// click. An element that is not there yet is chromedp's to wait for.
const aimScript = `(async () => {
	const selector = %s, place = () => JSON.stringify(document.querySelector(selector)?.getBoundingClientRect());
	for (let before, rests = 0; rests < 2; before = place()) {
		rests = place() === before ? rests + 1 : 0;
		await new Promise((done) => setTimeout(done, 30));
	}
	globalThis.hit = document.querySelector(selector) ? false : undefined;
	document.querySelector(selector)?.addEventListener("click", () => { globalThis.hit = true; }, { capture: true, once: true });
})()`

// choose clicks what stands for a radio button, as a person does.
func (tb *tab) choose(name, value string) {
	tb.t.Helper()
	tb.click(fmt.Sprintf(`label:has(> input[name="%s"][value="%s"])`, name, value))
}

// pick sets a field and tells the page that a person did it.
func (tb *tab) pick(name, value string) {
	tb.t.Helper()
	tb.run(fmt.Sprintf(`{ const field = document.querySelector("#join").elements[%s]; field.value = %s;
		field.dispatchEvent(new Event("input", { bubbles: true })); field.dispatchEvent(new Event("change", { bubbles: true })); }`,
		jsString(name), jsString(value)))
}

func (tb *tab) press(keys ...string) {
	tb.t.Helper()
	for _, key := range keys {
		tb.do("key "+key, chromedp.KeyEvent(key))
	}
}

// look makes the tab a window of that size in light or dark.
func (tb *tab) look(width, height int, scheme string) {
	tb.t.Helper()
	_, err := chromedp.Call(tb.ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: int64(height), DeviceScaleFactor: 1})
	if err == nil {
		_, err = chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	}
	if err != nil {
		tb.t.Fatalf("%s: a window of %dx%d: %v", tb.name, width, height, err)
	}
}

// lobby opens the page with its form.
func lobby(t *testing.T, url string) *tab {
	t.Helper()
	tb := sharedChromium(t).open(t, "page", url)
	tb.requireState("idle")
	return tb
}
