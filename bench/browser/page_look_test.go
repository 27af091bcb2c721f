//go:build browser

package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// readFaults lists what makes a page hard to use: text with too little contrast
// (WCAG 2.2, 1.4.3), what can be pressed but has no name, and what sticks out of the
// window. On phones also what is too small to be hit. Text inside a running sentence
// is exempt from that, as in WCAG 2.5.8.
const readFaults = `((phone) => {
	const faults = [];
	const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const known = new Map();
	const rgba = (colour) => known.get(colour) ?? known.set(colour, read(colour)).get(colour);
	const read = (colour) => {
		pixel.clearRect(0, 0, 1, 1);
		pixel.fillStyle = colour;
		pixel.fillRect(0, 0, 1, 1);
		return [...pixel.getImageData(0, 0, 1, 1).data];
	};
	const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a / 255 + under[i] * (1 - a / 255));
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
		return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
	};
	const luminance = (colour) => {
		const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const visible = (e) => e.checkVisibility({ opacityProperty: true }) && e.getClientRects().length > 0;
	const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.className.baseVal ?? e.className ? "." + e.className : "");
	for (const e of document.body.querySelectorAll("*")) {
		if (!visible(e) || e.closest(":disabled, [hidden], abbr, svg, fieldset:disabled")) continue;
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
		if (text && !e.matches("option, .text")) {
			const style = getComputedStyle(e);
			const back = ground(e);
			const [a, b] = [luminance(over(rgba(style.color), back)), luminance(back)].sort((x, y) => y - x);
			const ratio = (a + 0.05) / (b + 0.05);
			if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faults.push("contrast " + ratio.toFixed(2) + " of " + name(e) + " " + text.slice(0, 30));
		}
		if (!e.matches("button, input, select, textarea, summary")) continue;
		// Only text that is shown names a button, and the options of a list do not name it.
		const label = (e.matches("button, summary") && e.innerText.trim()) || e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.title;
		if (!label) faults.push("no name: " + name(e));
		const box = (e.matches("input[type=radio], input[type=checkbox]") ? e.parentElement : e).getBoundingClientRect();
		if (box.left < -0.5 || box.right > innerWidth + 0.5) faults.push("sticks out: " + name(e));
		if (phone && !e.matches(".link") && Math.min(box.width, box.height) < 43.5) faults.push("small: " + name(e) + " " + box.width + "x" + box.height);
	}
	const root = document.documentElement;
	if (root.scrollWidth > root.clientWidth) faults.push("the page is " + root.scrollWidth + " wide");
	return faults;
})`

var windows = []struct {
	width, height int
	scheme        string
}{
	{360, 740, "light"}, {360, 740, "dark"}, {768, 1024, "light"}, {1440, 900, "light"}, {1440, 900, "dark"}, {2560, 1300, "dark"},
}

// inspect looks at the page in every window, in light and dark, and leaves pictures.
func (tb *tab) inspect(dir, what string) {
	tb.t.Helper()
	for _, w := range windows {
		tb.look(w.width, w.height, w.scheme)
		where := fmt.Sprintf("%s-%d-%s", what, w.width, w.scheme)
		faults := eval[[]string](tb, fmt.Sprintf("new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(%s(%v)))))", readFaults, w.width < 500))
		for _, fault := range faults {
			tb.t.Errorf("%s: %s", where, fault)
		}
		png, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			tb.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, where+".png"), png, 0o644); err != nil {
			tb.t.Fatal(err)
		}
	}
	tb.t.Logf("screenshots: %s", filepath.Join(dir, what+"-*.png"))
}

func TestPageFitsEveryWindowInLightAndDark(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	if keep := os.Getenv("PAGE_SCREENSHOTS"); keep != "" {
		dir = keep
	}
	form := lobby(t, s.URL()+"?client_id=Hanako")
	form.click("#more summary")
	form.run(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"))`)
	form.click("#connect")
	form.requireText("#alert", "told not to use")
	form.inspect(dir, "form")

	one := openPage(t, s, "one", little+"&pattern=5")
	openPage(t, s, "two", little+"&pattern=1&client_id="+strings.Repeat("LongName", 12))
	openPage(t, s, "three", little+"&pattern=4&video=none&client_id=Kenji")
	one.requireTrue("there are figures", `document.querySelectorAll(".facts .rate:not(:empty)").length === 3`)
	one.inspect(dir, "call")
	one.press("s", "l")
	one.click("#source")
	one.inspect(dir, "open")
}

func TestPageMovesNothingForWhoWantsThat(t *testing.T) {
	base, _ := recorder(t)
	tb := lobby(t, base)
	moving := `document.getAnimations().filter((a) => a.playState === "running").length`
	if n := eval[int](tb, moving); n == 0 {
		t.Error("nothing moves: the test would see nothing")
	}
	_, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		t.Fatal(err)
	}
	tb.requireTrue("it stands still", moving+" === 0")
}

