// The primitives, all WebCrypto's: SHA-256, HKDF, AES-256-GCM, randomness; and the keys of one half of an exchange.
import { join, lv, utf8 } from "./encoding.js";
import { configured, Refused } from "./errors.js";

export const { subtle } = globalThis.crypto;

export const TAG = 16; // bytes
export const IV = 12; // bytes

const AES = { name: "AES-GCM", length: 256 };
const AES_USES = ["encrypt", "decrypt"];

export const systemRandom = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

const hkdfOf = (salt, info) => ({ name: "HKDF", hash: "SHA-256", salt, info });

export const hkdf = async (secret, salt, info, length) =>
  new Uint8Array(await subtle.deriveBits(hkdfOf(salt, info), secret, 8 * length));

export async function importAes(bytes) {
  configured(bytes.length === 32, "a key has 32 bytes");
  return subtle.importKey("raw", bytes, AES, false, AES_USES);
}

/** A pair of ML-KEM-768, null where the browser has none. */
export const kemKeys = () =>
  subtle.generateKey({ name: "ML-KEM-768" }, false, ["decapsulateBits"]).catch(() => null);

const gcm = (iv, additionalData) => ({ name: "AES-GCM", iv, additionalData });

export const encrypt = async (key, iv, aad, plaintext) =>
  new Uint8Array(await subtle.encrypt(gcm(iv, aad), key, plaintext));

export async function decrypt(key, iv, aad, ciphertext) {
  const plaintext = await subtle.decrypt(gcm(iv, aad), key, ciphertext).catch(() => null);
  if (plaintext === null) throw new Refused();
  return new Uint8Array(plaintext);
}

// --------------------------------------------------------------------------------- keys of a half

export function audienceBytes(audience) {
  const bytes = utf8(audience);
  configured(bytes.length > 0 && bytes.length <= 255, "an audience has 1 to 255 bytes");
  return bytes;
}

const infos = {};

const infoOf = (half, audience) =>
  (infos[`${half} ${audience}`] ??= join(utf8(`flask-sealed/1 ${half}\0`), lv(audienceBytes(audience))));

/** Seal key 32 ‖ body key 32 ‖ base nonce 12. */
export const deriveHalf = (secret, half, salt, audience) => hkdf(secret, salt, infoOf(half, audience), 76);

/** A promise of the seal's key; and one of the body's key and nonce, where there is a body. */
export function halfKeys({ secret, audience }, half, salt) {
  const bits = deriveHalf(secret, half, salt, audience);
  const seal = bits.then((all) => importAes(all.subarray(0, 32)));
  const body = async () => {
    const all = await bits;
    return { key: await importAes(all.subarray(32, 64)), nonce: all.slice(64) };
  };
  return { seal, body };
}
