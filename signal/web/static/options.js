// What the form asks for: its values, where they come from (the link before what
// was used last), and the connect message that they become.

const STORE = "tsubame.form";

// NAMES are the fields that a link may set and that are remembered. All of them
// are members of the link's query under the same name.
const NAMES = [
  "channel", "role", "video", "audio", "media", "codec", "video_kbps", "audio_kbps", "stereo", "dtx",
  "fec", "max_playback_rate", "pattern_size", "fps", "client_id", "metadata",
];

// A link may say both sources with one word.
const SOURCES = {
  camera: { video: "camera", audio: "microphone" },
  screen: { video: "screen", audio: "microphone" },
  test: { video: "pattern", audio: "tone" },
};

// fillForm puts in what was used last, and over it what the link says. A value
// that a field cannot have is left out.
export function fillForm(form, params) {
  const values = { ...load(), ...SOURCES[params.get("source")] };
  for (const name of NAMES) if (params.has(name)) values[name] = params.get(name);
  for (const name of NAMES) if (typeof values[name] === "string") fill(form.elements[name], values[name]);
}

function fill(field, value) {
  if (field instanceof RadioNodeList) {
    for (const input of field) if (input.value === value && !input.disabled) input.checked = true;
  } else if (field instanceof HTMLSelectElement) {
    const wanted = [value, { 1: "true", 0: "false" }[value]];
    const option = [...field.options].find((option) => wanted.includes(option.value));
    if (option && !option.disabled) field.value = option.value;
  } else {
    field.value = value;
  }
}

// readForm returns the value of every field by its name.
export function readForm(form) {
  return Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {}; // no storage here, or what is there is not ours
  }
}

// save remembers the values for the next visit, but for the metadata: tokens are in it.
export function save({ metadata, ...values }) {
  try {
    localStorage.setItem(STORE, JSON.stringify(values));
  } catch {
    // Storage may be off or full: the form then starts with its defaults.
  }
}

// problem returns the first thing that keeps the values from being sent, as
// { field, text }, or null.
export function problem(values) {
  if (new TextEncoder().encode(values.channel).length > 255) {
    return { field: "channel", text: "The channel's name is longer than 255 bytes." };
  }
  if (values.metadata.trim()) {
    try {
      JSON.parse(values.metadata);
    } catch (error) {
      return { field: "metadata", text: `The metadata is not JSON: ${error.message}` };
    }
  }
  return null;
}

// needsConsent says whether the values send something of the person's own, not only what
// the page makes itself.
export function needsConsent(values) {
  if (values.role === "recvonly") return false;
  return (values.media !== "audio" && ["camera", "screen"].includes(values.video)) ||
    (values.media !== "video" && values.audio === "microphone");
}

// connectMessage is what the server is told. Members that the form leaves to the
// server are not there at all.
export function connectMessage(values) {
  const message = {
    type: "connect",
    role: values.role,
    channel_id: values.channel,
    audio: values.media === "video" ? false : audio(values),
    video: values.media === "audio" ? false : video(values),
    environment: navigator.userAgent,
  };
  if (values.client_id) message.client_id = values.client_id;
  if (values.metadata.trim()) message.metadata = JSON.parse(values.metadata);
  return message;
}

function audio(values) {
  if (values.role === "recvonly") return true;
  const opus = present({
    stereo: flag(values.stereo),
    sprop_stereo: flag(values.stereo),
    usedtx: flag(values.dtx),
    useinbandfec: flag(values.fec),
    maxplaybackrate: number(values.max_playback_rate),
  });
  const members = present({ bit_rate: number(values.audio_kbps), opus_params: opus });
  return members ? { codec_type: "OPUS", ...members } : true;
}

function video(values) {
  if (values.role === "recvonly") return true;
  return present({ codec_type: values.codec || undefined, bit_rate: number(values.video_kbps) }) ?? true;
}

const flag = (text) => (text ? text === "true" : undefined);
const number = (text) => (text ? Number(text) : undefined);

// present drops members that are undefined; undefined if none is left.
function present(members) {
  const left = Object.entries(members).filter(([, value]) => value !== undefined);
  return left.length ? Object.fromEntries(left) : undefined;
}

// patternOptions says how the test pattern is drawn.
export function patternOptions(values) {
  const [width, height] = values.pattern_size.split("x").map(Number);
  return { fps: Number(values.fps) || 25, width, height };
}

// link returns a link to the form with the channel filled in; role and sources are
// the choice of whoever opens it.
export function link(channel) {
  const url = new URL(location.pathname, location.href);
  url.searchParams.set("channel", channel);
  return url.href;
}
