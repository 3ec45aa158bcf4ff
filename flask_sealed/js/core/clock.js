// Time: the server's, and a client's own.
import { SLOWEST_REPLY } from "./handshake.js";

/** The server's time, which may lag and never leads; and a time that goes on while the machine sleeps. */
export class Clock {
  #monotonic;
  #wall;
  #ahead;
  #missed = 0;
  #told = null;

  /** Both in seconds. */
  constructor(monotonic = () => performance.now() / 1000, wall = () => Date.now() / 1000) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#ahead = wall() - monotonic();
  }

  now() {
    const ahead = this.#wall() - this.#monotonic();
    // What the one has missed and the other has not.
    if (ahead - this.#ahead > 1) this.#missed += ahead - this.#ahead;
    this.#ahead = ahead;
    return this.#monotonic() + this.#missed;
  }

  /** Takes the time from the server. */
  set(serverTime) {
    let now = this.now();
    const missed = this.#told && serverTime - this.#told.time - (now - this.#told.now);
    // What was told before may have come as late as a reply may.
    if (missed > SLOWEST_REPLY) {
      this.#missed += missed;
      now += missed;
    }
    this.#told = { time: serverTime, when: this.#monotonic(), now };
  }

  serverTime() {
    return Math.floor(this.#told.time + this.#monotonic() - this.#told.when);
  }
}

