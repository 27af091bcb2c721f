// The page: a form to join a channel, the stage of the call, and the buttons
// under it. This file ties the parts together; what each of them does is in its
// own module.
//
// A link can fill in the form: every field by its name (see options.js), &source=
// camera|screen|test for both sources at once, &pattern=0..7 for the colour of the
// test pattern, and with &auto=1 the page joins by itself: at once if it sends nothing
// of the person's, else after one click.

import { Call } from "./call.js";
import { Frame, $ } from "./frame.js";
import { Devices } from "./devices.js";
import { bindKeys } from "./keys.js";
import { Log } from "./log.js";
import { connectMessage, fillForm, link, needsConsent, patternOptions, problem, readForm, save } from "./options.js";
import { COLOURS } from "./pattern.js";
import { explain } from "./reasons.js";
import { Retry } from "./retry.js";
import { Source } from "./source.js";
import { Meter } from "./stats.js";
import { Tiles } from "./tiles.js";

const form = $("#join");
const params = new URLSearchParams(location.search);
const colour = params.has("pattern")
  ? Math.abs(parseInt(params.get("pattern"), 10) || 0) % COLOURS.length
  : Math.floor(Math.random() * COLOURS.length);

// A call that has lasted this long was a good one: the next wait is short again.
const GOOD_CALL_MS = 10_000;

const frame = new Frame();
const tiles = new Tiles($("#tiles"));
const log = new Log({ list: $("#entries"), filter: $("#log-filter"), pings: $("#log-pings"), count: $("#log-count") });
const retry = new Retry({ tick: (seconds) => frame.countDown(seconds), attempt: () => startCall() });
const devices = new Devices(form, $("#source-panel"), (kind, to) => changeSource(kind, to));

let values = null; // of the form, for the call that is or is being set up
let source = null;
let call = null;
let meter = null;
let ownLevel = 0;
let timers = [];
let liveSince = 0; // of this call; 0: it was never up
let hadMedia = false; // in any call since Join
let present = 0; // connections in the channel, as the server says
let attempt = 0; // a later attempt (or a Leave) makes an earlier one void

async function join() {
  if (document.body.dataset.state !== "idle") return; // Enter was held down
  const mine = ++attempt;
  values = readForm(form);
  frame.showAlert(null);
  const wrong = problem(values);
  if (wrong) {
    const field = form.elements[wrong.field];
    if (field.closest("details")) $("#more").open = true;
    field.setCustomValidity(wrong.text);
    field.reportValidity();
    return;
  }
  save(values);
  frame.setState("joining", "Connecting…");
  if (values.role !== "recvonly") {
    const opened = new Source({ colour, pattern: patternOptions(values), stereo: values.stereo === "true", devices: devices.chosen() });
    try {
      frame.setState("joining", askText(values));
      await opened.open(values.media === "audio" ? "none" : values.video, values.media === "video" ? "none" : values.audio);
    } catch (error) {
      if (mine === attempt) ended({ title: error.message, text: error.advice ?? "", pattern: true });
      return;
    }
    if (mine !== attempt) {
      opened.stop();
      return;
    }
    source = opened;
    source.addEventListener("lost", ({ detail }) => sourceLost(detail));
    showOwn();
    frame.showHint(source.notice);
    devices.refresh();
  }
  startCall();
}

function askText({ video, audio }) {
  if (video === "camera") return "Waiting for the camera…";
  if (video === "screen") return "Waiting for the screen…";
  return audio === "microphone" ? "Waiting for the microphone…" : "Connecting…";
}

// startCall makes one attempt, the first or one after a loss.
function startCall() {
  meter = new Meter();
  call = new Call({ url: signalingURL(), connect: connectMessage(values), tracks: source?.tracks ?? {} });
  call.addEventListener("log", ({ detail }) => log.add(detail));
  call.addEventListener("state", ({ detail }) => stateChanged(detail));
  call.addEventListener("stream", ({ detail }) => {
    tiles.addRemote(detail, () => frame.showHint("The browser keeps the sound off until you click somewhere."));
    showAlone();
  });
  call.addEventListener("gone", ({ detail }) => {
    tiles.remove(detail);
    showAlone();
  });
  call.addEventListener("notify", ({ detail }) => notified(detail));
  call.addEventListener("unsent", ({ detail }) => unsent(detail));
  call.addEventListener("ended", ({ detail }) => callEnded(detail));
  if (document.body.dataset.state === "waiting") frame.setState("waiting", "Reconnecting…");
  frame.countDown(0);
  call.start();
}

