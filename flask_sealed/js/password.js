// A session that came under a password: the answer of a login with `flask_sealed.password_session`.
// Weaker than a handshake with pins. See the documentation before using it.

import { unb64u } from "./core/encoding.js";
import { Malformed, Refused, TooLarge } from "./core/errors.js";
import { importSecret } from "./parts/secrets.js";

const { subtle } = globalThis.crypto;
const FIXED = { alg: "PBES2-HS512+A256KW", enc: "A256GCM", typ: "sealed-password-session" };
const [LEAST, MOST] = [210_000, 1_000_000];
const MOST_CHARACTERS = 2048;
const utf8 = (text) => new TextEncoder().encode(text);

/** Opens it. The result goes to `connect(url, { audience, session })`. */
export async function openPasswordSession(sealed, password, { audience }) {
  if (sealed.length > MOST_CHARACTERS) throw new TooLarge("a session under a password is not so long");
  const parts = sealed.split(".");
  // All are decoded before any work is done: a header can ask for years of it.
  const [header, wrapped, iv, ciphertext, tag] = parts.map((part, at) => unb64u(part, [undefined, 40, 12, undefined, 16][at]));
  demand(parts.length === 5);
  const { p2c, p2s, ...fixed } = object(header);
  demand(isEqual(fixed, FIXED) && Number.isInteger(p2c) && p2c >= LEAST && p2c <= MOST);
  const salt = new Uint8Array([...utf8(`${FIXED.alg}\0`), ...unb64u(p2s, 16)]);
  const text = await decrypt(await wrappingKey(password, salt, p2c), { wrapped, iv, ciphertext, tag, aad: utf8(parts[0]) });
  const { secret, ticket, iat, exp, aud, ...more } = object(text);
  demand(typeof ticket === "string" && ticket.length === 163 && exp > iat && isEqual(more, {}));
  if (aud !== audience) throw new Refused();
  return { secret: await importSecret(unb64u(secret, 32)), ticket, iat, exp, audience };
}

async function wrappingKey(password, salt, iterations) {
  // Keyboards write one character in several ways; Unicode has one form of each.
  const words = await subtle.importKey("raw", utf8(password.normalize("NFC")), "PBKDF2", false, ["deriveKey"]);
  const work = { name: "PBKDF2", hash: "SHA-512", salt, iterations };
  return subtle.deriveKey(work, words, { name: "AES-KW", length: 256 }, false, ["unwrapKey"]);
}

async function decrypt(key, { wrapped, iv, ciphertext, tag, aad }) {
  try {
    const content = await subtle.unwrapKey("raw", wrapped, key, "AES-KW", "AES-GCM", false, ["decrypt"]);
    const sealed = new Uint8Array([...ciphertext, ...tag]);
    return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv, additionalData: aad }, content, sealed));
  } catch {
    throw new Refused();
  }
}

function object(bytes) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    demand(value !== null && Object.getPrototypeOf(value) === Object.prototype);
    return value;
  } catch {
    throw new Malformed("this is no session under a password");
  }
}

function demand(right) {
  if (!right) throw new Malformed("this is no session under a password");
}

const isEqual = (one, other) =>
  Object.keys(one).length === Object.keys(other).length && Object.keys(other).every((name) => one[name] === other[name]);
