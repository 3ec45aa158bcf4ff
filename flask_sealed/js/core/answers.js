// Answers over HTTP: read, told apart from failures, and handed on as `fetch` does it.
import { join, NONE, readObject } from "./encoding.js";
import { limited, NoAnswer } from "./errors.js";

const MOST_PROBLEM = 65536; // bytes
const CODE = "urn:flask-sealed:";

/** What goes wrong on the way is no answer; what the caller has aborted stays as it is. */
export const answered = (promise) =>
  promise.catch((error) => {
    const isNetwork = error instanceof TypeError || error?.name === "TimeoutError";
    throw isNetwork ? new NoAnswer("nothing came", { cause: error }) : error;
  });

export const readAll = (response, most) => answered(readBody(response, most));

async function readBody(response, most) {
  const { headers } = response;
  // The quick way, where the browser itself holds the answer to its length.
  const isTold = headers.has("content-length") && headers.get("content-length") <= most;
  if (isTold && !headers.has("content-encoding")) return new Uint8Array(await response.arrayBuffer());
  const read = [];
  let size = 0;
  for await (const piece of pieces(response.body ?? new Blob().stream())) {
    read.push(piece);
    size += piece.length;
    limited(size <= most, "an answer");
  }
  return join(...read);
}

/** Not all browsers iterate over streams. */
export async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } finally {
    // Nothing else is wanted, or nothing else comes.
    reader.cancel().catch(() => {});
  }
}

const PROBLEM = { type: "string", title: "string", status: "integer", detail: "string" };

/** The members of a problem of this protocol; none where it is another one. */
function readProblem(bytes) {
  try {
    const problem = readObject(bytes, PROBLEM, { server_time: "integer" });
    return problem.type.startsWith(CODE) ? { ...problem, code: problem.type.slice(CODE.length) } : {};
  } catch {
    return {};
  }
}

/** An answer in clear, as an error. Anyone may have written what it claims. */
export async function untrusted(response) {
  const body = await readAll(response, MOST_PROBLEM).catch(() => NONE);
  return new NoAnswer("the answer is not sealed", { status: response.status, claims: readProblem(body).code });
}

/** Where the server found a request stale, its time. */
export function staleTime({ status, contentType }, content) {
  if (status !== 400 || contentType !== "application/problem+json" || !content) return undefined;
  const { code, server_time: time } = readProblem(content);
  return code === "stale" ? time : undefined;
}

/** What `fetch` would have answered. */
export function plainResponse({ url, redirected }, { opened, body }) {
  const { status, contentType, length } = opened;
  const headers = [...opened.headers]; // which has neither of these
  if (contentType !== undefined) headers.push(["content-type", contentType]);
  if (length !== undefined) headers.push(["content-length", length]);
  const response = new Response([204, 205, 304].includes(status) ? null : body, { status, headers });
  return Object.defineProperties(response, { url: { value: url.href }, redirected: { value: redirected } });
}
