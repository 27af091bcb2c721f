// A picture as screens are shared: a page of text that is turned every four seconds, a column
// of it that scrolls for two of them, and a cursor that blinks.

import { TestPattern } from "/page/pattern.js";

const WORDS = "the packet frame of a viewer is sent when its marker arrives and key pictures begin anew".split(" ");
const LINE = 18; // pixels
const SCROLLED = 200; // lines

// page paints lines of text, from a generator so that each run has the same.
function page(width, lines, seed) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = lines * LINE;
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, canvas.height);
  context.font = "14px monospace";
  for (let line = 0, x = seed; line < lines; line++) {
    let text = `${line}`.padStart(4);
    while (text.length < width / 9) {
      x = (x * 1103515245 + 12345) % 2147483648;
      text += ` ${WORDS[(x >> 8) % WORDS.length]}`;
    }
    context.fillStyle = line % 7 === 0 ? "#06c" : "#222";
    context.fillText(text, 6, line * LINE + 14);
  }
  return canvas;
}

export class Screen extends TestPattern {
  constructor(colour, fps, width = 1280, height = 720) {
    super(colour, fps, width, height);
    this.track.contentHint = "detail";
  }

  draw() {
    const { width, height } = this.canvas;
    const side = Math.round(width * 0.6);
    this.pages ??= [1, 2, 3].map((seed) => page(side, Math.ceil(height / LINE), seed));
    this.text ??= page(width - side, SCROLLED, 4);
    const seconds = (performance.now() - this.started) / 1000;
    const scrolled = Math.floor(seconds / 4) * 2 + Math.min(seconds % 4, 2);
    const top = Math.round(scrolled * 4 * LINE) % (SCROLLED * LINE - height);
    this.context.drawImage(this.pages[Math.floor(seconds / 4) % this.pages.length], 0, 0);
    this.context.drawImage(this.text, 0, top, width - side, height, side, 0, width - side, height);
    this.context.fillStyle = this.frame % 30 < 15 ? "#222" : "#fff";
    this.context.fillRect(40, 40, 2, LINE);
    this.frame++;
  }
}
