// A client of one service: `fetch`, sealed where the service's list of routes says so.
import { answered } from "./answers.js";
import { Clock } from "./clock.js";
import { configured } from "./errors.js";
import { SealedEventSource } from "./events.js";
import { REQUEST_HEADERS } from "./exchange.js";
import { ask, detours, follow, operationOf, readContent } from "./flow.js";
import { readRoutes } from "./routes.js";
import { Sessions } from "./sessions.js";

/**
 * A client of one service, after a handshake and with the list of its sealed routes.
 * See sealed.d.ts for the options.
 */
export async function connect(baseUrl, options) {
  const client = new Client(await makeService(new URL(baseUrl), options));
  await client.refresh();
  return client;
}

const isHere = ({ hostname }) => /^(127\.0\.0\.1|\[::1\]|(.+\.)?localhost)$/.test(hostname);

/** What a client holds: where the service is, how it is reached, and what calls do that do not say it. */
async function makeService(base, { audience, prefix = "/sealed", headers = [], clock = new Clock(), ...options }) {
  configured(base.protocol === "https:" || isHere(base), "a service is reached by https");
  const { sealQuery = false, pad = false, keep = true, credentials, pins, session } = options;
  checkTrust(options, audience);
  // Called as a method of anything else, the browser's own throws.
  const fetch = (options.fetch ?? globalThis.fetch).bind(globalThis);
  const { href } = new URL(prefix, base);
  const url = `${href}/session`;
  // What a session is kept by. A page that trusts others finds none.
  const name = keep && (pins ? [audience, url, pins] : [audience, url]);
  return {
    base,
    fetch,
    clock,
    sealQuery,
    pad,
    credentials,
    list: `${href}/routes`,
    allowed: new Set([...REQUEST_HEADERS, ...headers.map((name) => name.toLowerCase())]),
    sessions: session
      ? new (await answered(import("../parts/given.js"))).GivenSession(session, clock)
      : new Sessions({ audience, pins, url, name, clock, fetch, credentials }),
    route() {},
  };
}

function checkTrust({ pins, unpinned, session }, audience) {
  const given = [pins, unpinned, session].filter(Boolean);
  configured(given.length === 1, "one of `pins`, `unpinned: true` and `session`");
  configured(!session || session.audience === audience, "a session of another service");
}

class Client {
  #service;
  #reading = null;
  #listedIn = null;

  constructor(service) {
    this.#service = service;
    this.fetch = this.fetch.bind(this);
  }

  /** Reads the list of sealed routes again. */
  async refresh() {
    const { list, credentials } = this.#service;
    const request = new Request(list, { credentials });
    const answer = await follow(this.#service, ask(this.#service, request, new URL(list), {}));
    configured(answer.status === 200, "no list of routes");
    this.#service.route = readRoutes((await answer.json()).routes);
    this.#listedIn = await this.#service.sessions.get();
  }

  /** Once for each session, lest a view that has been sealed since is sent something in clear. */
  async #listed() {
    if (this.#listedIn === (await this.#service.sessions.get())) return;
    this.#reading ??= this.refresh().finally(() => (this.#reading = null));
    await this.#reading;
  }

  /** For a logout: the session is over, and nothing of it is kept. */
  async forget() {
    await this.#service.sessions.end();
  }

  /** What is to be done once, however often it is tried: for `fetch(…, { operation })`. */
  operation() {
    return operationOf("POST");
  }

  /** As the global one, sealed where the service's list says so. */
  async fetch(input, { sealQuery, pad, operation, prove, ...init } = {}) {
    const service = this.#service;
    const { credentials } = service;
    const from = input instanceof Request ? input : new URL(input, service.base);
    const request = new Request(from, credentials && from !== input ? { credentials, ...init } : init);
    const url = from instanceof Request ? new URL(from.url) : from;
    configured(url.origin === service.base.origin, "a URL of another service");
    await this.#listed();
    const route = service.route(request.method, url.pathname);
    if (!route) {
      const proves = prove ?? request.headers.has("authorization");
      return proves ? (await detours()).prove(service, request, url, operation) : service.fetch(request);
    }
    const asked = ask(service, request, url, { sealQuery, pad, operation, once: route.once });
    return follow(service, { ...asked, ...(await readContent(request, from, init.body)) });
  }

  /** Sealed Server-Sent Events, as an EventTarget in the manner of EventSource. */
  eventSource(url, init) {
    const { base, allowed } = this.#service;
    const open = (headers, signal) => this.fetch(url, { ...init, headers, signal });
    return new SealedEventSource(new URL(url, base).href, open, { headers: init?.headers, allowed });
  }
}
