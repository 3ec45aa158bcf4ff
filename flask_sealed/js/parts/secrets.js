// How a secret comes to be a key that cannot be read.
import { subtle } from "../core/crypto.js";
import { configured } from "../core/errors.js";

export const importHkdf = (bytes) => subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);

export async function importSecret(bytes) {
  configured(bytes.length === 32, "a secret has 32 bytes");
  return importHkdf(bytes);
}
