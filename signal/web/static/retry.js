// Coming back after the server was gone: waits 1, 2, 4, 8 and then always 15
// seconds, each up to half longer or shorter, so that the clients of a server which
// has restarted do not all return in the same moment.

const STEPS_MS = [1000, 2000, 4000, 8000, 15_000];
const JITTER = 0.5;
const ONLINE_SPREAD_MS = 2000;

// delayMs returns the wait before the attempt of that number, counted from 0.
// random is in [0, 1).
export function delayMs(attempt, random = Math.random()) {
  return Math.round(STEPS_MS[Math.min(attempt, STEPS_MS.length - 1)] * (1 + JITTER * (2 * random - 1)));
}

// Retry counts down to the next attempt. `tick` is called with the seconds that
// are left, `attempt` when it is time.
export class Retry {
  constructor({ tick, attempt }) {
    this.tick = tick;
    this.attempt = attempt;
    this.count = 0;
    this.timer = 0;
    // A network that is back is the best moment to try, but not for all of its
    // clients at once.
    addEventListener("online", () => this.sooner(Math.random() * ONLINE_SPREAD_MS));
    // Timers of a hidden page may be a minute late.
    document.addEventListener("visibilitychange", () => this.waiting && this.step());
  }

  get waiting() {
    return this.timer !== 0;
  }

  // schedule starts the wait before the next attempt.
  schedule() {
    this.stop();
    this.at = performance.now() + delayMs(this.count++);
    this.timer = setInterval(() => this.step(), 250);
    this.step();
  }

  // sooner shortens the wait.
  sooner(ms) {
    this.at = Math.min(this.at, performance.now() + ms);
  }

  step() {
    const left = this.at - performance.now();
    if (left <= 0) this.now();
    else this.tick(Math.ceil(left / 1000));
  }

  // now makes the attempt without waiting any longer.
  now() {
    this.stop();
    this.attempt();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
  }

  // reset forgets past failures: the next wait is the shortest again.
  reset() {
    this.stop();
    this.count = 0;
  }
}
