// A client of flask-sealed/1 and of Level 3, written from docs/protocol.rst and docs/protocol-level3.rst
// alone. It speaks bytes: sending, clocks and retries are the caller's. All cryptography is WebCrypto's.

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {(length: number) => Bytes} Random A source of random bytes. */
/** @typedef {[name: string, value: string]} Header */
/** @typedef {"string" | "integer" | "object" | "array"} Kind */
/** @typedef {Record<string, Kind>} Members The names and kinds of a JSON object's members. */

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
const TAG = 16;
const IV = 12;
const NONE = new Uint8Array(0);

// ------------------------------------------------------------------------------------------ errors

/** All that this module throws. `code` is stable, the message is not. */
export class SealedError extends Error {
  static code = "error";

  /** @returns {string} */
  get code() {
    return /** @type {typeof SealedError} */ (this.constructor).code;
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

/** @param {boolean} right @param {string} what is said where it is not right */
function demand(right, what) {
  if (!right) throw new Malformed(what);
}

/** @param {boolean} right @param {string} what */
function configured(right, what) {
  if (!right) throw new ConfigError(what);
}

/** @param {boolean} right */
function bound(right) {
  if (!right) throw new Refused();
}

/** @param {boolean} right @param {string} what */
function limited(right, what) {
  if (!right) throw new TooLarge(what);
}

// ------------------------------------------------------------------------------------------- bytes

/** @param {string} text @returns {Bytes} */
const utf8 = (text) => new TextEncoder().encode(text);

/** @param {...Bytes} parts @returns {Bytes} */
function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The length as 2 bytes, and the bytes. @param {Bytes} bytes @returns {Bytes} */
const lv = (bytes) => join(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes);

/** Nothing here is secret: thumbprints and names. @param {Bytes} a @param {Bytes} b */
const equal = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

/** @type {Random} */
export const systemRandom = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

/** @param {Bytes} bytes @returns {Promise<Bytes>} 32 bytes */
const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

// ------------------------------------------------------------------------------------------ base64

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 with padding (RFC 4648, section 4). @param {Bytes} bytes @returns {string} */
export function b64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

/**
 * The one form of base64 with padding.
 * @param {string} text
 * @returns {Bytes}
 * @throws {Malformed}
 */
export function unb64(text) {
  demand(text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text), "this is no base64");
  const pads = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  // atob does not mind bits behind the last byte; two spellings of one value are one too many.
  const stray = [0, 3, 15][pads];
  const last = STANDARD.indexOf(text[text.length - 1 - pads] ?? "A");
  demand((last & stray) === 0, "base64 has bits behind its last byte");
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Base64url without padding. @param {Bytes} bytes @returns {string} */
export const b64u = (bytes) =>
  b64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/**
 * The one form of base64url without padding.
 * @param {string} text
 * @param {number} [length] the bytes that belong here
 * @returns {Bytes}
 * @throws {Malformed}
 */
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
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /** @returns {unknown} */
  whole() {
    const value = this.value(DEEPEST);
    this.match(SPACE);
    demand(this.at === this.text.length, "there is something behind the JSON");
    return value;
  }

  /** @param {number} levels how much deeper it may go @returns {unknown} */
  value(levels) {
    this.match(SPACE);
    const first = this.text[this.at];
    if (first === '"') return this.string();
    if (first !== "{" && first !== "[") return this.integer();
    demand(levels > 0, "JSON is nested too deeply");
    return first === "{" ? this.object(levels - 1) : this.array(levels - 1);
  }

  /** @param {number} levels */
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

  /** @param {number} levels */
  array(levels) {
    /** @type {unknown[]} */
    const items = [];
    this.list("[", "]", () => items.push(this.value(levels)));
    return items;
  }

  /** @param {string} start @param {string} end @param {() => void} item */
  list(start, end, item) {
    this.skip(start);
    if (this.skip(end)) return;
    do item();
    while (this.skip(","));
    demand(this.skip(end), "JSON is cut");
  }

  /** @returns {string} */
  string() {
    const string = JSON.parse(this.match(STRING));
    demand(string.isWellFormed(), "there is a lone surrogate");
    return string;
  }

  /** @returns {number} */
  integer() {
    const number = Number(this.match(INTEGER));
    demand(Number.isSafeInteger(number), "a number is too large");
    return number;
  }

  /** @param {string} character @returns {boolean} whether it is next; then it is passed */
  skip(character) {
    this.match(SPACE);
    const found = this.text[this.at] === character;
    if (found) this.at += 1;
    return found;
  }

  /** @param {RegExp} pattern @returns {string} */
  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new Malformed("this is no JSON of this protocol");
    this.at += found[0].length;
    return found[0];
  }
}

/** @param {Bytes} bytes @returns {unknown} */
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

