// Joins a video room of Janus over its WebSocket API, with plain peer connections.

const KEEPALIVE = 20_000;

// open makes a session with a handle of the video room, and returns what sends to it: request
// resolves with the event or answer of its transaction.
async function open(url) {
  const socket = new WebSocket(url, "janus-protocol");
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("Janus cannot be reached"));
  });
  const waiting = new Map();
  let serial = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.janus === "ack") return;
    waiting.get(message.transaction)?.(message);
    waiting.delete(message.transaction);
  };
  const send = (message) => new Promise((resolve, reject) => {
    const transaction = `t${serial++}`;
    waiting.set(transaction, (answer) => {
      const error = answer.error ?? (answer.plugindata?.data?.error && { reason: answer.plugindata.data.error });
      if (error) reject(new Error(`Janus: ${JSON.stringify(error)}`));
      else resolve(answer);
    });
    socket.send(JSON.stringify({ ...message, transaction }));
  });
  const session_id = (await send({ janus: "create" })).data.id;
  setInterval(() => send({ janus: "keepalive", session_id }), KEEPALIVE);
  const handle_id = (await send({ janus: "attach", session_id, plugin: "janus.plugin.videoroom" })).data.id;
  return {
    request: (body, jsep) => send({ janus: "message", session_id, handle_id, body, ...(jsep && { jsep }) }),
    trickle: (candidate) => socket.send(JSON.stringify({ janus: "trickle", session_id, handle_id, candidate, transaction: `t${serial++}` })),
  };
}

function trickles(pc, janus) {
  pc.addEventListener("icecandidate", ({ candidate }) => janus.trickle(candidate ?? { completed: true }));
}

export async function publishJanus(url, room) {
  const janus = await open(url);
  await janus.request({ request: "join", ptype: "publisher", room });
  const pc = new RTCPeerConnection();
  trickles(pc, janus);
  const stream = await rig.devices();
  for (const track of stream.getTracks()) {
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video") rig.preferVP8(transceiver);
  }
  await pc.setLocalDescription();
  const answer = await janus.request({ request: "publish" }, { type: "offer", sdp: pc.localDescription.sdp });
  await pc.setRemoteDescription(answer.jsep);
}

export async function viewJanus(url, room) {
  const janus = await open(url);
  let feed;
  while (!feed) { // until the publisher's transport is there
    const list = await janus.request({ request: "listparticipants", room });
    feed = list.plugindata.data.participants.find((one) => one.publisher)?.id;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const offer = await janus.request({ request: "join", ptype: "subscriber", room, streams: [{ feed }] });
  const pc = new RTCPeerConnection();
  trickles(pc, janus);
  await pc.setRemoteDescription(offer.jsep);
  await pc.setLocalDescription();
  await janus.request({ request: "start" }, { type: "answer", sdp: pc.localDescription.sdp });
}
