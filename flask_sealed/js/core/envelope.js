// A body in one piece: an envelope of JSON, perhaps padded.
import { b64, join, unb64 } from "./encoding.js";
import { bound, demand } from "./errors.js";
import { decrypt, encrypt, IV, TAG } from "./crypto.js";

/** The Padmé length. */
export function padme(length) {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const size = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  // Not with bit operations, which JavaScript has for 32 bits only.
  return Math.ceil(length / size) * size;
}

/** Takes headers and padding off. */
export function unpad(plaintext, hlen, length) {
  bound(plaintext.length >= hlen);
  if (length === undefined) return plaintext.subarray(hlen);
  const whole = hlen + length;
  bound(plaintext.length === whole || plaintext.length === padme(whole));
  bound(plaintext.subarray(whole).every((byte) => byte === 0));
  return plaintext.subarray(hlen, whole);
}

export async function sealEnvelope(key, plaintext, iv, aad) {
  const sealed = await encrypt(key, iv, aad, plaintext);
  return `{"data":"${b64(join(iv, sealed.subarray(-TAG), sealed.subarray(0, -TAG)))}"}`;
}

export async function openEnvelope(key, bytes, aad) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const found = /^[ \t\r\n]*\{[ \t\r\n]*"data"[ \t\r\n]*:[ \t\r\n]*"([^"]*)"[ \t\r\n]*\}[ \t\r\n]*$/.exec(text);
  demand(found, "an envelope");
  const decoded = unb64(found[1]);
  demand(decoded.length >= IV + TAG, "an envelope");
  const [iv, tag] = [decoded.subarray(0, IV), decoded.subarray(IV, IV + TAG)];
  return decrypt(key, iv, aad, join(decoded.subarray(IV + TAG), tag));
}
