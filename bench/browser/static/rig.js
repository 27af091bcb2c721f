// A small application of the official SDK, driven by the tests: it joins with the
// test pattern, shows everybody whom it receives, and keeps what the SDK reports.

import Sora from "/sdk/sora.js";
import { TestPattern, Tone } from "/page/pattern.js";
import { Screen } from "./screen.js";

// How many entries of the SDK's timeline are kept for a test that fails.
const TIMELINE = 300;

let connection = null;
let stream = null;
let parts = [];
let notifies = [];
let timeline = [];
let disconnected = null;

// NoisyPattern is the test pattern with noise between band and strip, which no
// encoder gets below the bit rate that it is told to keep to.
class NoisyPattern extends TestPattern {
  draw() {
    super.draw();
    this.noise ??= Array.from({ length: 6 }, noise);
    const { width, height } = this.canvas;
    const top = Math.round(height * 0.2);
    this.context.drawImage(this.noise[this.frame % this.noise.length], 0, top, width, Math.round(height * 0.6));
  }
}

// noise paints grey dots, a picture of its own each time.
function noise() {
  const canvas = document.createElement("canvas");
  canvas.width = 240;
  canvas.height = 80;
  const context = canvas.getContext("2d", { alpha: false });
  const dots = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < dots.data.length; i += 4) {
    dots.data.fill(64 + Math.random() * 128, i, i + 3);
    dots.data[i + 3] = 255;
  }
  context.putImageData(dots, 0, 0);
  return canvas;
}

function show(stream) {
  if (document.getElementById(stream.id)) return;
  const video = document.createElement("video");
  video.id = stream.id;
  video.autoplay = true;
  video.playsInline = true;
  video.srcObject = stream;
  video.play().catch((error) => error.name === "AbortError" || probe.note("play", error));
  document.body.append(video);
}

function hide(id) {
  document.getElementById(id)?.remove();
}

// watch keeps what the SDK tells, and notes its errors: those behind the first
// offer are told nowhere else.
function watch() {
  connection.on("notify", (message) => notifies.push(message));
  connection.on("track", (event) => show(event.streams[0]));
  connection.on("removetrack", (event) => {
    // Firefox leaves a track that it refused in the stream: it has ended.
    if (event.target.getTracks().every((track) => track.readyState === "ended")) hide(event.target.id);
  });
  connection.on("timeout", () => probe.note("SDK timeout", connection.connectionId));
  connection.on("signaling", (event) => {
    if (/exception|failed|error/i.test(event.type)) probe.note(`SDK signaling ${event.type}`, JSON.stringify(event.data));
  });
  connection.on("log", (title, text) => {
    if (/error|failed|abend|timeout/i.test(title + (title === "DISCONNECT" ? text : ""))) {
      probe.note(`SDK log ${title}`, JSON.stringify(text));
    }
  });
  connection.on("timeline", (event) => {
    timeline.push(`${Math.round(performance.now())} ${event.logType} ${event.type} ${JSON.stringify(event.data ?? null)}`);
    if (timeline.length > TIMELINE) timeline.shift();
    if (/abend|failed|timeout/.test(event.type)) probe.note(`SDK timeline ${event.type}`, JSON.stringify(event.data));
  });
}

// media makes the tracks that options ask for. wish changes them: fps, width and
// height of the picture, noise in it or a shared screen instead, a stereo sound, and
// audio or video false to have no such track whatever was asked for.
function media(pattern, options, wish) {
  parts = [];
  if (options.video !== false && wish.video !== false) {
    const picture = wish.screen ? Screen : wish.noise ? NoisyPattern : TestPattern;
    parts.push(new picture(pattern, wish.fps, wish.width, wish.height));
  }
  if (options.audio !== false && wish.audio !== false) parts.push(new Tone(pattern, { stereo: wish.stereo }));
  return new MediaStream(parts.map((part) => part.track));
}

// join resolves with our connection id when the SDK says that it is connected.
async function join({ url, channel, role, pattern, options, wish = {}, metadata = null }) {
  notifies = [];
  timeline = [];
  disconnected = null;
  connection = Sora.connection(url, false)[role](channel, metadata, options);
  const connected = new Promise((resolve, reject) => {
    connection.on("connected", resolve);
    connection.on("disconnect", (event) => {
      disconnected = { type: event.type, title: event.title, code: event.code ?? 0, reason: event.reason ?? "" };
      reject(new Error(`disconnected: ${JSON.stringify(disconnected)}`));
    });
  });
  connected.catch(() => {}); // looked at below; a later disconnect is not an error by itself
  watch();
  if (role === "recvonly") {
    await connection.connect();
  } else {
    stream = media(pattern, options, wish);
    await connection.connect(stream);
  }
  await connected;
  return connection.connectionId;
}

// refused resolves with what the SDK says about a connect that the server refuses.
async function refused({ url, channel, role, options, metadata = null }) {
  const attempt = Sora.connection(url, false)[role](channel, metadata, options);
  try {
    await attempt.connect(new MediaStream());
  } catch (error) {
    return { name: error.name, code: error.code ?? 0, reason: error.reason ?? "", message: error.message };
  }
  await attempt.disconnect();
  return { name: "accepted", code: 0, reason: "", message: "" };
}

async function leave() {
  await connection.disconnect();
  for (const part of parts) part.stop();
  parts = [];
  for (const video of document.querySelectorAll("video")) video.remove();
  return disconnected;
}

// setEnabled mutes (false) our own tracks of a kind.
function setEnabled(kind, enabled) {
  for (const { track } of parts) if (track.kind === kind) track.enabled = enabled;
}

// addPicture gives a connection that has no picture one.
async function addPicture(pattern) {
  const part = new TestPattern(pattern);
  parts.push(part);
  await connection.replaceVideoTrack(stream, part.track);
}

// levels measures how loud a sound of each frequency is, in dB, left and right, in
// what arrives from a connection.
const ears = new Map();
function levels(id, frequencies) {
  const source = document.getElementById(id)?.srcObject;
  if (!source?.getAudioTracks().length) return null;
  if (!ears.has(id)) {
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    context.createMediaStreamSource(source).connect(splitter);
    const sides = [0, 1].map((side) => {
      const analyser = context.createAnalyser();
      analyser.fftSize = 8192;
      splitter.connect(analyser, side);
      return analyser;
    });
    ears.set(id, { context, sides });
  }
  const { context, sides } = ears.get(id);
  return sides.map((analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return frequencies.map((frequency) => {
      const at = Math.round((frequency * analyser.fftSize) / context.sampleRate);
      return Math.max(-200, ...bins.slice(at - 1, at + 2)); // silence is -Infinity, which is no JSON
    });
  });
}

globalThis.rig = {
  join,
  refused,
  leave,
  setEnabled,
  addPicture,
  levels,
  notifies: () => notifies,
  timeline: () => timeline,
  disconnected: () => disconnected,
  granted: () => ({ client: connection.clientId, bundle: connection.bundleId, metadata: connection.authMetadata }),
  offered: () => connection.pc?.remoteDescription?.sdp ?? "",
  answered: () => connection.pc?.localDescription?.sdp ?? "",
  cipher: async () => {
    for (const report of (await connection.pc.getStats()).values()) {
      if (report.type === "transport") return report.srtpCipher ?? "";
    }
    return "";
  },
  version: () => Sora.version(),
};
