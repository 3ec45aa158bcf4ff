// A body in one piece: an envelope of JSON.
import { b64, join, unb64 } from "./encoding.js";
import { demand } from "./errors.js";
import { decrypt, encrypt, IV, TAG } from "./crypto.js";

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
