// A session is agreed on: a signed hello, and the service's signed reply.
import { SLOWEST_REPLY } from "../core/clock.js";
import { audienceBytes, hkdf, subtle } from "../core/crypto.js";
import { b64u, closed, equal, join, lv, NONE, readObject, unb64u, utf8, writeJson } from "../core/encoding.js";
import { bound, configured, demand, limited, NoAnswer, Refused } from "../core/errors.js";
import { importHkdf, importSecret } from "./secrets.js";

export const MOST_REPLY = 16384; // bytes
const MOST_JWS = 8192; // characters
const MOST_LIFETIME = 43200; // seconds

export const ED25519 = { name: "Ed25519" };
export const X25519 = { name: "X25519" };
export const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
export const ECDH = { name: "ECDH", namedCurve: "P-256" };
const ML_KEM = { name: "ML-KEM-768" };

const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

// ------------------------------------------------------------------------------------- public keys

/** y of the Ed25519 points of small order, little-endian and without their sign (RFC 8032, 5.1.2). */
const SMALL_ORDER = new RegExp(
  "^(0[01](00){31}|e[cde](ff){30}7f" +
    "|26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05" +
    "|c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a)$",
);

const isSmallOrder = (bytes) =>
  SMALL_ORDER.test(
    Array.from(bytes, (byte, at) => (at < 31 ? byte : byte & 127).toString(16).padStart(2, "0")).join(""),
  );

/** A public key from parsed JSON, in its one form. */
function readJwk(value, okp) {
  const ec = value.kty === "EC";
  const jwk = closed(value, { kty: "string", crv: "string", x: "string", ...(ec && { y: "string" }) });
  demand(jwk.crv === (ec ? "P-256" : okp) && (ec || jwk.kty === "OKP"), "a key");
  const x = unb64u(jwk.x, 32);
  demand(ec || okp !== "Ed25519" || !isSmallOrder(x), "a key");
  return { ec, jwk, bytes: ec ? join([4], x, unb64u(jwk.y, 32)) : x };
}

async function exportPublic(key) {
  const { kty, crv, x, y } = await subtle.exportKey("jwk", key);
  return { kty, crv, x, y };
}

/** RFC 7638: the members in alphabetical order. */
export const thumbprint = ({ kty, crv, x, y }) => sha256(writeJson({ crv, kty, x, y }));

// --------------------------------------------------------------------------------------------- JWS

async function signJws(typ, pair, jwk, payload) {
  const ec = jwk.kty === "EC";
  const header = { alg: ec ? "ES256" : "EdDSA", typ, jwk };
  const signed = `${b64u(writeJson(header))}.${b64u(writeJson(payload))}`;
  const signature = await subtle.sign(ec ? ES256 : ED25519, pair.privateKey, utf8(signed));
  return `${signed}.${b64u(new Uint8Array(signature))}`;
}

async function openJws(jws, typ) {
  limited(jws.length <= MOST_JWS, "a JWS");
  const parts = jws.split(".");
  demand(parts.length === 3, "a JWS");
  const [head, payload, signature] = parts.map((part) => unb64u(part));
  demand(signature.length === 64, "a JWS");
  const header = readObject(head, { alg: "string", typ: "string", jwk: "object" });
  demand(header.typ === typ, "a JWS");
  const { ec, jwk, bytes } = readJwk(header.jwk, "Ed25519");
  // The algorithm follows from the key.
  const algorithm = ec ? ES256 : ED25519;
  const key = await subtle.importKey("raw", bytes, algorithm, false, ["verify"]).catch(() => null);
  // Points off the curve, and coordinates that are too large, are not imported.
  demand(key || !ec, "a key");
  demand(header.alg === (ec ? "ES256" : "EdDSA"), "a JWS");
  bound(key);
  const signed = utf8(jws.slice(0, jws.lastIndexOf(".")));
  bound(await subtle.verify(algorithm, key, signature, signed).catch(() => false));
  return { jwk, payload };
}

// --------------------------------------------------------------------------------------- handshake

