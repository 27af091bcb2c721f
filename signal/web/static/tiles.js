// The grid of pictures: one tile for ourselves and one for each connection that
// we receive, with a line of figures from the browser's statistics.

const template = document.querySelector("#tile");

export class Tiles {
  constructor(root) {
    this.root = root;
    this.tiles = new Map();
    this.previous = new Map(); // bytes and time of the last reading, by track
  }

  // addOwn shows what we send. It is silent here, and mirrored if it is a camera,
  // as people expect of a mirror.
  addOwn(stream, mirror) {
    const tile = this.add("own", "You", stream);
    tile.video.muted = true;
    tile.sound.remove();
    tile.figure.classList.toggle("mirror", mirror);
  }

  // addRemote shows another connection. `blocked` is called if the browser will
  // not play sound before the person has touched the page; the picture plays.
  async addRemote(stream, blocked) {
    const tile = this.add(stream.id, stream.id.slice(0, 6), stream);
    tile.figure.title = `Connection ${stream.id}`;
    tile.sound.onclick = () => {
      tile.blocked = false;
      this.setMuted(tile, !tile.video.muted);
    };
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
  }

  clear() {
    for (const id of [...this.tiles.keys()]) this.remove(id);
    this.previous.clear();
  }

  get remoteCount() {
    return this.tiles.size - (this.tiles.has("own") ? 1 : 0);
  }

  add(id, name, stream) {
    this.remove(id);
    const figure = template.content.firstElementChild.cloneNode(true);
    figure.dataset.connection = id;
    const tile = {
      figure,
      video: figure.querySelector("video"),
      facts: figure.querySelector(".facts"),
      sound: figure.querySelector(".sound"),
    };
    figure.querySelector(".name").textContent = name;
    tile.video.setAttribute("aria-label", id === "own" ? "Your own picture" : `Picture of ${name}`);
    tile.sound.setAttribute("aria-label", `Mute ${name}`);
    tile.video.srcObject = stream;
    this.tiles.set(id, tile);
    this.root.append(figure);
    return tile;
  }

  setMuted(tile, muted) {
    tile.video.muted = muted;
    tile.sound.setAttribute("aria-pressed", String(muted));
    tile.sound.textContent = muted ? "Muted" : "Sound on";
  }

  // showFacts writes size, frame rate and bit rate under each picture.
  showFacts(reports) {
    for (const report of reports) {
      if (report.kind !== "video") continue;
      if (report.type === "outbound-rtp") {
        this.showRate("own", report, report.bytesSent);
      } else if (report.type === "inbound-rtp") {
        this.showRate(this.ownerOf(report.trackIdentifier), report, report.bytesReceived);
      }
    }
  }

  ownerOf(trackId) {
    for (const [id, tile] of this.tiles) {
      if (tile.video.srcObject.getTracks().some((track) => track.id === trackId)) return id;
    }
    return "";
  }

  showRate(id, report, bytes) {
    const tile = this.tiles.get(id);
    const last = this.previous.get(report.id);
    this.previous.set(report.id, { bytes, at: report.timestamp });
    if (!tile || !last || !report.frameWidth) return;
    const kbps = Math.max(0, ((bytes - last.bytes) * 8) / (report.timestamp - last.at));
    const fps = Math.round(report.framesPerSecond ?? 0);
    tile.facts.textContent =
      `${report.frameWidth}×${report.frameHeight} · ${fps} fps · ${Math.round(kbps)} kbps`;
  }
}
