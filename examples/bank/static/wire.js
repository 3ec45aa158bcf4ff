// The panel that shows calls from both ends: what the page's code sees, what the wire carries.

import { byId, element } from "./dom.js";
import { plaintextSize, readSeal, readSigned } from "./seal.js";

const MOST_CALLS = 10;
const MOST_CHARACTERS = 1500;

/** Show an exchange on top of the panel, open; the earlier ones are folded. One that lasts is folded itself. */
export function showCall(exchange) {
  const list = byId("calls");
  const details = callDetails(exchange);
  details.open = exchange.inside?.response?.body !== null;
  if (details.open) for (const other of list.querySelectorAll("details")) other.open = false;
  list.prepend(element("li", {}, details));
  while (list.children.length > MOST_CALLS) list.lastElementChild.remove();
  byId("no-calls").hidden = true;
}

/** Forget all calls. */
export function clearCalls() {
  byId("calls").replaceChildren();
  byId("no-calls").hidden = false;
}

function callDetails({ inside, wire }) {
  const kind = kindOf(wire);
  const [rows, names] = kind === "handshake" ? handshakeRows(wire) : callRows(inside, wire, kind);
  const boxes = rows.map(([name, plain, carried]) => row(name, plain, carried, names));
  const update = () => boxes.forEach((box) => box.update());
  for (const body of [wire.response.body, inside?.response?.body]) body?.onChange(update);
  update();
  return element("details", {}, summary(wire, kind), ...boxes.map((box) => box.element));
}

/** "handshake", "sealed" or "clear". */
export function kindOf({ request, response }) {
  if (headerOf(request, "sealed") && headerOf(response, "sealed")) return "sealed";
  return request.body.text().startsWith('{"hello"') ? "handshake" : "clear";
}

const KINDS = { handshake: "Handshake", sealed: "Sealed", clear: "In clear" };

function summary(wire, kind) {
  return element(
    "summary",
    {},
    element("code", { class: "call" }, `${wire.method} ${new URL(wire.url).pathname}`),
    element("span", { class: "status-code" }, String(wire.response.status)),
    element("span", { class: `badge ${kind}` }, KINDS[kind]),
  );
}

// --- what stands in the rows: a name, and two functions that tell what is known by now ---

function callRows(inside, wire, kind) {
  const { request, response } = wire;
  const rows = [];
  const none = () => "None of this page: the client has asked on its own.";
  if (kind === "sealed") {
    rows.push(["Request: seal", inside ? () => requestClaims(inside) : none, () => sealText(request)]);
  }
  if (request.body.size) rows.push(["Request: body", () => describe(inside.body), () => bodyText(request)]);
  if (kind === "sealed") {
    rows.push(["Response: seal", inside ? () => responseClaims(inside) : none, () => sealText(response)]);
  }
  const opened = () => (inside?.response ? openedText(inside.response) : "Nothing: the answer did not open.");
  rows.push(["Response: body", inside ? opened : none, () => bodyText(response)]);
  rows.push(["Headers in clear", () => (kind === "sealed" ? "None: the client believes the seals." : "The same."), () => headText(wire)]);
  return [rows, ["What the page sees", "What the wire carries"]];
}

function handshakeRows({ request, response }) {
  const isAgreed = response.status === 200;
  const kept = "The private halves of both keys stay in the browser, and no script can read them.";
  const checks =
    "It checks the signature, that its key is one of this page’s pins, the bank’s name, and that it answers this hello. Where one is wrong, no other call is made.";
  const rows = [
    ["Hello", () => kept, () => signedText(request.body, "hello")],
    [
      "Reply",
      () => (isAgreed ? checks : "None: the bank did not agree."),
      () => (isAgreed ? signedText(response.body, "session") : bodyText(response)),
    ],
  ];
  return [rows, ["What the page does", "What the wire carries"]];
}

const signedText = (body, name) =>
  body.ended ? pretty(readSigned(JSON.parse(body.text())[name])) : "Nothing yet.";

function requestClaims({ headers, operation, query }) {
  const type = headers.find(([name]) => name === "content-type")?.[1];
  const inner = headers.filter(([name]) => name !== "content-type").map(([name, value]) => [name, shortToken(value)]);
  return pretty({ cty: type, query, headers: inner.length ? inner : undefined, op: operation && base64url(operation.op) });
}

function responseClaims({ response }) {
  if (!response) return "Nothing: the answer did not open.";
  const type = response.headers.find(([name]) => name === "content-type")?.[1];
  const inner = response.headers.filter(([name]) => !["content-type", "content-length"].includes(name));
  return pretty({ status: response.status, cty: type, headers: inner.length ? inner : undefined });
}

