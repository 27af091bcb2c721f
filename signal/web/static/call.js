// One call: a signaling session over a WebSocket and the RTCPeerConnection that
// it sets up. The server always offers and this side always answers. A Call is
// used once; coming back after a loss is a new Call with the same tracks.
//
// Call reports by events:
//   state    detail: "connecting" or "connected"
//   stream   detail: MediaStream of another connection; its id is the connection's id
//   gone     detail: id of a connection that sends nothing any more
//   notify   detail: the server's message
//   unsent   detail: "audio" or "video", which this browser cannot send as it was asked to
//   log      detail: { way: "sent" | "received" | "note", text, title? }
//   ended    detail: how it ended (see reasons.js), null when we hung up; always last, once

const CONNECT_TIMEOUT_MS = 15_000;

export class Call extends EventTarget {
  // connect is the first message; tracks are { audio, video }, each may be null.
  constructor({ url, connect, tracks }) {
    super();
    this.url = url;
    this.connect = connect;
    this.tracks = { ...tracks };
    this.connectionId = "";
    this.mid = {};
    this.path = ""; // where media goes to, for the hint about firewalls
    this.streams = new Map();
    this.owners = new Map(); // mid -> id of the stream that comes in there
    this.pc = null;
    this.finished = false;
    this.opened = false;
    this.connected = false;
    // Messages are handled one after the other: a description must be in place
    // before the next one comes.
    this.queue = Promise.resolve();
  }

  start() {
    this.emit("state", "connecting");
    this.timer = setTimeout(() => this.end(this.opened
      ? { how: "no-media", detail: this.path } : { how: "silent" }), CONNECT_TIMEOUT_MS);
    this.note("opening", this.url);
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => {
      this.opened = true;
      this.note("open");
      this.send(this.connect);
    };
    this.socket.onmessage = (event) => {
      this.emit("log", { way: "received", text: event.data });
      this.queue = this.queue
        .then(() => this.finished || this.receive(JSON.parse(event.data)))
        .catch((error) => this.end({ how: "broken", detail: error.message }, "INTERNAL-ERROR"));
    };
    this.socket.onclose = ({ code, reason }) => {
      this.note("closed", `code ${code}${reason ? ` ${reason}` : ""}`);
      if (!this.opened) this.end({ how: "unreachable" });
      else this.end(code === 1006 ? { how: "lost" } : { how: "closed", code, reason });
    };
  }

  // hangUp says good-bye and ends the call.
  hangUp() {
    this.end(null, "NO-ERROR");
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const text = JSON.stringify(message);
    this.socket.send(text);
    this.emit("log", { way: "sent", text });
  }

  note(title, text = "") {
    this.emit("log", { way: "note", title, text });
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
    const [, address, port] = offer.sdp.match(/^a=candidate:\S+ 1 udp \S+ (\S+) (\d+) /im) ?? [];
    this.path = port ? `UDP ${address} port ${port}` : "the server's UDP port";
    this.pc = new RTCPeerConnection(offer.config);
    this.pc.onconnectionstatechange = () => this.connectionStateChanged();
    this.pc.oniceconnectionstatechange = () => this.note("ICE", this.pc.iceConnectionState);
    this.pc.ontrack = ({ transceiver, streams }) => this.trackAdded(transceiver, streams[0]);
    await this.answer(offer.sdp, "answer");
    for (const kind of Object.keys(this.mid)) {
      if (this.tracks[kind] && !this.sends(kind)) this.emit("unsent", kind);
    }
  }

  async answer(sdp, type) {
    await this.pc.setRemoteDescription({ type: "offer", sdp });
    for (const kind of Object.keys(this.mid)) {
      const transceiver = this.transceiver(kind);
      if (!transceiver) continue;
      await this.put(transceiver, kind);
      transceiver.direction = "sendonly";
    }
    const { sdp: plain } = await this.pc.createAnswer();
    await this.pc.setLocalDescription({ type: "answer", sdp: withStereo(plain) });
    this.send({ type, sdp: this.pc.localDescription.sdp });
  }

  // transceiver returns the one that the server named for what we send.
  transceiver(kind) {
    return this.pc?.getTransceivers().find(({ mid }) => mid !== null && mid === this.mid[kind]);
  }

  async put(transceiver, kind) {
    const track = this.tracks[kind] ?? null;
    if (transceiver.sender.track !== track) await transceiver.sender.replaceTrack(track);
  }

  // setTrack sends another track from now on; null: none.
  async setTrack(kind, track) {
    this.tracks[kind] = track;
    const transceiver = this.transceiver(kind);
    if (transceiver && !this.finished) await this.put(transceiver, kind);
  }

  // sends says whether the call has a way to send that kind.
  sends(kind) {
    return this.transceiver(kind)?.currentDirection === "sendonly";
  }

  trackAdded(transceiver, stream) {
    // "default" is the server's name for a section that carries nobody yet.
    if (!stream || stream.id === "default" || stream.id === this.connectionId) return;
    this.owners.set(transceiver.mid, stream.id);
    // Chromium takes a track away when its section is released, Firefox ends it.
    const look = () => {
      if (this.streams.get(stream.id) !== stream) return;
      if (stream.getTracks().some((track) => track.readyState !== "ended")) return;
      this.streams.delete(stream.id);
      this.emit("gone", stream.id);
    };
    transceiver.receiver.track.addEventListener("ended", look);
    if (this.streams.has(stream.id)) return; // the second track of a stream that we have
    this.streams.set(stream.id, stream);
    stream.onremovetrack = look;
    this.emit("stream", stream);
  }

  connectionStateChanged() {
    this.note("media", this.pc.connectionState);
    switch (this.pc.connectionState) {
      case "connected":
        clearTimeout(this.timer);
        this.connected = true;
        this.emit("state", "connected");
        break;
      case "disconnected":
        this.emit("state", "connecting");
        break;
      case "failed":
        this.end(this.connected ? { how: "media-lost" } : { how: "no-media", detail: this.path },
          "CONNECTION-STATE-FAILED");
        break;
    }
  }

  async stats() {
    return this.pc ? [...(await this.pc.getStats()).values()] : [];
  }

  // levels returns how loud each connection is now, 0 to 1, by its id.
  levels() {
    const levels = new Map();
    for (const { mid, receiver } of this.pc?.getTransceivers() ?? []) {
      const id = this.owners.get(mid);
      if (!id || receiver.track.kind !== "audio") continue;
      const [source] = receiver.getSynchronizationSources?.() ?? [];
      if (source?.audioLevel !== undefined) levels.set(id, source.audioLevel);
    }
    return levels;
  }

  end(how, reason) {
    if (this.finished) return;
    if (reason) this.send({ type: "disconnect", reason });
    this.finished = true;
    clearTimeout(this.timer);
    this.socket.onclose = null;
    this.socket.onmessage = null;
    this.socket.close();
    this.pc?.close();
    this.emit("ended", how);
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// withStereo says in the answer that we play stereo: browsers mix what they receive
// down to one channel unless their own description says so (RFC 7587 section 6.1),
// and they never say it by themselves.
export function withStereo(answer) {
  return answer.split(/^(?=m=)/m).map((section) => {
    const payload = section.match(/^a=rtpmap:(\d+) opus\//im)?.[1];
    if (!payload || !/^a=recvonly/m.test(section) || /[ ;]stereo=1/.test(section)) return section;
    return section.replace(new RegExp(`^(a=fmtp:${payload} [^\r\n]*)`, "m"), "$1;stereo=1");
  }).join("");
}
