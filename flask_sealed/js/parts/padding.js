// Loaded with the first body whose length is hidden.
import { join } from "../core/encoding.js";
import { bound } from "../core/errors.js";

/** The Padmé length. */
export function padme(length) {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const size = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  // Not with bit operations, which JavaScript has for 32 bits only.
  return Math.ceil(length / size) * size;
}

export const pad = (content) => join(content, new Uint8Array(padme(content.length) - content.length));

/** What is there without padding: `length` bytes. */
export function unpad(plaintext, length) {
  bound(plaintext.length === length || plaintext.length === padme(length));
  bound(plaintext.subarray(length).every((byte) => byte === 0));
  return plaintext.subarray(0, length);
}
