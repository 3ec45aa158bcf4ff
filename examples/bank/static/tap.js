// A `fetch` that tells what it carries, as whoever ends TLS would see it.

import { Frames } from "./seal.js";

/** What is known of a body: what has come of it so far, and the records in it. */
export class Kept {
  size = 0;
  pieces = [];
  ended = false;
  records = null;
  #listeners = [];

  constructor(type) {
    if (type === "application/vnd.flask-sealed.records") this.records = new Frames();
  }

  onChange(changed) {
    this.#listeners.push(changed);
  }

  take(bytes) {
    this.pieces.push(bytes);
    this.size += bytes.length;
    this.records?.take(bytes);
    this.#tell();
  }

  /** As text, in an encoding that decodes any bytes. */
  text(encoding = "utf-8") {
    const decoder = new TextDecoder(encoding);
    return this.pieces.map((piece) => decoder.decode(piece, { stream: true })).join("");
  }

  end() {
    this.ended = true;
    this.#tell();
  }

  #tell() {
    for (const changed of this.#listeners) changed();
  }
}

/** A `fetch` that gives `listen` each exchange when the answer begins. */
export function tapped(listen) {
  return async (input, init) => {
    const asked = input instanceof Request ? input.clone() : new Request(input, init);
    const request = { headers: [...asked.headers], body: new Kept(asked.headers.get("content-type")) };
    await takeAll(asked, request.body);
    const answer = await fetch(input, init);
    const { response, kept } = await overheard(answer);
    const { status } = answer;
    const seen = { status, headers: [...answer.headers], body: kept };
    listen({ method: asked.method, url: asked.url, request, response: seen });
    return response;
  };
}

/** The same response, and what is read of it: all of it, or what has come of a stream so far. */
export async function overheard(answer) {
  const type = answer.headers.get("content-type");
  const kept = new Kept(type);
  if (answer.body !== null && !/json$/.test(type)) return { response: streamed(answer, kept), kept };
  const body = await answer.arrayBuffer();
  kept.take(new Uint8Array(body));
  kept.end();
  return { response: new Response(body.byteLength ? body : null, answer), kept };
}

function streamed(answer, kept) {
  const tap = new TransformStream({
    transform(piece, controller) {
      kept.take(piece);
      controller.enqueue(piece);
    },
    flush: () => kept.end(),
  });
  return new Response(answer.body.pipeThrough(tap), answer);
}

async function takeAll(asked, kept) {
  if (asked.method !== "GET" && asked.method !== "HEAD") {
    const body = await asked.arrayBuffer();
    if (body.byteLength) kept.take(new Uint8Array(body));
  }
  kept.end();
}
