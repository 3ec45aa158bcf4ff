// The outside of sealed Server-Sent Events; what reads them is loaded with the first.
import { answered } from "./answers.js";

export class SealedEventSource extends EventTarget {
  readyState = 0;
  lastEventId = "";
  retry = 3000; // milliseconds
  onopen = null;
  onmessage = null;
  onerror = null;
  #closing = new AbortController();

  /** `open` asks for it, with headers, and until a signal. */
  constructor(url, open, options) {
    super();
    this.url = url;
    const reading = answered(import("../parts/eventstream.js"));
    reading.then(({ read }) => read(this, open, options, this.#closing.signal)).catch((error) => this.#fail(error));
  }

  close() {
    this.readyState = 2;
    this.#closing.abort();
  }

  #fail(error) {
    this.close();
    tell(this, Object.assign(new Event("error"), { error }));
  }
}

export function tell(source, event) {
  source[`on${event.type}`]?.(event);
  source.dispatchEvent(event);
}
