// The synthetic camera and microphone: a moving picture drawn on a canvas and a
// quiet tone. Both carry an identity, so that a viewer (or a test) can tell
// whose picture arrived and whether it moves:
//
//   - the band at the top has one of eight colours,
//   - the strip at the bottom is a row of black and white cells which spell the
//     number of the colour and a frame counter.

// COLOURS[n] is the colour of the band of pattern n.
export const COLOURS = [
  [0xd6, 0x3a, 0x3a], // red
  [0xe0, 0x8a, 0x1e], // orange
  [0xc9, 0xb4, 0x1c], // yellow
  [0x3f, 0xa3, 0x4d], // green
  [0x1f, 0x9f, 0xa8], // teal
  [0x3b, 0x6f, 0xd4], // blue
  [0x85, 0x4f, 0xcf], // violet
  [0xcf, 0x4a, 0x9b], // pink
];

// The strip: white and black to find the levels, 3 bits of colour, 12 bits of
// frame counter (both with the highest bit first), one bit that makes the number of
// ones even, black and white again. Large cells survive scaling and low bit rates.
export const STRIP = { cells: 20, top: 0.88, colourBits: 3, counterBits: 12 };

// Everything but the strip is drawn in units of a picture of this size and scaled.
const WIDTH = 640;
const HEIGHT = 360;

