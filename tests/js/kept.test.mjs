// Sessions that stay: over a service and a store that do as a test wants.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Clock, ConfigError, NoAnswer } from "../../flask_sealed/js/sealed.js";
import { IDBKeyRange, makeIndexedDB } from "./indexeddb.mjs";
import { AUDIENCE, Server } from "./server.mjs";

const utf8 = (text) => new TextEncoder().encode(text);
const CARD = { content: utf8('{"cardLast4":"4242"}'), cty: "application/json" };
const POST = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
const { generateKey } = crypto.subtle;
const later = setTimeout;

globalThis.IDBKeyRange = IDBKeyRange;
beforeEach(() => {
  // What the client waits for a store at the most is no reason for the tests not to end.
  globalThis.setTimeout = (work, time) => (time > 1000 ? later(work, time).unref() : later(work, time));
  globalThis.indexedDB = makeIndexedDB();
  delete crypto.subtle.generateKey;
});

const withoutKem = () => {
  crypto.subtle.generateKey = function (algorithm, ...rest) {
    if (algorithm.name === "ML-KEM-768") return Promise.reject(new Error("none"));
    return generateKey.call(this, algorithm, ...rest);
  };
};

/** A service that demands freshness, as the real one does; and pages, of which each has a clock of its own. */
async function service() {
  const server = await Server.make();
  server.kem = true;
  const hand = { now: 1_800_000_000 };
  server.time = () => hand.now;
  const fresh = (view) => (one) => (one.header.iat < hand.now - 60 || one.header.iat > hand.now + 10 ? stale(hand.now) : view(one));
  for (const [path, view] of server.views) server.views.set(path, fresh(view));
  server.route("/card", fresh(() => CARD));
  /** `ahead`: by how many seconds the wall clock is wrong. */
  const page = ({ ahead = 0, ...options } = {}) => {
    const begun = hand.now;
    return server.connect({ clock: new Clock(() => hand.now - begun, () => hand.now - 100_000_000 + ahead), ...options });
  };
  return { server, hand, page };
}

function stale(server_time) {
  const body = { type: "urn:flask-sealed:stale", title: "t", status: 400, detail: "d", server_time };
  return { status: 400, cty: "application/problem+json", content: utf8(JSON.stringify(body)) };
}

// In turns and not in milliseconds, which a busy machine may have between two of them.
const settled = async () => {
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
};
const sessions = () => [...indexedDB.rows.keys()].filter((name) => name.startsWith("["));

test("a later page, and another tab, have the session that there is", async () => {
  const { server, hand, page } = await service();
  const first = await page();
  hand.now += 1000;
  const second = await page();
  for (const api of [first, second, await page()]) assert.equal((await api.fetch("/card", POST)).status, 200);
  assert.equal(server.handshakes().length, 1);
  assert.equal(new Set(server.to("/card").map(({ header }) => header.kid)).size, 1);
});

test("pages that trust others, or another service, have sessions of their own", async () => {
  const { server, page } = await service();
  await page();
  const others = [{ pins: [server.pin, "A".repeat(43)] }, { pins: undefined, unpinned: true }, { prefix: "/other" }];
  const made = server.handshakes().length;
  for (const options of others) await page(options).catch(() => {});
  assert.equal(server.handshakes().length, made + 2);
  assert.equal(server.to("/other/session").length, 1);
  for (const options of [{}, ...others.slice(0, 2)]) await page(options);
  assert.equal(server.handshakes().length, made + 2);
});

test("an unpinned page leaves nothing to a pinned one", async () => {
  const [{ server, page }, other] = [await service(), await Server.make()];
  await page({ pins: undefined, unpinned: true });
  await assert.rejects(page({ pins: [other.pin] }), { code: "refused" });
  assert.equal(server.handshakes().length, 2);
});

test("what is not to be kept is not", async () => {
  const { server, page } = await service();
  await page({ keep: false });
  await settled();
  assert.deepEqual([...indexedDB.rows.keys()], [JSON.stringify(AUDIENCE)]); // the client's own key
  await page();
  await page({ keep: false });
  assert.equal(server.handshakes().length, 3);
});

test("nothing unsafe is sealed by the wall clock", async () => {
  const { server, hand, page } = await service();
  await page();
  for (const ahead of [-1800, -69, -9, 0, 9, 11, 1800]) {
    server.seen.length = 0;
    const api = await page({ ahead });
    hand.now += 1;
    await api.fetch("/card", POST);
    for (const { header } of server.to("/card")) assert.ok(header.iat <= hand.now, `${ahead}: ${header.iat - hand.now}`);
    assert.equal((await api.fetch("/card", POST)).status, 200);
  }
});

test("a list that was held back tells nothing of the time", async () => {
  const { server, hand, page } = await service();
  await page();
  let held = 600;
  // It comes to the service when its time has come. Meanwhile the page's clock has gone on, as far ahead as before.
  const fetch = (...asked) => {
    [hand.now, held] = [hand.now + held, 0];
    return server.fetch(...asked);
  };
  const api = await page({ ahead: 600, fetch });
  await api.fetch("/card", POST);
  assert.equal(server.handshakes().length, 1);
  assert.equal(server.to("/sealed/routes").length, 2);
  assert.deepEqual(server.to("/card").map(({ header }) => header.iat), [hand.now - 10]);
});

