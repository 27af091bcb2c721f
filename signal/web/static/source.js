// Where the sound and the picture that we send come from: devices, a screen, the
// test pattern. A Source outlives the call that it is used in, so that a call can
// come back without asking for the camera again.

import { TestPattern, Tone } from "./pattern.js";

// The picture's size is a wish; the browser takes what the camera has.
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true };

// SourceError can be shown: message says what is wrong, advice what to do.
export class SourceError extends Error {
  constructor(message, advice) {
    super(message);
    this.advice = advice;
  }
}

// none is the source of a kind that is not sent.
const none = { kind: "none", track: null, stop() {} };

// Source holds one source of each kind, and tells "lost" (detail: "audio" or
// "video") when one ends by itself: sharing a screen was stopped in the browser, a
// camera was unplugged.
export class Source extends EventTarget {
  // options: { colour, pattern: { fps, width, height }, stereo, devices: { camera, microphone } }
  constructor(options) {
    super();
    this.options = options;
    this.audio = none;
    this.video = none;
    this.off = { audio: false, video: false };
    this.turn = { audio: 0, video: 0 }; // a later change (or stop) makes an earlier one void
    this.notice = ""; // what was put in place of a missing device
  }

  get tracks() {
    return { audio: this.audio.track, video: this.video.track };
  }

  // open opens both kinds at once, so that the browser asks once for the camera
  // and the microphone. What is not there is replaced by the test pattern or the
  // tone, and `notice` says so; what a person has forbidden is an error.
  async open(video, audio) {
    const wanted = {
      ...(video === "camera" && { camera: this.cameraConstraints() }),
      ...(audio === "microphone" && { microphone: this.microphoneConstraints() }),
    };
    // The screen first: browsers share it only while the click is fresh, and the prompt
    // for the microphone may take its time.
    const screen = video === "screen" ? await this.make(video) : null;
    const devices = await openDevices(wanted).catch((error) => {
      screen?.stop();
      throw error;
    });
    this.notice = devices.notice;
    try {
      this.use("video", screen ?? devices.camera ?? await this.make(video === "camera" ? "pattern" : video));
      this.use("audio", devices.microphone ?? await this.make(audio === "microphone" ? "tone" : audio));
    } catch (error) {
      devices.microphone?.stop();
      this.stop();
      throw error;
    }
  }

  // change replaces the source of one kind; the old one is closed when the new one
  // is there, and stays if that fails. A device that is given only after something else
  // was chosen, or after the call, is closed at once: nobody wants it any more.
  async change(kind, to) {
    const turn = ++this.turn[kind];
    const made = await this.make(to);
    if (turn === this.turn[kind]) this.use(kind, made);
    else made.stop();
  }

  use(kind, made) {
    this[kind].stop();
    this[kind] = made;
    if (!made.track) return;
    made.track.enabled = !this.off[kind];
    made.track.addEventListener("ended", () => {
      if (this[kind] === made) this.dispatchEvent(new CustomEvent("lost", { detail: kind }));
    });
  }

  // setOff mutes a kind: the track stays, but it is silent or black.
  setOff(kind, off) {
    this.off[kind] = off;
    if (this[kind].track) this[kind].track.enabled = !off;
  }

  // make opens one source.
  async make(to) {
    const { colour, pattern, stereo } = this.options;
    switch (to) {
      case "pattern": {
        const part = new TestPattern(colour, pattern.fps, pattern.width, pattern.height);
        return { kind: to, track: part.track, stop: () => part.stop() };
      }
      case "tone": {
        const part = new Tone(colour, { stereo });
        return { kind: to, track: part.track, resume: () => part.resume(), stop: () => part.stop() };
      }
      case "camera":
        return fromDevice(to, await openOne(to, { video: this.cameraConstraints() }));
      case "microphone":
        return fromDevice(to, await openOne(to, { audio: this.microphoneConstraints() }));
      case "screen":
        return openScreen();
    }
    return none;
  }

  cameraConstraints() {
    return { ...VIDEO, ...exactly(this.options.devices?.camera) };
  }

  // Processing made for speech would mix stereo down to one channel.
  microphoneConstraints() {
    const stereo = this.options.stereo
      ? { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 2 } : AUDIO;
    return { ...stereo, ...exactly(this.options.devices?.microphone) };
  }

  // resume lets the tone sound after the person has touched the page.
  resume() {
    this.audio.resume?.();
  }

  stop() {
    for (const kind of ["audio", "video"]) {
      this.turn[kind]++;
      this[kind].stop();
      this[kind] = none;
    }
  }
}

const exactly = (id) => (id ? { deviceId: { exact: id } } : {});

