// Loaded with the first body that goes or comes as records: a Blob on its way up, a stream on its way down.
import { answered } from "../core/answers.js";
import { openStream, sealStream } from "./records.js";

const PIECE = 2 ** 23; // bytes that are read at once: Chromium reads few large pieces thrice as fast as many small
const AT_ONCE = 2; // pieces that are read, and that are sealed

/** A Blob, sealed as a Blob: it can be sent twice, and need not be in memory. */
export async function sealBlob(session, request, blob, options) {
  const { records, ...made } = await sealStream(session, request, { ...options, length: blob.size });
  const read = (at) => (at < blob.size ? blob.slice(at, at + PIECE).arrayBuffer() : undefined);
  const parts = [];
  const [reading, sealing] = [[], []];
  const settle = async () => parts.push(new Blob(await sealing.shift()));
  for (let at = 0; at < AT_ONCE * PIECE; at += PIECE) reading.push(read(at));
  for (let at = 0; at < blob.size; at += PIECE) {
    const piece = new Uint8Array(await reading.shift());
    reading.push(read(at + AT_ONCE * PIECE));
    sealing.push(records.push(piece));
    if (sealing.length === AT_ONCE) await settle();
  }
  while (sealing.length) await settle();
  return { ...made, body: new Blob([...parts, ...(await records.finish())]) };
}

/** The content of an answer as a stream. Its headers, which may stand before it, are there. */
export async function receive(response, opened) {
  const download = new Download(response, await openStream(opened));
  await download.start();
  return new ReadableStream(download);
}

/** The content of records as it comes. */
class Download {
  #reader;
  #content;
  #first = [];
  #done = false;
  #ahead;

  constructor(response, content) {
    this.#reader = (response.body ?? new Blob().stream()).getReader();
    this.#content = content;
    this.#readAhead();
  }

  /** What comes next is on its way while this is opened. */
  #readAhead() {
    this.#ahead = answered(this.#reader.read());
    this.#ahead.catch(() => {});
  }

  /** Reads until the headers are there. */
  async start() {
    while (!this.#content.hasHeaders && !this.#done) this.#first.push(...(await this.#read()));
  }

  /** As a ReadableStream has it. */
  async pull(controller) {
    let pieces = this.#first.splice(0);
    while (pieces.length === 0 && !this.#done) pieces = await this.#read();
    for (const piece of pieces) controller.enqueue(piece);
    if (this.#done) controller.close();
  }

  cancel(reason) {
    return this.#reader.cancel(reason);
  }

  async #read() {
    try {
      const { done, value } = await this.#ahead;
      this.#done = done;
      if (!done) this.#readAhead();
      return await (done ? this.#content.finish() : this.#content.push(value));
    } catch (error) {
      this.#reader.cancel().catch(() => {});
      throw error;
    }
  }
}
