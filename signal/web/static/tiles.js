// The stage: one tile for ourselves and one for each connection that we receive,
// with a line of figures and, if wanted, plots of them.

import { GAP, grid, pinned, plotColumns } from "./layout.js";
import { Plots } from "./plots.js";
import { show } from "./stats.js";

const template = document.querySelector("#tile");

// SPEAKING is the audio level, 0 to 1, from which somebody is shown as speaking.
const SPEAKING = 0.01;
// The mark stays a little, so that it does not flicker between two words.
const SPEAKING_HOLD_MS = 700;

const PADDING = 3; // of the stage, as in stage.css

export class Tiles {
  constructor(root) {
    this.root = root;
    this.tiles = new Map();
    this.names = new Map(); // connection id -> client id
    this.plots = false;
    this.pinnedId = "";
    // In the next frame: sizes that change while they are observed are an error.
    new ResizeObserver(() => requestAnimationFrame(() => this.layout())).observe(root);
    root.addEventListener("keydown", (event) => this.key(event));
  }

  // showOwn shows what we send; a camera is mirrored, as people expect of a mirror.
  showOwn(track, mirror) {
    let tile = this.tiles.get("own");
    if (!tile) {
      tile = this.add("own");
      tile.video.muted = true; // nobody wants to hear themselves
      tile.sound.remove();
      this.root.prepend(tile.figure);
      this.rename("own");
    }
    tile.video.srcObject = track ? new MediaStream([track]) : null;
    tile.figure.classList.toggle("mirror", mirror);
    this.markEmpty(tile, !track);
    this.layout();
  }

  // addRemote shows another connection. `blocked` is called if the browser will
  // not play sound before the person has touched the page; the picture plays.
  async addRemote(stream, blocked) {
    const tile = this.add(stream.id);
    tile.video.srcObject = stream;
    this.root.append(tile.figure);
    this.rename(stream.id);
    this.layout();
    tile.sound.onclick = () => {
      tile.blocked = false;
      this.setMuted(tile, !tile.video.muted);
    };
    // Without a first frame there is only a name: a voice without a picture, or one
    // in a codec that this browser does not know.
    this.markEmpty(tile, true);
    tile.video.onresize = () => this.markEmpty(tile, tile.video.videoWidth === 0);
    try {
      await tile.video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // removed before it played
      tile.blocked = true;
      this.setMuted(tile, true);
      tile.video.play().catch(() => {});
      blocked();
    }
  }

  // unblock turns the sound on that the browser had refused, and says whether
  // there was any.
  unblock() {
    const blocked = [...this.tiles.values()].filter((tile) => tile.blocked);
    for (const tile of blocked) {
      tile.blocked = false;
      this.setMuted(tile, false);
    }
    return blocked.length > 0;
  }

  remove(id) {
    const tile = this.tiles.get(id);
    if (!tile) return;
    tile.video.srcObject = null;
    tile.figure.remove();
    this.tiles.delete(id);
    if (this.pinnedId === id) this.pinnedId = "";
    this.layout();
  }

  // clearRemote takes everybody else away and leaves our own tile.
  clearRemote() {
    for (const id of [...this.tiles.keys()]) if (id !== "own") this.remove(id);
    this.names.clear();
  }

  clear() {
    this.clearRemote();
    this.remove("own");
  }

  get remoteCount() {
    return this.tiles.size - (this.tiles.has("own") ? 1 : 0);
  }

  add(id) {
    this.remove(id);
    const figure = template.content.firstElementChild.cloneNode(true);
    figure.dataset.connection = id;
    const part = (name) => figure.querySelector(name);
    const tile = {
      id, figure, video: part("video"), name: part(".name"), facts: part(".facts"),
      sound: part(".sound"), pin: part(".pin"), plots: new Plots(part(".plots")), spoke: 0,
    };
    tile.pin.onclick = () => this.togglePin(id);
    tile.video.ondblclick = () => this.togglePin(id);
    this.tiles.set(id, tile);
    return tile;
  }

  // rename shows the name that a connection has now.
  rename(id) {
    const tile = this.tiles.get(id);
    if (!tile) return;
    const name = id === "own" ? "You" : this.nameOf(id);
    tile.name.textContent = name;
    tile.name.title = id === "own" ? "" : `Connection ${id}`;
    tile.figure.setAttribute("aria-label", id === "own" ? "Your own picture" : name);
    tile.video.setAttribute("aria-label", id === "own" ? "Your own picture" : `Picture of ${name}`);
    this.labelSound(tile);
    this.labelPin(tile);
  }

  // setName notes the client id of a connection; without one of its own it has a
  // short form of the connection's id.
  setName(id, clientId) {
    if (clientId && clientId !== id) this.names.set(id, clientId);
    this.rename(id);
  }

