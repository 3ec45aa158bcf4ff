// The client's side of the vectors that Python reads too.
import assert from "node:assert/strict";
import { createCipheriv, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { openLevel3, sealLevel3 } from "../../flask_sealed/js/level3.js";
import * as sealed from "./core.mjs";

const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const utf8 = (text) => new TextEncoder().encode(text);

/** In a text's place may stand {"repeat": ["x", 5]}, {"given": name}, or {"join": [parts]}. */
function expand(value, given) {
  if (Array.isArray(value)) return value.map((one) => expand(one, given));
  if (value === null || typeof value !== "object") return value;
  if (value.repeat) return value.repeat[0].repeat(value.repeat[1]);
  if (value.given) return expand(given[value.given], given);
  if (value.join) return expand(value.join, given).join("");
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, expand(one, given)]));
}

function read(name) {
  const file = new URL(`../vectors/${name}.json`, import.meta.url);
  const { valid, invalid = [], given = {} } = JSON.parse(readFileSync(file, "utf8"));
  const [all, none] = [valid, invalid].map((cases) => cases.map((one) => ({ ...given, ...expand(one, given) })));
  return { valid: all, invalid: none };
}

/** One test for each vector that `which` takes; that there are some is a test, too. */
function each(name, which, work) {
  const { valid, invalid } = read(name);
  const taken = [valid.filter(which), invalid.filter(which)];
  test(`${name} has vectors for a client`, () => assert.notEqual(taken.flat().length, 0));
  for (const vector of taken[0]) test(`${name}: ${vector.name}`, () => work(vector));
  for (const vector of taken[1]) {
    test(`${name} refuses: ${vector.name}`, async () => {
      await assert.rejects(async () => work(vector), (error) => {
        assert.ok(error instanceof sealed.Refusal, error);
        assert.equal(error.code, vector.refusal);
        return true;
      });
    });
  }
}

/** Hands out what it was given, in turn. */
function queue(...values) {
  return (length) => {
    const next = values.shift();
    assert.equal(next?.length, length);
    return next;
  };
}

const byKind = (...kinds) => ({ kind }) => kinds.includes(kind);
const isResponse = ({ half, kind }) => half === "response" || kind === "response";

async function exchange({ secret, audience, jti, kid = "partner", method = "POST" }) {
  const keys = { secret: await sealed.importSecret(unhex(secret)), kid, audience };
  return { keys, method, jti: unhex(jti) };
}

each("encoding", byKind("base64url"), ({ text, length, bytes }) => {
  const decoded = sealed.unb64u(text, length);
  assert.equal(hex(decoded), bytes);
  assert.equal(sealed.b64u(decoded), text);
});

each("encoding", byKind("base64"), ({ text, bytes }) => {
  assert.equal(hex(sealed.unb64(text)), bytes);
  assert.equal(sealed.b64(unhex(bytes)), text);
});

each("encoding", byKind("json"), ({ text, encoded, required, optional, value }) => {
  const bytes = encoded === undefined ? utf8(text) : unhex(encoded);
  const read = sealed.readObject(bytes, required, optional);
  assert.deepEqual(JSON.parse(JSON.stringify(read)), value);
});

const keyschedule = read("keyschedule").valid;

for (const vector of keyschedule.filter(byKind("request", "response"))) {
  test(`keyschedule: ${vector.name}`, async () => {
    const secret = await sealed.importSecret(unhex(vector.secret));
    const salt = unhex(vector.jti + (vector.rsalt ?? ""));
    assert.equal(hex(await sealed.deriveHalf(secret, vector.kind, salt, vector.audience)), vector.derived);
  });
}

for (const vector of keyschedule.filter(byKind("session"))) {
  test(`keyschedule: ${vector.name}`, async () => {
    const bytes = { identity: unhex(vector.thumbprint), epk: unhex(vector.epk), kem: unhex(vector.kem) };
    const made = await sealed.sessionSecret(unhex(vector.shared), { ...vector, ...bytes });
    assert.equal(hex(made), vector.secret);
  });
}

for (const vector of keyschedule.filter(byKind("sid"))) {
  test(`keyschedule: ${vector.name}`, async () => {
    const secret = await sealed.importSecret(unhex(vector.secret));
    assert.equal(await sealed.sessionId(secret), vector.sid);
  });
}

