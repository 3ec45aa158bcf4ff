// The page of the lab: calls the application in each way that it can be called from a browser.

import { importAes, openLevel3, sealLevel3 } from "/js/level3.js";
import { connect } from "/sealed/client.js";

const TYPE = "sealed-content-type";
const JSON_TYPE = "application/json";
const PATIENCE = 120_000; // milliseconds

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** What the tests call: it answers status and text, or null where no answer came to its end. */
export async function begin({ audience, pins, key }) {
  const api = await connect(location.origin, { audience, pins, headers: ["x-note"], sealQuery: true });
  const aes = await importAes(bytes(key));
  const ways = { open: fetch, level3: (url, init) => fetchLevel3(aes, url, init) };
  return async (path, url, { body, ...init }) => {
    const call = ways[path] ?? api.fetch.bind(api);
    const more = { body: body === null ? undefined : bytes(body), signal: AbortSignal.timeout(PATIENCE) };
    try {
      const response = await call(url, { ...init, ...more });
      return [response.status, await textOf(response)];
    } catch {
      return null;
    }
  };
}

/** Of what is live, only how it begins. */
async function textOf(response) {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response.text();
  const reader = response.body.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value);
}

async function fetchLevel3(key, url, { headers, body, ...init }) {
  const sent = new Headers(headers);
  if (body) {
    const contentType = sent.get("content-type");
    body = await sealLevel3(key, body, { contentType });
    sent.set("content-type", JSON_TYPE);
    if (contentType !== JSON_TYPE) sent.set(TYPE, contentType);
  }
  const response = await fetch(url, { ...init, headers: sent, body });
  const envelope = new Uint8Array(await response.arrayBuffer());
  const content = await openLevel3(key, envelope, response.headers.get(TYPE) ?? undefined);
  return new Response(content, { status: response.status });
}