  // forget is for a connection that is gone and whose name nobody asks for any more.
  forget(id) {
    this.names.delete(id);
  }

  nameOf(id) {
    return this.names.get(id) ?? id.slice(0, 6);
  }

  markEmpty(tile, empty) {
    tile.figure.classList.toggle("empty", empty);
  }

  setMuted(tile, muted) {
    tile.video.muted = muted;
    tile.sound.setAttribute("aria-pressed", String(muted));
    this.labelSound(tile);
  }

  labelSound(tile) {
    const text = tile.sound.querySelector(".text");
    if (text) text.textContent = tile.video.muted ? "Muted" : "Sound on";
    tile.sound.title = tile.video.muted ? "Turn the sound on" : "Mute";
    tile.sound.setAttribute("aria-label", `Mute ${tile.name.textContent}`);
  }

  labelPin(tile) {
    const on = this.pinnedId === tile.id;
    tile.pin.setAttribute("aria-pressed", String(on));
    tile.pin.title = on ? "Back to the grid" : "Enlarge";
    tile.pin.setAttribute("aria-label", `Enlarge ${tile.name.textContent}`);
  }

  togglePin(id) {
    this.pinnedId = this.pinnedId === id ? "" : id;
    for (const tile of this.tiles.values()) {
      tile.figure.classList.toggle("pinned", tile.id === this.pinnedId);
      this.labelPin(tile);
    }
    this.layout();
  }

  // showPlots opens or closes the plots of all tiles.
  showPlots(on) {
    this.plots = on;
    this.root.classList.toggle("with-plots", on);
    this.layout();
  }

  // layout gives every tile the largest size that the stage has for it.
  layout() {
    const width = this.root.clientWidth - 2 * PADDING;
    const height = this.root.clientHeight - 2 * PADDING;
    const count = this.tiles.size;
    if (width <= 0 || !count) return;
    const large = this.tiles.get(this.pinnedId);
    const sizes = large ? pinned(count, width, height, this.plots) : { strip: grid(count, width, height, this.plots) };
    this.root.classList.toggle("beside", Boolean(sizes.beside));
    this.root.classList.toggle("has-pinned", Boolean(large));
    this.root.style.setProperty("--gap", `${GAP}px`);
    for (const tile of this.tiles.values()) {
      const w = tile === large ? sizes.main : sizes.strip;
      tile.figure.style.width = `${w}px`;
      tile.figure.dataset.size = w < 230 ? "small" : w < 400 ? "medium" : "large";
      tile.figure.style.setProperty("--plot-columns", plotColumns(w));
    }
  }

  // showFigures writes the figures of each connection and draws its plots.
  showFigures(meter) {
    for (const tile of this.tiles.values()) {
      const history = meter.history.get(tile.id);
      if (!history) continue;
      this.writeFacts(tile, history.at(-1));
      if (this.plots) tile.plots.draw(history);
    }
  }

  writeFacts(tile, figure) {
    const picture = figure.width
      ? [["size", `${figure.width}×${figure.height}`], ["fps", `${show(figure.fps)} fps`]] : [];
    const values = new Map([
      ...picture, ["rate", `${show(figure.kbps)} kbps`], ["codec", figure.codec ?? figure.audioCodec ?? ""],
    ]);
    for (const span of tile.facts.children) span.textContent = values.get(span.className) ?? "";
    tile.facts.title = `Loss ${show(figure.loss, 1)} %, jitter ${show(figure.jitter)} ms, round trip ${show(figure.rtt)} ms, ` +
      `sound ${show(figure.audioKbps)} kbps${figure.limited && figure.limited !== "none" ? `, limited by ${figure.limited}` : ""}`;
  }

  // showLevels marks who speaks; levels is a Map from connection to 0..1.
  showLevels(levels, now = performance.now()) {
    for (const tile of this.tiles.values()) {
      if ((levels.get(tile.id) ?? 0) >= SPEAKING) tile.spoke = now;
      tile.figure.classList.toggle("speaking", tile.spoke > 0 && now - tile.spoke < SPEAKING_HOLD_MS);
    }
  }

  // key moves between tiles with the arrows and enlarges with Enter.
  key(event) {
    const all = [...this.root.children];
    const at = all.indexOf(event.target);
    if (at < 0) return; // on a button inside
    const columns = this.columns();
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      all[Math.max(0, Math.min(all.length - 1, to))].focus();
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      this.togglePin(event.target.dataset.connection);
      event.preventDefault();
    }
  }

  // focusFirst is where the arrows start when no tile has the focus.
  focusFirst() {
    this.root.firstElementChild?.focus();
  }

  // columns counts the tiles in the first row.
  columns() {
    const all = [...this.root.children];
    return all.filter((tile) => tile.offsetTop === all[0].offsetTop).length || 1;
  }
}
