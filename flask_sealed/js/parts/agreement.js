// Loaded where no session is kept: agrees on one, keeps it, and keeps the client's own key.
import { answered, readAll, untrusted } from "../core/answers.js";
import { SLOWEST_REPLY } from "../core/clock.js";
import { kemKeys, subtle } from "../core/crypto.js";
import { unb64u } from "../core/encoding.js";
import { ConfigError, configured, NoAnswer } from "../core/errors.js";
import { inStore } from "../core/store.js";
import { ECDH, ED25519, ES256, finishHandshake, helloBody, MOST_REPLY, sayHello, X25519 } from "./handshake.js";

const EARLIER = 60; // seconds before its end, a session is renewed

const generate = (algorithm, ...uses) => subtle.generateKey(algorithm, false, uses);

/** Makes a session. `memory` has what earlier ones of this page had. */
export async function agree({ audience, pins, clock, name, ...service }, memory) {
  const [binding, ephemeral, kem] = await Promise.all([
    (memory.binding ??= bindingKey(audience)),
    generate(X25519, "deriveBits").catch(() => generate(ECDH, "deriveBits")),
    kemKeys(),
  ]);
  // No hello is weaker than an earlier one.
  configured(kem || !memory.hadKem, "ML-KEM-768 has gone");
  memory.hadKem = kem !== null;
  const handshake = await sayHello(audience, binding, { pins: readPins(pins), ephemeral, kem });
  const [start, since] = [clock.now(), clock.wall()];
  const body = await ask(service, helloBody(handshake));
  const session = await finishHandshake(handshake, { status: 200, body, took: clock.now() - start });
  clock.set(session.iat);
  const lifetime = session.exp - session.iat;
  const lasts = Math.max(lifetime - EARLIER, lifetime / 2);
  // Without ML-KEM-768 where this browser has it, the next page may be given a better one.
  if (name && (session.kem || !kem)) keepSession(name, { ...session, since, lasts });
  return { ...session, until: start + lasts };
}

function readPins(pins = null) {
  try {
    return pins && pins.map((pin) => unb64u(pin, 32));
  } catch {
    throw new ConfigError("`pins` is an array of thumbprints, each 43 characters of base64url");
  }
}

async function ask({ fetch, url, credentials }, body) {
  const signal = AbortSignal.timeout(1000 * SLOWEST_REPLY);
  const headers = { "content-type": "application/json" };
  const response = await answered(
    fetch(url, { method: "POST", headers, body, signal, credentials, redirect: "manual", cache: "no-store" }),
  );
  if (response.status !== 200) throw await untrusted(response);
  return readAll(response, MOST_REPLY);
}

// ----------------------------------------------------------------------------------------- keeping

/** The client's own key, kept for all tabs and later visits; for this page alone where there is no IndexedDB. */
async function bindingKey(audience) {
  const made = await generate(ED25519, "sign", "verify").catch(() => generate(ES256, "sign", "verify"));
  // In one transaction, so that two tabs have one key.
  const kept = inStore("readwrite", (store, transaction) => {
    const found = store.get(audience);
    found.onsuccess = () => found.result ?? put(store, made, audience, transaction);
    return found;
  });
  return (await kept.catch(() => null)) ?? made;
}

function put(store, value, name, transaction) {
  try {
    store.put(value, name);
  } catch {
    transaction.abort(); // A browser that cannot store this kind of key.
  }
}

/** For later pages and other tabs. None of them depends on it. */
function keepSession(name, session) {
  const kept = inStore("readwrite", (store) => {
    removeEnded(store, session.since);
    return store.put(session, name);
  });
  kept.catch(() => {});
}

/** Of any service and pins. */
function removeEnded(store, now) {
  const sessions = store.openCursor(IDBKeyRange.lowerBound([]));
  sessions.onsuccess = () => {
    const { result: found } = sessions;
    if (!found) return;
    const { since, lasts } = found.value;
    if (since > now || since + lasts < now) found.delete();
    found.continue();
  };
}

/** Of what is kept, the sessions of one service, whatever the pins; and the one that is being made. */
export async function remove({ audience, url }, making) {
  await making?.catch(() => {});
  if (!globalThis.indexedDB) return;
  const theirs = IDBKeyRange.bound([audience, url], [audience, url, [[]]]); // lists come after texts
  await inStore("readwrite", (store) => store.delete(theirs)).catch(() => {
    throw new NoAnswer("not removed");
  });
}
