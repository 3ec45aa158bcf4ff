/** A client of Level 3: one static key. */

export { importAes } from "./sealed.js";

export interface Level3Options {
  /** `application/json` where left out; others travel in `Sealed-Content-Type`. */
  contentType?: string;
  /** Makes as many random bytes as it is asked for. */
  random?: (length: number) => Uint8Array;
}

/** Seals content into an envelope, which is JSON. */
export function sealLevel3(key: CryptoKey, content: Uint8Array, options?: Level3Options): Promise<string>;

/**
 * Opens an envelope.
 *
 * @param contentType the value of `Sealed-Content-Type`, where there is one
 * @throws Malformed | Refused
 */
export function openLevel3(key: CryptoKey, envelope: Uint8Array, contentType?: string): Promise<Uint8Array>;