// A crowd that comes at once does not cover the stage.
func TestPageTellsAFewNewsAtATime(t *testing.T) {
	base, _ := recorder(t)
	tb := lobby(t, base)
	n := eval[int](tb, `import("/frame.js").then(({ Frame }) => {
		for (let i = 0; i < 50; i++) Frame.prototype.showNews("somebody joined " + i);
		return document.querySelector("#news").childElementCount;
	})`)
	if n != 3 || !strings.Contains(tb.text("#news"), "somebody joined 49") {
		t.Errorf("%d lines: %s", n, tb.text("#news"))
	}
	tb.requireTrue("they go by themselves", `document.querySelector("#news").childElementCount === 0`)
}

func TestPageTilesFitTheStage(t *testing.T) {
	base, _ := recorder(t)
	tb := lobby(t, base)
	type tried struct {
		Count, Width, Height, Tile int
		Plots                      bool
	}
	all := eval[[]tried](tb, `import("/layout.js").then(({ grid }) => {
		const all = [];
		for (const [width, height] of [[344, 560], [740, 900], [1400, 760], [2500, 1160]]) {
			for (let count = 1; count <= 16; count++) {
				for (const plots of [false, true]) all.push({ count, width, height, plots, tile: grid(count, width, height, plots) });
			}
		}
		return all;
	})`)
	if len(all) != 128 {
		t.Fatalf("%d layouts", len(all))
	}
	for _, a := range all {
		const gap, caption = 12, 44
		columns := (a.Width + gap) / (a.Tile + gap)
		if columns == 0 || a.Tile < 150 {
			t.Errorf("%+v: no tile of a useful size", a)
			continue
		}
		rows := (a.Count + columns - 1) / columns
		height := rows*(a.Tile*9/16+caption) + (rows-1)*gap
		// On a desktop everything is in sight.
		if a.Width >= 1400 && !a.Plots && height > a.Height {
			t.Errorf("%+v: %d rows of %d are %d high", a, rows, columns, height)
		}
		// One more pixel row of video could not be had: the stage is used.
		if a.Width >= 1400 && !a.Plots && a.Count <= 4 && float64(a.Count*a.Tile*a.Tile*9/16) < 0.3*float64(a.Width*a.Height) {
			t.Errorf("%+v: the video has less than a third of the stage", a)
		}
	}
}

func TestPagePlotsTheFigures(t *testing.T) {
	s := startServer(t)
	one := openPage(t, s, "one", little+"&pattern=2")
	two := openPage(t, s, "two", little+"&pattern=5")
	one.requireVideo(two.connectionID(), 5)
	one.click("#stats")
	for _, metric := range []string{"kbps", "fps", "height", "loss", "jitter", "rtt"} {
		for _, id := range []string{"own", two.connectionID()} {
			plot := fmt.Sprintf(`.tile[data-connection="%s"] [data-metric="%s"]`, id, metric)
			one.requireTrue("a line of "+metric+" of "+id, fmt.Sprintf(`(() => {
				const canvas = document.querySelector(%s);
				const drawn = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v > 0);
				return Number(canvas.dataset.points) >= 2 && drawn && /^\d+(\.\d)?$/.test(canvas.closest(".plot").querySelector(".value").textContent);
			})()`, jsString(plot+" canvas")))
		}
	}
	one.requireText(`.tile[data-connection="own"] [data-metric="height"] .value`, "180")
	// Changing figures move nothing.
	one.run(`{ const tile = () => [...document.querySelectorAll(".tile, .name, .plot")].map((e) => JSON.stringify(e.getBoundingClientRect())).join(";");
		globalThis.places = new Set([tile()]); globalThis.readings = 0;
		new MutationObserver(() => { readings++; places.add(tile()); }).observe(document.querySelector("#tiles"), { subtree: true, characterData: true, childList: true }); }`)
	one.requireTrue("three readings", "readings >= 3")
	if n := eval[int](one, "places.size"); n != 1 {
		t.Errorf("tiles and plots were in %d places", n)
	}
	one.click("#stats")
	one.requireTrue("the plots are closed", `!document.querySelector(".plots").checkVisibility()`)
	one.requireTrue("who sounds is marked", fmt.Sprintf(`document.querySelector('[data-connection="%s"]').classList.contains("speaking")`, two.connectionID()))
}
