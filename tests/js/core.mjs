// What is inside the client, for tests.
import { hkdf } from "../../flask_sealed/js/core/crypto.js";
import { b64u } from "../../flask_sealed/js/core/encoding.js";
import { openBody } from "../../flask_sealed/js/core/exchange.js";
import { openStream } from "../../flask_sealed/js/parts/records.js";

export * from "../../flask_sealed/js/core/crypto.js";
export * from "../../flask_sealed/js/core/encoding.js";
export * from "../../flask_sealed/js/core/envelope.js";
export * from "../../flask_sealed/js/core/exchange.js";
export * from "../../flask_sealed/js/parts/handshake.js";
export * from "../../flask_sealed/js/parts/padding.js";
export * from "../../flask_sealed/js/parts/records.js";
export * from "../../flask_sealed/js/parts/secrets.js";
export * from "../../flask_sealed/js/sealed.js";

/** The content of a body that is there as a whole, in either form. */
export async function openWhole(opened, body) {
  if (opened.body !== "records" || body.length === 0) return openBody(opened, body);
  const stream = await openStream(opened);
  return new Uint8Array(Buffer.concat([...(await stream.push(body)), ...(await stream.finish())]));
}

/** What the server calls a session. The client has no use for it. */
export const sessionId = async (secret) =>
  b64u(await hkdf(secret, new Uint8Array(32), new TextEncoder().encode("flask-sealed/1 sid\0"), 16));