/** @param {unknown} value @returns {Kind} */
function kindOf(value) {
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return "integer";
  return typeof value === "string" ? "string" : "object";
}

/**
 * A closed set: every member is known, and of its kind.
 * @param {unknown} value
 * @param {Members} required
 * @param {Members} [optional]
 * @returns {Record<string, any>}
 * @throws {Malformed}
 */
function closed(value, required, optional = {}) {
  demand(kindOf(value) === "object", "this is no JSON object");
  const object = /** @type {Record<string, any>} */ (value);
  const known = new Map(Object.entries({ ...required, ...optional }));
  for (const name of Object.keys(object)) {
    demand(kindOf(object[name]) === known.get(name), "a member is unknown, or of another kind");
  }
  demand(Object.keys(required).every((name) => name in object), "a member is missing");
  return object;
}

/**
 * @param {Bytes} bytes
 * @param {Members} required
 * @param {Members} [optional]
 * @returns {Record<string, any>} an object without a prototype
 * @throws {Malformed}
 */
export const readObject = (bytes, required, optional) => closed(readJson(bytes), required, optional);

/** @param {object} value @returns {Bytes} */
const writeJson = (value) => utf8(JSON.stringify(value));

// -------------------------------------------------------------------------------------- primitives

/**
 * @param {CryptoKey} secret a key for HKDF
 * @param {Bytes} salt
 * @param {Bytes} info
 * @param {number} length bytes
 * @returns {Promise<Bytes>}
 */
async function hkdf(secret, salt, info, length) {
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await subtle.deriveBits(algorithm, secret, 8 * length));
}

/** Keeps a secret where it cannot be read. @param {Bytes} bytes 32 bytes @returns {Promise<CryptoKey>} */
export async function importSecret(bytes) {
  configured(bytes.length === 32, "a secret has 32 bytes");
  return subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);
}

/** @param {Bytes} bytes 32 bytes @returns {Promise<CryptoKey>} */
export async function importAes(bytes) {
  configured(bytes.length === 32, "a key has 32 bytes");
  return subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/**
 * @param {CryptoKey} key @param {Bytes} iv @param {Bytes} aad @param {Bytes} plaintext
 * @returns {Promise<Bytes>} ciphertext and tag
 */
async function encrypt(key, iv, aad, plaintext) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad, tagLength: 8 * TAG };
  return new Uint8Array(await subtle.encrypt(algorithm, key, plaintext));
}

/**
 * @param {CryptoKey} key @param {Bytes} iv @param {Bytes} aad
 * @param {Bytes} ciphertext with the tag behind
 * @returns {Promise<Bytes>}
 * @throws {Refused} the same for every reason
 */
async function decrypt(key, iv, aad, ciphertext) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad, tagLength: 8 * TAG };
  const plaintext = await subtle.decrypt(algorithm, key, ciphertext).catch(() => null);
  if (plaintext === null) throw new Refused();
  return new Uint8Array(plaintext);
}

// ------------------------------------------------------------------------------------- public keys

/** @typedef {{ kty: string, crv: string, x: string, y?: string }} Jwk */
/** @typedef {{ jwk: Jwk, bytes: Bytes }} PublicKey `bytes` are 32, or 65 of P-256 */

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

