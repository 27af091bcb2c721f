// A worker that only ticks. Browsers slow the timers of a hidden tab down to
// one a second, and animation frames stop there altogether, but the timers of a
// worker keep their pace: without it, a test pattern would freeze for everybody
// else as soon as its tab is behind another.
let timer = 0;

self.onmessage = ({ data: intervalMs }) => {
  clearInterval(timer);
  timer = setInterval(() => self.postMessage(0), intervalMs);
};
