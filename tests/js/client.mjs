// What tests/js/test_protocol.py asks of the client: on standard input lines of JSON, [work, argument],
// on standard output a line for each: {"value": …} or {"error": code}. Bytes are in base64.
import { createInterface } from "node:readline";

import * as sealed from "./core.mjs";

/** Keys cannot leave this process, so the other side names what it means. */
const kept = [];
const keep = (thing) => kept.push(thing) - 1;
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const b64u = (data) => Buffer.from(data).toString("base64url");
const text = (array) => Buffer.from(array).toString("base64");

const BINDING = { EdDSA: { name: "Ed25519" }, ES256: { name: "ECDSA", namedCurve: "P-256" } };

const generateKem = () => crypto.subtle.generateKey({ name: "ML-KEM-768" }, false, ["decapsulateBits"]);

/** A hello with keys as a test asks for them. */
async function startHandshake(audience, binding, { pins, curve = "X25519", kem }) {
  const algorithm = curve === "P-256" ? { name: "ECDH", namedCurve: curve } : { name: curve };
  const ephemeral = await crypto.subtle.generateKey(algorithm, false, ["deriveBits"]);
  return sealed.sayHello(audience, binding, { pins, ephemeral, kem: kem ? await generateKem() : null });
}

async function hello({ alg, audience, pins, ...options }) {
  const binding = await crypto.subtle.generateKey(BINDING[alg], false, ["sign", "verify"]);
  const all = { ...options, pins: pins && pins.map(bytes) };
  const handshake = await startHandshake(audience, binding, all);
  return { handshake: keep(handshake), binding: text(handshake.binding), body: text(sealed.helloBody(handshake)) };
}

/** A reply that the binding key itself signs, as nobody should. */
async function echo({ audience, epk, iat }) {
  const binding = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", binding.publicKey);
  const handshake = await startHandshake(audience, binding, { pins: null, kem: false });
  const digest = await crypto.subtle.digest("SHA-256", Buffer.from(handshake.hello));
  const payload = { iss: audience, iat, exp: iat + 1, hello: b64u(digest), epk, ticket: "A".repeat(163) };
  const parts = [{ alg: "EdDSA", typ: "sealed-session+jws", jwk: { kty, crv, x } }, payload];
  const signed = parts.map((part) => b64u(JSON.stringify(part))).join(".");
  const signature = await crypto.subtle.sign("Ed25519", binding.privateKey, Buffer.from(signed));
  return sealed.finishReply(handshake, `${signed}.${b64u(signature)}`);
}

async function finish({ handshake, status, body, took }) {
  const session = await sealed.finishHandshake(kept[handshake], { status, body: bytes(body), took });
  const { kid, iat, exp, kem, identity } = session;
  return { keys: keep(session), sid: await sealed.sessionId(session.secret), kid, iat, exp, kem, identity: text(identity) };
}

async function preShared({ secret, ...names }) {
  return { keys: keep({ secret: await sealed.importSecret(bytes(secret)), ...names }) };
}

/** Python writes null where JavaScript leaves out. */
const present = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

async function request({ keys, content, iat, pad, ...request }) {
  const body = content === null ? null : bytes(content);
  const made = await sealed.sealRequest(kept[keys], present(request), body, { iat, pad });
  return { exchange: keep(made.exchange), seal: made.seal, body: text(made.body ?? []) };
}

async function stream({ keys, pieces, iat, length, ...request }) {
  const made = await sealed.sealStream(kept[keys], present(request), { iat, length: length ?? undefined });
  const parts = [];
  for (const piece of pieces) parts.push(...(await made.records.push(bytes(piece))));
  parts.push(...(await made.records.finish()));
  return { exchange: keep(made.exchange), seal: made.seal, body: text(Buffer.concat(parts)) };
}

async function response({ exchange, seal, body }) {
  const opened = await sealed.openResponse(kept[exchange], seal);
  const content = await sealed.openWhole(opened, bytes(body));
  const { status, contentType, headers, length } = opened;
  return { status, contentType, headers, length, content: text(content) };
}

async function pieces({ exchange, seal, body, size }) {
  const opened = await sealed.openResponse(kept[exchange], seal);
  const stream = await sealed.openStream(opened);
  const whole = bytes(body);
  const content = [];
  for (let at = 0; at < whole.length; at += size) content.push(...(await stream.push(whole.slice(at, at + size))));
  content.push(...(await stream.finish()));
  return { headers: opened.headers, content: text(Buffer.concat(content)) };
}

async function suites() {
  return { kem: (await generateKem()).privateKey.algorithm.name === "ML-KEM-768" };
}

const works = { hello, echo, finish, preShared, request, stream, response, pieces, suites };

for await (const line of createInterface({ input: process.stdin })) {
  const [work, argument] = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: await works[work](argument) }));
  } catch (error) {
    // A fault of the client itself is no refusal, and ends the process.
    if (!(error instanceof sealed.SealedError)) throw error;
    console.log(JSON.stringify({ error: error.code }));
  }
}
