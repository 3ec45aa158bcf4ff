// What tests/protocol/test_interop.py asks of npm's jose and of WebCrypto: on standard input an array
// of [work, argument], on standard output the array of results.
import {
  base64url,
  calculateJwkThumbprint,
  compactDecrypt,
  CompactEncrypt,
  CompactSign,
  compactVerify,
  EmbeddedJWK,
  exportJWK,
  generateKeyPair,
  importJWK,
} from "jose";
import { text } from "node:stream/consumers";

const { subtle } = globalThis.crypto;
const KEM = { name: "ML-KEM-768" };
const CURVES = { X25519: { name: "X25519" }, "P-256": { name: "ECDH", namedCurve: "P-256" } };
const utf8 = (string) => new TextEncoder().encode(string);
const join = (...parts) => new Uint8Array(Buffer.concat(parts));
const lv = (bytes) => join(new Uint8Array([bytes.length >> 8, bytes.length & 255]), bytes);
const publicMembers = ({ kty, crv, x, y }) => (y === undefined ? { kty, crv, x } : { kty, crv, x, y });

async function verify(jws) {
  const options = { algorithms: ["EdDSA", "ES256"] };
  const { payload, protectedHeader } = await compactVerify(jws, EmbeddedJWK, options);
  const thumbprint = await calculateJwkThumbprint(protectedHeader.jwk);
  return { header: protectedHeader, payload: JSON.parse(new TextDecoder().decode(payload)), thumbprint };
}

async function sign({ header, payload, jwk }) {
  const key = await importJWK(jwk, header.alg);
  return new CompactSign(utf8(JSON.stringify(payload))).setProtectedHeader(header).sign(key);
}

async function open({ seal, key }) {
  const options = { keyManagementAlgorithms: ["dir"], contentEncryptionAlgorithms: ["A256GCM"] };
  const { plaintext, protectedHeader } = await compactDecrypt(seal, base64url.decode(key), options);
  return { header: protectedHeader, plaintext: base64url.encode(plaintext) };
}

async function seal({ header, plaintext, key }) {
  const sealing = new CompactEncrypt(base64url.decode(plaintext)).setProtectedHeader(header);
  return sealing.encrypt(base64url.decode(key));
}

// A client's side of the handshake, written anew after the protocol; its keys are answered too, since
// the next work comes in another process.
async function hello({ alg, crv, kem, aud, pins }) {
  const binding = await generateKeyPair(alg);
  const ephemeral = await subtle.generateKey(CURVES[crv], true, ["deriveBits"]);
  const payload = { v: 1, aud, epk: publicMembers(await subtle.exportKey("jwk", ephemeral.publicKey)) };
  const keys = { ephemeral: await subtle.exportKey("jwk", ephemeral.privateKey) };
  if (kem) {
    const pair = await subtle.generateKey(KEM, true, ["decapsulateBits"]);
    keys.kem = base64url.encode(new Uint8Array(await subtle.exportKey("raw-seed", pair.privateKey)));
    payload.kem = base64url.encode(new Uint8Array(await subtle.exportKey("raw-public", pair.publicKey)));
  }
  if (pins) payload.pins = pins;
  const header = { alg, typ: "sealed-hello+jws", jwk: await exportJWK(binding.publicKey) };
  const signing = new CompactSign(utf8(JSON.stringify(payload))).setProtectedHeader(header);
  return { hello: await signing.sign(binding.privateKey), keys };
}

async function finish({ hello, keys, reply, crv }) {
  const { payload, thumbprint } = await verify(reply);
  const { x, y } = payload.epk;
  const raw = y === undefined ? base64url.decode(x) : join(new Uint8Array([4]), base64url.decode(x), base64url.decode(y));
  const theirs = await subtle.importKey("raw", raw, CURVES[crv], false, []);
  const mine = await subtle.importKey("jwk", keys.ephemeral, CURVES[crv], false, ["deriveBits"]);
  const shared = [new Uint8Array(await subtle.deriveBits({ ...CURVES[crv], public: theirs }, mine, 256))];
  let digest = new Uint8Array();
  if (payload.kem !== undefined) {
    const ciphertext = base64url.decode(payload.kem);
    digest = new Uint8Array(await subtle.digest("SHA-256", ciphertext));
    const seed = base64url.decode(keys.kem);
    const key = await subtle.importKey("raw-seed", seed, KEM, false, ["decapsulateBits"]);
    shared.push(new Uint8Array(await subtle.decapsulateBits(KEM, key, ciphertext)));
  }
  const parts = [utf8(payload.iss), base64url.decode(thumbprint), raw, digest];
  const info = join(utf8("flask-sealed/1 session\0"), ...parts.map(lv));
  const salt = await subtle.digest("SHA-256", utf8(hello));
  const key = await subtle.importKey("raw", join(...shared), "HKDF", false, ["deriveBits"]);
  const bits = await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, key, 256);
  return base64url.encode(new Uint8Array(bits));
}

const works = { verify, sign, open, seal, hello, finish };
const results = [];
for (const [work, argument] of JSON.parse(await text(process.stdin))) {
  results.push(await works[work](argument));
}
process.stdout.write(JSON.stringify(results));
