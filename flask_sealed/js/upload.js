// How an upload goes on, which XMLHttpRequest alone tells. It follows redirects, and a client of this protocol does
// not: so this is used where an application asks for it. A redirect can have a sealed request sent a second time,
// which the service refuses, or to others, who cannot open it. What it leads to is taken for no answer.

const MARK = "x-upload-progress";
const HAVE_NO_BODY = new Set([204, 205, 304]);

/**
 * `fetch` for `connect`, and `report`: headers that a request has so that its progress is told, until `signal`
 * aborts.
 */
export function reportUploads(fetch = globalThis.fetch) {
  const listeners = new Map();
  return {
    fetch: (input, init) => {
      const headers = new Headers(init?.headers ?? input.headers);
      const mark = headers.get(MARK);
      if (mark === null) return fetch(input, init);
      headers.delete(MARK);
      const listener = listeners.get(mark);
      return send(new Request(input, { ...init, headers }), init?.body, listener, fetch);
    },
    report(listener, signal) {
      const mark = crypto.randomUUID();
      listeners.set(mark, listener);
      signal.addEventListener("abort", () => listeners.delete(mark));
      return { [MARK]: mark };
    },
  };
}

async function send(request, body, listener, fetch) {
  // No XMLHttpRequest leaves cookies out where they belong to the page's own origin.
  if (!globalThis.XMLHttpRequest || request.credentials === "omit") return fetch(request);
  const content = body ?? (await request.blob());
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(request.method, request.url);
    xhr.responseType = "blob";
    xhr.withCredentials = request.credentials === "include";
    for (const [name, value] of request.headers) xhr.setRequestHeader(name, value);
    const abort = () => (xhr.abort(), reject(request.signal.reason));
    const fail = () => reject(new TypeError("the upload failed"));
    xhr.upload.onprogress = listener;
    xhr.onerror = fail;
    xhr.onload = () => (xhr.responseURL === request.url ? resolve(answerOf(xhr)) : fail());
    xhr.onloadend = () => request.signal.removeEventListener("abort", abort);
    request.signal.addEventListener("abort", abort);
    if (request.signal.aborted) abort();
    else xhr.send(content);
  });
}

function answerOf(xhr) {
  const lines = xhr.getAllResponseHeaders().trim().split("\r\n");
  const headers = lines.filter(Boolean).map((line) => /^([^:]+): ?(.*)$/.exec(line).slice(1));
  return new Response(HAVE_NO_BODY.has(xhr.status) ? null : xhr.response, { status: xhr.status, headers });
}
