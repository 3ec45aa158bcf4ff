// Sessions: the one that is kept across pages, else a new one, once for all who wait.
import { answered } from "./answers.js";
import { kemKeys } from "./crypto.js";
import { inStore } from "./store.js";

// Not loaded where a session is kept: what agrees on one.
const agreement = () => answered(import("../parts/agreement.js"));

export class Sessions {
  #options;
  #memory = {};
  #session = null;
  #getting = null;
  #isUnknown = false;

  /** `name` is what a session is kept by: it tells the service, and whom its pins trust. Without it, none is kept. */
  constructor(options) {
    this.#options = options;
  }

  get() {
    const session = this.#session;
    if (session && this.#options.clock.now() < session.until) return session;
    this.#getting ??= this.#next().finally(() => (this.#getting = null));
    return this.#getting;
  }

  /** The service does not know it. What is kept may be no better, so the next one is new. */
  forget(session) {
    if (this.#session !== session) return;
    this.#session = null;
    this.#isUnknown = true;
  }

  /** Ends it for this page, and for those that open later. */
  async end() {
    try {
      await (await agreement()).remove(this.#options, this.#getting);
    } finally {
      this.forget(this.#session);
    }
  }

  async #next() {
    const kept = this.#isUnknown ? null : await this.#kept();
    this.#session = kept ?? (await (await agreement()).agree(this.#options, this.#memory));
    this.#isUnknown = false;
    return this.#session;
  }

  async #kept() {
    const { clock, name } = this.#options;
    const found = name && (await inStore("readonly", (store) => store.get(name)).catch(() => null));
    // The wall clock may have been set. It is no more than a hint: the service knows when a session is over.
    const age = clock.wall() - found?.since;
    if (!(age >= 0 && age < found.lasts)) return null;
    // No session is weaker than an earlier one, or than one that this browser could have.
    if (!found.kem && (this.#memory.hadKem || (await kemKeys()))) return null;
    this.#memory.hadKem = found.kem;
    clock.guess(found.iat + age);
    return { ...found, until: clock.now() + found.lasts - age };
  }
}
