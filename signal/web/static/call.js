// One call: a signaling session over a WebSocket and the RTCPeerConnection that
// it sets up. The server always offers and this side always answers.
//
// Call reports by events:
//   state    detail: "connecting" or "connected"
//   stream   detail: MediaStream of another connection; its id is the connection's id
//   gone     detail: id of a connection that sends nothing any more
//   notify   detail: the server's message
//   ended    detail: error text to show, or "" when we hung up ourselves; always last, once

// The codec is named because the server's default may be one that this browser
// can decode but hardly encode.
const VIDEO = { codec_type: "VP8" };

const CONNECT_TIMEOUT_MS = 15_000;

export class Call extends EventTarget {
  constructor({ url, channel, role, stream }) {
    super();
    this.url = url;
    this.channel = channel;
    this.role = role;
    this.stream = stream; // null for a viewer
    this.connectionId = "";
    this.mid = {};
    this.streams = new Map();
    this.pc = null;
    this.finished = false;
    this.opened = false;
    // Messages are handled one after the other: a description must be in place
    // before the next one comes.
    this.queue = Promise.resolve();
  }

  start() {
    this.emit("state", "connecting");
    this.timer = setTimeout(() => this.end(this.opened
      ? "No media connection within 15 seconds. The server's UDP port may be blocked on the way."
      : "The server does not answer."), CONNECT_TIMEOUT_MS);
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => {
      this.opened = true;
      this.send({
        type: "connect",
        role: this.role,
        channel_id: this.channel,
        audio: true,
        video: VIDEO,
        environment: navigator.userAgent,
      });
    };
    this.socket.onmessage = (event) => {
      this.queue = this.queue
        .then(() => this.finished || this.receive(JSON.parse(event.data)))
        .catch((error) => this.end(`The call broke down: ${error.message}`, "INTERNAL-ERROR"));
    };
    this.socket.onclose = (event) => this.end(closeText(event, this.opened));
  }

  // hangUp says good-bye and ends the call.
  hangUp() {
    this.end("", "NO-ERROR");
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  async receive(message) {
    switch (message.type) {
      case "offer":
        await this.receiveOffer(message);
        break;
      case "re-offer":
        await this.answer(message.sdp, "re-answer");
        break;
      case "ping":
        this.send(message.stats ? { type: "pong", stats: await this.stats() } : { type: "pong" });
        break;
      case "notify":
        this.emit("notify", message);
        break;
    }
  }

  async receiveOffer(offer) {
    this.connectionId = offer.connection_id;
    this.mid = offer.mid ?? {};
    this.pc = new RTCPeerConnection(offer.config);
    this.pc.onconnectionstatechange = () => this.connectionStateChanged();
    this.pc.ontrack = ({ track, streams }) => this.trackAdded(track, streams[0]);
    await this.answer(offer.sdp, "answer");
  }

  async answer(sdp, type) {
    await this.pc.setRemoteDescription({ type: "offer", sdp });
    await this.attachTracks();
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    this.send({ type, sdp: this.pc.localDescription.sdp });
  }

  // attachTracks puts our tracks into the sections that the server named for
  // them. After a re-offer there is nothing left to do but to keep the direction.
  async attachTracks() {
    for (const transceiver of this.pc.getTransceivers()) {
      const kind = Object.keys(this.mid).find((kind) => this.mid[kind] === transceiver.mid);
      if (!kind || !this.stream) continue;
      const [track] = this.stream.getTracks().filter((track) => track.kind === kind);
      if (transceiver.sender.track !== track) await transceiver.sender.replaceTrack(track);
      transceiver.direction = "sendonly";
    }
  }

  trackAdded(track, stream) {
    // "default" is the server's name for a section that carries nobody yet.
    if (!stream || stream.id === "default" || stream.id === this.connectionId) return;
    if (this.streams.has(stream.id)) return; // the second track of a stream that we have
    this.streams.set(stream.id, stream);
    stream.onremovetrack = () => {
      if (stream.getTracks().length > 0) return;
      this.streams.delete(stream.id);
      this.emit("gone", stream.id);
    };
    this.emit("stream", stream);
  }

  connectionStateChanged() {
    switch (this.pc.connectionState) {
      case "connected":
        clearTimeout(this.timer);
        this.emit("state", "connected");
        break;
      case "disconnected":
        this.emit("state", "connecting");
        break;
      case "failed":
        this.end("The media connection to the server was lost.", "CONNECTION-STATE-FAILED");
        break;
    }
  }

  async stats() {
    return this.pc ? [...(await this.pc.getStats()).values()] : [];
  }

  end(text, reason) {
    if (this.finished) return;
    this.finished = true;
    clearTimeout(this.timer);
    this.socket.onclose = null;
    this.socket.onmessage = null;
    if (reason) this.send({ type: "disconnect", reason });
    this.socket.close();
    this.pc?.close();
    this.emit("ended", text);
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// closeText says in words why the server closed the WebSocket.
function closeText({ code, reason }, opened) {
  if (!opened) return "The server cannot be reached.";
  if (code === 1006) return "The connection to the server was lost.";
  if (code === 1000 || code === 1005) return `The server ended the call${reason ? `: ${reason}` : "."}`;
  return `The server refused the call: ${reason || `code ${code}`}`;
}