/** @param {Bytes} bytes 32 bytes @returns {boolean} */
function isSmallOrder(bytes) {
  const unsigned = Uint8Array.from(bytes);
  unsigned[31] &= 127;
  return SMALL_ORDER.has(Array.from(unsigned, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}

/**
 * A public key from parsed JSON, in its one form.
 * @param {unknown} value
 * @param {"Ed25519" | "X25519"} okp the curve that is allowed beside P-256
 * @returns {PublicKey} of P-256, the point is not checked
 * @throws {Malformed}
 */
function readJwk(value, okp) {
  const kty = /** @type {any} */ (value).kty;
  const ec = kty === "EC";
  const strings = { kty: "string", crv: "string", x: "string", ...(ec && { y: "string" }) };
  const jwk = /** @type {Jwk} */ (closed(value, /** @type {Members} */ (strings)));
  demand((ec ? "P-256" : okp) === jwk.crv && (ec || kty === "OKP"), "a key is of another kind");
  const x = unb64u(jwk.x, 32);
  if (!ec) {
    demand(okp !== "Ed25519" || !isSmallOrder(x), "a key is of small order");
    return { jwk, bytes: x };
  }
  return { jwk, bytes: join(Uint8Array.of(4), x, unb64u(/** @type {string} */ (jwk.y), 32)) };
}

/** @param {CryptoKey} key @returns {Promise<PublicKey>} */
async function exportPublic(key) {
  const { kty, crv, x, y } = /** @type {Jwk} */ (await subtle.exportKey("jwk", key));
  const jwk = y === undefined ? { kty, crv, x } : { kty, crv, x, y };
  return { jwk, bytes: new Uint8Array(await subtle.exportKey("raw", key)) };
}

/** RFC 7638: the members in alphabetical order. @param {Jwk} jwk @returns {Promise<Bytes>} 32 bytes */
export function thumbprint({ kty, crv, x, y }) {
  return sha256(writeJson(y === undefined ? { crv, kty, x } : { crv, kty, x, y }));
}

// --------------------------------------------------------------------------------------------- JWS

/**
 * @param {string} typ
 * @param {CryptoKeyPair} pair Ed25519, or ECDSA with P-256
 * @param {object} payload
 * @returns {Promise<string>}
 */
async function signJws(typ, pair, payload) {
  const { jwk } = await exportPublic(pair.publicKey);
  const header = { alg: jwk.kty === "EC" ? "ES256" : "EdDSA", typ, jwk };
  const signed = `${b64u(writeJson(header))}.${b64u(writeJson(payload))}`;
  const algorithm = jwk.kty === "EC" ? ES256 : ED25519;
  const signature = await subtle.sign(algorithm, pair.privateKey, utf8(signed));
  return `${signed}.${b64u(new Uint8Array(signature))}`;
}

/**
 * The algorithm follows from the key.
 * @param {PublicKey} key
 * @param {string} alg as the header says it
 * @returns {Promise<CryptoKey>}
 * @throws {Malformed | Refused}
 */
async function importVerifier({ jwk, bytes }, alg) {
  const ec = jwk.kty === "EC";
  const key = await subtle.importKey("raw", bytes, ec ? ES256 : ED25519, false, ["verify"]).catch(() => null);
  // Points off the curve, and coordinates that are too large, are not imported.
  demand(key !== null || !ec, "a point is not on its curve");
  demand(alg === (ec ? "ES256" : "EdDSA"), "the algorithm is not the key's");
  if (key === null) throw new Refused();
  return key;
}

/**
 * @param {string} jws
 * @param {string} typ
 * @returns {Promise<{ key: PublicKey, payload: Bytes }>} the payload's JSON, not yet parsed
 * @throws {Refusal}
 */
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

/**
 * What a client keeps between hello and reply.
 * @typedef {object} Handshake
 * @property {string} hello the JWS
 * @property {string} audience
 * @property {Bytes} binding the thumbprint of the client's own key
 * @property {Bytes[] | null} pins thumbprints; null for a client that accepts any identity
 * @property {CryptoKeyPair} ephemeral X25519, or ECDH with P-256
 * @property {CryptoKeyPair | null} kem ML-KEM-768
 */

/**
 * @typedef {object} Session
 * @property {CryptoKey} secret for HKDF, not extractable
 * @property {string} kid the ticket
 * @property {string} audience
 * @property {string} sid the name of the session, for logs
 * @property {Bytes} identity the thumbprint of the server's key
 * @property {number} iat the server's clock, in seconds
 * @property {number} exp
 * @property {boolean} kem whether ML-KEM-768 took part
 */

/** @param {string} audience @returns {Bytes} */
function audienceBytes(audience) {
  const bytes = utf8(audience);
  configured(bytes.length > 0 && bytes.length <= MOST_AUDIENCE, "an audience has 1 to 255 bytes");
  return bytes;
}

// The types of WebCrypto do not know ML-KEM yet.
const modern = /** @type {any} */ (subtle);

/** @returns {Promise<CryptoKeyPair | null>} null on platforms without ML-KEM-768 */
const generateKem = () => modern.generateKey(ML_KEM, false, ["decapsulateBits"]).catch(() => null);

/** @returns {Promise<boolean>} whether this platform has ML-KEM-768 */
export const hasKem = async () => (await generateKem()) !== null;

/**
 * Begins a handshake.
 * @param {string} audience
 * @param {CryptoKeyPair} binding the client's own key: Ed25519, or ECDSA with P-256
 * @param {object} options
 * @param {Bytes[] | null} options.pins 1 to 4; null is said aloud by clients that have none
 * @param {"X25519" | "P-256"} [options.curve] of the ephemeral key
 * @param {boolean} options.kem whether ML-KEM-768 is asked for; a platform without it throws
 * @returns {Promise<Handshake>}
 */
export async function startHandshake(audience, binding, { pins, curve = "X25519", kem }) {
  const generated = await subtle.generateKey(curve === "P-256" ? ECDH : X25519, false, ["deriveBits"]);
  const ephemeral = /** @type {CryptoKeyPair} */ (generated);
  const encapsulation = kem ? await generateKem() : null;
  configured(!kem || encapsulation !== null, "this platform has no ML-KEM-768");
  return sayHello(audience, binding, { pins, ephemeral, kem: encapsulation });
}

/**
 * The same with keys that are there. They are used once.
 * @param {string} audience
 * @param {CryptoKeyPair} binding
 * @param {{ pins: Bytes[] | null, ephemeral: CryptoKeyPair, kem: CryptoKeyPair | null }} keys
 * @returns {Promise<Handshake>}
 */
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

/** @param {CryptoKey} key @returns {Promise<string>} */
const exportKem = async (key) => b64u(new Uint8Array(await modern.exportKey("raw-public", key)));

/** The body of `POST {prefix}/session`. @param {Handshake} handshake @returns {Bytes} */
export const helloBody = ({ hello }) => writeJson({ hello });

/**
 * Ends a handshake.
 * @param {Handshake} handshake
 * @param {{ status: number, body: Bytes, took: number }} reply `took` seconds of a clock that never jumps
 * @returns {Promise<Session>}
 * @throws {NoAnswer | Refusal}
 */
export async function finishHandshake(handshake, { status, body, took }) {
  if (status !== 200 || took > SLOWEST_REPLY) throw new NoAnswer("no reply, or a late one");
  limited(body.length <= MOST_HANDSHAKE_BODY, "a reply is too large");
  const { session } = readObject(body, { session: "string" });
  return finishReply(handshake, session);
}

const REPLY = /** @type {Members} */ ({
  iss: "string",
  iat: "integer",
  exp: "integer",
  hello: "string",
  epk: "object",
  ticket: "string",
});

/**
 * @param {Handshake} handshake
 * @param {string} jws the reply
 * @returns {Promise<Session>}
 * @throws {Refusal}
 */
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

/** @param {Handshake} handshake @param {Bytes} identity @param {Record<string, any>} reply */
async function checkReply({ hello, audience, binding, pins }, identity, reply) {
  bound(pins === null || pins.some((pin) => equal(pin, identity)));
  bound(!equal(identity, binding));
  bound(reply.hello === b64u(await sha256(utf8(hello))));
  bound(reply.iss === audience);
  demand(reply.iat < reply.exp && reply.exp - reply.iat <= MOST_LIFETIME, "a session's times are not right");
  demand(/^[A-Za-z0-9_-]{163}$/.test(reply.ticket), "a ticket has 163 characters of base64url");
  unb64u(reply.ticket);
}

/** @param {CryptoKeyPair} own @param {PublicKey} epk @returns {Promise<Bytes>} 32 bytes @throws {Refused} */
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

/** @param {Handshake} handshake @param {string | undefined} kem @returns {Bytes} 1088 bytes, or none */
function kemCiphertext(handshake, kem) {
  if (kem === undefined) return NONE;
  const ciphertext = unb64u(kem, 1088);
  demand(handshake.kem !== null, "nobody asked for ML-KEM");
  return ciphertext;
}

/** @param {CryptoKeyPair | null} own @param {Bytes} ciphertext @returns {Promise<Bytes>} */
async function decapsulate(own, ciphertext) {
  if (own === null || ciphertext.length === 0) return NONE;
  return new Uint8Array(await modern.decapsulateBits(ML_KEM, own.privateKey, ciphertext));
}

/**
 * The secret of a session.
 * @param {Bytes} z 32 bytes, 64 with ML-KEM
 * @param {{ hello: string, iss: string, identity: Bytes, epk: Bytes, kem: Bytes }} said
 * @returns {Promise<Bytes>} 32 bytes
 */
export async function sessionSecret(z, { hello, iss, identity, epk, kem }) {
  const ikm = await subtle.importKey("raw", z, "HKDF", false, ["deriveBits"]);
  const digest = kem.length > 0 ? await sha256(kem) : NONE;
  const info = join(utf8("flask-sealed/1 session\0"), ...[utf8(iss), identity, epk, digest].map(lv));
  return hkdf(ikm, await sha256(utf8(hello)), info, 32);
}

/** @param {CryptoKey} secret @returns {Promise<string>} */
export const sessionId = async (secret) =>
  b64u(await hkdf(secret, new Uint8Array(32), utf8("flask-sealed/1 sid\0"), 16));

// --------------------------------------------------------------------------------- keys of a half

/** @typedef {{ seal: CryptoKey, body: CryptoKey, nonce: Bytes }} HalfKeys */

/**
 * @param {CryptoKey} secret
 * @param {"request" | "response"} half
 * @param {Bytes} salt 16 bytes, 32 for a response
 * @param {string} audience
 * @returns {Promise<Bytes>} seal key, body key, base nonce: 76 bytes
 */
export const deriveHalf = (secret, half, salt, audience) =>
  hkdf(secret, salt, join(utf8(`flask-sealed/1 ${half}\0`), lv(audienceBytes(audience))), 76);

/** @param {Parameters<typeof deriveHalf>} of @returns {Promise<HalfKeys>} */
async function halfKeys(...of) {
  const bits = await deriveHalf(...of);
  const [seal, body] = await Promise.all([importAes(bits.slice(0, 32)), importAes(bits.slice(32, 64))]);
  return { seal, body, nonce: bits.slice(64) };
}

// ---------------------------------------------------------------------------------------- the seal

/**
 * @param {HalfKeys} keys @param {object} header @param {object} payload @param {Random} random
 * @returns {Promise<string>}
 */
async function seal(keys, header, payload, random) {
  const head = b64u(writeJson(header));
  const iv = random(IV);
  const sealed = await encrypt(keys.seal, iv, utf8(head), writeJson(payload));
  return `${head}..${b64u(iv)}.${b64u(sealed.slice(0, -TAG))}.${b64u(sealed.slice(-TAG))}`;
}

/**
 * @typedef {{ head: string, header: Record<string, any>, iv: Bytes, sealed: Bytes }} ParsedSeal
 * `head` is the characters as received
 */

/** @param {string} text @returns {ParsedSeal} @throws {Refusal} */
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

const RESPONSE_HEADER = /** @type {Members} */ ({
  alg: "string",
  enc: "string",
  typ: "string",
  jti: "string",
  rsalt: "string",
});

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

/** @param {unknown[]} list @returns {Header[]} @throws {Malformed} */
function readHeaders(list) {
  for (const pair of list) {
    const isPair = Array.isArray(pair) && pair.length === 2 && pair.every((one) => typeof one === "string");
    demand(isPair, "a header is no pair of strings");
    const [name, value] = /** @type {Header} */ (pair);
    demand(NAME.test(name) && VALUE.test(value), "a header is not well-formed");
    demand(!TRANSPORT.has(name) && !name.startsWith("access-control-"), "a header travels outside only");
  }
  return /** @type {Header[]} */ (list).filter(([name]) => name !== "content-type");
}

/** @param {Header[]} headers @param {Set<string>} allowed @throws {ConfigError} */
function checkRequestHeaders(headers, allowed) {
  const names = headers.map(([name]) => name);
  configured(new Set(names).size === names.length, "a name is there twice");
  for (const [name, value] of headers) {
    configured(NAME.test(name) && allowed.has(name) && VALUE.test(value), "a header cannot be sealed");
  }
}

// ------------------------------------------------------------------------------------------ targets

/**
 * The canonical form of what a request asks for.
 * @param {string} path of the URL, percent-encoded as it is sent
 * @param {string} [query] without its question mark
 * @returns {string}
 * @throws {Malformed}
 */
export function canonicalTarget(path, query = "") {
  demand(/^[\x21-\x7e]*$/.test(query), "a query has a character that it cannot have");
  const encoded = Array.from(decodePercent(path), encodeByte).join("");
  demand(encoded.startsWith("/"), "a path starts with a slash");
  return query === "" ? encoded : `${encoded}?${query}`;
}

/** @param {string} path @returns {Bytes} UTF-8 @throws {Malformed} */
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

/** @param {number} byte @returns {string} */
function encodeByte(byte) {
  const character = String.fromCharCode(byte);
  if (/[A-Za-z0-9\-._~/]/.test(character)) return character;
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

// ---------------------------------------------------------------------------------------- a request

/**
 * @typedef {object} Keys
 * @property {CryptoKey} secret of a session, or pre-shared
 * @property {string} kid the ticket, or the name of the pre-shared key
 * @property {string} audience
 */

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} target in canonical form
 * @property {string} [contentType] where there is a body, and only there
 * @property {string} [query] that the URL does not show
 * @property {Header[]} [headers]
 * @property {Bytes} [op] 16 bytes; made anew where it is left out, and the method is unsafe
 */

/**
 * @typedef {object} Exchange what a client needs to open the answer
 * @property {Keys} keys
 * @property {string} method
 * @property {Bytes} jti
 */

/**
 * @typedef {object} Sealing
 * @property {number} iat the server's time as the client knows it, in seconds
 * @property {Random} [random]
 * @property {Set<string>} [allowed] the names of headers that may be sealed
 */

const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/**
 * Seals a request that has no body, or has it as a whole.
 * @param {Keys} keys
 * @param {Request} request
 * @param {Bytes | null} content
 * @param {Sealing & { pad?: boolean }} options `pad` hides the content's length
 * @returns {Promise<{ seal: string, body: Bytes | null, exchange: Exchange }>}
 */
export async function sealRequest(keys, request, content, { pad = false, ...options }) {
  const body = content === null ? undefined : "envelope";
  const length = pad ? content?.length : undefined;
  const half = await sealHalf(keys, request, { body, length }, options);
  if (content === null) return { seal: half.seal, body: null, exchange: half.exchange };
  const padded = pad ? join(content, new Uint8Array(padme(content.length) - content.length)) : content;
  const random = options.random ?? systemRandom;
  const envelope = await sealEnvelope(half.keys.body, padded, random(IV), utf8("envelope"));
  return { seal: half.seal, body: utf8(envelope), exchange: half.exchange };
}

/**
 * Seals a request whose body is a stream.
 * @param {Keys} keys
 * @param {Request} request
 * @param {Sealing & { length?: number }} options `length` of the content, where it is known
 * @returns {Promise<{ seal: string, records: RecordSealer, exchange: Exchange }>}
 */
export async function sealStream(keys, request, { length, ...options }) {
  const half = await sealHalf(keys, request, { body: "records", length }, options);
  const records = new RecordSealer(half.keys.body, half.keys.nonce, length);
  return { seal: half.seal, records, exchange: half.exchange };
}

/**
 * @param {Keys} keys @param {Request} request
 * @param {{ body?: string, length?: number }} form @param {Sealing} sealing
 */
async function sealHalf(keys, request, { body, length }, { iat, random = systemRandom, allowed }) {
  checkRequest(keys, request, body !== undefined, allowed ?? REQUEST_HEADERS);
  const { method, target } = request;
  const jti = random(16);
  const half = await halfKeys(keys.secret, "request", jti, keys.audience);
  const start = { alg: "dir", enc: "A256GCM", typ: "sealed-request", kid: keys.kid, jti: b64u(jti) };
  const header = { ...start, iat, htm: method, target, body };
  const text = await seal(half, header, requestPayload(request, length, random), random);
  limited(text.length <= MOST_REQUEST_SEAL, "query and headers are too long");
  return { seal: text, keys: half, exchange: { keys, method, jti } };
}

/** @param {Request} request @param {number | undefined} length @param {Random} random */
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

/** @param {Keys} keys @param {Request} request @param {boolean} hasBody @param {Set<string>} allowed */
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

/** @param {string} target @returns {boolean} */
const isCanonical = (target) =>
  /^\/(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})*(?:\?[\x21-\x7e]+)?$/.test(target) &&
  canonicalTarget(...splitTarget(target)) === target;

/** @param {string} target @returns {[path: string, query: string]} */
function splitTarget(target) {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

// --------------------------------------------------------------------------------------- a response

const RESPONSE = /** @type {Members} */ ({ cty: "string", headers: "array", hlen: "integer", length: "integer" });

/**
 * Opens the seal of an answer.
 * @param {Exchange} exchange
 * @param {string | null | undefined} field the value of `Sealed`
 * @returns {Promise<Response>}
 * @throws {NoAnswer | Refusal}
 */
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
  return new Response(keys, header.body, message, exchange.method);
}

/** @param {Record<string, any>} message @param {string | undefined} body */
function checkResponse({ status, cty, headers, hlen }, body) {
  limited(hlen === undefined || hlen <= MOST_HEADERS, "the headers are too long");
  demand(status >= 200 && status <= 599, "a status is not 200 to 599");
  demand(cty === undefined || CONTENT_TYPE.test(cty), "a content type is not right");
  demand(hlen !== 0 && (hlen === undefined || (headers === undefined && body !== undefined)), "hlen is not right");
}

/** The answer, when its seal is open. The outer status says nothing. */
export class Response {
  #keys;
  #hlen;

  /** @param {HalfKeys} keys @param {string | undefined} body @param {Record<string, any>} message @param {string} method */
  constructor(keys, body, { status, cty, headers, hlen, length }, method) {
    // Without a body, they say what a GET would have had; else there is nothing that they speak of.
    const told = body !== undefined || method === "HEAD" || status === 304;
    this.#keys = keys;
    this.#hlen = hlen ?? 0;
    this.status = /** @type {number} */ (status);
    this.body = /** @type {"envelope" | "records" | undefined} */ (body);
    this.contentType = /** @type {string | undefined} */ (told ? cty : undefined);
    this.length = /** @type {number | undefined} */ (told ? length : undefined);
    /** @type {Header[]} those in a body are here when it is open, or enough of it */
    this.headers = readHeaders(headers ?? []);
  }

  /**
   * Opens a body that is there as a whole, in either form; or checks that there is none.
   * @param {Bytes} bytes none where HTTP had no body
   * @returns {Promise<Bytes>} the content
   * @throws {Refusal}
   */
  async open(bytes) {
    demand((bytes.length > 0) === (this.body !== undefined), "seal and body do not belong together");
    if (this.body === undefined) return NONE;
    if (this.body === "envelope") return this.#openEnvelope(bytes);
    const stream = this.openStream();
    return join(...(await stream.push(bytes)), ...(await stream.finish()));
  }

  /** @returns {ContentStream} for a body of records, as it comes */
  openStream() {
    configured(this.body === "records", "the body is no stream");
    const total = this.length === undefined ? undefined : this.#hlen + this.length;
    const records = new RecordOpener(this.#keys.body, this.#keys.nonce, total);
    return new ContentStream(records, this.#hlen, (text) => this.#takeHeaders(text));
  }

  /** @param {Bytes} bytes @returns {Promise<Bytes>} */
  async #openEnvelope(bytes) {
    const plaintext = await openEnvelope(this.#keys.body, bytes, utf8("envelope"));
    const content = unpad(plaintext, this.#hlen, this.length);
    if (this.#hlen > 0) this.#takeHeaders(plaintext.slice(0, this.#hlen));
    return content;
  }

  /** @param {Bytes} text */
  #takeHeaders(text) {
    const list = readJson(text);
    demand(Array.isArray(list), "the headers are no array");
    this.headers = readHeaders(/** @type {unknown[]} */ (list));
  }
}

// ----------------------------------------------------------------------------------------- envelopes

/** The Padmé length. @param {number} length bytes @returns {number} */
export function padme(length) {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const size = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  // Not with bit operations, which JavaScript has for 32 bits only.
  return Math.ceil(length / size) * size;
}

/**
 * Takes headers and padding off.
 * @param {Bytes} plaintext @param {number} hlen @param {number | undefined} length
 * @returns {Bytes} the content
 * @throws {Refused}
 */
export function unpad(plaintext, hlen, length) {
  bound(plaintext.length >= hlen);
  if (length === undefined) return plaintext.slice(hlen);
  const whole = hlen + length;
  bound(plaintext.length === whole || plaintext.length === padme(whole));
  bound(plaintext.subarray(whole).every((byte) => byte === 0));
  return plaintext.slice(hlen, whole);
}

/**
 * @param {CryptoKey} key @param {Bytes} plaintext @param {Bytes} iv 12 bytes @param {Bytes} aad
 * @returns {Promise<string>}
 */
async function sealEnvelope(key, plaintext, iv, aad) {
  const sealed = await encrypt(key, iv, aad, plaintext);
  return `{"data":"${b64(join(iv, sealed.slice(-TAG), sealed.slice(0, -TAG)))}"}`;
}

/**
 * @param {CryptoKey} key @param {Bytes} bytes the envelope @param {Bytes} aad
 * @returns {Promise<Bytes>}
 * @throws {Malformed | Refused}
 */
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

/** @param {Bytes} base 12 bytes @param {number} count @returns {Bytes} */
function recordNonce(base, count) {
  const nonce = Uint8Array.from(base);
  const last = new DataView(nonce.buffer);
  last.setUint32(8, last.getUint32(8) ^ count);
  return nonce;
}

/** @param {number} size of a ciphertext @returns {Bytes} as short as can be */
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

  /** @param {CryptoKey} key @param {Bytes} nonce 12 bytes @param {number} [length] of the content, if known */
  constructor(key, nonce, length) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = length;
  }

  /** @param {Bytes} content @returns {Promise<Bytes>} whole records; none for no content */
  async push(content) {
    configured(!this.#done, "the stream is over");
    /** @type {Bytes[]} */
    const records = [];
    for (let at = 0; at < content.length; at += MOST_PLAINTEXT) {
      const sealed = await this.#record(content.subarray(at, at + MOST_PLAINTEXT), NONE);
      records.push(varint(sealed.length), sealed);
    }
    return join(...records);
  }

  /** @param {Bytes} [content] at most 65 536 bytes @returns {Promise<Bytes>} the final record */
  async finish(content = NONE) {
    configured(!this.#done && content.length <= MOST_PLAINTEXT, "the stream is over, or this is too much");
    this.#done = true;
    const sealed = await this.#record(content, utf8("final"));
    configured(!this.#left, "the stream is shorter than was said");
    return join(Uint8Array.of(0), sealed);
  }

  /** @param {Bytes} content @param {Bytes} aad @returns {Promise<Bytes>} */
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
  /** @type {Promise<any>} */
  #last = Promise.resolve();

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
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

  /** @param {CryptoKey} key @param {Bytes} nonce 12 bytes @param {number} [total] of plaintext, if the seal says */
  constructor(key, nonce, total) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = total;
  }

  /** @param {Bytes} bytes @returns {Promise<Bytes[]>} the plaintexts of records that are whole */
  push(bytes) {
    return this.#turns.next(() => this.#take(bytes));
  }

  /** The stream has ended. @returns {Promise<Bytes>} the final plaintext @throws {Refusal} */
  finish() {
    return this.#turns.next(() => this.#end());
  }

  /** @param {Bytes} bytes @returns {Promise<Bytes[]>} */
  async #take(bytes) {
    this.#rest = join(this.#rest, bytes);
    const opened = [];
    for (let one = await this.#one(); one !== null; one = await this.#one()) opened.push(one);
    return opened;
  }

  /** @returns {Promise<Bytes | null>} null where no record is whole */
  async #one() {
    if (this.#final) return this.#checkFinal();
    const size = readSize(this.#rest);
    if (size === null) return null;
    const { bytes, value } = size;
    this.#final = value === 0;
    if (this.#final) this.#rest = this.#rest.slice(bytes);
    if (this.#final) return this.#checkFinal();
    this.#expect(value - TAG);
    if (this.#rest.length < bytes + value) return null;
    const ciphertext = this.#rest.slice(bytes, bytes + value);
    this.#rest = this.#rest.slice(bytes + value);
    return this.#open(ciphertext, NONE);
  }

  /** @returns {null} a final record goes to the end of the stream */
  #checkFinal() {
    limited(this.#rest.length <= MOST_PLAINTEXT + TAG, "the final record is too large");
    this.#expect(this.#rest.length - TAG);
    return null;
  }

  /** @param {number} plaintext bytes that a record is going to have */
  #expect(plaintext) {
    bound(this.#left === undefined || plaintext <= this.#left);
    limited(this.#count < MOST_RECORDS, "there are too many records");
  }

  /** @returns {Promise<Bytes>} */
  async #end() {
    demand(this.#final && this.#rest.length >= TAG, "the stream was cut");
    const plaintext = await this.#open(this.#rest, utf8("final"));
    bound(!this.#left);
    return plaintext;
  }

  /** @param {Bytes} ciphertext @param {Bytes} aad @returns {Promise<Bytes>} */
  async #open(ciphertext, aad) {
    const plaintext = await decrypt(this.#key, recordNonce(this.#nonce, this.#count), aad, ciphertext);
    this.#count += 1;
    if (this.#left !== undefined) this.#left -= plaintext.length;
    return plaintext;
  }
}

/**
 * @param {Bytes} bytes
 * @returns {{ bytes: number, value: number } | null} null where it is not whole; the value is 0 or 17 to 65 552
 * @throws {Malformed | TooLarge}
 */
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

  /** @param {RecordOpener} records @param {number} hlen @param {(text: Bytes) => void} take the headers */
  constructor(records, hlen, take) {
    this.#records = records;
    this.#missing = hlen;
    this.#take = take;
  }

  /** @param {Bytes} bytes as they come @returns {Promise<Bytes[]>} content @throws {Refusal} */
  push(bytes) {
    return this.#turns.next(async () => this.#contents(await this.#records.push(bytes)));
  }

  /** The stream has ended. @returns {Promise<Bytes[]>} the rest of the content @throws {Refusal} */
  finish() {
    return this.#turns.next(async () => {
      const rest = this.#contents([await this.#records.finish()]);
      bound(this.#missing === 0);
      return rest;
    });
  }

  /** @param {Bytes[]} plaintexts @returns {Bytes[]} */
  #contents(plaintexts) {
    return plaintexts.map((one) => this.#behind(one)).filter((one) => one.length > 0);
  }

  /** @param {Bytes} plaintext @returns {Bytes} */
  #behind(plaintext) {
    if (this.#missing === 0) return plaintext;
    const head = plaintext.slice(0, this.#missing);
    this.#head = join(this.#head, head);
    if (head.length === this.#missing) this.#take(this.#head);
    this.#missing -= head.length;
    return plaintext.slice(head.length);
  }
}

// ------------------------------------------------------------------------------------------- Level 3

/** JSON has no associated data. @param {string} contentType @returns {Bytes} */
function level3Data(contentType) {
  demand(/^[\x00-\x7f]{0,256}$/.test(contentType), "a content type is no ASCII, or too long");
  return contentType === "application/json" ? NONE : utf8(contentType);
}

/**
 * @param {CryptoKey} key see importAes
 * @param {Bytes} content
 * @param {{ contentType?: string, random?: Random }} [options]
 * @returns {Promise<string>} an envelope; other types than JSON go into `Sealed-Content-Type`
 */
export const sealLevel3 = (key, content, { contentType = "application/json", random = systemRandom } = {}) =>
  sealEnvelope(key, content, random(IV), level3Data(contentType));

/**
 * @param {CryptoKey} key
 * @param {Bytes} envelope
 * @param {string} [contentType] the value of `Sealed-Content-Type`, where there is one
 * @returns {Promise<Bytes>}
 * @throws {Malformed | Refused}
 */
export const openLevel3 = async (key, envelope, contentType = "application/json") =>
  openEnvelope(key, envelope, level3Data(contentType));
