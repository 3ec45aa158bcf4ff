// A service worker that seals what the pages of its scope send: plain `fetch`, XMLHttpRequest, images,
// forms and downloads, without a change to the page.
//
//     // sw.js, a module worker of your own
//     import { sealedWorker } from "/sealed/client-sw.js";
//     sealedWorker({ audience: "https://bank.example", pins: ["…", "…"], paths: ["/api/"] });

import { connect, SealedError } from "./sealed.js";

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
    // The client's own modules have to come before it does.
    if (isOurs && !pathname.startsWith(`${prefix}/client`)) event.respondWith(answer(client, event.request));
  });
}

async function answer(client, request) {
  try {
    return await (await client()).fetch(request);
  } catch (error) {
    if (error instanceof SealedError) console.error(`flask-sealed: ${request.method} ${request.url}: ${error.code}, ${error.message}`);
    // A page is shown why; a script has what `fetch` has where nothing came.
    return request.mode === "navigate" ? page(error) : Response.error();
  }
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
