// A body as a stream of records: sealed, and opened, piece by piece.
import { decrypt, encrypt, TAG } from "../core/crypto.js";
import { join, NONE, utf8 } from "../core/encoding.js";
import { bound, configured, demand, limited } from "../core/errors.js";
import { sealHalf, takeHeaders } from "../core/exchange.js";

const MOST_PLAINTEXT = 65536; // bytes of a record
const MOST_RECORDS = 2 ** 32;

function recordNonce(base, count) {
  const nonce = Uint8Array.from(base);
  const last = new DataView(nonce.buffer);
  last.setUint32(8, last.getUint32(8) ^ count);
  return nonce;
}

function varint(size) {
  if (size < 64) return Uint8Array.of(size);
  if (size < 16384) return Uint8Array.of(64 | (size >> 8), size & 255);
  return Uint8Array.of(128, size >> 16, (size >> 8) & 255, size & 255);
}

/** Seals a stream. */
export class RecordSealer {
  #key;
  #nonce;
  #count = 0;
  #left;
  #done = false;

  constructor(key, nonce, length) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = length;
  }

  /** The sealed records, each of them in two parts. Calls may overlap; what they give belongs in their order. */
  async push(content) {
    configured(!this.#done, "the stream is over");
    const records = [];
    for (let at = 0; at < content.length; at += MOST_PLAINTEXT) {
      records.push(this.#record(content.subarray(at, at + MOST_PLAINTEXT), NONE));
    }
    const sealed = await Promise.all(records);
    return sealed.flatMap((record) => [varint(record.length), record]);
  }

  async finish(content = NONE) {
    configured(!this.#done && content.length <= MOST_PLAINTEXT, "the stream is over, or this is too much");
    this.#done = true;
    const sealed = await this.#record(content, utf8("final"));
    configured(!this.#left, "the stream is shorter than was said");
    return [Uint8Array.of(0), sealed];
  }

  async #record(content, aad) {
    // The number is taken before anything is awaited, so no nonce is used twice.
    const count = this.#count++;
    limited(count < MOST_RECORDS, "there are too many records");
    if (this.#left !== undefined) this.#left -= content.length;
    configured((this.#left ?? 0) >= 0, "the stream is longer than was said");
    return encrypt(this.#key, recordNonce(this.#nonce, count), aad, content);
  }
}

/** Seals a request whose body is a stream. */
export async function sealStream(keys, request, { length, ...options }) {
  const { seal, half, exchange } = sealHalf(keys, request, { body: "records", length }, options);
  const [made, { key, nonce }] = await Promise.all([seal, half.body()]);
  return { seal: made, records: new RecordSealer(key, nonce, length), exchange };
}

/** One piece of work after the other. After a failure, all that follows fails with the same error. */
class Turns {
  #last = Promise.resolve();

  next(work) {
    this.#last = this.#last.then(work);
    return this.#last;
  }
}

/** Opens a stream, however it is cut. After a failure it stays failed. */
export class RecordOpener {
  #key;
  #nonce;
  #left;
  #count = 0;
  #rest = NONE;
  #final = false;
  #turns = new Turns();

  constructor(key, nonce, total) {
    this.#key = key;
    this.#nonce = nonce;
    this.#left = total;
  }

  push(bytes) {
    return this.#turns.next(() => this.#take(bytes));
  }

  /** The stream has ended. */
  finish() {
    return this.#turns.next(() => this.#end());
  }

  async #take(bytes) {
    this.#rest = this.#rest.length ? join(this.#rest, bytes) : bytes;
    const opening = [];
    let fault = null;
    try {
      for (let one = this.#next(); one !== null; one = this.#next()) opening.push(this.#open(one, NONE));
    } catch (error) {
      fault = error;
    }
    // A fault earlier in the stream comes first.
    const opened = await Promise.all(opening);
    if (fault !== null) throw fault;
    return opened;
  }

  /** The ciphertext of the next record; null where none is whole. */
  #next() {
    if (this.#final) return this.#checkFinal();
    const size = readSize(this.#rest);
    if (size === null) return null;
    const { bytes, value } = size;
    this.#final = value === 0;
    if (this.#final) this.#rest = this.#rest.subarray(bytes);
    if (this.#final) return this.#checkFinal();
    this.#expect(value - TAG);
    if (this.#rest.length < bytes + value) return null;
    const ciphertext = this.#rest.subarray(bytes, bytes + value);
    this.#rest = this.#rest.subarray(bytes + value);
    return ciphertext;
  }

  #checkFinal() {
    limited(this.#rest.length <= MOST_PLAINTEXT + TAG, "the final record is too large");
    this.#expect(this.#rest.length - TAG);
    return null;
  }

  #expect(plaintext) {
    bound(this.#left === undefined || plaintext <= this.#left);
    limited(this.#count < MOST_RECORDS, "there are too many records");
  }

  async #end() {
    demand(this.#final && this.#rest.length >= TAG, "the stream was cut");
    const plaintext = await this.#open(this.#rest, utf8("final"));
    bound(!this.#left);
    return plaintext;
  }

  #open(ciphertext, aad) {
    const nonce = recordNonce(this.#nonce, this.#count++);
    if (this.#left !== undefined) this.#left -= ciphertext.length - TAG;
    return decrypt(this.#key, nonce, aad, ciphertext);
  }
}

function readSize(bytes) {
  if (bytes.length === 0) return null;
  const length = 1 << (bytes[0] >> 6);
  limited(length < 8, "a size has 8 bytes");
  if (bytes.length < length) return null;
  const value = bytes.subarray(1, length).reduce((sum, byte) => sum * 256 + byte, bytes[0] & 63);
  demand(varint(value).length === length, "a size is not as short as can be");
  limited(value <= MOST_PLAINTEXT + TAG, "a record is too large");
  demand(value === 0 || value > TAG, "a record is too short");
  return { bytes: length, value };
}

/** The content of an answer in records: what is behind the headers. */
export async function openStream(opened) {
  configured(opened.body === "records", "the body is no stream");
  const { key, nonce } = await opened.keys;
  const total = opened.length === undefined ? undefined : opened.hlen + opened.length;
  return new ContentStream(new RecordOpener(key, nonce, total), opened);
}

class ContentStream {
  #records;
  #opened;
  #missing;
  #head = NONE;
  #turns = new Turns();

  constructor(records, opened) {
    this.#records = records;
    this.#opened = opened;
    this.#missing = opened.hlen;
  }

  push(bytes) {
    return this.#turns.next(async () => this.#contents(await this.#records.push(bytes)));
  }

  /** Whether the headers are there. */
  get hasHeaders() {
    return this.#missing === 0;
  }

  /** The stream has ended. */
  finish() {
    return this.#turns.next(async () => {
      const rest = this.#contents([await this.#records.finish()]);
      bound(this.#missing === 0);
      return rest;
    });
  }

  #contents(plaintexts) {
    return plaintexts.map((one) => this.#behind(one)).filter((one) => one.length > 0);
  }

  #behind(plaintext) {
    if (this.#missing === 0) return plaintext;
    const head = plaintext.subarray(0, this.#missing);
    this.#head = join(this.#head, head);
    if (head.length === this.#missing) takeHeaders(this.#opened, this.#head);
    this.#missing -= head.length;
    return plaintext.subarray(head.length);
  }
}
