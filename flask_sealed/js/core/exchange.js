// One request and its answer: seals, and what they say.
import { answered } from "./answers.js";
import { decrypt, encrypt, halfKeys, IV, systemRandom, TAG } from "./crypto.js";
import { b64u, equal, join, NONE, readJson, readObject, unb64u, utf8, writeJson } from "./encoding.js";
import { openEnvelope, sealEnvelope } from "./envelope.js";
import { bound, configured, demand, limited, NoAnswer } from "./errors.js";

const MOST_REQUEST_SEAL = 6144; // characters
const MOST_RESPONSE_SEAL = 2048; // characters
const MOST_HEADERS = 65536; // bytes

export const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

const ENVELOPE = utf8("envelope");
const NAME = /^[0-9a-z!#$%&'*+.^`|~-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const CONTENT_TYPE = /^[\x20-\x7e]{1,256}$/;

/** The names that a request may seal, where the application adds none. */
export const REQUEST_HEADERS = new Set(
  "accept accept-language authorization idempotency-key x-csrf-token x-csrftoken x-xsrf-token".split(" "),
);

/** A response's headers that travel outside only. */
const TRANSPORT = new RegExp(
  "^(access-control-.*|age|alt-svc|clear-site-data|connection|content-length|date|keep-alive|retry-after|server" +
    "|set-cookie|strict-transport-security|timing-allow-origin|trailer|transfer-encoding|upgrade|vary|via)$",
);

const padding = () => answered(import("../parts/padding.js"));

// ------------------------------------------------------------------------------------------ targets

/** The canonical form of what a request asks for. */
export function canonicalTarget(path, query = "") {
  demand(/^[\x21-\x7e]*$/.test(query), "a query");
  let octets;
  try {
    // A percent sign that begins no octet stands for itself.
    octets = encodeURIComponent(decodeURIComponent(path.replace(/%(?![\da-f]{2})/gi, "%25")));
  } catch {
    demand(false, "a path");
  }
  const encoded = octets
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, (one) => `%${one.charCodeAt().toString(16).toUpperCase()}`);
  demand(encoded.startsWith("/"), "a path");
  return query ? `${encoded}?${query}` : encoded;
}

// ---------------------------------------------------------------------------------------- a request

function begin(keys, random) {
  const jti = random(16);
  return { jti, half: halfKeys(keys, "request", jti) };
}

/** What can be done before it is known what a request will be. It serves once. */
export const prepare = (keys) => ({ ...begin(keys, systemRandom), iv: systemRandom(IV) });

/** Seals a request that has no body, or has it as a whole. `pad` hides the content's length. */
export async function sealRequest(keys, request, content, { pad, random = systemRandom, ...options }) {
  const form = { body: content ? "envelope" : undefined, length: pad ? content?.length : undefined };
  const { half, seal, exchange } = sealHalf(keys, request, form, { random, ...options });
  const envelope = content && sealContent(half, content, pad, random(IV));
  const [made, text] = await Promise.all([seal, envelope]);
  return { seal: made, body: text && utf8(text), exchange };
}

async function sealContent(half, content, pad, iv) {
  const { key } = await half.body();
  const padded = pad ? (await padding()).pad(content) : content;
  return sealEnvelope(key, padded, iv, ENVELOPE);
}

/** A promise of a request's seal; `half` has the keys for its body. */
export function sealHalf(keys, request, { body, length }, { iat, random = systemRandom, allowed, prepared }) {
  checkRequest(keys, request, body, allowed ?? REQUEST_HEADERS);
  const { method, target } = request;
  const { jti, half, iv } = prepared ?? begin(keys, random);
  const start = { alg: "dir", enc: "A256GCM", typ: "sealed-request", kid: keys.kid, jti: b64u(jti) };
  const header = { ...start, iat, htm: method, target, body };
  const seal = sealPayload(half, header, requestPayload(request, length, random), iv ?? random(IV));
  return { seal, half, exchange: { keys, method, jti } };
}

async function sealPayload(half, header, payload, iv) {
  const head = b64u(writeJson(header));
  const sealed = await encrypt(await half.seal, iv, utf8(head), writeJson(payload));
  const seal = `${head}..${[iv, sealed.subarray(0, -TAG), sealed.subarray(-TAG)].map(b64u).join(".")}`;
  limited(seal.length <= MOST_REQUEST_SEAL, "a seal, with query and headers");
  return seal;
}

function requestPayload({ method, contentType, query, headers = [], op }, length, random) {
  const once = op ?? (SAFE.has(method) ? undefined : random(16));
  return { cty: contentType, query, headers: headers.length ? headers : undefined, length, op: once && b64u(once) };
}

