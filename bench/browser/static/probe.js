// Put into every page before its own scripts run. It watches: errors that the
// page or the SDK swallows, peer connections, streams; and it can look at what a
// viewer really sees. It changes nothing.
(() => {
  const errors = [];
  const note = (where, what) => errors.push(`${where}: ${what?.stack ?? what?.message ?? what}`);

  addEventListener("error", (event) => note("window", event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => note("unhandled rejection", event.reason));
  for (const level of ["error", "warn"]) {
    const log = console[level];
    console[level] = (...args) => {
      note(`console.${level}`, args.map(String).join(" "));
      log.apply(console, args);
    };
  }

  // Every promise of a peer connection that is rejected is noted, whoever
  // catches it.
  const peers = [];
  const streamOf = new Map(); // by track id, which Firefox makes up itself
  const Native = RTCPeerConnection;
  class WatchedPeerConnection extends Native {
    constructor(...args) {
      super(...args);
      peers.push(this);
      this.addEventListener("track", ({ track, streams }) => streamOf.set(track.id, streams[0]?.id));
      this.addEventListener("connectionstatechange", () => {
        if (this.connectionState === "failed") note("peer connection", "failed");
      });
    }
  }
  for (const method of ["createOffer", "createAnswer", "setLocalDescription", "setRemoteDescription", "addIceCandidate"]) {
    WatchedPeerConnection.prototype[method] = function (...args) {
      const result = Native.prototype[method].apply(this, args);
      result.catch((error) => note(method, `${error.message}\n${args[0]?.sdp ?? ""}`));
      return result;
    };
  }
  globalThis.RTCPeerConnection = WatchedPeerConnection;

  // Reading the test pattern (pattern.js of the page) back from a picture: the
  // colour of the band, and the number and the frame counter that the strip spells.
  const CELLS = 20;
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 180;
  const context = canvas.getContext("2d", { willReadFrequently: true });

  function meanAround(x, y) {
    const { data } = context.getImageData(Math.round(x) - 2, Math.round(y) - 2, 5, 5);
    const sum = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) sum[c] += data[i + c];
    return sum.map((value) => value / (data.length / 4));
  }

  function readPicture(video) {
    if (!video || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const band = meanAround(canvas.width / 2, canvas.height * 0.08).map(Math.round);
    const y = canvas.height * 0.94;
    const luma = [];
    for (let i = 0; i < CELLS; i++) {
      const [r, g, b] = meanAround((i + 0.5) * (canvas.width / CELLS), y);
      luma.push(0.3 * r + 0.59 * g + 0.11 * b);
    }
    const [white, black] = [luma[0], luma[1]];
    const bits = luma.map((value) => (value > (white + black) / 2 ? 1 : 0));
    const number = (from, to) => bits.slice(from, to).reduce((n, bit) => n * 2 + bit, 0);
    const parity = bits.slice(2, 18).reduce((sum, bit) => sum ^ bit, 0);
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      band,
      colour: number(2, 5),
      frame: number(5, 17),
      // The marks at both ends, strong contrast, and an even number of ones.
      readable: white - black > 100 && bits[18] === 0 && bits[19] === 1 && parity === 0,
      mean: luma.reduce((a, b) => a + b) / CELLS,
    };
  }

  // videoOf finds the element that shows a connection.
  const videoOf = (id) => [...document.querySelectorAll("video")].find((video) => video.srcObject?.id === id);

  const live = () => peers.filter((pc) => pc.connectionState !== "closed");

  // report describes what arrives, by connection id, and what is sent. To read the
  // pictures takes time, so that who does not need them may leave them out.
  async function report({ pictures = true } = {}) {
    const remote = {};
    const sent = { video: null, audio: null, pairs: 0 };
    let state = "none";
    for (const pc of live()) {
      state = pc.connectionState;
      const stats = [...(await pc.getStats()).values()];
      const codec = (id) => stats.find((s) => s.id === id)?.mimeType ?? "";
      for (const s of stats) {
        if (s.type === "inbound-rtp" && s.trackIdentifier) {
          const id = streamOf.get(s.trackIdentifier) ?? s.trackIdentifier.replace(/-(audio|video)$/, "");
          remote[id] ??= {};
          remote[id][s.kind] = {
            packets: s.packetsReceived, lost: s.packetsLost, codec: codec(s.codecId),
            framesDecoded: s.framesDecoded ?? 0, keyFrames: s.keyFramesDecoded ?? 0,
            freezes: s.freezeCount ?? 0, energy: s.totalAudioEnergy ?? 0,
            nacks: s.nackCount ?? 0, rtx: s.retransmittedPacketsReceived ?? 0,
            width: s.frameWidth ?? 0,
            bytes: s.bytesReceived ?? 0, samples: s.totalSamplesReceived ?? 0,
            concealed: (s.concealedSamples ?? 0) - (s.silentConcealedSamples ?? 0),
          };
        }
        if (s.type === "outbound-rtp") {
          sent[s.kind] = { at: s.timestamp, packets: s.packetsSent, bytes: s.bytesSent, codec: codec(s.codecId),
            plis: s.pliCount ?? 0, frames: s.framesEncoded ?? 0, width: s.frameWidth ?? 0, target: s.targetBitrate ?? 0 };
        }
        if (s.type === "candidate-pair" && s.state === "succeeded") sent.pairs++;
      }
    }
    for (const [id, connection] of pictures ? Object.entries(remote) : []) {
      connection.picture = readPicture(videoOf(id));
    }
    return { state, remote, sent, errors: [...errors], tiles: tileIds() };
  }

  // tileIds lists the connections that have a picture on the page.
  function tileIds() {
    return [...document.querySelectorAll("video")]
      .filter((video) => video.srcObject && !video.closest('[data-connection="own"]'))
      .map((video) => video.srcObject.id).sort();
  }

  globalThis.probe = { report, tileIds, readPicture, errors, note, peers };
})();