/** The hello of a client with these keys. The ephemeral ones are used once. */
export async function sayHello(audience, binding, { pins, ephemeral, kem }) {
  audienceBytes(audience);
  configured(pins === null || (pins.length > 0 && pins.length <= 4), "a client has 1 to 4 pins");
  configured(pins === null || pins.every((pin) => pin.length === 32), "a pin has 32 bytes");
  const jwk = await exportPublic(binding.publicKey);
  const payload = {
    v: 1,
    aud: audience,
    epk: await exportPublic(ephemeral.publicKey),
    kem: kem ? b64u(new Uint8Array(await subtle.exportKey("raw-public", kem.publicKey))) : undefined,
    pins: pins?.map(b64u),
  };
  const hello = await signJws("sealed-hello+jws", binding, jwk, payload);
  return { hello, audience, binding: await thumbprint(jwk), pins, ephemeral, kem };
}

/** The body of `POST {prefix}/session`. */
export const helloBody = ({ hello }) => writeJson({ hello });

/** Ends a handshake. */
export async function finishHandshake(handshake, { status, body, took }) {
  if (status !== 200 || took > SLOWEST_REPLY) throw new NoAnswer("no reply, or a late one");
  limited(body.length <= MOST_REPLY, "a reply");
  return finishReply(handshake, readObject(body, { session: "string" }).session);
}

const REPLY = { iss: "string", iat: "integer", exp: "integer", hello: "string", epk: "object", ticket: "string" };

export async function finishReply(handshake, jws) {
  const { jwk, payload } = await openJws(jws, "sealed-session+jws");
  const reply = readObject(payload, REPLY, { kem: "string" });
  const identity = await thumbprint(jwk);
  await checkReply(handshake, identity, reply);
  const { iss, iat, exp, ticket } = reply;
  const epk = readJwk(reply.epk, "X25519");
  const classical = await agree(handshake.ephemeral, epk);
  const kem = reply.kem === undefined ? NONE : unb64u(reply.kem, 1088);
  demand(handshake.kem || !kem.length, "ML-KEM");
  const z = join(classical, kem.length ? await decapsulate(handshake.kem, kem) : kem);
  const bytes = await sessionSecret(z, { hello: handshake.hello, iss, identity, epk: epk.bytes, kem });
  const secret = await importSecret(bytes);
  return { secret, kid: ticket, audience: iss, identity, iat, exp, kem: kem.length > 0 };
}

async function checkReply({ hello, audience, binding, pins }, identity, reply) {
  bound(pins === null || pins.some((pin) => equal(pin, identity)));
  bound(!equal(identity, binding));
  bound(reply.hello === b64u(await sha256(utf8(hello))));
  bound(reply.iss === audience);
  demand(reply.iat < reply.exp && reply.exp - reply.iat <= MOST_LIFETIME, "a session's times");
  demand(/^[\w-]{163}$/.test(reply.ticket), "a ticket");
  unb64u(reply.ticket);
}

async function agree(own, { ec, bytes }) {
  const algorithm = ec ? ECDH : X25519;
  bound(own.privateKey.algorithm.name === algorithm.name);
  // WebCrypto refuses a result of zeros, which a key of low order makes.
  const bits = await subtle
    .importKey("raw", bytes, algorithm, false, [])
    .then((other) => subtle.deriveBits({ name: algorithm.name, public: other }, own.privateKey, 256))
    .catch(() => null);
  if (!bits) throw new Refused();
  return new Uint8Array(bits);
}

const decapsulate = async (own, ciphertext) =>
  new Uint8Array(await subtle.decapsulateBits(ML_KEM, own.privateKey, ciphertext));

/** The secret of a session. */
export async function sessionSecret(z, { hello, iss, identity, epk, kem }) {
  const digest = kem.length ? await sha256(kem) : NONE;
  const info = join(utf8("flask-sealed/1 session\0"), ...[utf8(iss), identity, epk, digest].map(lv));
  return hkdf(await importHkdf(z), await sha256(utf8(hello)), info, 32);
}
