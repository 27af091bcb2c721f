// One end of a call for the matrix: it publishes the fake devices or shows what comes, through
// the official SDK, directly, or through other servers (their own files), and says what the
// browser's statistics are. Times are milliseconds since 1970, as the test's own.

import Sora from "/sdk/sora.js";

const SAMPLE = 200; // ms between two samples
const TIMELINE = 200; // entries that are kept

const peers = [];
const errors = [];
const frames = []; // when each picture was shown
const samples = [];
const timeline = []; // of the SDK
let connected = 0; // when the transport was there
let stream = null;
let sora = null;

const Native = RTCPeerConnection;
globalThis.RTCPeerConnection = class extends Native {
  constructor(...args) {
    super(...args);
    peers.push(this);
    this.addEventListener("connectionstatechange", () => {
      if (this.connectionState === "connected") connected ||= now();
    });
    this.addEventListener("track", ({ track, streams }) => show(track, streams[0] ?? new MediaStream([track])));
  }
};
addEventListener("error", (event) => errors.push(String(event.error?.stack ?? event.message)));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason?.stack ?? event.reason)));

const now = () => performance.timeOrigin + performance.now();

function show(track, from) {
  const element = document.getElementById(track.kind === "video" ? "picture" : "sound");
  element.srcObject = new MediaStream([track]);
  element.play().catch((error) => error.name === "AbortError" || errors.push(`play: ${error}`));
  if (track.kind !== "video") return;
  const next = () => {
    frames.push(now());
    element.requestVideoFrameCallback(next);
  };
  element.requestVideoFrameCallback(next);
}

// devices are the browser's fake ones: a film and a sound from files.
async function devices() {
  const sound = { echoCancellation: false, autoGainControl: false, noiseSuppression: false };
  stream ??= await navigator.mediaDevices.getUserMedia({ audio: sound, video: { width: 640, height: 360, frameRate: 30 } });
  return stream;
}

// limit bounds what video is sent with, which is otherwise each application's own choice.
async function limit(bitrate) {
  for (const sender of peers.flatMap((pc) => pc.getSenders())) {
    if (sender.track?.kind !== "video") continue;
    const parameters = sender.getParameters();
    parameters.degradationPreference = "maintain-framerate-and-resolution";
    for (const encoding of parameters.encodings) encoding.maxBitrate = bitrate;
    await sender.setParameters(parameters);
  }
}

// pause stops what we send, so that all that was sent can arrive.
async function pause() {
  for (const sender of peers.flatMap((pc) => pc.getSenders())) if (sender.track) await sender.replaceTrack(null);
}

function preferVP8(transceiver) {
  const { codecs } = RTCRtpReceiver.getCapabilities("video");
  const wanted = (codec) => /VP8|rtx/i.test(codec.mimeType);
  transceiver.setCodecPreferences(codecs.filter(wanted));
}

// gathered resolves when a peer connection knows all its candidates.
function gathered(pc) {
  if (pc.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && resolve());
  });
}

// joinTsubame resolves when the SDK says that it is connected.
async function joinTsubame({ url, channel, role, options }) {
  sora = Sora.connection(url, false)[role](channel, null, options);
  sora.on("timeline", (event) => {
    timeline.push(`${now()} ${event.logType} ${event.type} ${JSON.stringify(event.data ?? null)}`);
    if (timeline.length > TIMELINE) timeline.shift();
  });
  const joined = new Promise((resolve, reject) => {
    sora.on("connected", resolve);
    sora.on("disconnect", (event) => reject(new Error(`disconnected: ${JSON.stringify(event)}`)));
  });
  joined.catch(() => {});
  await (role === "recvonly" ? sora.connect() : sora.connect(await devices()));
  await joined;
  return sora.connectionId;
}

// The direct pair: the publisher offers, the viewer answers, and the test carries both.
async function offerDirectly() {
  const pc = new RTCPeerConnection();
  for (const track of (await devices()).getTracks()) {
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video") preferVP8(transceiver);
  }
  await pc.setLocalDescription();
  await gathered(pc);
  return pc.localDescription.sdp;
}

async function answerDirectly(sdp) {
  const pc = new RTCPeerConnection();
  await pc.setRemoteDescription({ type: "offer", sdp });
  await pc.setLocalDescription();
  await gathered(pc);
  return pc.localDescription.sdp;
}

async function acceptDirectly(sdp) {
  await peers[0].setRemoteDescription({ type: "answer", sdp });
}

const pick = (s, names) => Object.fromEntries(names.map((name) => [name, s[name] ?? 0]));

const inboundNames = ["packetsReceived", "packetsLost", "packetsDiscarded", "bytesReceived", "framesReceived", "framesDecoded",
  "framesDropped", "keyFramesDecoded", "freezeCount", "totalFreezesDuration", "nackCount", "pliCount", "firCount",
  "retransmittedPacketsReceived", "retransmittedBytesReceived", "concealedSamples", "silentConcealedSamples",
  "concealmentEvents", "totalSamplesReceived", "fecPacketsReceived", "fecPacketsDiscarded", "jitterBufferDelay", "jitterBufferEmittedCount", "jitter"];
const outboundNames = ["packetsSent", "bytesSent", "framesEncoded", "framesSent", "keyFramesEncoded", "retransmittedPacketsSent",
  "nackCount", "pliCount", "firCount", "targetBitrate"];

// stats are the counters of what is sent and received, by kind.
async function stats() {
  const out = { at: now(), state: "", inbound: {}, outbound: {}, pair: {} };
  for (const pc of peers) {
    if (pc.connectionState === "closed") continue;
    if (out.state === "" || pc.connectionState !== "connected") out.state = pc.connectionState;
    const all = await pc.getStats();
    for (const s of all.values()) {
      if (s.type === "inbound-rtp" && s.packetsReceived > 0) out.inbound[s.kind] = { ...pick(s, inboundNames), codec: all.get(s.codecId)?.mimeType ?? "" };
      if (s.type === "outbound-rtp") out.outbound[s.kind] = { ...pick(s, outboundNames), codec: all.get(s.codecId)?.mimeType ?? "" };
      if (s.type === "transport" && s.selectedCandidatePairId) {
        const pair = all.get(s.selectedCandidatePairId);
        if (pair) out.pair = pick(pair, ["availableOutgoingBitrate", "currentRoundTripTime", "bytesSent", "bytesReceived"]);
      }
    }
  }
  return out;
}

// watch samples what changes over time until the page is gone.
async function watch() {
  for (;;) {
    const s = await stats();
    samples.push({
      at: s.at, estimate: s.pair.availableOutgoingBitrate ?? 0, target: s.outbound.video?.targetBitrate ?? 0,
      framesDecoded: s.inbound.video?.framesDecoded ?? 0, framesSent: s.outbound.video?.framesSent ?? 0,
      bytes: s.inbound.video?.bytesReceived ?? 0, state: s.state,
    });
    await new Promise((resolve) => setTimeout(resolve, SAMPLE));
  }
}
watch();

globalThis.rig = {
  devices, limit, pause, stats, joinTsubame, offerDirectly, answerDirectly, acceptDirectly, preferVP8, now,
  errors: () => errors,
  frames: () => frames,
  samples: () => samples,
  timeline: () => timeline,
  connected: () => connected,
  leave: async () => {
    await sora?.disconnect();
    for (const pc of peers) pc.close();
  },
};
