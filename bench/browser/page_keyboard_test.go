//go:build browser

package browser

import (
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// focused describes what has the focus, and whether one can see that it has.
type focused struct {
	What string
	Ring float64 // width of the outline in CSS pixels
}

const readFocus = `(() => {
	const e = document.activeElement;
	if (e === document.body) return { what: "BODY", ring: 99 };
	const drawn = e.matches("input[type=radio]") ? e.nextElementSibling : e;
	const style = getComputedStyle(drawn);
	return { what: e.id || e.name || e.dataset.connection || e.className || e.tagName, ring: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth) };
})()`

// tabTo presses Tab until the focus is there and returns what it came through.
func (tb *tab) tabTo(want string) (way []string) {
	tb.t.Helper()
	for range 40 {
		tb.press(kb.Tab)
		f := eval[focused](tb, readFocus)
		if f.Ring < 2 {
			tb.t.Errorf("%s has the focus, and it cannot be seen", f.What)
		}
		way = append(way, f.What)
		if f.What == want {
			return way
		}
	}
	tb.t.Fatalf("Tab never comes to %s, only to %v", want, way)
	return nil
}

func TestPageByKeyboardOnly(t *testing.T) {
	s := startServer(t)
	other := openPage(t, s, "other", little+"&pattern=3")
	tb := lobby(t, s.URL()+"?pattern=4&pattern_size=320x180&fps=10&codec=VP8")
	tb.tabTo("channel")
	tb.run(`document.activeElement.select()`)
	tb.press(channelName(t))
	tb.tabTo("video")
	tb.press(kb.ArrowRight, kb.ArrowRight) // from the camera to the test pattern
	tb.tabTo("audio")
	tb.press(kb.ArrowRight)
	way := tb.tabTo("connect")
	if !slices.Contains(way, "SUMMARY") {
		t.Errorf("the options were not on the way: %v", way)
	}
	tb.press(kb.Enter)
	tb.requireState("live")
	id := other.connectionID()
	tb.requireOnly(id)
	other.requireVideo(tb.connectionID(), 4)

	tb.press("m")
	tb.requireTrue("muted", `document.querySelector("#mic").getAttribute("aria-pressed") === "true"`)
	tb.requireText("#mic", "Unmute")
	tb.press("m")
	tb.press("s")
	tb.requireTrue("plots are open", `document.querySelector(".plots").checkVisibility()`)
	tb.press("s", "l")
	tb.requireTrue("the log is open", `document.querySelector("#log").checkVisibility()`)
	tb.tabTo("log-filter")
	tb.press("m", "s") // typed, not obeyed
	if value := eval[string](tb, `document.querySelector("#log-filter").value`); value != "ms" {
		t.Errorf("the filter has %q", value)
	}
	if tb.attribute("#mic", "aria-pressed") != "false" || tb.attribute("#stats", "aria-pressed") != "false" {
		t.Error("a key was obeyed while typing")
	}
	tb.press(kb.Escape)
	tb.requireTrue("the log is closed and the focus on its button", `document.querySelector("#log").hidden && document.activeElement.id === "log-open"`)

	tb.press("?")
	tb.requireText("#keys", "go from tile to tile")
	tb.press("m") // not behind a dialog
	tb.press(kb.Escape)
	tb.requireTrue("the list of keys is closed", `!document.querySelector("#keys").open`)
	if tb.attribute("#mic", "aria-pressed") != "false" {
		t.Error("a key went through the dialog")
	}

	// With nothing in focus the arrows start at the first tile.
	tb.run(`document.activeElement.blur()`)
	tb.press(kb.ArrowRight)
	tb.requireTrue("our tile has the focus", `document.activeElement.dataset.connection === "own"`)
	tb.press(kb.ArrowRight)
	tb.requireTrue("the other tile has the focus", `document.activeElement.dataset.connection === "`+id+`"`)
	if f := eval[focused](tb, readFocus); f.Ring < 2 {
		t.Errorf("the focus on a tile cannot be seen: %+v", f)
	}
	wide := `document.activeElement.clientWidth > 1.5 * document.querySelector("[data-connection=own]").clientWidth`
	tb.press(kb.Enter)
	tb.requireTrue("it is enlarged", wide)
	tb.press(kb.Enter)
	tb.requireTrue("it is not any more", "!("+wide+")")
	tb.press("f")
	tb.requireTrue("the tile fills the screen", `document.fullscreenElement?.dataset.connection === "`+id+`"`)
	tb.press("f")
	tb.requireTrue("back from full screen", `document.fullscreenElement === null`)
	tb.tabTo("icon pin")
	tb.tabTo("icon sound")
	tb.press(" ")
	tb.requireTrue("the other is muted", `document.activeElement.closest(".tile").querySelector("video").muted`)
	tb.tabTo("leave")
	tb.press(kb.Enter)
	tb.requireState("idle")
}

func TestPageCopiesTheLink(t *testing.T) {
	s := startServer(t)
	tb := openPage(t, s, "page", little)
	want := s.URL() + "?channel=" + channelName(t)
	tb.run(`Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { globalThis.copied = text; } }, configurable: true })`)
	tb.click("#invite")
	tb.requireTrue("it is copied", `globalThis.copied === `+jsString(want))
	tb.requireText("#news", "Link copied")
	tb.run(`Object.defineProperty(navigator, "clipboard", { value: undefined })`)
	tb.press("c")
	tb.requireTrue("it is there, selected", `document.querySelector("#link-dialog").open && document.querySelector("#link-field").value === `+jsString(want)+
		` && document.querySelector("#link-field").selectionEnd === `+jsString(want)+`.length`)
}
