// Reading what anyone on the way can read of a seal, a handshake and records. No key is needed here.

const TAG = 16; // bytes
const MOST_RECORDS = 12;

/** A compact JWE: its protected header, and how much of it is ciphertext. */
export function readSeal(text) {
  const [header, , , ciphertext] = text.split(".");
  return { header: json(header), ciphertext, size: bytes(ciphertext).length };
}

/** A compact JWS: its header and payload; nothing in it is secret. */
export function readSigned(text) {
  const [header, payload] = text.split(".");
  return { header: json(header), payload: json(payload) };
}

/** The records of a stream, found as its bytes come: their sizes and first bytes. */
export class Frames {
  count = 0;
  shown = [];
  #left = 0; // bytes of the record that comes
  #final = false;
  #seen = false; // whether that record is shown
  #length = []; // bytes of a length that is not whole

  take(piece) {
    for (let at = 0; at < piece.length; ) {
      if (this.#final || this.#left) at += this.#skip(piece.subarray(at));
      else this.#takeLength(piece[at++]);
    }
  }

  #takeLength(byte) {
    this.#length.push(byte);
    // RFC 9000, section 16: the first two bits say how many bytes a length has.
    const [first, ...rest] = this.#length;
    if (this.#length.length < 1 << (first >> 6)) return;
    this.#length = [];
    this.#left = rest.reduce((sum, next) => sum * 256 + next, first & 63);
    this.#final = this.#left === 0;
    this.count += 1;
    this.#seen = this.#final || this.shown.length < MOST_RECORDS;
    if (this.#seen) {
      this.shown.push({ final: this.#final, size: this.#left, first: new Uint8Array(0) });
    }
  }

  #skip(piece) {
    const size = this.#final ? piece.length : Math.min(this.#left, piece.length);
    const record = this.#seen ? this.shown.at(-1) : null;
    if (record && !record.first.length) record.first = piece.slice(0, Math.min(size, 8));
    if (record && this.#final) record.size += size;
    if (!this.#final) this.#left -= size;
    return size;
  }
}

/** How much plaintext a record of this size has. */
export const plaintextSize = (size) => Math.max(0, size - TAG);

const json = (text) => JSON.parse(new TextDecoder().decode(bytes(text)));

function bytes(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
