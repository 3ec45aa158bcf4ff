// Loaded with the first event source: it connects, reads, and connects again.
import { pieces } from "../core/answers.js";
import { ConfigError, configured } from "../core/errors.js";
import { tell } from "../core/events.js";

const EVENT_STREAM = /^text\/event-stream *(;|$)/i;

/** Until it is closed. */
export async function read(source, open, options, closing) {
  while (source.readyState !== 2) {
    let fault = null;
    try {
      await readStream(source, await open(headersOf(source, options), closing), closing);
    } catch (error) {
      fault = error;
    }
    if (source.readyState === 2) return;
    source.readyState = 0;
    if (fault instanceof ConfigError) source.close();
    tell(source, Object.assign(new Event("error"), { error: fault }));
    if (source.readyState === 0) await wait(source.retry, closing);
  }
}

function headersOf({ lastEventId: id }, options) {
  const headers = new Headers(options.headers);
  headers.set("accept", "text/event-stream");
  // An event's name came sealed.
  if (id && options.allowed.has("last-event-id")) headers.set("last-event-id", id);
  return headers;
}

function wait(milliseconds, closing) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    closing.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

async function readStream(source, response, closing) {
  const isStream = response.status === 200 && EVENT_STREAM.test(response.headers.get("content-type"));
  configured(isStream, "the answer is no event stream");
  closing.throwIfAborted();
  source.readyState = 1;
  tell(source, new Event("open"));
  let lines = "";
  let event = {};
  for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    lines += text;
    // A CR at the end may be half of a line's end.
    const whole = lines.split(/\r\n|\n|\r(?!$)/);
    lines = whole.pop();
    for (const line of whole) event = take(source, line, event);
  }
}

/** One line of a stream, as the HTML standard reads it. */
function take(source, line, event) {
  if (line === "") {
    dispatch(source, event);
    return {};
  }
  const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
  if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  if (field === "event") event.type = value;
  if (field === "id" && !value.includes("\0")) source.lastEventId = value;
  if (field === "retry" && /^\d+$/.test(value)) source.retry = Number(value);
  return event;
}

function dispatch(source, { type, data }) {
  if (data === undefined || source.readyState === 2) return;
  const { origin } = new URL(source.url);
  tell(source, new MessageEvent(type || "message", { data, lastEventId: source.lastEventId, origin }));
}