// stripBits returns the cells of one frame from left to right, 1 for white.
export function stripBits(colour, frame) {
  const bits = [];
  const put = (value, count) => {
    for (let i = count - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(colour, STRIP.colourBits);
  put(frame & ((1 << STRIP.counterBits) - 1), STRIP.counterBits);
  const parity = bits.reduce((sum, bit) => sum ^ bit, 0);
  return [1, 0, ...bits, parity, 0, 1];
}

// TestPattern draws `fps` pictures a second until stop() and offers them as
// `track`. Below about 160 pixels of width the strip is too fine to be read back
// after a codec.
export class TestPattern {
  constructor(colour, fps = 25, width = WIDTH, height = HEIGHT) {
    this.colour = colour % COLOURS.length;
    this.frame = 0;
    this.started = performance.now();
    this.canvas = document.createElement("canvas");
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.draw();
    // Without a rate every picture drawn is captured. With one, a timer of the same period as
    // the drawing picks pictures, and may leave some out while the two are in step.
    this.track = this.canvas.captureStream().getVideoTracks()[0];
    this.track.contentHint = "motion";
    this.ticker = new Worker(new URL("ticker.js", import.meta.url));
    this.ticker.onmessage = () => this.draw();
    this.ticker.postMessage(1000 / fps);
  }

  stop() {
    this.ticker.terminate();
    this.track.stop();
  }

  draw() {
    const seconds = (performance.now() - this.started) / 1000;
    const { width, height } = this.canvas;
    this.context.setTransform(width / WIDTH, 0, 0, height / HEIGHT, 0, 0);
    drawSky(this.context, this.colour, seconds);
    drawBird(this.context, seconds);
    drawBand(this.context, this.colour, this.frame, seconds);
    this.context.resetTransform();
    drawStrip(this.context, stripBits(this.colour, this.frame), width, height);
    this.frame++;
  }
}

function rgb([r, g, b], share = 1) {
  return `rgb(${Math.round(r * share)} ${Math.round(g * share)} ${Math.round(b * share)})`;
}

// drawSky paints hills of the pattern's colour that pass by at three speeds.
function drawSky(c, colour, seconds) {
  const base = COLOURS[colour];
  const sky = c.createLinearGradient(0, 0, 0, HEIGHT);
  sky.addColorStop(0, rgb(base, 0.28));
  sky.addColorStop(1, rgb(base, 0.62));
  c.fillStyle = sky;
  c.fillRect(0, 0, WIDTH, HEIGHT);
  for (let layer = 0; layer < 3; layer++) {
    const y = HEIGHT * (0.62 + layer * 0.09);
    const offset = seconds * (18 + layer * 26);
    c.fillStyle = rgb(base, 0.5 - layer * 0.13);
    c.beginPath();
    c.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH; x += 16) {
      const at = (x + offset) / (90 - layer * 14);
      c.lineTo(x, y + Math.sin(at + layer * 2) * 16 + Math.sin(at * 2.3) * 7);
    }
    c.lineTo(WIDTH, HEIGHT);
    c.fill();
  }
}

// drawBird paints a swallow on a curve that crosses the whole picture.
function drawBird(c, seconds) {
  const at = (t) => [
    WIDTH * (0.5 + 0.36 * Math.sin(t * 0.7)),
    HEIGHT * (0.51 + 0.13 * Math.sin(t * 1.4 + 0.6)),
  ];
  const [x, y] = at(seconds);
  const [ahead, above] = at(seconds + 0.05);
  const flap = Math.sin(seconds * 9);
  c.save();
  c.translate(x, y);
  c.rotate(Math.atan2(above - y, ahead - x));
  c.scale(1.25, above === y && ahead < x ? -1.25 : 1.25);
  c.fillStyle = "#f4f6fb";
  for (const side of [-1, 1]) {
    const tip = side * (46 + 14 * flap);
    c.beginPath(); // a wing: long, narrow, swept back
    c.moveTo(16, side * 4);
    c.quadraticCurveTo(10, tip * 0.75, -30, tip);
    c.quadraticCurveTo(-4, tip * 0.45, -12, side * 4);
    c.fill();
    c.beginPath(); // one half of the fork of the tail
    c.moveTo(-14, side * 1);
    c.quadraticCurveTo(-36, side * 3, -60, side * 15);
    c.quadraticCurveTo(-34, side * 8, -14, side * 5);
    c.fill();
  }
  c.beginPath();
  c.ellipse(2, 0, 25, 8, 0, 0, 2 * Math.PI);
  c.fill();
  c.fillStyle = "#d6543a";
  c.beginPath();
  c.ellipse(21, 0, 6, 5.5, 0, 0, 2 * Math.PI);
  c.fill();
  c.restore();
}

// drawBand paints the identity colour; its middle stays free of text because
// tests look there.
function drawBand(c, colour, frame, seconds) {
  const height = HEIGHT * 0.16;
  c.fillStyle = rgb(COLOURS[colour]);
  c.fillRect(0, 0, WIDTH, height);
  c.fillStyle = "#fff";
  c.font = "600 22px system-ui, sans-serif";
  c.textBaseline = "middle";
  c.textAlign = "left";
  c.fillText("test pattern", 18, height / 2);
  c.textAlign = "right";
  c.font = "600 22px ui-monospace, monospace";
  c.fillText(`${seconds.toFixed(1)} s  #${frame}`, WIDTH - 18, height / 2);
}

// drawStrip works in pixels, so that the edges of the cells stay sharp.
function drawStrip(c, bits, width, height) {
  const top = Math.round(height * STRIP.top);
  const cell = width / bits.length;
  bits.forEach((bit, i) => {
    c.fillStyle = bit ? "#fff" : "#000";
    c.fillRect(Math.round(i * cell), top, Math.ceil(cell), height - top);
  });
}

// Tone is a quiet, slowly breathing note, another one for each colour. With
// stereo it is two notes, the colour's own on the left and a fifth above it on
// the right. Browsers keep it silent until the person has touched the page:
// resume() after that.
export class Tone {
  constructor(colour, { stereo = false } = {}) {
    this.context = new AudioContext();
    const out = this.context.createMediaStreamDestination();
    const note = 220 * 2 ** ((colour % COLOURS.length) / 6);
    if (stereo) {
      const sides = this.context.createChannelMerger(2);
      this.breathe(note).connect(sides, 0, 0);
      this.breathe(note * 1.5).connect(sides, 0, 1);
      sides.connect(out);
    } else {
      out.channelCount = 1;
      this.breathe(note).connect(out);
    }
    this.track = out.stream.getAudioTracks()[0];
    this.resume();
  }

  // breathe starts a note whose level goes slowly up and down.
  breathe(frequency) {
    const note = this.context.createOscillator();
    note.frequency.value = frequency;
    const level = this.context.createGain();
    level.gain.value = 0.04;
    const breath = this.context.createOscillator();
    breath.frequency.value = 0.5;
    const depth = this.context.createGain();
    depth.gain.value = 0.02;
    breath.connect(depth).connect(level.gain);
    note.connect(level);
    note.start();
    breath.start();
    return level;
  }

  resume() {
    // Refused before the first gesture: the page calls again on every gesture.
    this.context.resume().catch(() => {});
  }

  stop() {
    this.track.stop();
    this.context.close();
  }
}
