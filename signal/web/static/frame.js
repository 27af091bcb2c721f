// What is around the stage: state and status, messages to the person, the drawer,
// full screen, the clipboard.

export const $ = (selector) => document.querySelector(selector);

// News are shown for that long, and no more of them at once than that.
const NEWS_MS = 4000;
const NEWS_LINES = 3;

// write leaves a text alone that is there already: a screen reader says a live region
// again whenever it is written to.
function write(selector, text) {
  const element = $(selector);
  if (element.textContent !== text) element.textContent = text;
}

export class Frame {
  constructor() {
    $("#hint-close").addEventListener("click", () => this.showHint(""));
    $("#alert-close").addEventListener("click", () => this.showAlert(null));
    $("#link-field").addEventListener("focus", ({ target }) => target.select());
    if (!document.documentElement.requestFullscreen) $("#full").hidden = true;
    document.addEventListener("fullscreenchange", () =>
      document.body.classList.toggle("fullscreen", Boolean(document.fullscreenElement)));
  }

  // setState shows a state of body[data-state]: idle, joining, live, waiting.
  setState(state, text, present = 0) {
    document.body.dataset.state = state;
    write("#where", text);
    $("#present").textContent = present ? ` · ${present}` : "";
    $("#connected").hidden = !present;
    document.title = state === "live" ? `${text} · Tsubame` : "Tsubame";
    $("#controls").hidden = state === "idle";
    if (state === "idle") this.toggleLog(false);
  }

  // showAlert takes { title, text } and maybe an action { text, run }; null: none.
  showAlert(why, action) {
    $("#alert-title").textContent = why?.title ?? "";
    $("#alert-text").textContent = why?.text ?? "";
    $("#alert-action").hidden = !action;
    $("#alert-action").textContent = action?.text ?? "";
    $("#alert-action").onclick = action?.run ?? null;
    $("#alert").hidden = !why;
    // Who has pressed Join at the end of a long form must not miss it.
    if (why) $("#notices").scrollIntoView({ block: "nearest" });
  }

  // showWaiting says why we are waiting to come back; null: we are not.
  showWaiting(why) {
    write("#waiting-title", why?.title ?? "");
    $("#waiting-text").textContent = why?.text ?? "";
    $("#waiting").hidden = !why;
  }

  countDown(seconds) {
    $("#countdown").textContent = seconds ? `Trying again in ${seconds} s` : "Trying…";
    $("#retry-now").disabled = !seconds;
  }

  showHint(text) {
    $("#hint-text").textContent = text;
    $("#hint").hidden = !text;
  }

  showNews(text) {
    const line = document.createElement("p");
    line.textContent = text;
    $("#news").append(line);
    if ($("#news").childElementCount > NEWS_LINES) $("#news").firstElementChild.remove();
    setTimeout(() => line.remove(), NEWS_MS);
  }

  // showToggle shows whether something is off, and what pressing would do.
  showToggle(selector, off, whenOn, whenOff, key) {
    const button = $(selector);
    button.setAttribute("aria-pressed", String(off));
    button.querySelector(".text").textContent = off ? whenOff : whenOn;
    button.title = `${off ? whenOff : whenOn} (${key})`;
  }

  toggleLog(open = $("#log").hidden) {
    const drawer = $("#log");
    if (drawer.hidden === !open) return;
    if (!open && drawer.contains(document.activeElement)) $("#log-open").focus();
    drawer.hidden = !open;
    document.body.classList.toggle("with-log", open);
    $("#log-open").setAttribute("aria-expanded", String(open));
    if (open) $("#entries").scrollTop = $("#entries").scrollHeight;
  }

  // toggleFullScreen takes the tile that has the focus, or the whole page.
  async toggleFullScreen() {
    const tile = document.activeElement?.closest(".tile");
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await (tile ?? document.documentElement).requestFullscreen();
    } catch {
      this.showNews("This browser does not allow full screen here");
    }
  }

  // copy puts text into the clipboard. Pages on plain http have none: then it is
  // shown, selected, to be copied by hand.
  async copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      this.showNews(done);
    } catch {
      $("#link-field").value = text;
      $("#link-dialog").showModal();
      $("#link-field").focus();
      $("#link-field").select();
    }
  }
}
