// A client of flask-sealed/1, written from docs/protocol.rst alone. All cryptography is WebCrypto's. First
// the protocol, which speaks bytes; then clock, sessions and `connect`. Types are in sealed.d.ts.

const { subtle } = globalThis.crypto;

const MOST_REQUEST_SEAL = 6144; // characters
const MOST_RESPONSE_SEAL = 2048; // characters
const MOST_JWS = 8192; // characters
const MOST_HANDSHAKE_BODY = 16384; // bytes
const MOST_AUDIENCE = 255; // bytes
const MOST_HEADERS = 65536; // bytes
const MOST_PLAINTEXT = 65536; // bytes of a record
const MOST_RECORDS = 2 ** 32;
const MOST_LIFETIME = 43200; // seconds
const SLOWEST_REPLY = 10; // seconds
const GIVE_UP = 120; // seconds
const EARLIER = 60; // seconds before its end, a session is renewed
const MOST_PROBLEM = 65536; // bytes
const MOST_ENVELOPE = 2 ** 26; // bytes
const MOST_CONTENT = 2 ** 20; // bytes of a request that go into an envelope
const MOST_REDIRECTS = 20;
const TAG = 16;
const IV = 12;
const NONE = new Uint8Array(0);
const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";
const RECORDS_TYPE = "application/vnd.flask-sealed.records";
const CODE = "urn:flask-sealed:";
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const SET_HERE = new Set(["content-type", "sealed"]);

// ------------------------------------------------------------------------------------------ errors

/** All that this module throws. `code` is stable, the message is not. */
export class SealedError extends Error {
  static code = "error";

  get code() {
    return this.constructor.code;
  }

  get name() {
    return this.constructor.name;
  }
}

/** The caller's own mistake. */
export class ConfigError extends SealedError {
  static code = "config";
}

/** Nothing came that can be trusted, or nothing in time. */
export class NoAnswer extends SealedError {
  static code = "no-answer";

  /** `status` and `claims` are of an answer in clear: the refusal that it says it is. */
  constructor(message, { status, claims, ...options } = {}) {
    super(message, options);
    this.status = status;
    this.claims = claims;
  }
}

/** An operation was not finished in time. Its outcome is unknown. */
export class GivenUp extends NoAnswer {
  static code = "given-up";
}

/** There is a redirect, and the caller wanted none. */
export class Redirected extends SealedError {
  static code = "redirected";
}

/** What the other side sent is not taken. */
export class Refusal extends SealedError {}

/** The form is broken. */
export class Malformed extends Refusal {
  static code = "malformed";
}

/** It does not open, or is bound to something else. Which one is not told. */
export class Refused extends Refusal {
  static code = "refused";

  constructor() {
    super("the message did not open, or is not bound to this");
  }
}

/** It is over a limit. */
export class TooLarge extends Refusal {
  static code = "too-large";
}

function demand(right, what) {
  if (!right) throw new Malformed(what);
}

function configured(right, what) {
  if (!right) throw new ConfigError(what);
}

function bound(right) {
  if (!right) throw new Refused();
}

function limited(right, what) {
  if (!right) throw new TooLarge(what);
}

// ------------------------------------------------------------------------------------------- bytes

const utf8 = (text) => new TextEncoder().encode(text);

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The length as 2 bytes, and the bytes. */
const lv = (bytes) => join(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes);

/** Nothing here is secret: thumbprints and names. */
const equal = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

export const systemRandom = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

// ------------------------------------------------------------------------------------------ base64

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 with padding (RFC 4648, section 4). */
export function b64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

/** The one form of base64 with padding. */
export function unb64(text) {
  demand(text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text), "this is no base64");
  const pads = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  // atob does not mind bits behind the last byte; two spellings of one value are one too many.
  const stray = [0, 3, 15][pads];
  const last = STANDARD.indexOf(text[text.length - 1 - pads] ?? "A");
  demand((last & stray) === 0, "base64 has bits behind its last byte");
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Base64url without padding. */
export const b64u = (bytes) =>
  b64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** The one form of base64url without padding. */
export function unb64u(text, length) {
  demand(/^[A-Za-z0-9_-]*$/.test(text) && text.length % 4 !== 1, "this is no base64url");
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  const bytes = unb64(standard + "=".repeat(-text.length & 3));
  demand(length === undefined || bytes.length === length, "these are not as many bytes as belong here");
  return bytes;
}

// -------------------------------------------------------------------------------------------- JSON

const SPACE = /[ \t\r\n]*/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\u0000-\u001f]*)*"/y;
const INTEGER = /0|[1-9][0-9]{0,15}/y;
const DEEPEST = 3;

/** Reads the JSON of this protocol: objects, arrays, strings, integers. JSON.parse would hide doubles. */
class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  whole() {
    const value = this.value(DEEPEST);
    this.match(SPACE);
    demand(this.at === this.text.length, "there is something behind the JSON");
    return value;
  }

  value(levels) {
    this.match(SPACE);
    const first = this.text[this.at];
    if (first === '"') return this.string();
    if (first !== "{" && first !== "[") return this.integer();
    demand(levels > 0, "JSON is nested too deeply");
    return first === "{" ? this.object(levels - 1) : this.array(levels - 1);
  }

  object(levels) {
    // Without a prototype, "__proto__" is a name like any other.
    const members = Object.create(null);
    this.list("{", "}", () => {
      this.match(SPACE);
      const name = this.string();
      demand(!(name in members) && this.skip(":"), "a member is there twice, or has no value");
      members[name] = this.value(levels);
    });
    return members;
  }

  array(levels) {
    const items = [];
    this.list("[", "]", () => items.push(this.value(levels)));
    return items;
  }

  list(start, end, item) {
    this.skip(start);
    if (this.skip(end)) return;
    do item();
    while (this.skip(","));
    demand(this.skip(end), "JSON is cut");
  }

  string() {
    const string = JSON.parse(this.match(STRING));
    demand(string.isWellFormed(), "there is a lone surrogate");
    return string;
  }

  integer() {
    const number = Number(this.match(INTEGER));
    demand(Number.isSafeInteger(number), "a number is too large");
    return number;
  }

  skip(character) {
    this.match(SPACE);
    const found = this.text[this.at] === character;
    if (found) this.at += 1;
    return found;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new Malformed("this is no JSON of this protocol");
    this.at += found[0].length;
    return found[0];
  }
}

function readJson(bytes) {
  let text;
  try {
    // ignoreBOM keeps the mark, so that the scanner stumbles over it.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("this is no UTF-8");
  }
  return new Scanner(text).whole();
}

function kindOf(value) {
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return "integer";
  return typeof value === "string" ? "string" : "object";
}

/** A closed set: every member is known, and of its kind. */
function closed(value, required, optional = {}) {
  demand(kindOf(value) === "object", "this is no JSON object");
  const known = new Map(Object.entries({ ...required, ...optional }));
  for (const name of Object.keys(value)) {
    demand(kindOf(value[name]) === known.get(name), "a member is unknown, or of another kind");
  }
  demand(Object.keys(required).every((name) => name in value), "a member is missing");
  return value;
}

export const readObject = (bytes, required, optional) => closed(readJson(bytes), required, optional);

const writeJson = (value) => utf8(JSON.stringify(value));

// -------------------------------------------------------------------------------------- primitives

