// What the client throws, and the four demands that throw it.

/** All that this client throws. `code` is stable, the message is not. */
export class SealedError extends Error {
  // A build shortens the names of classes.
  static name = "SealedError";
  static code = "error";

  get code() {
    return this.constructor.code;
  }

  get name() {
    return this.constructor.name;
  }
}

/** The caller's own mistake. */
export class ConfigError extends SealedError {
  static name = "ConfigError";
  static code = "config";
}

/** Nothing came that can be trusted, or nothing in time. */
export class NoAnswer extends SealedError {
  static name = "NoAnswer";
  static code = "no-answer";

  /** `status` and `claims` are of an answer in clear: the refusal that it says it is. */
  constructor(message, { status, claims, ...options } = {}) {
    super(message, options);
    this.status = status;
    this.claims = claims;
  }
}

/** An operation was not finished in time. Its outcome is unknown. */
export class GivenUp extends NoAnswer {
  static name = "GivenUp";
  static code = "given-up";
}

/** There is a redirect, and the caller wanted none. */
export class Redirected extends SealedError {
  static name = "Redirected";
  static code = "redirected";
}

/** What the other side sent is not taken. */
export class Refusal extends SealedError {
  static name = "Refusal";
}

/** The form is broken. */
export class Malformed extends Refusal {
  static name = "Malformed";
  static code = "malformed";
}

/** It does not open, or is bound to something else. Which one is not told. */
export class Refused extends Refusal {
  static name = "Refused";
  static code = "refused";

  constructor() {
    super("it did not open, or belongs to something else");
  }
}

/** It is over a limit. */
export class TooLarge extends Refusal {
  static name = "TooLarge";
  static code = "too-large";
}

export function demand(right, what) {
  if (!right) throw new Malformed(`not well-formed: ${what}`);
}

export function configured(right, what) {
  if (!right) throw new ConfigError(what);
}

export function bound(right) {
  if (!right) throw new Refused();
}

export function limited(right, what) {
  if (!right) throw new TooLarge(`too large: ${what}`);
}