function checkRequest({ kid }, { method, target, contentType, query, headers = [], op }, body, allowed) {
  const check = (right, what) => configured(right, `this cannot be sealed: ${what}`);
  const [, path, shown] = /^(\/[^?]*)(?:\?([\x21-\x7e]+))?$/.exec(target) ?? [];
  check(/^[\x21-\x7e]{1,64}$|^[\w-]{163}$/.test(kid), "kid");
  check(/^[\w!#$%&'*+.^`|~-]+$/.test(method), method);
  check(path && canonicalTarget(path, shown) === target, target);
  check(query === undefined || (/^[\x21-\x7e]+$/.test(query) && !shown), "query");
  check(body ? CONTENT_TYPE.test(contentType) && method !== "HEAD" : contentType === undefined, "body");
  check(!op || op.length === 16, "operation");
  const names = headers.map(([name]) => name);
  check(new Set(names).size === names.length, names);
  for (const [name, value] of headers) check(NAME.test(name) && allowed.has(name) && VALUE.test(value), name);
}

// --------------------------------------------------------------------------------------- a response

const HEADER = { alg: "string", enc: "string", typ: "string", jti: "string", rsalt: "string" };
const PAYLOAD = { cty: "string", headers: "array", hlen: "integer", length: "integer" };

/** Opens the seal of an answer. The outer status says nothing. */
export async function openResponse(exchange, field) {
  if (field === null || field === undefined) throw new NoAnswer("there is no seal");
  const { head, header, iv, sealed } = parseSeal(field);
  const jti = unb64u(header.jti, 16);
  const rsalt = unb64u(header.rsalt, 16);
  bound(equal(jti, exchange.jti));
  const half = halfKeys(exchange.keys, "response", join(jti, rsalt));
  // At the same time as the seal's. The body itself is not looked at before the seal is open.
  const keys = header.body && half.body();
  const payload = await decrypt(await half.seal, iv, utf8(head), sealed);
  return readResponse(readObject(payload, { status: "integer" }, PAYLOAD), header.body, keys, exchange.method);
}

function parseSeal(text) {
  limited(text.length <= MOST_RESPONSE_SEAL, "a seal");
  const [head, none, iv, ciphertext, tag, ...more] = text.split(".");
  demand(none === "" && tag !== undefined && !more.length, "a seal");
  const sealed = join(unb64u(ciphertext), unb64u(tag, TAG));
  const header = readObject(unb64u(head), HEADER, { body: "string" });
  demand(header.alg === "dir" && header.enc === "A256GCM", "a seal");
  demand(header.typ === "sealed-response", "a seal");
  demand(["envelope", "records", undefined].includes(header.body), "a seal");
  return { head, header, iv: unb64u(iv, IV), sealed };
}

function readResponse({ status, cty, headers, hlen, length }, body, keys, method) {
  limited(hlen === undefined || hlen <= MOST_HEADERS, "headers");
  demand(status >= 200 && status <= 599, "a status");
  demand(cty === undefined || CONTENT_TYPE.test(cty), "a content type");
  demand(hlen === undefined || (hlen && !headers && body), "headers");
  // Without a body, they say what a GET would have had; else there is nothing that they speak of.
  const told = body || method === "HEAD" || status === 304;
  const opened = { status, body, keys, hlen: hlen ?? 0, headers: readHeaders(headers ?? []) };
  return told ? { ...opened, contentType: cty, length } : opened;
}

function readHeaders(list) {
  demand(Array.isArray(list), "headers");
  for (const pair of list) {
    const isPair = Array.isArray(pair) && pair.length === 2 && pair.every((one) => typeof one === "string");
    demand(isPair && NAME.test(pair[0]) && VALUE.test(pair[1]), "headers");
    demand(!TRANSPORT.test(pair[0]), `header ${pair[0]}`);
  }
  return list.filter(([name]) => name !== "content-type");
}

/** The headers that did not fit into the seal, from before the content. */
export function takeHeaders(opened, text) {
  opened.headers = readHeaders(readJson(text));
}

/** Opens an envelope; or makes sure that there is no body. */
export async function openBody(opened, bytes) {
  const { body, keys, hlen, length } = opened;
  demand((bytes.length > 0) === (body !== undefined), "a body");
  if (!body) return NONE;
  const padded = await openEnvelope((await keys).key, bytes, ENVELOPE);
  const plaintext = length === undefined ? padded : (await padding()).unpad(padded, hlen + length);
  bound(plaintext.length >= hlen);
  if (hlen) takeHeaders(opened, plaintext.subarray(0, hlen));
  return plaintext.subarray(hlen);
}
