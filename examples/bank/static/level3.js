// The browser's side of Level 3: a `fetch` that seals what it sends and opens what it gets.
//
// The envelope is {"data": base64(iv ‖ tag ‖ ciphertext)}, AES-256-GCM. Content that is not JSON
// names its type in the header Sealed-Content-Type, and the cipher vouches for that name.

const JSON_TYPE = "application/json";
const TYPE_HEADER = "Sealed-Content-Type";
const IV_BYTES = 12;
const TAG_BYTES = 16;
const NO_BODY = [204, 205, 304];

const encoder = new TextEncoder();

/** A successful answer came in clear where a sealed one was due. */
export class NotSealed extends Error {}

/** Import the key: 64 hex digits, the same as the server's. Scripts cannot read it back. */
export function importKey(hexKey) {
  const bytes = Uint8Array.from(hexKey.match(/../g), (pair) => parseInt(pair, 16));
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** Seal bytes into base64 text. `aad` is text that has to be the same when they are opened. */
export async function seal(key, plaintext, aad = "") {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const sealed = new Uint8Array(await crypto.subtle.encrypt(parameters(iv, aad), key, plaintext));
  // WebCrypto puts the tag behind the ciphertext; on the wire it stands before.
  const end = sealed.length - TAG_BYTES;
  return toBase64([iv, sealed.subarray(end), sealed.subarray(0, end)]);
}

/** Open base64 text into bytes. Throws when the key is another, or a single bit has changed. */
export async function open(key, payload, aad = "") {
  const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
  const iv = bytes.subarray(0, IV_BYTES);
  const tag = bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES);
  const ciphertext = bytes.subarray(IV_BYTES + TAG_BYTES);
  const combined = new Uint8Array(ciphertext.length + tag.length);
  combined.set(ciphertext);
  combined.set(tag, ciphertext.length);
  return new Uint8Array(await crypto.subtle.decrypt(parameters(iv, aad), key, combined));
}

/**
 * A `fetch` for sealed views, and one for views in clear. Both tell `listen` what they carried.
 *
 * `listen` gets {sealed, method, url, request, response}: each of the last two has `body`, what
 * the caller sees, and `headers` and `wire`, what travelled.
 */
export function wiretapped(hexKey, listen) {
  const key = importKey(hexKey);
  return {
    sealedFetch: async (input, init) => fetchSealed(await key, listen, new Request(input, init), init),
    clearFetch: (input, init) => fetchClear(listen, new Request(input, init), init),
  };
}

async function fetchSealed(key, listen, inside, init) {
  const outside = await sealRequest(key, inside);
  const exchange = begin(true, inside, init, outside);
  const answer = await fetch(inside.url, outside);
  await hear(exchange, answer);
  try {
    return await openResponse(key, answer, exchange);
  } finally {
    listen(exchange);
  }
}

async function fetchClear(listen, inside, init) {
  const exchange = begin(false, inside, init, { headers: inside.headers, body: init?.body });
  const answer = await fetch(inside);
  await hear(exchange, answer);
  const response = inClear(answer, exchange);
  listen(exchange);
  return response;
}

async function sealRequest(key, request) {
  const headers = new Headers(request.headers);
  const { method } = request;
  if (method === "GET" || method === "HEAD") return { method, headers };
  const type = headers.get("Content-Type") ?? "application/octet-stream";
  const aad = type === JSON_TYPE ? "" : type;
  headers.set("Content-Type", JSON_TYPE);
  if (aad) headers.set(TYPE_HEADER, aad);
  // `Request` has encoded the body, so this is right for forms with files too.
  const plaintext = new Uint8Array(await request.arrayBuffer());
  return { method, headers, body: JSON.stringify({ data: await seal(key, plaintext, aad) }) };
}

async function openResponse(key, answer, exchange) {
  const payload = payloadOf(answer, exchange.response.wire);
  if (payload === null) {
    // A refusal comes in clear. Success must not, or somebody on the way could make it up.
    if (answer.ok && !NO_BODY.includes(answer.status)) {
      throw new NotSealed("The answer should have been sealed, and it was not.");
    }
    return inClear(answer, exchange);
  }
  const type = answer.headers.get(TYPE_HEADER);
  const plaintext = await open(key, payload, type ?? "");
  const headers = new Headers(answer.headers);
  headers.set("Content-Type", type ?? JSON_TYPE);
  headers.delete(TYPE_HEADER);
  headers.delete("Content-Length");
  exchange.response.body = new TextDecoder().decode(plaintext);
  return new Response(plaintext, { status: answer.status, statusText: answer.statusText, headers });
}

function inClear(answer, { response }) {
  response.body = response.wire;
  return new Response(response.wire || null, answer);
}

function payloadOf(answer, text) {
  if (answer.headers.get("Content-Type") !== JSON_TYPE) return null;
  const data = JSON.parse(text)?.data;
  return typeof data === "string" ? data : null;
}

function begin(sealed, inside, init, outside) {
  const request = { body: init?.body ?? null, headers: [...outside.headers], wire: outside.body ?? "" };
  return { sealed, method: inside.method, url: inside.url, request, response: null };
}

async function hear(exchange, answer) {
  const { status, statusText } = answer;
  const headers = [...answer.headers];
  exchange.response = { status, statusText, headers, wire: await answer.text(), body: null };
}

function parameters(iv, aad) {
  return { name: "AES-GCM", iv, additionalData: encoder.encode(aad) };
}

function toBase64(parts) {
  let characters = "";
  for (const part of parts) {
    // In slices, because a call takes only so many arguments.
    for (let at = 0; at < part.length; at += 0x8000) {
      characters += String.fromCharCode(...part.subarray(at, at + 0x8000));
    }
  }
  return btoa(characters);
}
