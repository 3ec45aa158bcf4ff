// Time: the server's, and a client's own.

export const SLOWEST_REPLY = 10; // seconds
const NEWEST = 10; // seconds that a request may be ahead of a server's clock

/** The server's time, which may lag and never leads; and a time that goes on while the machine sleeps. */
export class Clock {
  #monotonic;
  #ahead;
  #missed = 0;
  #told = null;
  #guess = null;

  /** Both in seconds. */
  constructor(monotonic = () => performance.now() / 1000, wall = () => Date.now() / 1000) {
    this.#monotonic = monotonic;
    this.wall = wall;
    this.#ahead = wall() - monotonic();
  }

  now() {
    const ahead = this.wall() - this.#monotonic();
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

  /** Until the server has told its time. It may lead: so it is for what may be sent again, and for nothing else. */
  guess(serverTime) {
    this.#guess = { time: serverTime, when: this.#monotonic() };
  }

  /** The server has taken what was sealed at this time. Later than that by more than its window, it is now. */
  accepted(iat) {
    if (!this.#told) this.set(iat - NEWEST);
  }

  serverTime() {
    const { time, when } = this.#told ?? this.#guess;
    return Math.floor(time + this.#monotonic() - when);
  }
}
