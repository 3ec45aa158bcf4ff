// A service worker that seals what the pages of its scope send: plain `fetch`, XMLHttpRequest, images,
// forms and downloads, without a change to the page.
//
//     // sw.js, a module worker of your own
//     import { sealedWorker } from "/sealed/client-sw.js";
//     sealedWorker({ audience: "https://bank.example", pins: ["…", "…"], paths: ["/api/"] });

import { readRoutes } from "./core/routes.js";
import { connect, Redirected, SealedError } from "./sealed.js";

/** A page of another site has sent a form, or might have. */
class CrossSite extends SealedError {
  static name = "CrossSite";
  static code = "cross-site";
}

const FOREIGN = "This form was not sent, since it may be of a page of another site (cross-site).";
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Lets the worker that calls it answer for its pages, from now on and without a reload.
 *
 * `options` are those of `connect`, and `paths`: what the addresses of sealed views begin with. Requests
 * elsewhere are left to the browser. Nothing below them goes out in clear that the service's list says
 * is sealed, and nothing at all while the list is not known.
 */
export function sealedWorker({ url = self.location.origin, paths = ["/"], prefix = "/sealed", ...options }) {
  const base = new URL(url);
  const client = lazily(() => connect(base, { prefix, ...options }));

  self.addEventListener("install", () => self.skipWaiting());
  self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
  self.addEventListener("fetch", (event) => {
    const { origin, pathname } = new URL(event.request.url);
    const isOurs = origin === base.origin && paths.some((path) => pathname.startsWith(path));
    // The client's own modules have to come before it does, and a page's own client has sealed already.
    const isDone = pathname.startsWith(`${prefix}/client`) || event.request.headers.has("sealed");
    if (isOurs && !isDone) event.respondWith(answer(client, event.request, `${prefix}/routes`));
  });
}

async function answer(client, request, list) {
  try {
    const api = await client();
    if (mayBeForeign(request) && (await isSealed(api, list, request))) throw new CrossSite("the form may be of another site");
    const response = await api.fetch(request);
    if (wouldResend(request, response)) throw new Redirected("the content would go on in clear");
    return response;
  } catch (error) {
    if (error instanceof SealedError) console.error(`flask-sealed: ${request.method} ${request.url}: ${error.code}, ${error.message}`);
    // A page is shown why; a script has what `fetch` has where nothing came.
    return request.mode === "navigate" ? page(error) : Response.error();
  }
}

/**
 * Whether a page of another site may have sent a form. What is sealed is a request of the worker's own: it would
 * have all cookies, whatever their `SameSite`, and the `Origin` of a page of this site.
 */
function mayBeForeign({ mode, method, referrer }) {
  return mode === "navigate" && method === "POST" && !referrer.startsWith(`${self.location.origin}/`);
}

async function isSealed(api, list, { method, url }) {
  const { routes } = await (await api.fetch(list)).json();
  return readRoutes(routes)(method, new URL(url).pathname) !== undefined;
}

/**
 * Whether the browser, which has the plaintext, would send it again to where an opened answer leads. What is
 * sealed there, the client has followed itself, but for navigations. Answers of the network have other types.
 */
function wouldResend({ method }, { type, status, headers }) {
  const isRedirect = type === "default" && REDIRECTS.has(status) && headers.has("location");
  const becomesGet = status === 303 || (status < 303 && method === "POST");
  return isRedirect && !becomesGet && method !== "GET" && method !== "HEAD";
}

function page(error) {
  const { code = "unreachable" } = error;
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  const lost = `The answer could not be opened, so it is not shown (${code}). Please try again.`;
  return new Response(error instanceof CrossSite ? FOREIGN : lost, { status: 502, headers });
}

/** One client for all requests; where there was none to be had, the next request tries again. */
function lazily(make) {
  let made = null;
  return () => (made ??= make().catch((error) => {
    made = null;
    throw error;
  }));
}
