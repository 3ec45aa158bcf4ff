// A service worker that seals what the pages of its scope send: plain `fetch`, XMLHttpRequest, images,
// forms and downloads, without a change to the page.
//
//     // sw.js, a module worker of your own
//     import { sealedWorker } from "/sealed/client-sw.js";
//     sealedWorker({ audience: "https://bank.example", pins: ["…", "…"], paths: ["/api/"] });

import { connect, Redirected, SealedError } from "./sealed.js";

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
    if (isOurs && !isDone) event.respondWith(answer(client, event.request));
  });
}

async function answer(client, request) {
  try {
    const response = await (await client()).fetch(request);
    if (wouldResend(request, response)) throw new Redirected("the content would go on in clear");
    return response;
  } catch (error) {
    if (error instanceof SealedError) console.error(`flask-sealed: ${request.method} ${request.url}: ${error.code}, ${error.message}`);
    // A page is shown why; a script has what `fetch` has where nothing came.
    return request.mode === "navigate" ? page(error) : Response.error();
  }
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

function page({ code = "unreachable" }) {
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  const text = `The answer could not be opened, so it is not shown (${code}). Please try again.`;
  return new Response(text, { status: 502, headers });
}

/** One client for all requests; where there was none to be had, the next request tries again. */
function lazily(make) {
  let made = null;
  return () => (made ??= make().catch((error) => {
    made = null;
    throw error;
  }));
}
