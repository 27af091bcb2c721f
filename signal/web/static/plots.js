// The small live plots under a picture: one for each metric, the last minute from
// left to right.

import { HISTORY, METRICS, show } from "./stats.js";

const template = document.querySelector("#plot");

export class Plots {
  // root gets one cell for each metric.
  constructor(root) {
    this.cells = METRICS.map((metric) => {
      const cell = template.content.firstElementChild.cloneNode(true);
      cell.dataset.metric = metric.key;
      cell.querySelector(".long").textContent = metric.label;
      cell.querySelector(".short").textContent = metric.short;
      cell.querySelector(".unit").textContent = metric.unit;
      root.append(cell);
      return { metric, value: cell.querySelector(".value"), canvas: cell.querySelector("canvas") };
    });
  }

  draw(history) {
    for (const { metric, value, canvas } of this.cells) {
      const values = history.map((figure) => figure[metric.key]);
      value.textContent = show(values.at(-1), metric.digits);
      canvas.dataset.points = values.filter(Number.isFinite).length;
      line(canvas, values, metric.floor);
    }
  }
}

// line draws the values at the right end of the canvas; a gap where there is none.
function line(canvas, values, floor) {
  const ratio = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const style = getComputedStyle(canvas);
  const c = canvas.getContext("2d");
  c.clearRect(0, 0, width, height);
  const top = Math.max(floor, ...values.filter(Number.isFinite)) * 1.1;
  const pad = 1.5 * ratio;
  const x = (i) => ((i + HISTORY - values.length) / (HISTORY - 1)) * (width - 2 * pad) + pad;
  const y = (value) => height - pad - (value / top) * (height - 2 * pad);

  c.lineWidth = 1.5 * ratio;
  c.lineJoin = c.lineCap = "round";
  c.strokeStyle = style.color;
  c.fillStyle = style.getPropertyValue("--plot-fill");
  for (const [from, to] of runs(values)) {
    c.beginPath();
    for (let i = from; i < to; i++) c.lineTo(x(i), y(values[i]));
    c.stroke();
    c.lineTo(x(to - 1), height);
    c.lineTo(x(from), height);
    c.fill();
  }
}

// runs returns the stretches [from, to) that have values.
function runs(values) {
  const found = [];
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    if (found.at(-1)?.[1] === i) found.at(-1)[1]++;
    else found.push([i, i + 1]);
  });
  return found;
}