each(
  "keyschedule",
  ({ kind, refusal }) => kind === "response" && refusal !== undefined,
  async (vector) => sealed.openResponse(await exchange(vector), vector.seal),
);

/** Node's own AES says what the seal of a valid vector is; long ones are given as a hash only. */
function sealOf({ key, iv, header, payload, seal, seal_sha256 }) {
  const head = Buffer.from(header).toString("base64url");
  const cipher = createCipheriv("aes-256-gcm", unhex(key), unhex(iv)).setAAD(Buffer.from(head));
  const ciphertext = Buffer.concat([cipher.update(payload, "utf8"), cipher.final()]);
  const parts = [unhex(iv), ciphertext, cipher.getAuthTag()].map((part) => Buffer.from(part).toString("base64url"));
  const made = `${head}..${parts.join(".")}`;
  if (seal === undefined) assert.equal(createHash("sha256").update(made).digest("hex"), seal_sha256);
  else assert.equal(made, seal);
  return made;
}

each("seal", isResponse, async (vector) => {
  const text = vector.refusal ? vector.seal : sealOf(vector);
  const opened = await sealed.openResponse(await exchange(vector), text);
  const { status, headers = [] } = JSON.parse(vector.payload);
  assert.deepEqual([opened.status, opened.body], [status, JSON.parse(vector.header).body]);
  assert.deepEqual(opened.headers, headers);
});

const ORDER = ["alg", "enc", "typ", "kid", "jti", "iat", "htm", "target"];
const plain = (text) => text === JSON.stringify(JSON.parse(text));

/** Whether this client would make it, and with the same characters. */
function written({ half, refusal, header, payload }) {
  if (half !== "request" || refusal) return false;
  const { htm, target, ...rest } = JSON.parse(header);
  const [path, query] = target.split(/\?(.*)/);
  const isOurs = ["GET", "HEAD"].includes(htm) && sealed.canonicalTarget(path, query) === target;
  const sameOrder = String(Object.keys({ ...rest, htm, target })) === String(ORDER);
  return isOurs && sameOrder && plain(header) && plain(payload);
}

each("seal", written, async (vector) => {
  const { keys } = await exchange(vector);
  const { kid, iat, htm: method, target, jti } = JSON.parse(vector.header);
  const { query, headers, op } = JSON.parse(vector.payload);
  const request = { method, target, query, headers, op: op && sealed.unb64u(op) };
  const random = queue(sealed.unb64u(jti), unhex(vector.iv));
  const { seal } = await sealed.sealRequest({ ...keys, kid }, request, null, { iat, random });
  assert.equal(seal, sealOf(vector));
});

/** The sizes of `pieces`, and the rest in one more. */
function cut(stream, sizes = []) {
  let at = 0;
  const pieces = sizes.map((size) => stream.slice(at, (at += size)));
  return [...pieces, stream.slice(at)];
}

async function openRecords({ key, base_nonce, length }, pieces) {
  const opener = new sealed.RecordOpener(await sealed.importAes(unhex(key)), unhex(base_nonce), length);
  const records = [];
  for (const piece of pieces) records.push(...(await opener.push(piece)));
  return [...records, await opener.finish()].map(hex);
}

async function sealRecords({ key, base_nonce, length, records }) {
  const sealer = new sealed.RecordSealer(await sealed.importAes(unhex(key)), unhex(base_nonce), length);
  const parts = [];
  for (const record of records.slice(0, -1)) parts.push(...(await sealer.push(unhex(record))));
  parts.push(...(await sealer.finish(unhex(records.at(-1)))));
  return new Uint8Array(Buffer.concat(parts));
}

each("records", ({ refusal }) => !refusal, async (vector) => {
  const stream = await sealRecords(vector);
  if (vector.stream === undefined) {
    assert.equal(createHash("sha256").update(stream).digest("hex"), vector.stream_sha256);
  } else assert.equal(hex(stream), vector.stream);
  const expected = vector.records;
  assert.deepEqual(await openRecords(vector, cut(stream, vector.pieces)), expected);
  assert.deepEqual(await openRecords(vector, [stream]), expected);
});

for (const size of [1, 7, Infinity]) {
  each("records", ({ refusal, stream }) => refusal && (size > 1 || stream.length < 2000), async (vector) => {
    const stream = unhex(vector.stream);
    const whole = Math.min(size, stream.length);
    const pieces = whole ? cut(stream, Array(Math.floor(stream.length / whole)).fill(whole)) : [];
    return openRecords(vector, pieces);
  });
}

