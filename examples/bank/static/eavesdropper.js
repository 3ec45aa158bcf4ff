// What a proxy that ends TLS has of this page's calls: all of it, searchable.

import { byId, element } from "./dom.js";
import { headerOf, kindOf } from "./wire.js";

const READS = { handshake: "Public keys", sealed: "Ciphertext", clear: "Everything" };
let captured = [];

/** Keep an exchange as such a proxy would. Its answer may still be coming. */
export function seen(exchange) {
  captured.push(exchange);
  const [up, down] = [element("td"), element("td")];
  const update = () => {
    up.textContent = sizeOf(exchange.request).toLocaleString("en");
    down.textContent = sizeOf(exchange.response).toLocaleString("en");
  };
  exchange.response.body.onChange(update);
  update();
  byId("seen-rows").prepend(row(exchange, up, down));
  byId("seen-table").hidden = false;
  search();
}

/** Forget all. */
export function clearSeen() {
  captured = [];
  byId("seen-rows").replaceChildren();
  byId("seen-table").hidden = true;
  search();
}

/** Of the seal and the body. */
const sizeOf = (part) => (headerOf(part, "sealed")?.length ?? 0) + part.body.size;

function row(exchange, up, down) {
  const { method, url, response } = exchange;
  const kind = kindOf(exchange);
  const { pathname, search: query } = new URL(url);
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      `${method} ${pathname}${query} `,
      element("span", { class: `badge ${kind}` }, READS[kind]),
    ),
    element("td", {}, String(response.status)),
    up,
    down,
  );
}

/** All characters of an exchange: as they are, and as they are once base64 has been decoded. */
function everything({ method, url, request, response }) {
  const headers = [...request.headers, ...response.headers].map(([name, value]) => `${name}: ${value}`);
  const bodies = [request.body, response.body].map((body) => body.text("latin1"));
  const text = [`${method} ${decodeURIComponent(url)}`, ...headers, ...bodies].join("\n");
  return `${text}\n${decoded(text)}`.toLowerCase();
}

function decoded(text) {
  const runs = text.match(/[A-Za-z0-9+/_-]{8,}/g) ?? [];
  return runs.map((run) => {
    const whole = run.slice(0, run.length - (run.length % 4));
    return atob(whole.replaceAll("-", "+").replaceAll("_", "/"));
  }).join("\n");
}

function search() {
  const wanted = byId("seen-search").value.trim().toLowerCase();
  const hits = captured.filter((exchange) => wanted && everything(exchange).includes(wanted)).length;
  const many = `${captured.length} ${captured.length === 1 ? "call" : "calls"}`;
  byId("seen-status").textContent = wanted
    ? `“${wanted}” is in ${hits || "none"} of the ${many} that were captured.`
    : `${many} captured.`;
}

byId("seen-search").addEventListener("input", search);
byId("seen-form").addEventListener("submit", (event) => event.preventDefault());
search();
