// The log of signaling: every message in both directions, the newest at the end,
// each of which opens to its JSON and its SDP.

// KEEP is how many entries there are at most; the oldest goes first.
export const KEEP = 500;

// KEEP_TEXT is how many characters all of them may have together: in a large
// channel a single re-offer has hundreds of thousands.
export const KEEP_TEXT = 4_000_000;

const template = document.querySelector("#entry");

export class Log {
  constructor({ list, filter, pings, count }) {
    this.list = list;
    this.filter = filter;
    this.pings = pings;
    this.count = count;
    this.entries = [];
    this.length = 0; // of all texts
    filter.addEventListener("input", () => this.refilter());
    pings.addEventListener("change", () => this.refilter());
  }

  // add takes { way: "sent" | "received" | "note", text, title? }; a message's text
  // is its JSON.
  add({ way, text, title }) {
    const message = way === "note" ? null : parse(text);
    const entry = {
      way, text, message, at: new Date(),
      type: title ?? message?.type ?? "not JSON",
      summary: way === "note" ? text : summary(message),
    };
    entry.node = this.render(entry);
    this.entries.push(entry);
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    this.list.append(entry.node);
    this.length += text.length;
    while (this.entries.length > KEEP || (this.length > KEEP_TEXT && this.entries.length > 1)) this.dropOldest();
    entry.node.hidden = !this.passes(entry);
    this.showCount();
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  dropOldest() {
    const oldest = this.entries.shift();
    this.length -= oldest.text.length;
    oldest.node.remove();
  }

  render(entry) {
    const node = template.content.firstElementChild.cloneNode(true);
    node.classList.add(entry.way);
    const write = (name, text) => {
      node.querySelector(name).textContent = text;
    };
    write("time", clock(entry.at));
    node.querySelector("time").dateTime = entry.at.toISOString();
    write(".way", { sent: "sent", received: "received", note: "" }[entry.way]);
    write(".type", entry.type);
    write(".summary", entry.summary);
    write(".size", entry.way === "note" ? "" : bytes(entry.text));
    // The text is made when somebody looks at it: most entries are never opened.
    node.addEventListener("toggle", () => {
      if (node.open) write("pre", pretty(entry));
    });
    return node;
  }

  passes(entry) {
    if (!this.pings.checked && (entry.type === "ping" || entry.type === "pong")) return false;
    const wanted = this.filter.value.trim().toLowerCase();
    return !wanted || `${entry.way} ${entry.type} ${entry.text}`.toLowerCase().includes(wanted);
  }

  refilter() {
    for (const entry of this.entries) entry.node.hidden = !this.passes(entry);
    this.showCount();
  }

  showCount() {
    const shown = this.entries.filter((entry) => !entry.node.hidden).length;
    this.count.textContent = shown === this.entries.length ? `${shown}` : `${shown} of ${this.entries.length}`;
  }

  clear() {
    this.entries = [];
    this.length = 0;
    this.list.replaceChildren();
    this.showCount();
  }

  // toText is what is copied: one line each, as it went over the wire.
  toText() {
    return this.entries
      .map(({ at, way, type, text }) => `${at.toISOString()} ${way} ${way === "note" ? `${type} ${text}` : text}`)
      .join("\n");
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// summary says in a few words what a message is about.
function summary(message) {
  switch (message?.type) {
    case "connect":
      return `${message.role} in ${message.channel_id}`;
    case "offer":
      return `we are ${message.connection_id}`;
    case "notify":
      return notifySummary(message);
    case "disconnect":
      return message.reason ?? "";
    case "pong":
      return message.stats ? `${message.stats.length} statistics` : "";
  }
  return message?.sdp ? `${message.sdp.split(/^m=/m).length - 1} m-sections` : "";
}

function notifySummary(message) {
  const who = message.client_id && message.client_id !== message.connection_id
    ? message.client_id : message.connection_id?.slice(0, 6);
  return [message.event_type, who, message.role,
    message.channel_connections && `${message.channel_connections} connected`].filter(Boolean).join(" · ");
}

// pretty shows JSON indented, and SDP below it as the lines that it is.
function pretty({ message, text }) {
  if (!message) return text;
  if (typeof message.sdp !== "string") return JSON.stringify(message, null, 2);
  const lines = message.sdp.trim().split(/\r?\n/);
  const without = { ...message, sdp: `(${lines.length} lines, below)` };
  return `${JSON.stringify(without, null, 2)}\n\n${lines.join("\n").replace(/\nm=/g, "\n\nm=")}`;
}

function clock(date) {
  const two = (n, width = 2) => String(n).padStart(width, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}

function bytes(text) {
  const n = new TextEncoder().encode(text).length;
  return n < 1000 ? `${n} B` : `${(n / 1000).toFixed(1)} kB`;
}
