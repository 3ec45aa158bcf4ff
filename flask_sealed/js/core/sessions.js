// Sessions, agreed on when they are needed; and the client's own key, kept across pages.
import { answered, readAll, untrusted } from "./answers.js";
import { subtle } from "./crypto.js";
import { configured } from "./errors.js";
import {
  ECDH, ED25519, ES256, finishHandshake, helloBody, ML_KEM, MOST_REPLY, sayHello, SLOWEST_REPLY, X25519,
} from "./handshake.js";

const EARLIER = 60; // seconds before its end, a session is renewed
const BINDINGS = "bindings";

const generate = (algorithm, ...uses) => subtle.generateKey(algorithm, false, uses);

/** The client's own key, kept for all tabs and later visits; for this page alone where there is no IndexedDB. */
async function bindingKey(audience) {
  const made = await generate(ED25519, "sign", "verify").catch(() => generate(ES256, "sign", "verify"));
  return keepOrGet(audience, made).catch(() => made);
}

/** In one transaction, so that two tabs have one key. */
function keepOrGet(audience, made) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("flask-sealed", 1);
    opening.onerror = reject;
    opening.onupgradeneeded = () => opening.result.createObjectStore(BINDINGS);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(BINDINGS, "readwrite");
      const store = transaction.objectStore(BINDINGS);
      const found = store.get(audience);
      found.onsuccess = () => found.result ?? keep(store, audience, made, transaction);
      transaction.oncomplete = () => (database.close(), resolve(found.result ?? made));
      transaction.onabort = reject;
    };
  });
}

function keep(store, audience, made, transaction) {
  try {
    store.put(made, audience);
  } catch {
    transaction.abort(); // A browser that cannot store this kind of key.
  }
}

/** Agrees on sessions when they are needed, once for all who wait. */
export class Sessions {
  #options;
  #session = null;
  #agreeing = null;
  #binding = null;
  #hadKem = false;

  constructor(options) {
    this.#options = options;
  }

  get() {
    const session = this.#session;
    if (session && this.#options.clock.now() < session.until) return session;
    this.#agreeing ??= this.#agree().finally(() => (this.#agreeing = null));
    return this.#agreeing;
  }

  forget(session) {
    if (this.#session === session) this.#session = null;
  }

  async #agree() {
    const { audience, pins, clock } = this.#options;
    const [binding, ephemeral, kem] = await Promise.all([
      (this.#binding ??= bindingKey(audience)),
      generate(X25519, "deriveBits").catch(() => generate(ECDH, "deriveBits")),
      generate(ML_KEM, "decapsulateBits").catch(() => null),
    ]);
    // No hello is weaker than an earlier one.
    configured(kem || !this.#hadKem, "ML-KEM-768 has gone");
    this.#hadKem = kem !== null;
    const handshake = await sayHello(audience, binding, { pins, ephemeral, kem });
    const start = clock.now();
    const body = await this.#ask(helloBody(handshake));
    const session = await finishHandshake(handshake, { status: 200, body, took: clock.now() - start });
    clock.set(session.iat);
    const lifetime = session.exp - session.iat;
    this.#session = { ...session, until: start + Math.max(lifetime - EARLIER, lifetime / 2) };
    return this.#session;
  }

  async #ask(body) {
    const { fetch, url, credentials } = this.#options;
    const signal = AbortSignal.timeout(1000 * SLOWEST_REPLY);
    const headers = { "content-type": "application/json" };
    const response = await answered(
      fetch(url, { method: "POST", headers, body, signal, credentials, redirect: "manual", cache: "no-store" }),
    );
    if (response.status !== 200) throw await untrusted(response);
    return readAll(response, MOST_REPLY);
  }
}
