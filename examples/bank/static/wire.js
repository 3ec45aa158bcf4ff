// The panel that shows calls from both ends: what the page's code sees, what the wire carries.

import { byId, element } from "./dom.js";

const MOST_CALLS = 8;
const MOST_CHARACTERS = 1500;

/** Show an exchange on top of the panel, open; the earlier ones are folded. */
export function showExchange(exchange) {
  const list = byId("calls");
  for (const details of list.querySelectorAll("details")) details.open = false;
  list.prepend(element("li", {}, callDetails(exchange)));
  while (list.children.length > MOST_CALLS) list.lastElementChild.remove();
  byId("no-calls").hidden = true;
}

/** Forget all calls. */
export function clearExchanges() {
  byId("calls").replaceChildren();
  byId("no-calls").hidden = false;
}

function callDetails(exchange) {
  const { request, response } = exchange;
  const call = `${exchange.method} ${new URL(exchange.url).pathname}`;
  const component = side("component", "What the component sees", [
    box("Request", describe(request.body) || "No body."),
    box("Response", describe(response.body) || "Nothing: the answer did not open."),
  ]);
  const travels = side("travels", "What the wire carries", [
    box("Request on the wire", raw(request.wire) || "No body."),
    box("Response on the wire", raw(response.wire) || "No body."),
  ]);
  const headers = [
    head(call, request.headers),
    head(`${response.status} ${response.statusText}`, response.headers),
  ];
  return element(
    "details",
    { open: "" },
    summary(call, response.status, exchange.sealed),
    element("div", { class: "sides" }, component, travels),
    element("div", { class: "headers" }, box("Headers, never sealed", headers.join("\n\n"))),
  );
}

function summary(call, status, sealed) {
  return element(
    "summary",
    {},
    element("code", { class: "call" }, call),
    element("span", { class: "status-code" }, String(status)),
    element("span", { class: `badge ${sealed ? "sealed" : "clear"}` }, sealed ? "Sealed" : "In clear"),
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
  return [first, ...headers.map(([name, value]) => `${name}: ${value}`)].join("\n");
}

function raw(wire) {
  return typeof wire === "string" ? shorten(wire.trim()) : describe(wire);
}

function describe(body) {
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

// Somebody may look over the customer's shoulder.
function mask(name, value) {
  return name === "password" ? "••••••••" : value;
}

function shorten(text) {
  const more = text.length - MOST_CHARACTERS;
  if (more <= 0) return text;
  return `${text.slice(0, MOST_CHARACTERS)}… and ${more.toLocaleString("en")} more characters`;
}
