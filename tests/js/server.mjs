// A service for tests of the client: the server's side of the protocol, behind a function like `fetch`.
import * as sealed from "./core.mjs";

export const AUDIENCE = "https://bank.example";
const { subtle } = globalThis.crypto;
const utf8 = (text) => new TextEncoder().encode(text);
const json = (value) => utf8(JSON.stringify(value));
export const decode = (part) => JSON.parse(Buffer.from(part, "base64url").toString());
const bytesOf = (part) => new Uint8Array(Buffer.from(part, "base64url"));
const join = (...parts) => new Uint8Array(Buffer.concat(parts));

export function problem(code, status, more = {}) {
  const body = { type: `urn:flask-sealed:${code}`, title: "t", status, detail: "d", ...more };
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json" } });
}

/** The routes are sealed; each has a view, which is given what has been opened. */
export class Server {
  /** All that came: { url, init, hello, header, payload }. */
  seen = [];
  /** Changes answers on their way; it is given what was seen, too. */
  onTheWay = (response) => response;
  lifetime = 3600;
  kem = false;
  time = () => 1_800_000_000;
  tickets = new Map();
  views = new Map();
  routes = [];

  static async make() {
    const server = new Server();
    server.identity = await subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    const { kty, crv, x } = await subtle.exportKey("jwk", server.identity.publicKey);
    server.jwk = { kty, crv, x };
    server.pin = sealed.b64u(await sealed.thumbprint(server.jwk));
    server.route("/sealed/routes", () => ({ content: json({ routes: server.routes }), cty: "application/json" }));
    return server;
  }

  route(path, view, { methods = ["GET", "HEAD", "POST", "PUT"], ...row } = {}) {
    this.views.set(path, view);
    this.routes.push({ path, methods, profile: "session", request: true, response: true, once: false, kem: false, ...row });
    return this;
  }

  connect(options) {
    return sealed.connect(AUDIENCE, { audience: AUDIENCE, pins: [this.pin], fetch: this.fetch, ...options });
  }

  handshakes = () => this.seen.filter(({ hello }) => hello);
  to = (path) => this.seen.filter(({ url }) => new URL(url).pathname === path);

  fetch = async (input, init = {}) => {
    const request = new Request(input, init);
    const body = new Uint8Array(await request.arrayBuffer());
    const one = { url: request.url, method: request.method, headers: request.headers, body, init };
    this.seen.push(one);
    request.signal.throwIfAborted();
    return this.onTheWay(await this.#answer(one), one);
  };

  #answer(one) {
    const { pathname } = new URL(one.url);
    if (pathname === "/sealed/session") return this.#agree(one);
    const field = one.headers.get("sealed");
    return this.views.has(pathname) && field ? this.#exchange(one, field, pathname) : new Response("in clear");
  }

