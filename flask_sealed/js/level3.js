// A client of Level 3, written from docs/protocol-level3.rst: one static key, see importAes.
import { systemRandom } from "./core/crypto.js";
import { NONE, utf8 } from "./core/encoding.js";
import { openEnvelope, sealEnvelope } from "./core/envelope.js";
import { Malformed } from "./core/errors.js";

export { importAes } from "./core/crypto.js";

/** JSON has no associated data. */
function associated(contentType) {
  if (!/^[\x00-\x7f]{0,256}$/.test(contentType)) throw new Malformed("a content type is no ASCII, or too long");
  return contentType === "application/json" ? NONE : utf8(contentType);
}

/** An envelope; other types than JSON go into `Sealed-Content-Type`. */
export const sealLevel3 = async (key, content, { contentType = "application/json", random = systemRandom } = {}) =>
  sealEnvelope(key, content, random(12), associated(contentType));

/** The content of an envelope, given as bytes. */
export const openLevel3 = async (key, envelope, contentType = "application/json") =>
  openEnvelope(key, envelope, associated(contentType));
