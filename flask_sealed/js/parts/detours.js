// Loaded with the first redirect, and the first proof of who sends a request in clear.
import { untrusted } from "../core/answers.js";
import { Redirected } from "../core/errors.js";
import { SAFE, sealRequest } from "../core/exchange.js";
import { exchange, operationOf, REDIRECTS, sessionFor, targetOf } from "../core/flow.js";

const MOST_REDIRECTS = 20;

/** Where the answer to a request leads in the end: what was asked for last, and the answer to it. */
export async function followed(service, asked, answer) {
  for (let left = MOST_REDIRECTS; left > 0 && REDIRECTS.includes(answer.opened.status); left--) {
    const next = redirected(service, asked, answer.opened);
    if (!next) break;
    await answer.body?.cancel?.();
    asked = next;
    answer = await exchange(service, asked);
  }
  return [asked, answer];
}

/** The request that a redirect asks for; undefined where it is not to be followed, or leads to what is not sealed. */
function redirected(service, asked, { status, headers }) {
  const [, location] = headers.find(([name]) => name === "location") ?? [];
  if (location === undefined || asked.redirect === "manual") return undefined;
  if (asked.redirect === "error") throw new Redirected("the answer is a redirect");
  const keeps = status > 303 || SAFE.has(asked.method) || (status < 303 && asked.method !== "POST");
  const method = keeps ? asked.method : "GET";
  const url = URL.canParse(location, asked.url) && new URL(location, asked.url);
  const isInside = url && url.origin === service.base.origin && !url.pathname.startsWith("//");
  const route = isInside && service.route(method, url.pathname);
  if (!route) return undefined;
  const next = { ...asked, method, url, redirected: true, operation: operationOf(method, route.once) };
  if (!keeps) Object.assign(next, { content: null, contentType: undefined });
  return { ...next, init: { ...asked.init, method }, hides: asked.hides || url.search.length < 2 };
}

/** A seal without a body proves who sends a request in clear. */
export async function prove(service, request, url, operation = operationOf(request.method)) {
  const { method, signal } = request;
  for (let again = false; ; again = true) {
    const session = await sessionFor(service, { signal, operation });
    const asked = { method, ...targetOf({ url }), op: operation?.op };
    const { seal } = await sealRequest(session, asked, null, { iat: service.clock.serverTime() });
    const sending = new Request(again ? request : request.clone(), { cache: "no-store" });
    sending.headers.set("sealed", seal);
    const response = await service.fetch(sending);
    if (again || response.status !== 401) return response;
    if ((await untrusted(response.clone())).claims !== "session-unknown") return response;
    service.sessions.forget(session);
  }
}