function signalingURL() {
  const url = new URL("/signaling", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function stateChanged(state) {
  if (state === "connecting") {
    if (document.body.dataset.state !== "waiting") frame.setState("joining", "Connecting…");
    return;
  }
  document.body.dataset.connection = call.connectionId;
  frame.setState("live", values.channel, present);
  frame.showWaiting(null);
  showAlone();
  liveSince ||= performance.now();
  hadMedia = true;
  if (timers.length === 0) timers = [setInterval(readFigures, 1000), setInterval(readLevels, 200)];
}

async function readFigures() {
  const mine = call;
  const reports = await mine?.stats();
  if (!reports || mine !== call) return;
  const figures = meter.read(reports, (report) => mine.owners.get(report.mid) ?? ownerByTrack(report.trackIdentifier));
  ownLevel = figures.get("own")?.level ?? 0;
  tiles.showFigures(meter);
}

// ownerByTrack is for browsers whose statistics do not name the m-section.
function ownerByTrack(trackId) {
  for (const [id, stream] of call.streams) {
    if (stream.getTracks().some((track) => track.id === trackId)) return id;
  }
  return "";
}

function readLevels() {
  const levels = call?.levels() ?? new Map();
  // Browsers without a level at the receiver have it in the statistics.
  for (const [id, history] of meter.history) if (!levels.has(id)) levels.set(id, history.at(-1).level ?? 0);
  levels.set("own", source?.off.audio ? 0 : ownLevel);
  tiles.showLevels(levels);
}

function notified(message) {
  for (const other of [message, ...(message.data ?? [])]) {
    if (other.connection_id) tiles.setName(other.connection_id, other.client_id);
  }
  if (message.channel_connections) {
    present = message.channel_connections;
    if (document.body.dataset.state === "live") frame.setState("live", values.channel, present);
  }
  if (message.connection_id === call.connectionId) return;
  const who = tiles.nameOf(message.connection_id ?? "");
  if (message.event_type === "connection.created") frame.showNews(`${who} joined`);
  if (message.event_type === "connection.destroyed") {
    frame.showNews(`${who} left`);
    tiles.forget(message.connection_id);
  }
}

// unsent says that a kind is not sent because no codec is common.
function unsent(kind) {
  const name = kind === "audio" ? "sound" : "picture";
  const codec = kind === "video" && values.codec ? ` ${values.codec}` : "";
  frame.showHint(`This browser cannot send the ${name} in the codec${codec} that was asked for, so nobody gets it. ` +
    "Leave and choose another codec under More options.");
}

function callEnded(how) {
  stopTimers();
  call = null;
  present = 0;
  tiles.clearRemote();
  if (!how) {
    ended(null);
    return;
  }
  const why = explain(how);
  // Where media has passed before, a way that is closed now may open again.
  if (!why.retry && !(hadMedia && how.how === "no-media")) {
    ended({ ...why, again: how.how === "no-media" });
    return;
  }
  if (liveSince && performance.now() - liveSince > GOOD_CALL_MS) retry.reset();
  liveSince = 0;
  delete document.body.dataset.connection;
  frame.setState("waiting", "Reconnecting…");
  frame.showWaiting(why);
  showAlone();
  retry.schedule();
}

// ended brings the form back, with what went wrong if there is something to say.
function ended(why) {
  attempt++;
  stopTimers();
  retry.reset();
  liveSince = 0;
  hadMedia = false;
  call = null;
  source?.stop();
  source = null;
  tiles.clear();
  frame.showHint("");
  frame.showWaiting(null);
  frame.showAlert(why, why?.pattern ? { text: "Use the test pattern", run: joinWithPattern }
    : why?.again ? { text: "Try again", run: join } : undefined);
  delete document.body.dataset.connection;
  frame.setState("idle", "Not connected");
  devices.close();
  showMuted();
  showAlone();
  // The button that had the focus is hidden with the call; until the next frame it is
  // still the active element.
  const focused = document.activeElement ?? document.body;
  if (focused === document.body || focused.getClientRects().length === 0) $("#connect").focus({ preventScroll: true });
}

function stopTimers() {
  for (const timer of timers) clearInterval(timer);
  timers = [];
}

function joinWithPattern() {
  for (const [name, value] of [["video", "pattern"], ["audio", "tone"]]) {
    for (const input of form.elements[name]) input.checked = input.value === value;
  }
  join();
}

function leave() {
  if (document.body.dataset.state === "idle") return;
  if (call) call.hangUp();
  else ended(null);
}

// changeSource sends something else from now on.
async function changeSource(kind, to) {
  const mine = source;
  if (!mine) return;
  mine.options.devices = devices.chosen();
  try {
    await mine.change(kind, to);
  } catch (error) {
    if (mine !== source) return; // the call ended meanwhile
    frame.showHint(`${error.message} ${error.advice ?? ""}`);
    devices.show(mine);
    return;
  }
  if (mine !== source) return; // the call ended meanwhile
  frame.showHint("");
  showOwn();
  await call?.setTrack(kind, mine[kind].track);
  if (to !== "none" && call?.connected && !call.sends(kind)) {
    frame.showHint(`This call was joined without ${kind === "audio" ? "sound" : "a picture"}. Leave and join again to send it.`);
  }
  devices.refresh();
}

// sourceLost follows the end of a source that we did not end.
async function sourceLost(kind) {
  const was = source[kind].kind;
  await changeSource(kind, "none");
  frame.showHint(was === "screen" ? "The screen is no longer shared." : `The ${was} is gone.`);
}

function showOwn() {
  const { track, kind } = source.video;
  tiles.showOwn(track, kind === "camera" && track.getSettings().facingMode !== "environment");
  devices.show(source);
  showMuted();
}

function toggle(kind) {
  if (!source) return;
  source.setOff(kind, !source.off[kind]);
  showMuted();
}

function showMuted() {
  frame.showToggle("#mic", Boolean(source?.off.audio), "Mute", "Unmute", "m");
  frame.showToggle("#cam", Boolean(source?.off.video), "Hide video", "Show video", "v");
  document.body.classList.toggle("sends", Boolean(source));
}

function showAlone() {
  const watching = values && values.role !== "sendonly";
  $("#alone").hidden = !(document.body.dataset.state === "live" && watching && tiles.remoteCount === 0);
}

async function copyLink() {
  await frame.copy(link(form.elements.channel.value), "Link copied");
}

function toggleStats() {
  const on = !tiles.plots;
  tiles.showPlots(on);
  $("#stats").setAttribute("aria-pressed", String(on));
  if (meter) tiles.showFigures(meter);
}

// touched follows a gesture of the person: from then on the browser allows sound.
function touched() {
  source?.resume();
  if (tiles.unblock()) frame.showHint("");
}

function showForm() {
  for (const field of form.elements) field.setCustomValidity?.("");
  const watcher = form.elements.role.value === "recvonly";
  $("#sources").disabled = watcher || form.elements.media.value === "audio";
  $("#sounds").disabled = watcher || form.elements.media.value === "video";
  $("#share-link").textContent = link(form.elements.channel.value);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
form.addEventListener("input", showForm);
$("#defaults").addEventListener("click", () => {
  form.reset();
  save({});
  showForm();
  devices.showPickers();
});
// What is wrong has to be in sight, or the browser says nothing and does not join.
form.addEventListener("invalid", ({ target }) => {
  if (target.closest("details")) $("#more").open = true;
}, true);
$("#leave").addEventListener("click", leave);
$("#mic").addEventListener("click", () => toggle("audio"));
$("#cam").addEventListener("click", () => toggle("video"));
$("#stats").addEventListener("click", toggleStats);
$("#log-open").addEventListener("click", () => frame.toggleLog());
$("#log-close").addEventListener("click", () => frame.toggleLog(false));
$("#log-copy").addEventListener("click", () => frame.copy(log.toText(), "Log copied"));
$("#log-clear").addEventListener("click", () => log.clear());
for (const button of ["#link", "#invite", "#share-copy"]) $(button).addEventListener("click", copyLink);
$("#full").addEventListener("click", () => frame.toggleFullScreen());
$("#help").addEventListener("click", () => $("#keys").showModal());
$("#retry-now").addEventListener("click", () => retry.waiting && retry.now());
$("#retry-cancel").addEventListener("click", leave);
// A click reaches its button first, so that a tile's own button is not undone here;
// a key on a button becomes a click.
addEventListener("click", touched);
addEventListener("keydown", (event) => event.target.matches("button") || touched());
addEventListener("pagehide", leave);
bindKeys({
  m: () => toggle("audio"),
  v: () => toggle("video"),
  s: toggleStats,
  l: () => frame.toggleLog(),
  f: () => frame.toggleFullScreen(),
  c: copyLink,
  "?": () => $("#keys").showModal(),
  Escape: () => devices.close() || frame.toggleLog(false),
  Arrow: () => tiles.focusFirst(),
});

devices.markCodecs();
fillForm(form, params);
showForm();
devices.refresh();
if (params.get("auto") === "1") {
  // Where the browser remembers that it may use the camera, a link of a stranger would
  // otherwise show whoever opens it to that stranger.
  if (needsConsent(readForm(form))) $("#connect").focus();
  else join();
}