async function hkdf(secret, salt, info, length) {
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await subtle.deriveBits(algorithm, secret, 8 * length));
}

/** Keeps a secret where it cannot be read. */
export async function importSecret(bytes) {
  configured(bytes.length === 32, "a secret has 32 bytes");
  return subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);
}

export async function importAes(bytes) {
  configured(bytes.length === 32, "a key has 32 bytes");
  return subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

async function encrypt(key, iv, aad, plaintext) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad, tagLength: 8 * TAG };
  return new Uint8Array(await subtle.encrypt(algorithm, key, plaintext));
}

async function decrypt(key, iv, aad, ciphertext) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad, tagLength: 8 * TAG };
  const plaintext = await subtle.decrypt(algorithm, key, ciphertext).catch(() => null);
  if (plaintext === null) throw new Refused();
  return new Uint8Array(plaintext);
}

// ------------------------------------------------------------------------------------- public keys

const ED25519 = { name: "Ed25519" };
const X25519 = { name: "X25519" };
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const ECDH = { name: "ECDH", namedCurve: "P-256" };
const ML_KEM = { name: "ML-KEM-768" };

/** y of the Ed25519 points of small order, little-endian; their sign may be either (RFC 8032, 5.1.2). */
const SMALL_ORDER = new Set(
  [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  ],
);

