// Figures of a call from the browser's statistics (RTCStatsReport): for each
// connection what arrives from it, and for "own" what we send and the server
// reports about it.

// METRICS are what is plotted, in this order. `floor` is the least that the top of
// a plot stands for, so that a still line does not look like a storm; `short` is the
// label where there is no room for the label and the unit.
export const METRICS = [
  { key: "kbps", label: "Bit rate", short: "kbps", unit: "kbps", digits: 0, floor: 100 },
  { key: "fps", label: "Frames", short: "fps", unit: "fps", digits: 0, floor: 30 },
  { key: "height", label: "Height", short: "lines", unit: "px", digits: 0, floor: 360 },
  { key: "loss", label: "Loss", short: "loss %", unit: "%", digits: 1, floor: 5 },
  { key: "jitter", label: "Jitter", short: "jitter ms", unit: "ms", digits: 0, floor: 20 },
  { key: "rtt", label: "Round trip", short: "RTT ms", unit: "ms", digits: 0, floor: 20 },
];

// HISTORY is how many readings are kept, one a second.
export const HISTORY = 60;

// Meter turns one reading after the other into figures: most of the statistics are
// sums, and a figure is what came since the reading before.
export class Meter {
  constructor() {
    this.previous = new Map(); // report id -> report of the last reading
    this.history = new Map(); // connection -> array of figures, oldest first
  }

  // read takes all reports of one moment and returns figures by connection id.
  // ownerOf(report) says whose an inbound report is.
  read(reports, ownerOf) {
    const byId = new Map(reports.map((report) => [report.id, report]));
    const figures = new Map();
    const of = (id) => {
      if (!figures.has(id)) figures.set(id, {});
      return figures.get(id);
    };
    const pair = reports.find((r) => r.type === "candidate-pair" && r.nominated && r.state === "succeeded");
    const rtt = pair?.currentRoundTripTime;
    for (const report of reports) {
      if (report.type === "inbound-rtp") {
        const id = ownerOf(report);
        if (id) this.inbound(of(id), report, byId, rtt);
      } else if (report.type === "outbound-rtp") {
        this.outbound(of("own"), report, byId, rtt);
      } else if (report.type === "media-source" && report.kind === "audio") {
        of("own").level = report.audioLevel;
      }
    }
    this.previous = byId;
    this.keep(figures);
    return figures;
  }

  inbound(figure, report, byId, rtt) {
    const last = this.previous.get(report.id);
    const rate = rateOf(report, last, "bytesReceived");
    if (report.kind === "audio") {
      figure.audioKbps = rate;
      figure.level = report.audioLevel;
      figure.audioCodec = codecOf(report, byId);
      figure.audioLoss = lossOf(report, last);
      figure.audioJitter = milliseconds(report.jitter);
    } else {
      Object.assign(figure, picture(report, last), {
        kbps: rate, codec: codecOf(report, byId), loss: lossOf(report, last), jitter: milliseconds(report.jitter),
      });
    }
    figure.rtt = milliseconds(rtt);
  }

  outbound(figure, report, byId, rtt) {
    const last = this.previous.get(report.id);
    const rate = rateOf(report, last, "bytesSent");
    const remote = byId.get(report.remoteId);
    const loss = remote?.fractionLost === undefined ? undefined : remote.fractionLost * 100;
    if (report.kind === "audio") {
      figure.audioKbps = rate;
      figure.audioCodec = codecOf(report, byId);
      figure.audioLoss = loss;
      figure.audioJitter = milliseconds(remote?.jitter);
    } else {
      Object.assign(figure, picture(report, last), {
        kbps: rate, codec: codecOf(report, byId), loss, jitter: milliseconds(remote?.jitter),
        limited: report.qualityLimitationReason,
      });
    }
    figure.rtt = milliseconds(rtt ?? remote?.roundTripTime);
  }

  // keep adds the figures to the history; a connection without a picture is plotted
  // by its sound. Connections that are gone are forgotten.
  keep(figures) {
    for (const id of this.history.keys()) if (!figures.has(id)) this.history.delete(id);
    for (const [id, figure] of figures) {
      if (figure.kbps === undefined) {
        Object.assign(figure, { kbps: figure.audioKbps, loss: figure.audioLoss, jitter: figure.audioJitter });
      }
      const history = this.history.get(id) ?? [];
      history.push(figure);
      if (history.length > HISTORY) history.shift();
      this.history.set(id, history);
    }
  }
}

const milliseconds = (seconds) => (seconds === undefined ? undefined : seconds * 1000);

// rateOf is kbps since the reading before; timestamps are milliseconds.
function rateOf(report, last, bytes) {
  const ms = report.timestamp - last?.timestamp;
  return ms > 0 ? Math.max(0, ((report[bytes] - last[bytes]) * 8) / ms) : undefined;
}

// lossOf is the share of the packets that should have come since the reading
// before, in percent. packetsLost shrinks when a late packet comes after all.
function lossOf(report, last) {
  if (!last) return undefined;
  const lost = report.packetsLost - last.packetsLost;
  const all = lost + report.packetsReceived - last.packetsReceived;
  return all > 0 ? Math.max(0, (100 * lost) / all) : 0;
}

function picture(report, last) {
  if (!report.frameWidth) return {};
  return { width: report.frameWidth, height: report.frameHeight, fps: report.framesPerSecond ?? frameRate(report, last) };
}

// frameRate is for browsers that leave framesPerSecond out.
function frameRate(report, last) {
  const count = (r) => r?.framesDecoded ?? r?.framesEncoded;
  const ms = report.timestamp - last?.timestamp;
  return ms > 0 ? ((count(report) - count(last)) * 1000) / ms : undefined;
}

function codecOf(report, byId) {
  const name = byId.get(report.codecId)?.mimeType?.split("/")[1];
  return { H264: "H.264", H265: "H.265", opus: "Opus" }[name] ?? name;
}

// show writes a figure with its digits; an em dash where there is none.
export function show(value, digits = 0) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}