test("a session that the service does not know is made anew by each tab, and the last one is kept", async () => {
  const { server, hand, page } = await service();
  const [one, other] = [await page(), await page()];
  server.tickets.clear();
  for (const api of [one, other, one, other]) assert.equal((await api.fetch("/card")).status, 200);
  assert.equal(server.handshakes().length, 3);
  await settled();
  assert.equal((await (await page()).fetch("/card")).status, 200);
  assert.equal(server.handshakes().length, 3);
  hand.now += 3541;
  for (const api of [one, other]) await api.fetch("/card");
  assert.equal(server.handshakes().length, 4);
});

test("a later page finds out that the service does not know it", async () => {
  const { server, page } = await service();
  await page();
  server.tickets.clear();
  assert.equal((await (await page()).fetch("/card")).status, 200);
  await page();
  assert.equal(server.handshakes().length, 2);
});

test("before its end it is renewed, once for all tabs", async () => {
  const { server, hand, page } = await service();
  const one = await page();
  hand.now += 1000;
  const other = await page();
  hand.now += 2541;
  for (const api of [other, one]) assert.equal((await api.fetch("/card", POST)).status, 200);
  assert.equal(server.handshakes().length, 2);
  const { ticket } = server.handshakes().at(-1);
  assert.deepEqual(server.to("/card").map(({ header }) => header.kid), [ticket, ticket]);
});

test("what is over is removed, of whatever pins", async () => {
  const { server, hand, page } = await service();
  await page();
  await page({ pins: undefined, unpinned: true });
  await settled();
  assert.equal(sessions().length, 2);
  hand.now += 3541;
  await page();
  await settled();
  assert.deepEqual(sessions(), [JSON.stringify([AUDIENCE, `${AUDIENCE}/sealed/session`, [server.pin]])]);
});

test("a wall clock that was set back past its making has a new one made", async () => {
  const { server, page } = await service();
  await page();
  await page({ ahead: -1 });
  assert.equal(server.handshakes().length, 2);
});

test("forgotten, it is over for this page and for later ones", async () => {
  const { server, page } = await service();
  const [one, other] = [await page(), await page({ pins: undefined, unpinned: true })];
  await one.forget();
  assert.deepEqual(sessions(), []);
  assert.equal([...indexedDB.rows.keys()].length, 1); // the client's own key
  await one.fetch("/card");
  await other.fetch("/card");
  await page();
  assert.equal(server.handshakes().length, 3);
});

test("forgotten while it is being made, it is not kept either", async () => {
  const { server, page } = await service();
  const api = await page();
  server.tickets.clear();
  let made;
  const making = new Promise((resolve) => (made = resolve));
  server.onTheWay = (response, { url }) => {
    if (url.endsWith("/session")) made();
    return response;
  };
  const asked = api.fetch("/card");
  await making;
  await api.forget();
  await asked;
  await settled();
  assert.deepEqual(sessions(), []);
});

test("without ML-KEM-768 it stays where the browser has none, and until it has", async () => {
  const { server, page } = await service();
  server.kem = false;
  await page();
  await page();
  assert.equal(server.handshakes().length, 2);
  withoutKem();
  await page();
  await page();
  assert.equal(server.handshakes().length, 3);
  delete crypto.subtle.generateKey;
  await page();
  assert.equal(server.handshakes().length, 4);
});

test("a page that had ML-KEM-768 takes no session without it", async () => {
  const { server, hand, page } = await service();
  withoutKem();
  await page();
  delete crypto.subtle.generateKey;
  await settled();
  const [[name, weak]] = [...indexedDB.rows].filter(([key]) => key.startsWith("["));
  const api = await page();
  hand.now += 3541;
  indexedDB.rows.set(name, { ...weak, since: weak.since + 3541 });
  withoutKem();
  await assert.rejects(api.fetch("/card"), ConfigError);
  assert.equal(server.handshakes().length, 2);
});

test("a kept one with ML-KEM-768 binds the page that takes it", async () => {
  const { server, page } = await service();
  await page();
  const api = await page();
  withoutKem();
  server.tickets.clear();
  await assert.rejects(api.fetch("/card"), ConfigError);
});

/** A browser whose store does not answer, and whose seconds are short. */
function never(store) {
  store.open = () => ({});
  globalThis.setTimeout = (work, time) => later(work, time / 1000);
}

test("what cannot be removed is told, and over for this page", async () => {
  const { server, page } = await service();
  const api = await page();
  never(indexedDB);
  await assert.rejects(api.forget(), NoAnswer);
  await api.fetch("/card");
  assert.equal(server.handshakes().length, 2);
});

for (const [name, fail] of [
  ["there is none", (store) => delete globalThis.indexedDB],
  ["it may not be used", (store) => (store.open = () => { throw new DOMException("no", "SecurityError"); })],
  ["it does not open", (store) => (store.open = () => { const request = {}; queueMicrotask(() => request.onerror(new Event("error"))); return request; })],
  ["another has made it", (store) => (store.open = () => { const request = { result: { transaction() { throw new DOMException("no", "NotFoundError"); }, close() {} } }; queueMicrotask(() => request.onsuccess()); return request; })],
  ["it never answers", never],
  ["something else is in it", (store) => (store.rows.get = (key) => (key.startsWith("[") ? { since: "x" } : undefined))],
]) {
  test(`a page works without a store: ${name}`, async () => {
    const { server, page } = await service();
    fail(indexedDB);
    const first = await page();
    assert.equal((await first.fetch("/card")).status, 200);
    if (!globalThis.indexedDB) await first.forget(); // there is nothing to remove
    assert.equal((await (await page()).fetch("/card")).status, 200);
    assert.equal(server.handshakes().length, 2);
  });
}