function fromDevice(kind, stream) {
  const [track] = stream.getTracks();
  return { kind, track, stop: () => track.stop() };
}

// openDevices opens the wanted ones of { camera, microphone }, with one question to
// the person if both are there.
async function openDevices({ camera, microphone }) {
  const found = { camera: null, microphone: null, notice: "" };
  if (!camera && !microphone) return found;
  if (!navigator.mediaDevices) {
    found.notice = "Browsers give the camera and the microphone to pages on https:// or on this " +
      `machine only. Sending ${instead(camera, microphone)} instead.`;
    return found;
  }
  if (camera && microphone) {
    const both = await open({ audio: microphone, video: camera });
    if (both) {
      const [audio] = both.getAudioTracks();
      const [video] = both.getVideoTracks();
      found.microphone = { kind: "microphone", track: audio, stop: () => audio.stop() };
      found.camera = { kind: "camera", track: video, stop: () => video.stop() };
      return found;
    }
  }
  const missing = [];
  for (const [name, constraints] of [["microphone", microphone && { audio: microphone }], ["camera", camera && { video: camera }]]) {
    if (!constraints) continue;
    const stream = await open(constraints).catch((error) => {
      found.microphone?.stop();
      throw error;
    });
    if (stream) found[name] = fromDevice(name, stream);
    else missing.push(name);
  }
  if (missing.length) {
    found.notice = `There is ${missing.map((name) => `no ${name}`).join(" and ")} here. ` +
      `Sending ${instead(missing.includes("camera"), missing.includes("microphone"))} instead.`;
  }
  return found;
}

function instead(camera, microphone) {
  if (camera && microphone) return "the test pattern with its tone";
  return camera ? "the test pattern" : "a quiet tone";
}

// open returns null when a device is not there.
async function open(constraints) {
  const what = constraints.video && constraints.audio ? "the camera and the microphone"
    : constraints.video ? "the camera" : "the microphone";
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    switch (error.name) {
      case "NotFoundError":
        return null;
      case "OverconstrainedError": // the device that was chosen is gone: any other then
        return withoutDevice(constraints) ? open(withoutDevice(constraints)) : null;
      case "NotAllowedError":
      case "SecurityError":
        throw new SourceError(`The browser was told not to use ${what}.`,
          "Allow it in the address bar, or choose the test pattern.");
      case "NotReadableError":
      case "AbortError":
        throw new SourceError(`Another program is using ${what}.`,
          "Close that program and try again, or choose the test pattern.");
      default:
        throw new SourceError(`Cannot use ${what}: ${error.message}`, "Choose another source.");
    }
  }
}

// withoutDevice returns the constraints for any device; null if they were that.
function withoutDevice(constraints) {
  const kinds = Object.entries(constraints);
  if (!kinds.some(([, wish]) => wish.deviceId)) return null;
  return Object.fromEntries(kinds.map(([kind, { deviceId, ...wish }]) => [kind, wish]));
}

// openOne is for a person who has asked for this very device: nothing takes its place.
async function openOne(name, constraints) {
  if (!navigator.mediaDevices) {
    throw new SourceError(`Browsers give the ${name} to pages on https:// or on this machine only.`,
      "Open this page under https://.");
  }
  const stream = await open(constraints);
  if (!stream) throw new SourceError(`There is no ${name} here.`, "Plug one in and try again, or choose another source.");
  return stream;
}

async function openScreen() {
  if (!navigator.mediaDevices?.getDisplayMedia) {
    throw new SourceError("This browser cannot share a screen here.",
      "Open this page under https:// in a browser on a computer.");
  }
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: false });
    const [track] = stream.getVideoTracks();
    track.contentHint = "detail"; // text stays sharp; the frame rate gives way instead
    return { kind: "screen", track, stop: () => track.stop() };
  } catch (error) {
    if (error.name === "NotAllowedError") {
      throw new SourceError("No screen was shared.", "Choose a window in the browser's dialog, or another source.");
    }
    if (error.name === "InvalidStateError") {
      throw new SourceError("The browser asks which screen to share only after a click.", "Press Join.");
    }
    throw new SourceError(`The screen cannot be shared: ${error.message}`, "Choose another source.");
  }
}

// deviceLists returns the devices that may be named, by "camera" and "microphone":
// none before the person has given permission.
export async function deviceLists() {
  const lists = { camera: [], microphone: [] };
  try {
    for (const { kind, deviceId, label } of await navigator.mediaDevices.enumerateDevices()) {
      const name = { videoinput: "camera", audioinput: "microphone" }[kind];
      if (name && label) lists[name].push({ id: deviceId, label });
    }
  } catch {
    // Not a secure page: there are no devices to choose from.
  }
  return lists;
}
