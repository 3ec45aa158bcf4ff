// Loaded where a session comes in another way than by a handshake, such as under a password.
import { NoAnswer } from "../core/errors.js";

/** In place of `Sessions`. When it is over, its user logs in again. */
export class GivenSession {
  #session;
  #clock;

  constructor({ ticket, secret, iat, exp, audience }, clock) {
    // It has just come: when it was made is the time there.
    clock.set(iat);
    this.#session = { kid: ticket, secret, audience, until: clock.now() + exp - iat };
    this.#clock = clock;
  }

  get() {
    if (this.#clock.now() < this.#session.until) return this.#session;
    throw new NoAnswer("the session is over: log in again");
  }

  forget() {}

  end() {
    this.#session.until = -Infinity;
  }
}