  async #agree(one) {
    const { hello } = JSON.parse(new TextDecoder().decode(one.body));
    one.hello = decode(hello.split(".")[1]);
    const pair = await subtle.generateKey("X25519", false, ["deriveBits"]);
    const theirs = await subtle.importKey("jwk", one.hello.epk, "X25519", false, []);
    const z = new Uint8Array(await subtle.deriveBits({ name: "X25519", public: theirs }, pair.privateKey, 256));
    const { kty, crv, x } = await subtle.exportKey("jwk", pair.publicKey);
    const identity = await sealed.thumbprint(this.jwk);
    const { secret, kem } = await this.#encapsulate(one.hello);
    const said = { hello, iss: AUDIENCE, identity, epk: bytesOf(x), kem };
    const ticket = (one.ticket = sealed.b64u(sealed.systemRandom(122)));
    this.tickets.set(ticket, await sealed.importSecret(await sealed.sessionSecret(join(z, secret), said)));
    const digest = sealed.b64u(new Uint8Array(await subtle.digest("SHA-256", utf8(hello))));
    const iat = this.time();
    const payload = { iss: AUDIENCE, iat, exp: iat + this.lifetime, hello: digest, epk: { kty, crv, x }, ticket };
    if (kem.length) payload.kem = sealed.b64u(kem);
    const header = { alg: "EdDSA", typ: "sealed-session+jws", jwk: this.jwk };
    const signed = [header, payload].map((part) => sealed.b64u(json(part))).join(".");
    const signature = await subtle.sign("Ed25519", this.identity.privateKey, utf8(signed));
    return Response.json({ session: `${signed}.${sealed.b64u(new Uint8Array(signature))}` });
  }

  async #encapsulate({ kem }) {
    if (!this.kem || !kem) return { secret: new Uint8Array(), kem: new Uint8Array() };
    const theirs = await subtle.importKey("raw-public", bytesOf(kem), "ML-KEM-768", false, ["encapsulateBits"]);
    const { sharedKey, ciphertext } = await subtle.encapsulateBits("ML-KEM-768", theirs);
    return { secret: new Uint8Array(sharedKey), kem: new Uint8Array(ciphertext) };
  }

  async #exchange(one, field, path) {
    const [head, , iv, ciphertext, tag] = field.split(".");
    one.header = decode(head);
    const secret = this.tickets.get(one.header.kid);
    if (!secret) return problem("session-unknown", 401);
    const jti = bytesOf(one.header.jti);
    const keys = await this.#half(secret, "request", jti);
    const algorithm = { name: "AES-GCM", iv: bytesOf(iv), additionalData: utf8(head) };
    const payload = await subtle.decrypt(algorithm, keys.seal, join(bytesOf(ciphertext), bytesOf(tag)));
    one.payload = JSON.parse(new TextDecoder().decode(payload));
    const isEnvelope = one.header.body === "envelope";
    one.content = isEnvelope && (await sealed.openEnvelope(keys.body, one.body, utf8("envelope")));
    return this.#seal(secret, jti, await this.views.get(path)(one));
  }

  async #half(secret, half, salt) {
    const bits = await sealed.deriveHalf(secret, half, salt, AUDIENCE);
    const [seal, body] = await Promise.all([bits.slice(0, 32), bits.slice(32, 64)].map(sealed.importAes));
    return { seal, body, nonce: bits.slice(64) };
  }

  /** `records` are sealed as they are, without the end where `cut`. */
  async #seal(secret, jti, { status = 200, headers, content, cty, records, cut = false }) {
    const rsalt = sealed.systemRandom(16);
    const keys = await this.#half(secret, "response", join(jti, rsalt));
    const body = records ? "records" : content && "envelope";
    const start = { alg: "dir", enc: "A256GCM", typ: "sealed-response" };
    const head = sealed.b64u(json({ ...start, jti: sealed.b64u(jti), rsalt: sealed.b64u(rsalt), body }));
    const iv = sealed.systemRandom(12);
    const algorithm = { name: "AES-GCM", iv, additionalData: utf8(head) };
    const text = new Uint8Array(await subtle.encrypt(algorithm, keys.seal, json({ status, headers, cty })));
    const parts = [iv, text.slice(0, -16), text.slice(-16)].map(sealed.b64u);
    const sent = records
      ? await this.#records(keys, records, cut)
      : content && (await sealed.sealEnvelope(keys.body, content, sealed.systemRandom(12), utf8("envelope")));
    return new Response(sent, { headers: { sealed: `${head}..${parts.join(".")}` } });
  }

  async #records({ body, nonce }, records, cut) {
    const sealer = new sealed.RecordSealer(body, nonce);
    const pieces = [];
    for (const record of records) pieces.push(Buffer.concat(await sealer.push(record)));
    if (!cut) pieces.push(Buffer.concat(await sealer.finish()));
    return new ReadableStream({
      pull(controller) {
        if (pieces.length) controller.enqueue(pieces.shift());
        else controller.close();
      },
    });
  }
}
