// Where the sound and the picture that we send come from: the devices, the test
// pattern, or one of each when a device is missing.

import { TestPattern, Tone } from "./pattern.js";

// The picture's size is a wish; the browser takes what the camera has.
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true };

// Source owns one stream with one audio and one video track, until stop().
// `notice` says in words what was put in place of a missing device.
export class Source {
  constructor(tracks, synthetic, notice = "") {
    this.stream = new MediaStream(tracks);
    this.synthetic = synthetic;
    this.notice = notice;
  }

  get audio() {
    return this.stream.getAudioTracks()[0];
  }

  get video() {
    return this.stream.getVideoTracks()[0];
  }

  // resume lets the tone sound after the person has touched the page.
  resume() {
    for (const part of this.synthetic) part.resume?.();
  }

  stop() {
    for (const track of this.stream.getTracks()) track.stop();
    for (const part of this.synthetic) part.stop();
  }
}

// openTest returns the test pattern with its tone.
export function openTest(colour) {
  const pattern = new TestPattern(colour);
  const tone = new Tone(colour);
  return new Source([tone.track, pattern.track], [pattern, tone]);
}

// openDevices returns the camera and the microphone, and the test pattern or the
// tone in place of the one that is not there. A person who says no is not
// overruled: then it throws an error whose message can be shown.
export async function openDevices(colour) {
  if (!navigator.mediaDevices) {
    const source = openTest(colour);
    source.notice = "Browsers give the camera and the microphone to pages on https:// or on this " +
      "machine only. Sending the test pattern instead.";
    return source;
  }
  const both = await open({ audio: AUDIO, video: VIDEO });
  if (both) return new Source(both.getTracks(), []);

  const microphone = await open({ audio: AUDIO });
  const camera = await open({ video: VIDEO });
  const tracks = [];
  const synthetic = [];
  const missing = [];
  for (const [stream, name, make] of [
    [microphone, "microphone", () => new Tone(colour)],
    [camera, "camera", () => new TestPattern(colour)],
  ]) {
    if (stream) {
      tracks.push(...stream.getTracks());
      continue;
    }
    const part = make();
    synthetic.push(part);
    tracks.push(part.track);
    missing.push(`no ${name}`);
  }
  const instead = missing.length === 2 ? "the test pattern with its tone"
    : microphone ? "the test pattern" : "a quiet tone";
  return new Source(tracks, synthetic,
    `There is ${missing.join(" and ")} here. Sending ${instead} instead.`);
}

// open returns null when a device is not there.
async function open(constraints) {
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    switch (error.name) {
      case "NotFoundError":
      case "OverconstrainedError":
        return null;
      case "NotAllowedError":
      case "SecurityError":
        throw new Error("The browser was told not to use the camera and the microphone. Allow them " +
          "in the address bar, or choose the test pattern.");
      case "NotReadableError":
      case "AbortError":
        throw new Error("Another program is using the camera or the microphone. Close it, or choose " +
          "the test pattern.");
      default:
        throw new Error(`The camera and the microphone cannot be used: ${error.message}`);
    }
  }
}