const b64u = (text) => sealed.b64u(unhex(text));

/** An ephemeral key pair, from its private and public bytes. */
async function ephemeralPair({ kind, private: d, public: bytes }) {
  const point = kind === "X25519" ? { x: b64u(bytes) } : { x: b64u(bytes.slice(2, 66)), y: b64u(bytes.slice(66)) };
  const jwk = { kty: kind === "X25519" ? "OKP" : "EC", crv: kind, d: b64u(d), ...point };
  const algorithm = kind === "X25519" ? { name: kind } : { name: "ECDH", namedCurve: kind };
  return { privateKey: await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["deriveBits"]) };
}

/** The client that has said the hello of a vector. */
async function handshakeOf({ hello, audience, binding, pins, ephemeral, kem, kem_seed }) {
  const usage = ["decapsulateBits"];
  const seed = () => crypto.subtle.importKey("raw-seed", unhex(kem_seed), "ML-KEM-768", false, usage);
  return {
    hello,
    audience,
    binding: unhex(binding.thumbprint),
    pins: pins && pins.map(unhex),
    ephemeral: await ephemeralPair(ephemeral),
    kem: kem ? { privateKey: await seed() } : null,
  };
}

each("handshake", ({ refusal }) => !refusal, async (vector) => {
  const pins = vector.pins ?? vector.identities.map((one) => one.thumbprint);
  for (const { reply, sid, exp, kem } of vector.replies) {
    const session = await sealed.finishReply(await handshakeOf(vector), reply);
    assert.deepEqual([await sealed.sessionId(session.secret), session.exp, session.kem], [sid, exp, kem]);
    assert.ok(pins.includes(hex(session.identity)));
  }
});

/** A pair of keys with the public key that a hello shows. */
async function pairOf(shown, secret, algorithm, usages) {
  const publicKey = await crypto.subtle.importKey("jwk", shown, algorithm, true, usages.public);
  const privateKey = await crypto.subtle.importKey("jwk", { ...shown, d: b64u(secret) }, algorithm, false, usages.private);
  return { publicKey, privateKey };
}

each("handshake", ({ refusal, binding }) => !refusal && binding.kind === "Ed25519", async (vector) => {
  const [header, payload] = vector.hello.split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  const binding = await pairOf(header.jwk, vector.binding.private, "Ed25519", { public: ["verify"], private: ["sign"] });
  const { kind, private: secret } = vector.ephemeral;
  const algorithm = kind === "X25519" ? { name: kind } : { name: "ECDH", namedCurve: kind };
  const ephemeral = await pairOf(payload.epk, secret, algorithm, { public: [], private: ["deriveBits"] });
  const encapsulation = Buffer.from(payload.kem ?? "", "base64url");
  const usages = ["encapsulateBits"];
  const imported = () => crypto.subtle.importKey("raw-public", encapsulation, "ML-KEM-768", true, usages);
  const keys = { pins: vector.pins?.map(unhex) ?? null, ephemeral, kem: vector.kem ? { publicKey: await imported() } : null };
  assert.equal((await sealed.sayHello(vector.audience, binding, keys)).hello, vector.hello);
});

each("handshake", ({ refusal, role }) => refusal && role === "client", async (vector) => {
  await sealed.finishReply(await handshakeOf(vector), vector.reply);
});

test("records: a stream that has failed stays failed", async () => {
  const vector = read("records").valid.find(({ name }) => name === "three records");
  const [stream, changed] = [unhex(vector.stream), unhex(vector.stream)];
  changed[5] ^= 1;
  const opener = new sealed.RecordOpener(await sealed.importAes(unhex(vector.key)), unhex(vector.base_nonce));
  for (const piece of [changed, stream, new Uint8Array()]) {
    await assert.rejects(opener.push(piece), { code: "refused" });
  }
  await assert.rejects(opener.finish(), { code: "refused" });
});

test("records: a fault behind a whole record is told at once", async () => {
  const vector = read("records").valid.find(({ name }) => name === "three records");
  const stream = unhex(vector.stream);
  const size = 1 + stream[0];
  assert.ok(stream[0] < 64);
  const opener = new sealed.RecordOpener(await sealed.importAes(unhex(vector.key)), unhex(vector.base_nonce));
  await assert.rejects(opener.push(new Uint8Array([...stream.slice(0, size), 0xc0])), { code: "too-large" });
});

