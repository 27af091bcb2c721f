//go:build browser

package browser

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

func TestPageLogsSignaling(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	one := openPage(t, s, "one", little+"&role=sendonly")
	two := openPage(t, s, "two", "role=recvonly&client_id=Kenji")
	one.press("l")
	one.requireText("#log", "connection.created · Kenji · recvonly · 2 connected")
	types := eval[[]string](one, `[...document.querySelectorAll("#entries .entry:not(.note)")].map((e) => e.querySelector(".way").textContent + " " + e.querySelector(".type").textContent)`)
	if got := strings.Join(types[:3], ", "); got != "sent connect, received offer, sent answer" {
		t.Errorf("the log begins with %s", got)
	}
	// A message opens to its JSON, and to its SDP as lines.
	one.click("#entries .entry.received summary")
	one.requireText("#entries .entry.received pre", `"connection_id": "`+one.connectionID()+`"`)
	if text := eval[string](one, `document.querySelector("#entries .entry.received pre").textContent`); !strings.Contains(text, "\na=ice-lite\n") ||
		!strings.Contains(text, "\n\nm=audio ") || strings.Contains(text, `\r\n`) {
		t.Errorf("the offer is shown as %s", text)
	}
	if size := eval[string](one, `document.querySelector("#entries .entry.received .size").textContent`); !strings.HasSuffix(size, " kB") {
		t.Errorf("the size of the offer is %q", size)
	}

	// Pings are there only if they are wanted; the filter looks into the messages.
	visible := func(what string) string {
		return `[...document.querySelectorAll("#entries .entry:not([hidden])")].some((e) => e.querySelector(".type").textContent === "` + what + `")`
	}
	if eval[bool](one, visible("ping")) {
		t.Error("pings are shown without being asked for")
	}
	one.click(".check")
	one.requireTrue("pings are shown", visible("ping"))
	one.click(".check")
	one.requireTrue("those that have come are hidden again", "!"+visible("ping"))
	one.run(`{ const f = document.querySelector("#log-filter"); f.value = "KENJI"; f.dispatchEvent(new Event("input")); }`)
	one.requireTrue("one message is left", `document.querySelectorAll("#entries .entry:not([hidden])").length === 1`)
	one.requireText("#log-count", "1 of ")

	// Without a clipboard the text is there to be copied by hand.
	one.run(`Object.defineProperty(navigator, "clipboard", { value: undefined })`)
	one.click("#log-copy")
	lines := strings.Split(eval[string](one, `document.querySelector("#link-field").value`), "\n")
	if len(lines) < 8 || !strings.Contains(lines[2], ` sent {"type":"connect"`) {
		t.Errorf("copied: %q", lines)
	}
	one.press(kb.Escape)
	one.press(kb.Escape)
	one.requireTrue("the drawer is closed", `document.querySelector("#log").hidden`)
	two.requireState("live")
}

func TestPageLogIsBounded(t *testing.T) {
	besideChurn(t)
	base, _ := recorder(t)
	tb := lobby(t, base)
	type result struct {
		Nodes, Lines int
		First, Last  string
	}
	got := eval[result](tb, `import("/log.js").then(({ Log, KEEP }) => {
		const list = document.createElement("div");
		const input = () => document.createElement("input");
		const log = new Log({ list, filter: input(), pings: input(), count: document.createElement("span") });
		for (let i = 0; i < KEEP + 7; i++) log.add({ way: "sent", text: JSON.stringify({ type: "t" + i }) });
		log.add({ way: "received", text: "{not json" });
		return { nodes: list.childElementCount, lines: log.toText().split("\n").length,
			first: list.firstElementChild.querySelector(".type").textContent, last: list.lastElementChild.querySelector(".type").textContent };
	})`)
	if got != (result{500, 500, "t8", "not JSON"}) {
		t.Errorf("%+v", got)
	}
	// Long messages push out more than one.
	left := eval[[]int](tb, `import("/log.js").then(({ Log, KEEP_TEXT }) => {
		const list = document.createElement("div");
		const input = () => document.createElement("input");
		const log = new Log({ list, filter: input(), pings: input(), count: document.createElement("span") });
		const half = "x".repeat(KEEP_TEXT / 2 - 10);
		for (const text of ["a", "b", half, half, half]) log.add({ way: "sent", text });
		const kept = list.childElementCount;
		log.add({ way: "sent", text: "x".repeat(2 * KEEP_TEXT) });
		return [kept, list.childElementCount];
	})`)
	if !slices.Equal(left, []int{2, 1}) {
		t.Errorf("of long messages %v are left", left)
	}
}
