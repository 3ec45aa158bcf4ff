// The panel that shows calls from both ends: what the page's code sees, what the wire carries.

import { decodeRecords, decodeSeal, decodeSigned } from "./decode.js";
import { byId, element } from "./dom.js";

const MOST_CALLS = 10;
const MOST_CHARACTERS = 1500;
const RECORDS = "application/vnd.flask-sealed.records";
const utf8 = new TextDecoder();

/**
 * Show an exchange on top of the panel, open; the earlier ones are folded.
 *
 * `plain` is what the component sees of it, `null` where it has nothing to do with it.
 */
export function showCall(exchange, plain) {
  const list = byId("calls");
  for (const details of list.querySelectorAll("details")) details.open = false;
  list.prepend(element("li", {}, callDetails(exchange, plain)));
  while (list.children.length > MOST_CALLS) list.lastElementChild.remove();
  byId("no-calls").hidden = true;
}

/** Forget all calls. */
export function clearCalls() {
  byId("calls").replaceChildren();
  byId("no-calls").hidden = false;
}

function callDetails(exchange, plain) {
  const { request, response } = exchange;
  const call = `${exchange.method} ${new URL(exchange.url).pathname}`;
  const component = side("component", "What the component sees", [
    box("Request", plain ? describePlain(plain.request) : "Nothing: the client does this on its own."),
    box("Response", plain ? describePlain(plain.response) : "Nothing."),
  ]);
  const travels = side("travels", "What the wire carries", [
    box("Request on the wire", describe(request)),
    box("Response on the wire", describe(response)),
  ]);
  const headers = [
    head(call, request.headers),
    head(`${response.status} ${response.statusText}`, response.headers),
  ];
  return element(
    "details",
    { open: "" },
    summary(call, response.status, kind(exchange)),
    element("div", { class: "sides" }, component, travels),
    element("div", { class: "headers" }, box("Headers, as they travel", headers.join("\n\n"))),
  );
}

function kind({ request, response }) {
  if (header(response, "sealed")) return "sealed";
  return utf8.decode(request.body).startsWith('{"hello"') ? "handshake" : "clear";
}

const KINDS = { sealed: "Sealed", handshake: "Handshake", clear: "In clear" };

function summary(call, status, kind) {
  return element(
    "summary",
    {},
    element("code", { class: "call" }, call),
    element("span", { class: "status-code" }, String(status)),
    element("span", { class: `badge ${kind}` }, KINDS[kind]),
  );
}

function side(name, title, boxes) {
  return element("div", { class: `side ${name}` }, element("h3", {}, title), ...boxes);
}

function box(label, text) {
  // With a tab stop, because a long text scrolls in its box.
  const attributes = { tabindex: "0", role: "group", "aria-label": label };
  const title = label.replace(" on the wire", "");
  return element("div", {}, element("h4", {}, title), element("pre", attributes, text));
}

function head(first, headers) {
  return [first, ...headers.map(([name, value]) => `${name}: ${shorten(value)}`)].join("\n");
}

const header = ({ headers }, wanted) => headers.find(([name]) => name === wanted)?.[1];

/** What anyone on the way can make of a message. */
function describe(message) {
  const seal = header(message, "sealed");
  const parts = seal ? [`Seal\n${pretty(decodeSeal(seal))}`] : [];
  if (message.body.length) parts.push(describeBody(message, seal));
  return parts.join("\n\n") || "No body.";
}

function describeBody(message, seal) {
  if (header(message, "content-type") === RECORDS) return `Records\n${shorten(decodeRecords(message.body))}`;
  const text = utf8.decode(message.body);
  if (seal) return `Envelope\n${shorten(text.trim())}`;
  const signed = /^\{"(hello|session)":"([^"]+)"\}\s*$/.exec(text);
  return signed ? `Signed, not secret\n${pretty({ [signed[1]]: decodeSigned(signed[2]) })}` : describeText(text);
}

function describePlain(message) {
  if (!message) return "Nothing: the answer was not believed.";
  const { status, url, headers, body } = message;
  const query = url ? new URL(url, location).search : "";
  const token = headers.get("Authorization");
  return [
    status ? `Status ${status}` : "",
    query ? `Query ${query}` : "",
    token ? `Token ${shorten(token, 40)}` : "",
    describeText(body) || "No body.",
  ].filter(Boolean).join("\n");
}

function describeText(body) {
  if (body instanceof FormData) return [...body].map(describeField).join("\n");
  if (!body) return "";
  try {
    return shorten(JSON.stringify(JSON.parse(body), mask, 2));
  } catch {
    return shorten(body);
  }
}

function describeField([name, value]) {
  return value instanceof File
    ? `${name}: ${value.name}\n  ${value.type || "unknown type"}, ${value.size} bytes`
    : `${name}: ${value}`;
}

const pretty = (value) => JSON.stringify(value, null, 2);

// Somebody may look over the customer's shoulder.
function mask(name, value) {
  if (name === "password") return "••••••••";
  return name === "accessToken" ? shorten(value, 40) : value;
}

function shorten(text, most = MOST_CHARACTERS) {
  const more = text.length - most;
  if (more <= 0) return text;
  return `${text.slice(0, most)}… and ${more.toLocaleString("en")} more characters`;
}
