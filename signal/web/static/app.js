// The page: a form to join a channel, the tiles of the call, and the buttons
// under them.
//
// A link can fill in the form: ?channel=NAME&role=sendrecv|sendonly|recvonly
// &source=camera|test&pattern=0..7, and with &auto=1 it joins by itself.

import { Call } from "./call.js";
import { COLOURS } from "./pattern.js";
import { openDevices, openTest } from "./source.js";
import { Tiles } from "./tiles.js";

const $ = (selector) => document.querySelector(selector);

const form = $("#join");
const params = new URLSearchParams(location.search);
const colour = params.has("pattern")
  ? Math.abs(parseInt(params.get("pattern"), 10) || 0) % COLOURS.length
  : Math.floor(Math.random() * COLOURS.length);

const tiles = new Tiles($("#tiles"));
let call = null;
let source = null;
let factsTimer = 0;
let attempt = 0; // a later attempt (or a Leave) makes an earlier one void

async function join() {
  const mine = ++attempt;
  const { channel, role, source: kind } = Object.fromEntries(new FormData(form));
  showError("");
  setState("joining", "Connecting…");
  let opened = null;
  try {
    if (role !== "recvonly") {
      setState("joining", kind === "test" ? "Connecting…" : "Waiting for the camera…");
      opened = kind === "test" ? openTest(colour) : await openDevices(colour);
    }
  } catch (error) {
    if (mine === attempt) ended(error.message);
    return;
  }
  if (mine !== attempt) {
    opened?.stop();
    return;
  }
  source = opened;
  if (source) {
    tiles.addOwn(source.stream, Boolean(source.video.getSettings().facingMode) ||
      (kind === "camera" && source.synthetic.length === 0));
    showHint(source.notice);
  }
  call = new Call({ url: signalingURL(), channel, role, stream: source?.stream ?? null });
  call.addEventListener("state", ({ detail }) => stateChanged(detail, channel));
  call.addEventListener("stream", ({ detail }) => {
    tiles.addRemote(detail, () => showHint("The browser keeps the sound off until you click somewhere."));
    showAlone();
  });
  call.addEventListener("gone", ({ detail }) => {
    tiles.remove(detail);
    showAlone();
  });
  call.addEventListener("notify", ({ detail }) => notified(detail, channel));
  call.addEventListener("ended", ({ detail }) => ended(detail));
  call.start();
}

function signalingURL() {
  const url = new URL("/signaling", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function stateChanged(state, channel) {
  if (state === "connecting") {
    setState("joining", "Connecting…");
    return;
  }
  setState("live", `In ${channel}`);
  document.body.dataset.connection = call.connectionId;
  showAlone();
  clearInterval(factsTimer);
  factsTimer = setInterval(async () => {
    if (call) tiles.showFacts(await call.stats());
  }, 1000);
}

function notified(message, channel) {
  const count = message.channel_connections;
  if (count && document.body.dataset.state === "live") setState("live", `In ${channel} · ${count} connected`);
  if (message.connection_id === call.connectionId) return;
  const who = message.connection_id?.slice(0, 6);
  if (message.event_type === "connection.created") showNews(`${who} joined`);
  if (message.event_type === "connection.destroyed") showNews(`${who} left`);
}

// ended brings the form back, with the reason if there is one to show.
function ended(text) {
  clearInterval(factsTimer);
  call = null;
  source?.stop();
  source = null;
  tiles.clear();
  showHint("");
  showError(text);
  setState("idle", "Not connected");
  showAlone();
}

function leave() {
  attempt++;
  if (call) call.hangUp();
  else ended("");
}

function setState(state, text) {
  document.body.dataset.state = state;
  $("#status").textContent = text;
  document.title = state === "live" ? `${form.elements.channel.value} · Tsubame` : "Tsubame";
  $("#controls").hidden = state === "idle";
  $("#mic").hidden = $("#cam").hidden = !source;
  if (state === "idle") showMuted();
}

function showAlone() {
  const watching = form.elements.role.value !== "sendonly";
  $("#alone").hidden = !(document.body.dataset.state === "live" && watching && tiles.remoteCount === 0);
}

function showError(text) {
  $("#alert").textContent = text;
  $("#alert").hidden = !text;
}

function showHint(text) {
  $("#hint-text").textContent = text;
  $("#hint").hidden = !text;
}

function showNews(text) {
  const line = document.createElement("p");
  line.textContent = text;
  $("#news").append(line);
  setTimeout(() => line.remove(), 4000);
}

function toggle(track) {
  if (track) track.enabled = !track.enabled;
  showMuted();
}

function showMuted() {
  const show = (selector, track, on, off) => {
    const muted = Boolean(track && !track.enabled);
    $(selector).setAttribute("aria-pressed", String(muted));
    $(`${selector} .text`).textContent = muted ? off : on;
  };
  show("#mic", source?.audio, "Mute", "Unmute");
  show("#cam", source?.video, "Hide video", "Show video");
}

async function copyLink() {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("channel", form.elements.channel.value);
  try {
    await navigator.clipboard.writeText(link.href);
    showNews("Link copied");
  } catch {
    showHint(link.href); // no clipboard on plain http pages: show it for copying by hand
  }
}

// touched follows a gesture of the person: from then on the browser allows sound.
function touched() {
  source?.resume();
  if (tiles.unblock()) showHint("");
}

function fillForm() {
  if (params.get("channel")) form.elements.channel.value = params.get("channel");
  for (const name of ["role", "source"]) {
    const input = [...form.elements[name]].find((input) => input.value === params.get(name));
    if (input) input.checked = true;
  }
  showSources();
}

function showSources() {
  $("#sources").disabled = form.elements.role.value === "recvonly";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
form.addEventListener("change", showSources);
$("#leave").addEventListener("click", leave);
$("#mic").addEventListener("click", () => toggle(source?.audio));
$("#cam").addEventListener("click", () => toggle(source?.video));
$("#link").addEventListener("click", copyLink);
$("#invite").addEventListener("click", copyLink);
$("#hint-close").addEventListener("click", () => showHint(""));
// A click reaches its button first, so that a tile's own button is not undone here;
// a key on a button becomes a click.
addEventListener("click", touched);
addEventListener("keydown", (event) => {
  if (!event.target.matches("button")) touched();
  if (!call || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (event.key === "m") toggle(source?.audio);
  if (event.key === "v") toggle(source?.video);
});
addEventListener("pagehide", leave);

fillForm();
if (params.get("auto") === "1") join();