test("padding: Padmé", () => {
  const { valid } = read("padding");
  for (const { lengths, padded } of valid.filter(byKind("padme"))) {
    assert.deepEqual(lengths.map(sealed.padme), padded);
  }
});

each("padding", isResponse, async (vector) => {
  const opened = await sealed.openResponse(await exchange(vector), vector.seal);
  assert.equal(hex(await sealed.openBody(opened, utf8(vector.envelope))), vector.content);
});

// Python tells path from query, and decodes the path; a client has a URL.
const inUrl = ({ kind, path, path_bytes }) => kind === "written" && (path ?? path_bytes) !== undefined;

each("target", inUrl, ({ path, path_bytes, query, query_bytes, target }) => {
  const bytes = path_bytes === undefined ? utf8(path) : unhex(path_bytes);
  const sent = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  const asked = query_bytes === undefined ? query : Buffer.from(unhex(query_bytes)).toString("latin1");
  assert.equal(sealed.canonicalTarget(sent, asked), target);
});

function requestOf({ method, target, content_type, query, headers = [], op }) {
  const optional = { contentType: content_type, query, op: op && unhex(op) };
  return { method, target, headers, ...optional };
}

/** The request of a vector, sealed anew with its own randomness. */
async function sealAgain({ request, also_allowed = [], ...vector }) {
  const { keys } = await exchange({ ...vector, jti: "" });
  const tape = [request.jti, request.iv, request.body_iv].filter(Boolean).map(unhex);
  const allowed = new Set([...sealed.REQUEST_HEADERS, ...also_allowed]);
  const options = { iat: request.iat, random: queue(...tape), allowed };
  if (!request.records) {
    const content = request.content === undefined ? null : unhex(request.content);
    return sealed.sealRequest(keys, requestOf(request), content, { ...options, pad: request.pad });
  }
  const made = await sealed.sealStream(keys, requestOf(request), { ...options, length: request.length });
  const parts = [];
  for (const part of request.plaintexts.slice(0, -1)) parts.push(...(await made.records.push(unhex(part))));
  parts.push(...(await made.records.finish(unhex(request.plaintexts.at(-1)))));
  return { ...made, body: Buffer.concat(parts) };
}

const bodyOf = ({ envelope, records }) => (envelope ? utf8(envelope) : unhex(records ?? ""));

each("exchange", ({ refusal }) => !refusal, async (vector) => {
  const { request, response } = vector;
  const made = await sealAgain(vector);
  assert.equal(made.seal, request.seal);
  assert.equal(hex(made.body ?? []), hex(bodyOf(request)));
  const opened = await sealed.openResponse(made.exchange, response.seal);
  assert.equal(hex(await sealed.openWhole(opened, bodyOf(response))), response.content ?? "");
  assert.deepEqual(opened.headers, response.headers ?? []);
  const told = [opened.status, opened.contentType, opened.length];
  assert.deepEqual(told, [response.status, response.content_type, response.length]);
});

each("exchange", ({ half, refusal }) => refusal && half === "response", async (vector) => {
  const opened = await sealed.openResponse(await exchange(vector), vector.seal);
  await sealed.openWhole(opened, bodyOf(vector));
});

test("level3: a byte order mark", async () => {
  const key = await sealed.importAes(new Uint8Array(32));
  const envelope = await sealLevel3(key, utf8("{}"));
  assert.equal(hex(await openLevel3(key, utf8(envelope))), hex(utf8("{}")));
  await assert.rejects(openLevel3(key, utf8(`\ufeff${envelope}`)), { code: "malformed" });
});

const level3 = JSON.parse(readFileSync(new URL("../vectors/level3.json", import.meta.url), "utf8"));

for (const { name, aad, plaintext, iv, envelope, refusal } of [...level3.valid, ...level3.invalid]) {
  test(`level3: ${name}`, async () => {
    const key = await sealed.importAes(unhex(level3.key));
    const opening = openLevel3(key, utf8(envelope), aad || undefined);
    if (refusal) return assert.rejects(opening, { code: refusal });
    assert.equal(hex(await opening), plaintext);
    const options = { contentType: aad || undefined, random: queue(unhex(iv)) };
    assert.deepEqual(JSON.parse(await sealLevel3(key, unhex(plaintext), options)), JSON.parse(envelope));
  });
}
