// The way of a sealed request: sealed, sent, tried again where that helps, and opened.
import { answered, plainResponse, readAll, staleTime, untrusted } from "./answers.js";
import { systemRandom } from "./crypto.js";
import { configured, GivenUp } from "./errors.js";
import { canonicalTarget, openBody, openResponse, prepare, SAFE, sealRequest } from "./exchange.js";

const GIVE_UP = 120; // seconds
const MOST_ENVELOPE = 2 ** 26; // bytes
const MOST_CONTENT = 2 ** 20; // bytes of a request that go into an envelope
export const REDIRECTS = [301, 302, 303, 307, 308];
const SET_HERE = ["content-type", "sealed"];

// Not loaded before they are needed: what seals and opens records, what follows redirects and proves.
const transfers = () => answered(import("../parts/transfers.js"));
export const detours = () => answered(import("../parts/detours.js"));

/** A request as it is sealed, as often as it has to be. */
export function ask(service, request, url, { once, operation, sealQuery = service.sealQuery, pad = service.pad }) {
  const { method, signal, redirect, credentials, referrer, referrerPolicy, keepalive } = request;
  configured(!request.integrity, "`integrity` is of what is sealed");
  const [headers, outer] = [[], []];
  for (const header of request.headers) {
    if (service.allowed.has(header[0])) headers.push(header);
    else if (!SET_HERE.includes(header[0])) outer.push(header);
  }
  const mode = request.mode === "same-origin" ? request.mode : "cors";
  return {
    method,
    url,
    headers,
    outer,
    hides: sealQuery || url.search.length < 2,
    pad,
    operation: operation ?? operationOf(method, once),
    content: null,
    redirect,
    redirected: false,
    signal,
    init: { method, credentials, mode, referrer, referrerPolicy, keepalive, cache: "no-store", redirect: "manual", signal },
  };
}

export const operationOf = (method, once) => (once || !SAFE.has(method) ? { op: systemRandom(16) } : undefined);

/** Bytes for an envelope; for records a Blob, which can be sent twice and need not be in memory. */
export async function readContent(request, from, body) {
  if (request.body === null) return {};
  const isLarge = [FormData, Blob, ReadableStream].some((kind) => body instanceof kind);
  const isUnknown = from instanceof Request && !body;
  let content = isLarge || isUnknown ? await request.blob() : new Uint8Array(await request.arrayBuffer());
  // Browsers that do not tell whether there is a body have an empty one then.
  if (request.body === undefined && !(content.size ?? content.length)) return {};
  if (!isLarge && content.size <= MOST_CONTENT) content = new Uint8Array(await content.arrayBuffer());
  if (content.length > MOST_CONTENT) content = new Blob([content]);
  return { content, contentType: request.headers.get("content-type") ?? "application/octet-stream" };
}

/** The answer to a request, or to where it leads. */
export async function follow(service, asked) {
  const answer = await exchange(service, asked);
  const isRedirect = REDIRECTS.includes(answer.opened.status);
  return plainResponse(...(isRedirect ? await (await detours()).followed(service, asked, answer) : [asked, answer]));
}

/** Sends it, once more where the session is unknown or the clock was off. */
export async function exchange(service, asked) {
  let again = false;
  let adjusted = false;
  for (;;) {
    const session = await sessionFor(service, asked);
    const { response, made, iat } = await send(service, asked, session);
    const field = response.headers.get("sealed");
    if (field === null) {
      const error = await untrusted(response);
      if (again || error.claims !== "session-unknown") throw error;
      again = true;
      service.sessions.forget(session);
      continue;
    }
    const answer = await openAnswer(made.exchange, field, response);
    const time = staleTime(answer.opened, answer.body);
    if (time === undefined) service.clock.accepted(iat);
    if (time === undefined || adjusted) return answer;
    adjusted = true;
    service.clock.set(time);
  }
}

/** The session for another attempt. The service may have forgotten an operation that began long ago. */
export async function sessionFor({ sessions, clock }, { signal, operation }) {
  let session = sessions.get();
  if (session instanceof Promise) session = await unlessAborted(signal, session);
  signal.throwIfAborted();
  if (operation) {
    const now = clock.now();
    operation.started ??= now;
    if (now - operation.started > GIVE_UP) throw new GivenUp("the outcome is unknown");
  }
  return session;
}

/** Others may wait for the same, so it goes on. */
function unlessAborted(signal, promise) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

async function send(service, asked, session) {
  const { method, content, contentType, headers, pad, hides } = asked;
  const { origin, pathname, search } = asked.url;
  const request = { method, ...targetOf(asked), contentType, headers, op: asked.operation?.op };
  const { prepared } = session;
  session.prepared = undefined;
  const iat = service.clock.serverTime();
  const options = { iat, allowed: service.allowed, prepared, pad };
  const isBlob = content instanceof Blob;
  const made = isBlob
    ? await (await transfers()).sealBlob(session, request, content, options)
    : await sealRequest(session, request, content, options);
  const outer = [...asked.outer, ["sealed", made.seal]];
  if (content) outer.push(["content-type", isBlob ? "application/vnd.flask-sealed.records" : "application/json"]);
  const url = origin + pathname + (hides ? "" : search);
  const sending = service.fetch(url, { ...asked.init, headers: outer, body: made.body });
  // While the answer is under way, there is time.
  session.prepared ??= prepare(session);
  return { response: await answered(sending), made, iat };
}

/** The target, and the query that it does not show. */
export function targetOf({ url, hides }) {
  const query = url.search.slice(1);
  const target = canonicalTarget(url.pathname, hides ? "" : query);
  return { target, query: (hides && query) || undefined };
}

async function openAnswer(exchange, field, response) {
  try {
    const opened = await openResponse(exchange, field);
    const body =
      opened.body === "records"
        ? await (await transfers()).receive(response, opened)
        : await openBody(opened, await readAll(response, MOST_ENVELOPE));
    return { opened, body };
  } catch (error) {
    // What is not read any more; a body that is read already says no.
    response.body?.cancel().catch(() => {});
    throw error;
  }
}