function sealText(part) {
  const { header, ciphertext, size } = readSeal(headerOf(part, "sealed"));
  return `Protected header, which anyone can read:\n${pretty(header)}\n\nClaims, ${count(size)} of ciphertext:\n${ciphertext}`;
}

function bodyText({ body }) {
  if (!body.size) return body.ended ? "No body." : "Nothing yet.";
  return body.records ? recordsText(body) : shorten(body.text().trim());
}

function recordsText({ records, size, ended }) {
  const hidden = records.count - records.shown.length;
  const lines = records.shown.map((record, at) => {
    const name = record.final ? "Last record" : `Record ${at + 1}`;
    return `${name}: ${count(record.size)} of ciphertext, ${count(plaintextSize(record.size))} of plaintext\n  ${hex(record.first)} …`;
  });
  if (hidden > 0) lines.splice(12, 0, `… ${hidden} more records …`);
  return [`Records, ${count(size)}${ended ? "" : " so far"}`, ...lines].join("\n");
}

function openedText({ headers, body }) {
  const type = headers.find(([name]) => name === "content-type")?.[1] ?? "";
  if (body === null) return "Events, as they come: see the accounts.";
  if (!body.size) return body.ended ? "No body." : "Nothing yet.";
  if (type.startsWith("application/json")) return describe(body.text());
  return `${count(body.size)}${body.ended ? "" : " so far"}\n${shorten(body.text())}`;
}

function headText({ method, url, request, response }) {
  const { pathname, search } = new URL(url);
  return `${head(`${method} ${pathname}${search}`, request.headers)}\n\n${head(String(response.status), response.headers)}`;
}

function head(first, headers) {
  return [first, ...headers.map(([name, value]) => `${name}: ${name === "sealed" ? "(above)" : value}`)].join("\n");
}

// --- how it is shown ---

function row(name, plain, carried, [plainTitle, carriedTitle]) {
  const plainBox = box(name, plainTitle);
  const carriedBox = box(name, carriedTitle);
  const sides = element("div", { class: "sides" }, side("component", plainTitle, plainBox), side("travels", carriedTitle, carriedBox));
  return {
    element: element("section", { class: "part" }, element("h3", {}, name), sides),
    update() {
      plainBox.textContent = plain();
      carriedBox.textContent = carried();
    },
  };
}

function side(name, title, content) {
  return element("div", { class: `side ${name}` }, element("h4", {}, title), content);
}

// With a tab stop, because a long text scrolls in its box.
const box = (name, title) => element("pre", { tabindex: "0", role: "group", "aria-label": `${name}, ${title.toLowerCase()}` });

/** A header of a request or a response. */
export const headerOf = ({ headers }, wanted) => headers.find(([name]) => name === wanted)?.[1];

function describe(body) {
  if (body instanceof FormData) return [...body].map(describeField).join("\n");
  if (!body) return "No body.";
  try {
    return shorten(JSON.stringify(JSON.parse(body), mask, 2));
  } catch {
    return shorten(body);
  }
}

function describeField([name, value]) {
  return value instanceof File
    ? `${name}: ${value.name}\n  ${value.type || "unknown type"}, ${count(value.size)}`
    : `${name}: ${value}`;
}

// Somebody may look over the customer's shoulder.
function mask(name, value) {
  return name === "password" ? "••••••••" : shortToken(value);
}

const shortToken = (value) =>
  typeof value === "string" ? value.replace(/ey[\w-]+\.[\w-]+\.[\w-]+/, (token) => `${token.slice(0, 24)}…`) : value;

// Pairs, such as headers, on a line each; what is long and tells nothing is cut.
const pretty = (value) =>
  JSON.stringify(value, (name, member) => (name === "kid" ? ticket(member) : member), 2)
    .replace(/\[\s+("[^"\n]*"),\s+("[^"\n]*")\s+\]/g, "[$1, $2]");
const ticket = (kid) => (kid.length > 40 ? `${kid.slice(0, 20)}… ${kid.length} characters` : kid);
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
const count = (bytes) => `${bytes.toLocaleString("en")} ${bytes === 1 ? "byte" : "bytes"}`;

function shorten(text) {
  const more = text.length - MOST_CHARACTERS;
  if (more <= 0) return text;
  return `${text.slice(0, MOST_CHARACTERS)}… and ${more.toLocaleString("en")} more characters`;
}
