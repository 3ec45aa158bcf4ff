/** A client of flask-sealed/1 for browsers, and for whatever else has WebCrypto and `fetch`. */
import type { PasswordSession } from "./password.js";

export interface ConnectOptions {
  /** The name of the service: the same text as its SEALED_AUDIENCE. */
  audience: string;
  /** The service's pins, each 43 characters of base64url. 1 to 4. */
  pins?: readonly string[];
  /** Said where there are no pins: the session is safe from those who only read. */
  unpinned?: true;
  /** In place of pins: a session that came under a password. Weaker than they are. */
  session?: PasswordSession;
  /** SEALED_PREFIX of the service. `/sealed` where left out. */
  prefix?: string;
  /** Names of request headers that the service allows in a seal beside the usual ones: its SEALED_HEADERS. */
  headers?: readonly string[];
  /** Whether queries are sealed, where a call does not say. */
  sealQuery?: boolean;
  /** Whether the length of bodies is hidden, up to 12 %, where a call does not say. */
  pad?: boolean;
  /** As of `fetch`, for handshakes and for calls that do not say. */
  credentials?: RequestCredentials;
  /** Whether later pages and other tabs have the session too; `true` where left out. */
  keep?: boolean;
  /** Sends what is sealed; `globalThis.fetch` where left out. */
  fetch?: typeof globalThis.fetch;
  clock?: Clock;
}

/** What is to be done once, in all attempts at it. */
export interface Operation {
  /** 16 bytes. */
  readonly op: Uint8Array;
  /** When it was tried first, on the client's clock. */
  started: number | undefined;
}

export interface SealedRequestInit extends RequestInit {
  /** Whether the query is sealed rather than shown in the URL. */
  sealQuery?: boolean;
  /** Whether the length of the body is hidden, up to 12 %. */
  pad?: boolean;
  /** For another attempt at the same operation, after one without an answer. */
  operation?: Operation;
  /** Whether a request to a view that is not sealed proves who sends it; true where it has `Authorization`. */
  prove?: boolean;
  /** Of a body that is a stream, as `fetch` demands it. */
  duplex?: "half";
}

export interface SealedClient {
  /**
   * As the global one, sealed where the service's list of routes says so. A relative URL is one of the service's.
   *
   * @throws NoAnswer where nothing came that could be trusted
   * @throws Refusal where the answer does not open, or does not belong to the request
   * @throws ConfigError for a caller's mistake
   */
  fetch(input: RequestInfo | URL, init?: SealedRequestInit): Promise<Response>;
  /** Sealed Server-Sent Events. */
  eventSource(url: string | URL, init?: SealedRequestInit): SealedEventSource;
  /** A name for an operation that is tried more than once: within 120 seconds. */
  operation(): Operation;
  /** Reads the list of sealed routes again. */
  refresh(): Promise<void>;
  /**
   * For a logout: ends the session, and removes what later pages would have had of it.
   *
   * @throws NoAnswer where that could not be removed; for this page it is over
   */
  forget(): Promise<void>;
}

/** In the manner of EventSource. `last-event-id` is sent again only where `headers` has it. */
export interface SealedEventSource extends EventTarget {
  readonly url: string;
  /** 0 connecting, 1 open, 2 closed. */
  readonly readyState: 0 | 1 | 2;
  readonly lastEventId: string;
  /** How long it waits before it connects again, in milliseconds. */
  retry: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  /** `error` is what went wrong, `null` where the stream has just ended. */
  onerror: ((event: Event & { error: unknown }) => void) | null;
  close(): void;
  addEventListener(type: "open", listener: (event: Event) => void): void;
  addEventListener(type: "error", listener: (event: Event & { error: unknown }) => void): void;
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void;
}

/**
 * Agrees on a session or takes the one that is kept, and reads the list of sealed routes.
 *
 * @throws NoAnswer | Refusal where the service is not there, or not the one that is pinned
 * @throws ConfigError where the options are not right
 */
export function connect(
  baseUrl: string | URL,
  options: ConnectOptions & ({ pins: readonly string[] } | { unpinned: true } | { session: PasswordSession }),
): Promise<SealedClient>;

/** The server's time, and how long things take. Both arguments tell seconds. */
export class Clock {
  constructor(monotonic?: () => number, wall?: () => number);
  now(): number;
  set(serverTime: number): void;
  /** Says what the time may be, until `set` says what it is. It may lead. */
  guess(serverTime: number): void;
  /** Says that the server has taken what was sealed at this time. */
  accepted(iat: number): void;
  serverTime(): number;
  readonly wall: () => number;
}

export type Code =
  | "error"
  | "config"
  | "no-answer"
  | "given-up"
  | "redirected"
  | "malformed"
  | "refused"
  | "too-large";

/** All that this module throws. `code` is stable, the message is not. */
export class SealedError extends Error {
  get code(): Code;
}

/** The caller's own mistake. */
export class ConfigError extends SealedError {}

/** Nothing came that can be trusted, or nothing in time. */
export class NoAnswer extends SealedError {
  /** The status of an answer in clear. */
  readonly status: number | undefined;
  /** The refusal that it claims to be. Anyone on the way may have written it. */
  readonly claims: string | undefined;
}

/** An operation was not finished within 120 seconds. Its outcome is unknown. */
export class GivenUp extends NoAnswer {}

/** The answer is a redirect, and `redirect` was "error". */
export class Redirected extends SealedError {}

/** What the other side sent is not taken. */
export class Refusal extends SealedError {}

/** Its form is broken, or a stream was cut. */
export class Malformed extends Refusal {}

/** It does not open, or is bound to something else. Which one is not told. */
export class Refused extends Refusal {}

/** It is over a limit. */
export class TooLarge extends Refusal {}

/** A key of AES-256-GCM that cannot be taken out. @param bytes 32 bytes */
export function importAes(bytes: Uint8Array): Promise<CryptoKey>;
