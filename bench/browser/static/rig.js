// A small application of the official SDK, driven by the tests: it joins with the
// test pattern, shows everybody whom it receives, and keeps what the SDK reports.

import Sora from "/sdk/sora.js";
import { TestPattern, Tone } from "/page/pattern.js";

let connection = null;
let parts = [];
let notifies = [];
let disconnected = null;

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

// join resolves with our connection id when the SDK says that it is connected.
async function join({ url, channel, role, pattern, options }) {
  notifies = [];
  disconnected = null;
  connection = Sora.connection(url, false)[role](channel, null, options);
  const connected = new Promise((resolve, reject) => {
    connection.on("connected", resolve);
    connection.on("disconnect", (event) => {
      disconnected = { type: event.type, title: event.title, code: event.code ?? 0, reason: event.reason ?? "" };
      reject(new Error(`disconnected: ${JSON.stringify(disconnected)}`));
    });
  });
  connected.catch(() => {}); // looked at below; a later disconnect is not an error by itself
  connection.on("notify", (message) => notifies.push(message));
  connection.on("track", (event) => show(event.streams[0]));
  connection.on("removetrack", (event) => {
    if (event.target.getTracks().length === 0) hide(event.target.id);
  });
  // Errors behind the first offer are told nowhere else.
  connection.on("signaling", (event) => {
    if (/exception|failed|error/i.test(event.type)) probe.note(`SDK signaling ${event.type}`, JSON.stringify(event.data));
  });
  connection.on("log", (title, text) => {
    if (/error|failed|abend/i.test(title)) probe.note(`SDK log ${title}`, JSON.stringify(text));
  });
  connection.on("timeline", (event) => {
    if (event.logType === "sora" && /abend/.test(event.type)) probe.note("SDK timeline", JSON.stringify(event.data));
  });
  if (role === "recvonly") {
    await connection.connect();
  } else {
    parts = [];
    if (options.video !== false) parts.push(new TestPattern(pattern));
    if (options.audio !== false) parts.push(new Tone(pattern));
    await connection.connect(new MediaStream(parts.map((part) => part.track)));
  }
  await connected;
  return connection.connectionId;
}

async function leave() {
  await connection.disconnect();
  for (const part of parts) part.stop();
  parts = [];
  for (const video of document.querySelectorAll("video")) video.remove();
  return disconnected;
}

globalThis.rig = {
  join,
  leave,
  notifies: () => notifies,
  disconnected: () => disconnected,
  version: () => Sora.version(),
};
