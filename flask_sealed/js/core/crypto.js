// The primitives, all WebCrypto's: SHA-256, HKDF, AES-256-GCM, randomness; and the keys of one half of an exchange.
import { join, lv, utf8 } from "./encoding.js";
import { configured, Refused } from "./errors.js";

export const { subtle } = globalThis.crypto;

export const TAG = 16; // bytes
export const IV = 12; // bytes

const AES = { name: "AES-GCM", length: 256 };
const AES_USES = ["encrypt", "decrypt"];

export const systemRandom = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

export const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

const hkdfOf = (salt, info) => ({ name: "HKDF", hash: "SHA-256", salt, info });

export const hkdf = async (secret, salt, info, length) =>
  new Uint8Array(await subtle.deriveBits(hkdfOf(salt, info), secret, 8 * length));

/** Keeps a secret where it cannot be read. */
export async function importSecret(bytes) {
  configured(bytes.length === 32, "a secret has 32 bytes");
  return importHkdf(bytes);
}

export const importHkdf = (bytes) => subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);

export async function importAes(bytes) {
  configured(bytes.length === 32, "a key has 32 bytes");
  return subtle.importKey("raw", bytes, AES, false, AES_USES);
}

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

const infoOf = (half, audience) => join(utf8(`flask-sealed/1 ${half}\0`), lv(audienceBytes(audience)));

/** Seal key 32 ‖ body key 32 ‖ base nonce 12. */
export const deriveHalf = (secret, half, salt, audience) => hkdf(secret, salt, infoOf(half, audience), 76);

/**
 * A promise of the seal's key, and one of the body's key and nonce where there is a body.
 * HKDF's first 32 bytes are the same for any length (RFC 5869, section 2.3), so the seal's key is derived
 * alone, at the same time, and its bytes are never seen.
 */
export function halfKeys({ secret, audience }, half, salt) {
  const seal = subtle.deriveKey(hkdfOf(salt, infoOf(half, audience)), secret, AES, false, AES_USES);
  const body = async () => {
    const bits = await deriveHalf(secret, half, salt, audience);
    return { key: await importAes(bits.subarray(32, 64)), nonce: bits.slice(64) };
  };
  return { seal, body };
}

