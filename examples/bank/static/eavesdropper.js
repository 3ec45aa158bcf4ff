// What a proxy that ends TLS has of this page's calls: all of it, searchable.

import { byId, element } from "./dom.js";

const latin1 = new TextDecoder("latin1");
let captured = [];

/** Keep an exchange as such a proxy would. */
export function seen(exchange) {
  captured.push(everything(exchange));
  byId("seen-rows").append(row(exchange));
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

function row({ method, url, request, response }) {
  const { pathname, search: query } = new URL(url);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, `${method} ${pathname}${query}`),
    element("td", {}, String(response.status)),
    element("td", {}, request.body.length.toLocaleString("en")),
    element("td", {}, response.body.length.toLocaleString("en")),
  );
}

/** All characters of an exchange: as they are, and as they are once base64 has been decoded. */
function everything({ method, url, request, response }) {
  const headers = [...request.headers, ...response.headers].map(([name, value]) => `${name}: ${value}`);
  const bodies = [request.body, response.body].map((body) => latin1.decode(body));
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
  const hits = captured.filter((text) => wanted && text.includes(wanted)).length;
  const many = `${captured.length} ${captured.length === 1 ? "call" : "calls"}`;
  byId("seen-status").textContent = wanted
    ? `“${wanted}” is in ${hits || "none"} of the ${many} that were captured.`
    : `${many} captured.`;
}

byId("seen-search").addEventListener("input", search);
byId("seen-form").addEventListener("submit", (event) => event.preventDefault());
search();