function isSmallOrder(bytes) {
  const unsigned = Uint8Array.from(bytes);
  unsigned[31] &= 127;
  return SMALL_ORDER.has(Array.from(unsigned, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}

/** A public key from parsed JSON, in its one form. */
function readJwk(value, okp) {
  const ec = value.kty === "EC";
  const strings = { kty: "string", crv: "string", x: "string", ...(ec && { y: "string" }) };
  const jwk = closed(value, strings);
  demand((ec ? "P-256" : okp) === jwk.crv && (ec || value.kty === "OKP"), "a key is of another kind");
  const x = unb64u(jwk.x, 32);
  if (!ec) {
    demand(okp !== "Ed25519" || !isSmallOrder(x), "a key is of small order");
    return { jwk, bytes: x };
  }
  return { jwk, bytes: join(Uint8Array.of(4), x, unb64u(jwk.y, 32)) };
}

async function exportPublic(key) {
  const { kty, crv, x, y } = (await subtle.exportKey("jwk", key));
  const jwk = y === undefined ? { kty, crv, x } : { kty, crv, x, y };
  return { jwk, bytes: new Uint8Array(await subtle.exportKey("raw", key)) };
}

/** RFC 7638: the members in alphabetical order. */
export function thumbprint({ kty, crv, x, y }) {
  return sha256(writeJson(y === undefined ? { crv, kty, x } : { crv, kty, x, y }));
}

// --------------------------------------------------------------------------------------------- JWS

async function signJws(typ, pair, payload) {
  const { jwk } = await exportPublic(pair.publicKey);
  const header = { alg: jwk.kty === "EC" ? "ES256" : "EdDSA", typ, jwk };
  const signed = `${b64u(writeJson(header))}.${b64u(writeJson(payload))}`;
  const algorithm = jwk.kty === "EC" ? ES256 : ED25519;
  const signature = await subtle.sign(algorithm, pair.privateKey, utf8(signed));
  return `${signed}.${b64u(new Uint8Array(signature))}`;
}

/** The algorithm follows from the key. */
async function importVerifier({ jwk, bytes }, alg) {
  const ec = jwk.kty === "EC";
  const key = await subtle.importKey("raw", bytes, ec ? ES256 : ED25519, false, ["verify"]).catch(() => null);
  // Points off the curve, and coordinates that are too large, are not imported.
  demand(key !== null || !ec, "a point is not on its curve");
  demand(alg === (ec ? "ES256" : "EdDSA"), "the algorithm is not the key's");
  if (key === null) throw new Refused();
  return key;
}

async function openJws(jws, typ) {
  limited(jws.length <= MOST_JWS, "a JWS is too long");
  const parts = jws.split(".");
  demand(parts.length === 3, "a JWS has three parts");
  const [head, payload, signature] = parts.map((part) => unb64u(part));
  demand(signature.length === 64, "a signature has 64 bytes");
  const header = readObject(head, { alg: "string", typ: "string", jwk: "object" });
  demand(header.typ === typ, "a JWS is of another type");
  const key = readJwk(header.jwk, "Ed25519");
  const verifier = await importVerifier(key, header.alg);
  const signed = utf8(jws.slice(0, jws.lastIndexOf(".")));
  const algorithm = key.jwk.kty === "EC" ? ES256 : ED25519;
  bound(await subtle.verify(algorithm, verifier, signature, signed).catch(() => false));
  return { key, payload };
}

// --------------------------------------------------------------------------------------- handshake

function audienceBytes(audience) {
  const bytes = utf8(audience);
  configured(bytes.length > 0 && bytes.length <= MOST_AUDIENCE, "an audience has 1 to 255 bytes");
  return bytes;
}

const generateKem = () => subtle.generateKey(ML_KEM, false, ["decapsulateBits"]).catch(() => null);

/** The same with keys that are there. They are used once. */
export async function sayHello(audience, binding, { pins, ephemeral, kem }) {
  audienceBytes(audience);
  configured(pins === null || (pins.length > 0 && pins.length <= 4), "a client has 1 to 4 pins");
  configured(pins === null || pins.every((pin) => pin.length === 32), "a pin has 32 bytes");
  const payload = {
    v: 1,
    aud: audience,
    epk: (await exportPublic(ephemeral.publicKey)).jwk,
    ...(kem && { kem: await exportKem(kem.publicKey) }),
    ...(pins && { pins: pins.map(b64u) }),
  };
  const hello = await signJws("sealed-hello+jws", binding, payload);
  const own = await thumbprint((await exportPublic(binding.publicKey)).jwk);
  return { hello, audience, binding: own, pins, ephemeral, kem };
}

const exportKem = async (key) => b64u(new Uint8Array(await subtle.exportKey("raw-public", key)));

/** The body of `POST {prefix}/session`. */
export const helloBody = ({ hello }) => writeJson({ hello });

/** Ends a handshake. */
export async function finishHandshake(handshake, { status, body, took }) {
  if (status !== 200 || took > SLOWEST_REPLY) throw new NoAnswer("no reply, or a late one");
  limited(body.length <= MOST_HANDSHAKE_BODY, "a reply is too large");
  const { session } = readObject(body, { session: "string" });
  return finishReply(handshake, session);
}

const REPLY = {
  iss: "string",
  iat: "integer",
  exp: "integer",
  hello: "string",
  epk: "object",
  ticket: "string",
};

export async function finishReply(handshake, jws) {
  const { key, payload } = await openJws(jws, "sealed-session+jws");
  const reply = readObject(payload, REPLY, { kem: "string" });
  const identity = await thumbprint(key.jwk);
  await checkReply(handshake, identity, reply);
  const { iss, iat, exp, ticket } = reply;
  const epk = readJwk(reply.epk, "X25519");
  const classical = await agree(handshake.ephemeral, epk);
  const ciphertext = kemCiphertext(handshake, reply.kem);
  const z = join(classical, await decapsulate(handshake.kem, ciphertext));
  const bytes = await sessionSecret(z, { hello: handshake.hello, iss, identity, epk: epk.bytes, kem: ciphertext });
  const secret = await importSecret(bytes);
  const sid = await sessionId(secret);
  return { secret, kid: ticket, audience: iss, sid, identity, iat, exp, kem: ciphertext.length > 0 };
}

async function checkReply({ hello, audience, binding, pins }, identity, reply) {
  bound(pins === null || pins.some((pin) => equal(pin, identity)));
  bound(!equal(identity, binding));
  bound(reply.hello === b64u(await sha256(utf8(hello))));
  bound(reply.iss === audience);
  demand(reply.iat < reply.exp && reply.exp - reply.iat <= MOST_LIFETIME, "a session's times are not right");
  demand(/^[A-Za-z0-9_-]{163}$/.test(reply.ticket), "a ticket has 163 characters of base64url");
  unb64u(reply.ticket);
}

async function agree(own, epk) {
  const x25519 = epk.jwk.kty === "OKP";
  bound(x25519 === (own.privateKey.algorithm.name === "X25519"));
  const algorithm = x25519 ? X25519 : ECDH;
  // WebCrypto refuses a result of zeros, which a key of low order makes.
  const bits = await subtle
    .importKey("raw", epk.bytes, algorithm, false, [])
    .then((other) => subtle.deriveBits({ name: algorithm.name, public: other }, own.privateKey, 256))
    .catch(() => null);
  if (bits === null) throw new Refused();
  return new Uint8Array(bits);
}

function kemCiphertext(handshake, kem) {
  if (kem === undefined) return NONE;
  const ciphertext = unb64u(kem, 1088);
  demand(handshake.kem !== null, "nobody asked for ML-KEM");
  return ciphertext;
}

async function decapsulate(own, ciphertext) {
  if (own === null || ciphertext.length === 0) return NONE;
  return new Uint8Array(await subtle.decapsulateBits(ML_KEM, own.privateKey, ciphertext));
}

/** The secret of a session. */
export async function sessionSecret(z, { hello, iss, identity, epk, kem }) {
  const ikm = await subtle.importKey("raw", z, "HKDF", false, ["deriveBits"]);
  const digest = kem.length > 0 ? await sha256(kem) : NONE;
  const info = join(utf8("flask-sealed/1 session\0"), ...[utf8(iss), identity, epk, digest].map(lv));
  return hkdf(ikm, await sha256(utf8(hello)), info, 32);
}

export const sessionId = async (secret) =>
  b64u(await hkdf(secret, new Uint8Array(32), utf8("flask-sealed/1 sid\0"), 16));

// --------------------------------------------------------------------------------- keys of a half

export const deriveHalf = (secret, half, salt, audience) =>
  hkdf(secret, salt, join(utf8(`flask-sealed/1 ${half}\0`), lv(audienceBytes(audience))), 76);

async function halfKeys(...of) {
  const bits = await deriveHalf(...of);
  const [seal, body] = await Promise.all([importAes(bits.slice(0, 32)), importAes(bits.slice(32, 64))]);
  return { seal, body, nonce: bits.slice(64) };
}

// ---------------------------------------------------------------------------------------- the seal

async function seal(keys, header, payload, random) {
  const head = b64u(writeJson(header));
  const iv = random(IV);
  const sealed = await encrypt(keys.seal, iv, utf8(head), writeJson(payload));
  return `${head}..${b64u(iv)}.${b64u(sealed.slice(0, -TAG))}.${b64u(sealed.slice(-TAG))}`;
}

function parseSeal(text) {
  limited(text.length <= MOST_RESPONSE_SEAL, "a seal is too long");
  const parts = text.split(".");
  demand(parts.length === 5 && parts[1] === "", "a seal has five parts, the second one empty");
  const sealed = join(unb64u(parts[3]), unb64u(parts[4], TAG));
  const header = readObject(unb64u(parts[0]), RESPONSE_HEADER, { body: "string" });
  demand(header.alg === "dir" && header.enc === "A256GCM", "a seal has other algorithms");
  demand(header.typ === "sealed-response", "a seal is of another type");
  demand(["envelope", "records", undefined].includes(header.body), "a body has an unknown form");
  return { head: parts[0], header, iv: unb64u(parts[2], IV), sealed };
}

const RESPONSE_HEADER = {
  alg: "string",
  enc: "string",
  typ: "string",
  jti: "string",
  rsalt: "string",
};

// -------------------------------------------------------------------------------------- header lists

const NAME = /^[0-9a-z!#$%&'*+.^`|~-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const CONTENT_TYPE = /^[\x20-\x7e]{1,256}$/;

/** The names that a request may seal, where the application adds none. */
export const REQUEST_HEADERS = new Set([
  "accept",
  "accept-language",
  "authorization",
  "idempotency-key",
  "x-csrf-token",
  "x-csrftoken",
  "x-xsrf-token",
]);

const TRANSPORT = new Set(
  `age alt-svc clear-site-data connection content-length date keep-alive retry-after server set-cookie
   strict-transport-security timing-allow-origin trailer transfer-encoding upgrade vary via`.split(/\s+/),
);

function readHeaders(list) {
  for (const pair of list) {
    const isPair = Array.isArray(pair) && pair.length === 2 && pair.every((one) => typeof one === "string");
    demand(isPair, "a header is no pair of strings");
    const [name, value] = pair;
    demand(NAME.test(name) && VALUE.test(value), "a header is not well-formed");
    demand(!TRANSPORT.has(name) && !name.startsWith("access-control-"), "a header travels outside only");
  }
  return (list).filter(([name]) => name !== "content-type");
}

function checkRequestHeaders(headers, allowed) {
  const names = headers.map(([name]) => name);
  configured(new Set(names).size === names.length, "a name is there twice");
  for (const [name, value] of headers) {
    configured(NAME.test(name) && allowed.has(name) && VALUE.test(value), "a header cannot be sealed");
  }
}

// ------------------------------------------------------------------------------------------ targets

/** The canonical form of what a request asks for. */
export function canonicalTarget(path, query = "") {
  demand(/^[\x21-\x7e]*$/.test(query), "a query has a character that it cannot have");
  const encoded = Array.from(decodePercent(path), encodeByte).join("");
  demand(encoded.startsWith("/"), "a path starts with a slash");
  return query === "" ? encoded : `${encoded}?${query}`;
}

function decodePercent(path) {
  const pieces = path.split(/(%[0-9A-Fa-f]{2})/);
  const bytes = join(
    ...pieces.map((piece, at) => (at % 2 ? Uint8Array.of(Number.parseInt(piece.slice(1), 16)) : utf8(piece))),
  );
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Malformed("a path is no UTF-8");
  }
  return bytes;
}

function encodeByte(byte) {
  const character = String.fromCharCode(byte);
  if (/[A-Za-z0-9\-._~/]/.test(character)) return character;
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

// ---------------------------------------------------------------------------------------- a request

const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** The keys of one request that is going to be made. They serve once. */
export function prepare({ secret, audience }, random = systemRandom) {
  const jti = random(16);
  return { jti, half: halfKeys(secret, "request", jti, audience) };
}

/** Seals a request that has no body, or has it as a whole. `pad` hides the content's length. */
export async function sealRequest(keys, request, content, { pad = false, ...options }) {
  const body = content === null ? undefined : "envelope";
  const half = await sealHalf(keys, request, { body, length: pad ? content?.length : undefined }, options);
  const random = options.random ?? systemRandom;
  const padded = pad && content ? join(content, new Uint8Array(padme(content.length) - content.length)) : content;
  const envelope = content && sealEnvelope(half.keys.body, padded, random(IV), utf8("envelope"));
  const [seal, text] = await Promise.all([half.seal, envelope]);
  return { seal, body: text && utf8(text), exchange: half.exchange };
}

/** Seals a request whose body is a stream. */
export async function sealStream(keys, request, { length, ...options }) {
  const half = await sealHalf(keys, request, { body: "records", length }, options);
  const records = new RecordSealer(half.keys.body, half.keys.nonce, length);
  return { seal: await half.seal, records, exchange: half.exchange };
}

async function sealHalf(keys, request, { body, length }, { iat, random = systemRandom, allowed, prepared }) {
  checkRequest(keys, request, body !== undefined, allowed ?? REQUEST_HEADERS);
  const { method, target } = request;
  const { jti, half } = prepared ?? prepare(keys, random);
  const start = { alg: "dir", enc: "A256GCM", typ: "sealed-request", kid: keys.kid, jti: b64u(jti) };
  const header = { ...start, iat, htm: method, target, body };
  const derived = await half;
  const text = seal(derived, header, requestPayload(request, length, random), random);
  return { seal: text.then(checkSeal), keys: derived, exchange: { keys, method, jti } };
}

function checkSeal(text) {
  limited(text.length <= MOST_REQUEST_SEAL, "query and headers are too long");
  return text;
}


function requestPayload({ method, contentType, query, headers = [], op }, length, random) {
  const once = op ?? (SAFE.has(method) ? undefined : random(16));
  return {
    cty: contentType,
    query,
    headers: headers.length ? headers : undefined,
    length,
    op: once && b64u(once),
  };
}

function checkRequest({ kid }, request, hasBody, allowed) {
  const { method, target, contentType, query, headers = [], op } = request;
  configured(/^[\x21-\x7e]{1,64}$/.test(kid) || /^[A-Za-z0-9_-]{163}$/.test(kid), "a kid is not well-formed");
  configured(/^[0-9A-Za-z!#$%&'*+.^_`|~-]+$/.test(method), "a method is a token");
  configured(isCanonical(target), "a target is not in canonical form");
  configured(query === undefined || (/^[\x21-\x7e]+$/.test(query) && !target.includes("?")), "a query is not right");
  configured(hasBody === (contentType !== undefined), "a content type belongs to a body");
  configured(contentType === undefined || CONTENT_TYPE.test(contentType), "a content type is not right");
  configured(!hasBody || method !== "HEAD", "HEAD has no body");
  configured(op === undefined || op.length === 16, "op has 16 bytes");
  checkRequestHeaders(headers, allowed);
}

const isCanonical = (target) =>
  /^\/(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})*(?:\?[\x21-\x7e]+)?$/.test(target) &&
  canonicalTarget(...splitTarget(target)) === target;

function splitTarget(target) {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

// --------------------------------------------------------------------------------------- a response

const RESPONSE = { cty: "string", headers: "array", hlen: "integer", length: "integer" };

/** Opens the seal of an answer. */
export async function openResponse(exchange, field) {
  if (field === null || field === undefined) throw new NoAnswer("there is no seal");
  const { head, header, iv, sealed } = parseSeal(field);
  const jti = unb64u(header.jti, 16);
  const rsalt = unb64u(header.rsalt, 16);
  bound(equal(jti, exchange.jti));
  const { secret, audience } = exchange.keys;
  const keys = await halfKeys(secret, "response", join(jti, rsalt), audience);
  const payload = await decrypt(keys.seal, iv, utf8(head), sealed);
  const message = readObject(payload, { status: "integer" }, RESPONSE);
  checkResponse(message, header.body);
  return new Opened(keys, header.body, message, exchange.method);
}

function checkResponse({ status, cty, headers, hlen }, body) {
  limited(hlen === undefined || hlen <= MOST_HEADERS, "the headers are too long");
  demand(status >= 200 && status <= 599, "a status is not 200 to 599");
  demand(cty === undefined || CONTENT_TYPE.test(cty), "a content type is not right");
  demand(hlen !== 0 && (hlen === undefined || (headers === undefined && body !== undefined)), "hlen is not right");
}

/** The answer, when its seal is open. The outer status says nothing. */
export class Opened {
  #keys;
  #hlen;

  constructor(keys, body, { status, cty, headers, hlen, length }, method) {
    // Without a body, they say what a GET would have had; else there is nothing that they speak of.
    const told = body !== undefined || method === "HEAD" || status === 304;
    this.#keys = keys;
    this.#hlen = hlen ?? 0;
    this.status = status;
    this.body = body;
    this.contentType = told ? cty : undefined;
    this.length = told ? length : undefined;
    this.headers = readHeaders(headers ?? []);
  }

  /** Opens a body that is there as a whole, in either form; or checks that there is none. */
  async open(bytes) {
    demand((bytes.length > 0) === (this.body !== undefined), "seal and body do not belong together");
    if (this.body === undefined) return NONE;
    if (this.body === "envelope") return this.#openEnvelope(bytes);
    const stream = this.openStream();
    return join(...(await stream.push(bytes)), ...(await stream.finish()));
  }

  openStream() {
    configured(this.body === "records", "the body is no stream");
    const total = this.length === undefined ? undefined : this.#hlen + this.length;
    const records = new RecordOpener(this.#keys.body, this.#keys.nonce, total);
    return new ContentStream(records, this.#hlen, (text) => this.#takeHeaders(text));
  }

  async #openEnvelope(bytes) {
    const plaintext = await openEnvelope(this.#keys.body, bytes, utf8("envelope"));
    const content = unpad(plaintext, this.#hlen, this.length);
    if (this.#hlen > 0) this.#takeHeaders(plaintext.slice(0, this.#hlen));
    return content;
  }

  #takeHeaders(text) {
    const list = readJson(text);
    demand(Array.isArray(list), "the headers are no array");
    this.headers = readHeaders((list));
  }
}

// ----------------------------------------------------------------------------------------- envelopes

/** The Padmé length. */
export function padme(length) {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const size = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  // Not with bit operations, which JavaScript has for 32 bits only.
  return Math.ceil(length / size) * size;
}

/** Takes headers and padding off. */
export function unpad(plaintext, hlen, length) {
  bound(plaintext.length >= hlen);
  if (length === undefined) return plaintext.slice(hlen);
  const whole = hlen + length;
  bound(plaintext.length === whole || plaintext.length === padme(whole));
  bound(plaintext.subarray(whole).every((byte) => byte === 0));
  return plaintext.slice(hlen, whole);
}

export async function sealEnvelope(key, plaintext, iv, aad) {
  const sealed = await encrypt(key, iv, aad, plaintext);
  return `{"data":"${b64(join(iv, sealed.slice(-TAG), sealed.slice(0, -TAG)))}"}`;
}

export async function openEnvelope(key, bytes, aad) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const found = /^[ \t\r\n]*\{[ \t\r\n]*"data"[ \t\r\n]*:[ \t\r\n]*"([^"]*)"[ \t\r\n]*\}[ \t\r\n]*$/.exec(text);
  if (found === null) throw new Malformed("this is no envelope");
  const decoded = unb64(found[1]);
  demand(decoded.length >= IV + TAG, "an envelope is too short");
  const [iv, tag, ciphertext] = [decoded.slice(0, IV), decoded.slice(IV, IV + TAG), decoded.slice(IV + TAG)];
  return decrypt(key, iv, aad, join(ciphertext, tag));
}

// ------------------------------------------------------------------------------------------- records

function recordNonce(base, count) {
  const nonce = Uint8Array.from(base);
  const last = new DataView(nonce.buffer);
  last.setUint32(8, last.getUint32(8) ^ count);
  return nonce;
}

function varint(size) {
  if (size < 64) return Uint8Array.of(size);
  if (size < 16384) return Uint8Array.of(64 | (size >> 8), size & 255);
  return Uint8Array.of(128, size >> 16, (size >> 8) & 255, size & 255);
}

/** Seals a stream. */
export class RecordSealer {
  #key;
  #nonce;
  #count = 0;
  #left;
  #done = false;

  constructor(key, nonce, length) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = length;
  }

  async push(content) {
    configured(!this.#done, "the stream is over");
    const records = [];
    for (let at = 0; at < content.length; at += MOST_PLAINTEXT) {
      records.push(this.#record(content.subarray(at, at + MOST_PLAINTEXT), NONE));
    }
    const sealed = await Promise.all(records);
    return join(...sealed.flatMap((record) => [varint(record.length), record]));
  }

  async finish(content = NONE) {
    configured(!this.#done && content.length <= MOST_PLAINTEXT, "the stream is over, or this is too much");
    this.#done = true;
    const sealed = await this.#record(content, utf8("final"));
    configured(!this.#left, "the stream is shorter than was said");
    return join(Uint8Array.of(0), sealed);
  }

  async #record(content, aad) {
    // The number is taken before anything is awaited, so no nonce is used twice.
    const count = this.#count++;
    limited(count < MOST_RECORDS, "there are too many records");
    if (this.#left !== undefined) this.#left -= content.length;
    configured((this.#left ?? 0) >= 0, "the stream is longer than was said");
    return encrypt(this.#key, recordNonce(this.#nonce, count), aad, content);
  }
}

/** One piece of work after the other. After a failure, all that follows fails with the same error. */
class Turns {
  #last = Promise.resolve();

  next(work) {
    this.#last = this.#last.then(work);
    return this.#last;
  }
}

/** Opens a stream, however it is cut. After a failure it stays failed. */
export class RecordOpener {
  #key;
  #nonce;
  #left;
  #count = 0;
  #rest = NONE;
  #final = false;
  #turns = new Turns();

  constructor(key, nonce, total) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = total;
  }

  push(bytes) {
    return this.#turns.next(() => this.#take(bytes));
  }

  /** The stream has ended. */
  finish() {
    return this.#turns.next(() => this.#end());
  }

  async #take(bytes) {
    this.#rest = join(this.#rest, bytes);
    const opening = [];
    let fault = null;
    try {
      for (let one = this.#next(); one !== null; one = this.#next()) opening.push(this.#open(one, NONE));
    } catch (error) {
      fault = error;
    }
    // A fault earlier in the stream comes first.
    const opened = await Promise.all(opening);
    if (fault !== null) throw fault;
    return opened;
  }

  /** The ciphertext of the next record; null where none is whole. */
  #next() {
    if (this.#final) return this.#checkFinal();
    const size = readSize(this.#rest);
    if (size === null) return null;
    const { bytes, value } = size;
    this.#final = value === 0;
    if (this.#final) this.#rest = this.#rest.slice(bytes);
    if (this.#final) return this.#checkFinal();
    this.#expect(value - TAG);
    if (this.#rest.length < bytes + value) return null;
    const ciphertext = this.#rest.subarray(bytes, bytes + value);
    this.#rest = this.#rest.subarray(bytes + value);
    return ciphertext;
  }

  #checkFinal() {
    limited(this.#rest.length <= MOST_PLAINTEXT + TAG, "the final record is too large");
    this.#expect(this.#rest.length - TAG);
    return null;
  }

  #expect(plaintext) {
    bound(this.#left === undefined || plaintext <= this.#left);
    limited(this.#count < MOST_RECORDS, "there are too many records");
  }

  async #end() {
    demand(this.#final && this.#rest.length >= TAG, "the stream was cut");
    const plaintext = await this.#open(this.#rest, utf8("final"));
    bound(!this.#left);
    return plaintext;
  }

  #open(ciphertext, aad) {
    const nonce = recordNonce(this.#nonce, this.#count++);
    if (this.#left !== undefined) this.#left -= ciphertext.length - TAG;
    return decrypt(this.#key, nonce, aad, ciphertext);
  }
}

function readSize(bytes) {
  if (bytes.length === 0) return null;
  const length = 1 << (bytes[0] >> 6);
  limited(length < 8, "a size has 8 bytes");
  if (bytes.length < length) return null;
  const value = bytes.subarray(1, length).reduce((sum, byte) => sum * 256 + byte, bytes[0] & 63);
  demand(varint(value).length === length, "a size is not as short as can be");
  limited(value <= MOST_PLAINTEXT + TAG, "a record is too large");
  demand(value === 0 || value > TAG, "a record is too short");
  return { bytes: length, value };
}

/** The content of a stream of records: what is behind the headers. */
export class ContentStream {
  #records;
  #missing;
  #head = NONE;
  #take;
  #turns = new Turns();

  constructor(records, hlen, take) {
    this.#records = records;
    this.#missing = hlen;
    this.#take = take;
  }

  push(bytes) {
    return this.#turns.next(async () => this.#contents(await this.#records.push(bytes)));
  }

  /** Whether the headers are there. */
  get hasHeaders() {
    return this.#missing === 0;
  }

  /** The stream has ended. */
  finish() {
    return this.#turns.next(async () => {
      const rest = this.#contents([await this.#records.finish()]);
      bound(this.#missing === 0);
      return rest;
    });
  }

  #contents(plaintexts) {
    return plaintexts.map((one) => this.#behind(one)).filter((one) => one.length > 0);
  }

  #behind(plaintext) {
    if (this.#missing === 0) return plaintext;
    const head = plaintext.slice(0, this.#missing);
    this.#head = join(this.#head, head);
    if (head.length === this.#missing) this.#take(this.#head);
    this.#missing -= head.length;
    return plaintext.slice(head.length);
  }
}

// ------------------------------------------------------------------------------------------- clock

/** The server's time, which may lag and never leads; and a time that goes on while the machine sleeps. */
export class Clock {
  #monotonic;
  #wall;
  #ahead;
  #missed = 0;
  #told = null;

  /** Both in seconds. */
  constructor(monotonic = () => performance.now() / 1000, wall = () => Date.now() / 1000) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#ahead = wall() - monotonic();
  }

  now() {
    const ahead = this.#wall() - this.#monotonic();
    // What the one has missed and the other has not.
    if (ahead - this.#ahead > 1) this.#missed += ahead - this.#ahead;
    this.#ahead = ahead;
    return this.#monotonic() + this.#missed;
  }

  /** Takes the time from the server. */
  set(serverTime) {
    let now = this.now();
    const missed = this.#told && serverTime - this.#told.time - (now - this.#told.now);
    // What was told before may have come as late as a reply may.
    if (missed > SLOWEST_REPLY) {
      this.#missed += missed;
      now += missed;
    }
    this.#told = { time: serverTime, when: this.#monotonic(), now };
  }

  serverTime() {
    return Math.floor(this.#told.time + this.#monotonic() - this.#told.when);
  }
}

// ---------------------------------------------------------------------------------------- sessions

const SIGNING = ["sign", "verify"];
const BINDINGS = "bindings";

/** The client's own key, kept for all tabs and later visits; for this page alone where there is no IndexedDB. */
async function bindingKey(audience) {
  const made = await subtle.generateKey(ED25519, false, SIGNING).catch(() => subtle.generateKey(ES256, false, SIGNING));
  return keepOrGet(audience, made).catch(() => made);
}

/** In one transaction, so that two tabs have one key. */
function keepOrGet(audience, made) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("flask-sealed", 1);
    opening.onerror = reject;
    opening.onupgradeneeded = () => opening.result.createObjectStore(BINDINGS);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(BINDINGS, "readwrite");
      const store = transaction.objectStore(BINDINGS);
      const found = store.get(audience);
      found.onsuccess = () => found.result ?? keep(store, audience, made, transaction);
      transaction.oncomplete = () => (database.close(), resolve(found.result ?? made));
      transaction.onabort = reject;
    };
  });
}

function keep(store, audience, made, transaction) {
  try {
    store.put(made, audience);
  } catch {
    transaction.abort(); // A browser that cannot store this kind of key.
  }
}

/** Agrees on sessions when they are needed, once for all who wait. */
class Sessions {
  #options;
  #session = null;
  #agreeing = null;
  #binding = null;
  #hadKem = false;

  constructor(options) {
    this.#options = options;
  }

  get() {
    const session = this.#session;
    if (session && this.#options.clock.now() < session.until) return session;
    this.#agreeing ??= this.#agree().finally(() => (this.#agreeing = null));
    return this.#agreeing;
  }

  forget(session) {
    if (this.#session === session) this.#session = null;
  }

  async #agree() {
    const { audience, pins, clock } = this.#options;
    const [binding, ephemeral, kem] = await Promise.all([
      (this.#binding ??= bindingKey(audience)),
      subtle.generateKey(X25519, false, ["deriveBits"]).catch(() => subtle.generateKey(ECDH, false, ["deriveBits"])),
      generateKem(),
    ]);
    // No hello is weaker than an earlier one.
    configured(kem !== null || !this.#hadKem, "ML-KEM-768 has gone");
    this.#hadKem = kem !== null;
    const handshake = await sayHello(audience, binding, { pins, ephemeral, kem });
    const start = clock.now();
    const reply = await this.#ask(helloBody(handshake));
    const session = await finishHandshake(handshake, { ...reply, took: clock.now() - start });
    clock.set(session.iat);
    const lifetime = session.exp - session.iat;
    this.#session = { ...session, until: start + Math.max(lifetime - EARLIER, lifetime / 2) };
    return this.#session;
  }

  async #ask(body) {
    const { fetch, url, credentials } = this.#options;
    const signal = AbortSignal.timeout(1000 * SLOWEST_REPLY);
    const headers = { "content-type": JSON_TYPE };
    const response = await answered(
      fetch(url, { method: "POST", headers, body, signal, credentials, redirect: "manual", cache: "no-store" }),
    );
    if (response.status !== 200) throw await untrusted(response);
    return { status: 200, body: await answered(readAll(response, MOST_HANDSHAKE_BODY)) };
  }
}

/** A session that came in another way, such as under a password. When it is over, its user logs in again. */
class GivenSession {
  #session;
  #clock;

  constructor({ ticket, secret, iat, exp, audience }, clock) {
    // It has just come: when it was made is the time there.
    clock.set(iat);
    this.#session = { kid: ticket, secret, audience, until: clock.now() + exp - iat };
    this.#clock = clock;
  }

  async get() {
    if (this.#clock.now() < this.#session.until) return this.#session;
    throw new NoAnswer("the session is over: log in again");
  }

  forget() {}
}

// ------------------------------------------------------------------------------- answers over HTTP

/** What goes wrong on the way is no answer; what the caller has aborted stays as it is. */
const answered = (promise) =>
  promise.catch((error) => {
    const isNetwork = error instanceof TypeError || error?.name === "TimeoutError";
    throw isNetwork ? new NoAnswer("nothing came", { cause: error }) : error;
  });

async function readAll(response, most) {
  // The quick way, where the browser itself holds the answer to its length.
  const isTold = response.headers.get("content-length") <= most && response.headers.has("content-length");
  if (isTold && !response.headers.has("content-encoding")) return new Uint8Array(await response.arrayBuffer());
  const reader = response.body?.getReader();
  const pieces = [];
  let size = 0;
  for (let read = await reader?.read(); read && !read.done; read = await reader.read()) {
    pieces.push(read.value);
    size += read.value.length;
    if (size > most) reader.cancel().catch(() => {});
    limited(size <= most, "an answer is too large");
  }
  return pieces.length === 1 ? pieces[0] : join(...pieces);
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
async function untrusted(response) {
  const body = await answered(readAll(response, MOST_PROBLEM)).catch(() => NONE);
  const claims = readProblem(body).code;
  return new NoAnswer("the answer is not sealed", { status: response.status, claims });
}

/** Where the server found a request stale, its time. */
function staleTime({ status, contentType }, content) {
  if (status !== 400 || contentType !== PROBLEM_TYPE || content === null) return undefined;
  const problem = readProblem(content);
  return problem.code === "stale" ? problem.server_time : undefined;
}

/** The content of records as it comes. */
class Download {
  #reader;
  #content;
  #first = [];
  #done = false;
  #ahead;

  constructor(response, content) {
    this.#reader = (response.body ?? new Blob().stream()).getReader();
    this.#content = content;
    this.#readAhead();
  }

  /** What comes next is on its way while this is opened. */
  #readAhead() {
    this.#ahead = answered(this.#reader.read());
    this.#ahead.catch(() => {});
  }

  /** Reads until the headers are there, which may stand before the content. */
  async start() {
    while (!this.#content.hasHeaders && !this.#done) this.#first.push(...(await this.#read()));
  }

  /** As a ReadableStream has it. */
  async pull(controller) {
    let pieces = this.#first.splice(0);
    while (pieces.length === 0 && !this.#done) pieces = await this.#read();
    for (const piece of pieces) controller.enqueue(piece);
    if (this.#done) controller.close();
  }

  cancel(reason) {
    return this.#reader.cancel(reason);
  }

  async #read() {
    try {
      const { done, value } = await this.#ahead;
      this.#done = done;
      if (!done) this.#readAhead();
      return await (done ? this.#content.finish() : this.#content.push(value));
    } catch (error) {
      this.#reader.cancel().catch(() => {});
      throw error;
    }
  }
}

const HAVE_NO_BODY = new Set([204, 205, 304]);

/** What `fetch` would have answered. */
function plainResponse({ url, redirected }, { opened, body }) {
  const headers = new Headers(opened.headers);
  if (opened.contentType !== undefined) headers.set("content-type", opened.contentType);
  if (opened.length !== undefined) headers.set("content-length", opened.length);
  const { status } = opened;
  const response = new Response(HAVE_NO_BODY.has(status) ? null : body, { status, headers });
  const told = { url: { value: url.href }, redirected: { value: redirected } };
  return Object.defineProperties(response, told);
}

// ------------------------------------------------------------------------------------------ routes

/** A row of the server's list; a slash at the end is the same, lest what was meant to be sealed goes in clear. */
function readRoute({ path, methods, once }) {
  const parts = path.replace(/\/$/, "").split(/(\{\+?\w+\})/);
  const pattern = parts.map((part, at) => {
    if (at % 2) return part.startsWith("{+") ? ".+" : "[^/]+";
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return { pattern: new RegExp(`^${pattern.join("")}/?$`), methods: new Set(methods), once };
}

// ------------------------------------------------------------------------------------------ client

/**
 * A client of one service, after a handshake and with the list of its sealed routes.
 * See sealed.d.ts for the options.
 */
export async function connect(baseUrl, options) {
  const client = new Client(baseUrl, options);
  await client.refresh();
  return client;
}

function readPins({ pins, unpinned }) {
  configured((pins === undefined) === (unpinned === true), "either `pins` or `unpinned: true`");
  if (unpinned) return null;
  try {
    return pins.map((pin) => unb64u(pin, 32));
  } catch {
    throw new ConfigError("`pins` is an array of thumbprints, each 43 characters of base64url");
  }
}

const isHere = ({ hostname }) => /^(localhost|127\.0\.0\.1|\[::1\])$|\.localhost$/.test(hostname);

class Client {
  #base;
  #fetch;
  #clock;
  #sessions;
  #allowed;
  #prefix;
  #defaults;
  #routes = [];
  #clear = new Set();

  constructor(baseUrl, { audience, prefix = "/sealed", headers = [], clock = new Clock(), ...options }) {
    this.#base = new URL(baseUrl);
    configured(this.#base.protocol === "https:" || isHere(this.#base), "a service is reached by https");
    // Called as a method of anything else, the browser's own throws.
    this.#fetch = (options.fetch ?? globalThis.fetch).bind(globalThis);
    this.#clock = clock;
    this.#prefix = new URL(prefix, this.#base);
    this.#allowed = new Set([...REQUEST_HEADERS, ...headers.map((name) => name.toLowerCase())]);
    const { sealQuery = false, pad = false, credentials } = options;
    this.#defaults = { sealQuery, pad, credentials };
    const url = `${this.#prefix.href}/session`;
    if (options.session) {
      configured(options.session.audience === audience && !options.pins && !options.unpinned, "a session goes without pins");
      this.#sessions = new GivenSession(options.session, clock);
    } else {
      const pins = readPins(options);
      this.#sessions = new Sessions({ audience, pins, url, clock, fetch: this.#fetch, credentials });
    }
    this.fetch = this.fetch.bind(this);
  }

  /** Reads the list of sealed routes again. */
  async refresh() {
    const request = new Request(`${this.#prefix.href}/routes`, { credentials: this.#defaults.credentials });
    const answer = await this.#follow(this.#ask(request, new URL(request.url), {}));
    configured(answer.status === 200, "the service has no list of sealed routes");
    const { routes } = await answer.json();
    const of = (kind) => routes.filter(({ profile }) => profile === kind);
    this.#routes = of("session").map(readRoute);
    // What would match a template, and is in clear.
    this.#clear = new Set(of("clear").flatMap(({ path, methods }) => methods.map((method) => `${method} ${path}`)));
  }

  /** What is to be done once, however often it is tried: for `fetch(…, { operation })`. */
  operation() {
    return { op: systemRandom(16), started: undefined };
  }

  /** As the global one, sealed where the service's list says so. */
  async fetch(input, { sealQuery, pad, operation, prove, ...init } = {}) {
    const { credentials } = this.#defaults;
    const from = input instanceof Request ? input : new URL(input, this.#base);
    const request = new Request(from, credentials && !(from instanceof Request) ? { credentials, ...init } : init);
    const url = new URL(request.url);
    configured(url.origin === this.#base.origin, "this is not the service that was connected to");
    const route = this.#route(request.method, url.pathname);
    if (!route) {
      const proves = prove ?? request.headers.has("authorization");
      return proves ? this.#prove(request, url, operation) : this.#fetch(request);
    }
    const asked = this.#ask(request, url, { sealQuery, pad, operation, once: route.once });
    Object.assign(asked, await readBody(request, from, init.body));
    return this.#follow(asked);
  }

  /** Sealed Server-Sent Events, as an EventTarget in the manner of EventSource. */
  eventSource(url, init = {}) {
    const sealsId = this.#allowed.has("last-event-id");
    return new SealedEventSource(new URL(url, this.#base).href, (id) => {
      const headers = new Headers(init.headers);
      headers.set("accept", "text/event-stream");
      // An event's name came sealed.
      if (id && sealsId) headers.set("last-event-id", id);
      return { headers, fetch: (signal) => this.fetch(url, { ...init, headers, signal }) };
    });
  }

  #route(method, path) {
    if (this.#clear.has(`${method} ${path}`)) return undefined; // in no other spelling
    // A second slash is no way into the clear.
    const target = canonicalTarget(path).replace(/\/{2,}/g, "/");
    return this.#routes.find(({ pattern, methods }) => methods.has(method) && pattern.test(target));
  }

  /** A request as it is sealed, as often as it has to be. */
  #ask(request, url, { once = false, operation, ...options }) {
    const { method, signal, redirect, credentials, referrer, referrerPolicy, keepalive } = request;
    configured(!request.integrity, "`integrity` would be of what is sealed");
    const [headers, outer] = [[], []];
    for (const header of request.headers) (this.#allowed.has(header[0]) ? headers : outer).push(header);
    const sealQuery = options.sealQuery ?? this.#defaults.sealQuery;
    const mode = request.mode === "same-origin" ? "same-origin" : "cors";
    return {
      method,
      url,
      headers,
      outer: outer.filter(([name]) => !SET_HERE.has(name)),
      once,
      hides: sealQuery || url.search.length < 2,
      pad: options.pad ?? this.#defaults.pad,
      operation: operation ?? this.#operationOf(method, once),
      content: null,
      redirect,
      redirected: false,
      signal,
      init: { credentials, mode, referrer, referrerPolicy, keepalive, cache: "no-store", redirect: "manual", signal },
    };
  }

  #operationOf(method, once) {
    return once || !SAFE.has(method) ? this.operation() : undefined;
  }

  async #follow(asked) {
    let answer = await this.#exchange(asked);
    for (let left = MOST_REDIRECTS; left > 0; left--) {
      const next = this.#redirected(asked, answer.opened);
      if (next === null) break;
      if (asked.redirect === "error") throw new Redirected("the answer is a redirect");
      await answer.body?.cancel?.();
      asked = next;
      answer = await this.#exchange(asked);
    }
    return plainResponse(asked, answer);
  }

  /** Sends it, once more where the session is unknown or the clock was off. */
  async #exchange(asked) {
    let again = false;
    let adjusted = false;
    for (;;) {
      const session = await unlessAborted(asked.signal, this.#sessions.get());
      this.#demandTime(asked.operation);
      const { response, exchange } = await this.#send(asked, session);
      const field = response.headers.get("sealed");
      if (field === null) {
        const error = await untrusted(response);
        if (again || error.claims !== "session-unknown") throw error;
        again = true;
        this.#sessions.forget(session);
        continue;
      }
      const answer = await openAnswer(exchange, field, response);
      const time = staleTime(answer.opened, answer.body);
      if (time === undefined || adjusted) return answer;
      adjusted = true;
      this.#clock.set(time);
    }
  }

  /** The service may have forgotten an operation that began long ago. */
  #demandTime(operation) {
    if (!operation) return;
    const now = this.#clock.now();
    operation.started ??= now;
    if (now - operation.started > GIVE_UP) throw new GivenUp("the operation was given up; its outcome is unknown");
  }

  async #send(asked, session) {
    const { method, content, contentType, headers, pad } = asked;
    const [target, query] = targetOf(asked);
    const request = { method, target, query, contentType, headers, op: asked.operation?.op };
    const { prepared } = session;
    session.prepared = undefined;
    const options = { iat: this.#clock.serverTime(), allowed: this.#allowed, prepared };
    const made =
      content instanceof Blob
        ? await sealBlob(session, request, content, options)
        : await sealRequest(session, request, content, { ...options, pad });
    const outer = [...asked.outer, ["sealed", made.seal]];
    if (content !== null) outer.push(["content-type", content instanceof Blob ? RECORDS_TYPE : JSON_TYPE]);
    const url = asked.url.origin + asked.url.pathname + (asked.hides ? "" : asked.url.search);
    const sending = this.#fetch(url, { ...asked.init, method, headers: outer, body: made.body ?? undefined });
    // While the answer is under way, there is time.
    session.prepared ??= prepare(session);
    return { response: await answered(sending), exchange: made.exchange };
  }

  /** The request that a redirect asks for; null where there is none, or it leads to what is not sealed. */
  #redirected(asked, { status, headers }) {
    const [, location] = headers.find(([name]) => name === "location") ?? [];
    if (!REDIRECTS.has(status) || location === undefined || asked.redirect === "manual") return null;
    if (asked.redirect === "error") return asked;
    const keeps = status > 303 || SAFE.has(asked.method);
    const method = keeps || (status !== 303 && asked.method !== "POST") ? asked.method : "GET";
    const url = URL.canParse(location, asked.url) && new URL(location, asked.url);
    const isInside = url && url.origin === this.#base.origin && !url.pathname.startsWith("//");
    const route = isInside && this.#route(method, url.pathname);
    if (!route) return null;
    const { once } = route;
    const dropped = method === asked.method ? {} : { content: null, contentType: undefined };
    const hides = asked.hides || url.search.length < 2;
    return { ...asked, ...dropped, method, url, hides, once, redirected: true, operation: this.#operationOf(method, once) };
  }

  /** A seal without a body proves who sends a request in clear. */
  async #prove(request, url, operation = this.#operationOf(request.method, false)) {
    const [target] = targetOf({ url, hides: false });
    for (let again = false; ; again = true) {
      const session = await unlessAborted(request.signal, this.#sessions.get());
      this.#demandTime(operation);
      const iat = this.#clock.serverTime();
      const asked = { method: request.method, target, op: operation?.op };
      const { seal } = await sealRequest(session, asked, null, { iat });
      const sending = new Request(again ? request : request.clone(), { cache: "no-store" });
      sending.headers.set("sealed", seal);
      const response = await this.#fetch(sending);
      if (again || response.status !== 401) return response;
      if ((await untrusted(response.clone())).claims !== "session-unknown") return response;
      this.#sessions.forget(session);
    }
  }
}

/** The target, and the query that it does not show. */
function targetOf({ url, hides }) {
  const query = url.search.slice(1);
  return hides ? [canonicalTarget(url.pathname), query || undefined] : [canonicalTarget(url.pathname, query)];
}

/** Bytes for an envelope; for records a Blob, which can be sent twice and need not be in memory. */
async function readBody(request, from, body) {
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

async function sealBlob(session, request, blob, options) {
  const { records, ...made } = await sealStream(session, request, { ...options, length: blob.size });
  const read = (at) => blob.slice(at, at + MOST_CONTENT).arrayBuffer();
  const parts = [];
  let ahead = read(0);
  for (let at = MOST_CONTENT; at - MOST_CONTENT < blob.size; at += MOST_CONTENT) {
    const piece = new Uint8Array(await ahead);
    ahead = read(at);
    parts.push(new Blob([await records.push(piece)]));
  }
  return { ...made, body: new Blob([...parts, await records.finish()]) };
}

async function openAnswer(exchange, field, response) {
  try {
    const opened = await openResponse(exchange, field);
    if (opened.body !== "records") {
      return { opened, body: await opened.open(await answered(readAll(response, MOST_ENVELOPE))) };
    }
    const download = new Download(response, opened.openStream());
    await download.start();
    return { opened, body: new ReadableStream(download) };
  } catch (error) {
    // What is not read any more; a body that is read already says no.
    response.body?.cancel().catch(() => {});
    throw error;
  }
}

/** Others may wait for the same, so it goes on. */
function unlessAborted(signal, promise) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    Promise.resolve(promise)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}

// ---------------------------------------------------------------------------------- Server-Sent Events

const EVENT_STREAM = /^text\/event-stream *(;|$)/i;

class SealedEventSource extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;

  readyState = 0;
  lastEventId = "";
  retry = 3000; // milliseconds
  onopen = null;
  onmessage = null;
  onerror = null;
  #open;
  #closing = new AbortController();

  constructor(url, open) {
    super();
    this.url = url;
    this.#open = open;
    this.#run();
  }

  close() {
    this.readyState = 2;
    this.#closing.abort();
  }

  async #run() {
    while (this.readyState !== 2) {
      let fault = null;
      try {
        await this.#read(await this.#open(this.lastEventId).fetch(this.#closing.signal));
      } catch (error) {
        fault = error;
      }
      if (this.readyState === 2) return;
      this.readyState = 0;
      if (fault instanceof ConfigError) this.close();
      this.#tell(Object.assign(new Event("error"), { error: fault }));
      if (this.readyState === 0) await this.#wait();
    }
  }

  #wait() {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.retry);
      this.#closing.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  async #read(response) {
    const isStream = response.status === 200 && EVENT_STREAM.test(response.headers.get("content-type"));
    configured(isStream, "the answer is no event stream");
    this.#closing.signal.throwIfAborted();
    this.readyState = 1;
    this.#tell(new Event("open"));
    let lines = "";
    let event = {};
    for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
      lines += text;
      // A CR at the end may be half of a line's end.
      const whole = lines.split(/\r\n|\n|\r(?!$)/);
      lines = whole.pop();
      for (const line of whole) event = this.#take(line, event);
    }
  }

  /** One line of a stream, as the HTML standard reads it. */
  #take(line, event) {
    if (line === "") {
      this.#dispatch(event);
      return {};
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    if (field === "event") event.type = value;
    if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return event;
  }

  #dispatch({ type, data }) {
    if (data === undefined || this.readyState === 2) return;
    const { origin } = new URL(this.url);
    this.#tell(new MessageEvent(type || "message", { data, lastEventId: this.lastEventId, origin }));
  }

  #tell(event) {
    this[`on${event.type}`]?.(event);
    this.dispatchEvent(event);
  }
}

/** Not all browsers iterate over streams. */
async function* pieces(stream) {
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}
