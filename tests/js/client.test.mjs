// The client over a service that answers as a test wants: what attackers and accidents make of answers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock, ConfigError, connect, GivenUp, NoAnswer } from "../../flask_sealed/js/sealed.js";
import { AUDIENCE, decode, problem, Server } from "./server.mjs";

const utf8 = (text) => new TextEncoder().encode(text);
const CARD = { content: utf8('{"cardLast4":"4242"}'), cty: "application/json" };
const POST = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };

async function service(options) {
  const server = await Server.make();
  server.route("/card", () => CARD);
  return { server, api: await server.connect(options) };
}

/** What a view that is not fresh enough answers. */
function stale(server_time, status = 400) {
  const body = { type: "urn:flask-sealed:stale", title: "t", status: 400, detail: "d", server_time };
  return { status, cty: "application/problem+json", content: utf8(JSON.stringify(body)) };
}

/** Changes the answers of one path only. */
const change = (server, path, work) =>
  (server.onTheWay = (response, one) => (new URL(one.url).pathname === path ? work(response, one) : response));

const withSeal = (response, seal, body = response.body) => new Response(body, { headers: { sealed: seal } });

/** A clock that the test moves; the machine sleeps where only the wall clock goes on. */
function hands(server) {
  const hand = { monotonic: 1000, wall: 1_700_000_000 };
  const go = (seconds, { asleep = false } = {}) => {
    if (!asleep) hand.monotonic += seconds;
    hand.wall += seconds;
  };
  const start = hand.wall;
  server.time = () => Math.floor(1_800_000_000 + hand.wall - start);
  return { go, clock: new Clock(() => hand.monotonic, () => hand.wall) };
}

async function timed() {
  const server = await Server.make();
  server.route("/card", () => CARD);
  const { go, clock } = hands(server);
  return { server, go, clock, api: await server.connect({ clock }) };
}

test("an ordinary response", async () => {
  const { server, api } = await service();
  server.route("/moved", () => ({ ...CARD, status: 404, headers: [["x-a", "b"]] }));
  await api.refresh();
  const response = await api.fetch("/moved");
  assert.deepEqual([response.status, response.ok, response.headers.get("x-a")], [404, false, "b"]);
  assert.deepEqual(await response.json(), { cardLast4: "4242" });
  assert.deepEqual([response.url, response.redirected], [`${AUDIENCE}/moved`, false]);
});

test("fetch works without its object", async () => {
  const { fetch } = (await service()).api;
  assert.equal((await fetch("/card")).status, 200);
});

test("the outer status says nothing", async () => {
  const { server, api } = await service();
  change(server, "/card", (answer) => new Response(answer.body, { status: 500, headers: answer.headers }));
  assert.equal((await api.fetch("/card")).status, 200);
});

test("what is listed travels in the seal", async () => {
  const { server, api } = await service({ headers: ["X-Mine"] });
  const headers = { authorization: "Bearer t", accept: "text/plain", "x-mine": "a", "x-other": "b" };
  await api.fetch("/card?shown=1", { ...POST, headers });
  await api.fetch("/card?hidden=1", { sealQuery: true });
  const [shown, hidden] = server.to("/card");
  assert.deepEqual(Object.fromEntries(shown.payload.headers), { accept: "text/plain", authorization: "Bearer t", "x-mine": "a" });
  for (const name of ["authorization", "accept", "x-mine"]) assert.ok(!new Headers(shown.init.headers).has(name), name);
  assert.equal(shown.headers.get("x-other"), "b");
  assert.equal(shown.header.target, "/card?shown=1");
  assert.deepEqual([hidden.url, hidden.header.target, hidden.payload.query], [`${AUDIENCE}/card`, "/card", "hidden=1"]);
});

for (const [name, settle] of [
  ["the seal", (response) => withSeal(response, response.headers.get("sealed").replace(/..$/, "AA"))],
  ["the envelope", async (response) => withSeal(response, response.headers.get("sealed"), (await response.text()).replace(/......"}$/, 'AAAA=="}'))],
]) {
  test(`refuses a change of ${name}`, async () => {
    const { server, api } = await service();
    change(server, "/card", settle);
    await assert.rejects(api.fetch("/card"), { code: "refused" });
  });
}

test("refuses an answer of another exchange", async () => {
  const { server, api } = await service();
  let first;
  change(server, "/card", (response) => (first ??= response).clone());
  await api.fetch("/card");
  await assert.rejects(api.fetch("/card"), { code: "refused" });
});

for (const status of [200, 302, 400, 502]) {
  test(`refuses an answer in clear: ${status}`, async () => {
    const { server, api } = await service();
    change(server, "/card", () => new Response('{"cardLast4":"1111"}', { status, headers: { location: "/x" } }));
    await assert.rejects(api.fetch("/card"), (error) => {
      assert.ok(error instanceof NoAnswer);
      assert.deepEqual([error.code, error.status, error.claims], ["no-answer", status, undefined]);
      return true;
    });
    assert.equal(server.to("/card").length, 1);
  });
}

for (const code of ["refused", "unavailable", "stale", "replayed"]) {
  test(`tells what a refusal in clear claims, and does nothing about it: ${code}`, async () => {
    const { server, api } = await service();
    change(server, "/card", () => problem(code, 400, code === "stale" ? { server_time: 5 } : {}));
    await assert.rejects(api.fetch("/card", POST), { code: "no-answer", claims: code });
    assert.equal(server.to("/card").length, 1);
    server.onTheWay = (response) => response;
    await api.fetch("/card");
    assert.ok(server.to("/card")[1].header.iat >= 1_800_000_000);
    assert.equal(server.handshakes().length, 1);
  });
}

test("an unknown session: one handshake, the same operation, another seal", async () => {
  const { server, api } = await service();
  server.tickets.clear();
  assert.equal((await api.fetch("/card", POST)).status, 200);
  const [first, second] = server.to("/card");
  assert.equal(server.handshakes().length, 2);
  assert.notEqual(first.header.jti, second.header.jti);
  assert.equal(second.payload.op.length, 22);
});

test("a forged one costs one handshake, and no second operation", async () => {
  const { server, api } = await service();
  change(server, "/card", () => problem("session-unknown", 401));
  await assert.rejects(api.fetch("/card", POST), { code: "no-answer", claims: "session-unknown" });
  const [first, second, ...more] = server.to("/card");
  assert.deepEqual(more, []);
  assert.equal(first.payload.op, second.payload.op);
  assert.equal(server.handshakes().length, 2);
});

test("many calls at once share a handshake", async () => {
  const { server, api } = await service();
  server.tickets.clear();
  const responses = await Promise.all(Array.from({ length: 20 }, () => api.fetch("/card", POST)));
  assert.ok(responses.every(({ status }) => status === 200));
  assert.equal(server.handshakes().length, 2);
  const opened = server.to("/card").filter(({ payload }) => payload);
  assert.equal(new Set(opened.map(({ payload }) => payload.op)).size, 20);
  assert.equal(new Set(server.to("/card").map(({ header }) => header.jti)).size, 40);
});

test("a view in clear that a template matches", async () => {
  const { server, api } = await service();
  server.route("/users/{name}", () => CARD);
  server.routes.push({ path: "/users/none", methods: ["GET"], profile: "clear" });
  await api.refresh();
  assert.equal(await (await api.fetch("/users/none")).text(), "in clear");
  for (const [path, init] of [["/users/none/"], ["//users/none"], ["/users/%6eone"], ["/users/none", POST], ["/users/ada"]]) {
    await assert.rejects(api.fetch(AUDIENCE + path, init), NoAnswer);
  }
});

test("a list is believed for one session", async () => {
  const { server, api } = await service();
  assert.equal(await (await api.fetch("/later")).text(), "in clear");
  server.route("/later", () => CARD);
  server.tickets.clear();
  assert.deepEqual(await (await api.fetch("/card")).json(), { cardLast4: "4242" }); // in a new session
  const responses = await Promise.all([1, 2, 3].map(() => api.fetch("/later")));
  assert.deepEqual(await responses[2].json(), { cardLast4: "4242" });
  assert.equal(server.to("/sealed/routes").length, 2);
  assert.equal(server.to("/later").filter(({ payload }) => !payload).length, 1); // the first one
});

test("a sealed stale moves the clock, once", async () => {
  const { server, go, api } = await timed();
  let told = 1;
  server.route("/transfers", () => (told-- > 0 ? stale(1_800_000_060 + told) : CARD));
  await api.refresh();
  go(5);
  assert.equal((await api.fetch("/transfers", POST)).status, 200);
  const [first, second] = server.to("/transfers");
  assert.deepEqual([first.header.iat, second.header.iat], [1_800_000_005, 1_800_000_060]);
  assert.equal(first.payload.op, second.payload.op);
  told = 5;
  assert.equal((await api.fetch("/transfers")).status, 400);
  assert.equal(server.to("/transfers").length, 4);
});

test("what only looks like stale is an answer", async () => {
  const { server, api } = await service();
  server.route("/like", () => stale(5, 200));
  await api.refresh();
  assert.equal((await api.fetch("/like")).status, 200);
  assert.equal(server.to("/like").length, 1);
});

test("sealed refusals are answers", async () => {
  const { server, api } = await service();
  server.route("/transfers", async () => ({ status: 409, cty: "application/problem+json", content: utf8(await problem("replayed", 409).text()) }));
  await api.refresh();
  const response = await api.fetch("/transfers", POST);
  assert.deepEqual([response.status, (await response.json()).type], [409, "urn:flask-sealed:replayed"]);
  assert.equal(server.to("/transfers").length, 1);
});

test("identities that are not pinned", async () => {
  const [server, other] = [await Server.make(), await Server.make()];
  await assert.rejects(server.connect({ pins: [other.pin] }), { code: "refused" });
  await server.connect({ pins: [other.pin, server.pin] });
  await server.connect({ pins: undefined, unpinned: true });
  assert.deepEqual(server.handshakes().map(({ hello }) => hello.pins), [[other.pin], [other.pin, server.pin], undefined]);
});

for (const [name, base, options] of [
  ["no pins", AUDIENCE, { pins: undefined }],
  ["null", AUDIENCE, { pins: null }],
  ["both", AUDIENCE, { unpinned: true }],
  ["no array", AUDIENCE, { pins: "A".repeat(43) }],
  ["none in it", AUDIENCE, { pins: [] }],
  ["short pins", AUDIENCE, { pins: ["AAAA"] }],
  ["no audience", AUDIENCE, { audience: "" }],
  ["plain HTTP", "http://bank.example", {}],
]) {
  test(`options that are not right: ${name}`, async () => {
    const server = await Server.make();
    const given = { audience: AUDIENCE, pins: [server.pin], fetch: server.fetch, ...options };
    await assert.rejects(connect(base, given), ConfigError);
    assert.deepEqual(server.seen, []);
  });
}

test("no hello is weaker than the one before", async () => {
  const { server, api } = await service();
  server.tickets.clear();
  change(server, "/sealed/session", () => problem("malformed", 400));
  await assert.rejects(api.fetch("/card"), { code: "no-answer", claims: "malformed" });
  server.onTheWay = (response) => response;
  await api.fetch("/card");
  const hellos = server.handshakes().map(({ hello }) => hello);
  assert.equal(hellos.length, 3);
  for (const { pins, kem } of hellos) assert.deepEqual([pins, kem.length], [[server.pin], 1579]);
});

test("ML-KEM that has gone is no reason for a weaker hello", async (t) => {
  const { server, api } = await service();
  server.tickets.clear();
  const { generateKey } = crypto.subtle;
  t.after(() => delete crypto.subtle.generateKey);
  crypto.subtle.generateKey = function (algorithm, ...rest) {
    if (algorithm.name === "ML-KEM-768") return Promise.reject(new Error("gone"));
    return generateKey.call(this, algorithm, ...rest);
  };
  await assert.rejects(api.fetch("/card"), ConfigError);
  assert.equal(server.handshakes().length, 1);
});

test("an answer that comes late does not cost the next session", async () => {
  const { server, api } = await service();
  server.tickets.clear();
  const release = [];
  change(server, "/card", (response) => {
    if (release.length) return response;
    return new Promise((resolve) => release.push(() => resolve(response)));
  });
  const slow = api.fetch("/card");
  while (!release.length) await new Promise((resolve) => setTimeout(resolve, 1));
  await api.fetch("/card");
  release[0]();
  await slow;
  assert.equal(server.handshakes().length, 2);
});

test("nothing is followed or kept on its own", async () => {
  const { server, api } = await service();
  await api.fetch("/card", POST);
  assert.equal(server.seen.length, 3);
  for (const { init } of server.seen) assert.deepEqual([init.redirect, init.cache], ["manual", "no-store"]);
});

test("a session is renewed before it is over", async () => {
  const { server, go, api } = await timed();
  go(3500);
  await api.fetch("/card");
  assert.equal(server.handshakes().length, 1);
  go(41);
  await Promise.all([api.fetch("/card"), api.fetch("/card")]);
  assert.equal(server.handshakes().length, 2);
});

test("a session ends while the machine sleeps, too", async () => {
  const { server, go, api } = await timed();
  go(3600, { asleep: true });
  await api.fetch("/card");
  assert.equal(server.handshakes().length, 2);
});

test("the server's time may lag, and never leads", async () => {
  const server = await Server.make();
  server.route("/card", () => CARD);
  const { go, clock } = hands(server);
  change(server, "/sealed/session", (response) => (go(8), response));
  const api = await server.connect({ clock });
  await api.fetch("/card");
  assert.equal(server.to("/card")[0].header.iat, server.time() - 8);
});

test("a reply that took too long", async () => {
  const server = await Server.make();
  const { go, clock } = hands(server);
  change(server, "/sealed/session", (response) => (go(11), response));
  await assert.rejects(server.connect({ clock }), { code: "no-answer" });
});

test("an operation keeps its name, for two minutes", async () => {
  const { server, go, api } = await timed();
  const operation = api.operation();
  change(server, "/card", () => {
    throw new TypeError("the network is gone");
  });
  await assert.rejects(api.fetch("/card", { ...POST, operation }), { code: "no-answer" });
  server.onTheWay = (response) => response;
  go(119);
  await api.fetch("/card", { ...POST, operation });
  const [first, second] = server.to("/card");
  assert.equal(first.payload.op, second.payload.op);
  go(2);
  await assert.rejects(api.fetch("/card", { ...POST, operation }), GivenUp);
  assert.equal(server.to("/card").length, 2);
});

test("an operation is given up while the machine sleeps", async () => {
  const { server, go, api } = await timed();
  const operation = api.operation();
  await api.fetch("/card", { ...POST, operation });
  go(121, { asleep: true });
  await assert.rejects(api.fetch("/card", { ...POST, operation }), { code: "given-up" });
  assert.equal(server.to("/card").length, 1);
});

test("an operation is given up where only the server has noticed the time", async () => {
  const { server, api, clock } = await timed();
  const operation = api.operation();
  await api.fetch("/card", { ...POST, operation });
  const late = clock.serverTime() + 130;
  server.route("/late", () => stale(late));
  await api.refresh();
  await assert.rejects(api.fetch("/late", { ...POST, operation }), { code: "given-up" });
  assert.equal(server.to("/late").length, 1);
});

test("a redirect stays sealed", async () => {
  const { server, api } = await service();
  server.route("/go", () => ({ status: 307, headers: [["location", "/card?secret=1"]] }));
  await api.refresh();
  const response = await api.fetch("/go", POST);
  assert.deepEqual([response.redirected, response.url], [true, `${AUDIENCE}/card?secret=1`]);
  const [[first], [second]] = [server.to("/go"), server.to("/card")];
  assert.deepEqual([second.method, second.url, second.payload.query], ["POST", `${AUDIENCE}/card`, "secret=1"]);
  assert.notEqual(first.payload.op, second.payload.op);
});

for (const [status, method, expected] of [
  [301, "POST", "GET"],
  [302, "POST", "GET"],
  [303, "PUT", "GET"],
  [302, "PUT", "PUT"],
  [308, "PUT", "PUT"],
  [303, "HEAD", "HEAD"],
]) {
  test(`a ${status} after ${method}`, async () => {
    const { server, api } = await service();
    server.route("/go", () => ({ status, headers: [["location", "/card"]] }));
    server.route("/card", () => ({}));
    await api.refresh();
    await api.fetch("/go", { ...(method === "HEAD" ? {} : POST), method });
    const [{ method: followed, header }] = server.to("/card");
    assert.deepEqual([followed, header.body], [expected, expected === "PUT" ? "envelope" : undefined]);
  });
}

for (const location of ["https://elsewhere.example/card", "//card", "https://bank.example//card", "/unsealed", "http://bank.example/card", "http://["]) {
  test(`does not follow to ${location}`, async () => {
    const { server, api } = await service();
    server.route("/go", () => ({ status: 302, headers: [["location", location]] }));
    await api.refresh();
    const before = server.seen.length;
    const response = await api.fetch("/go");
    assert.deepEqual([response.status, response.headers.get("location")], [302, location]);
    assert.equal(server.seen.length, before + 1);
  });
}

test("redirects end", async () => {
  const { server, api } = await service();
  server.route("/go", () => ({ status: 302, headers: [["location", "/go"]] }));
  await api.refresh();
  assert.equal((await api.fetch("/go")).status, 302);
  assert.equal(server.to("/go").length, 21);
});

test("who aborts leaves the handshake to the others", async () => {
  const { server, api } = await service();
  server.tickets.clear();
  await assert.rejects(api.fetch("/card", { signal: AbortSignal.abort() }), { name: "AbortError" });
  const controller = new AbortController();
  change(server, "/sealed/session", (response) => (controller.abort(), response));
  const [first, second] = await Promise.allSettled([
    api.fetch("/card", { signal: controller.signal }),
    api.fetch("/card"),
  ]);
  assert.deepEqual([first.reason?.name, second.value?.status], ["AbortError", 200]);
});

async function streamed(view) {
  const { server, api } = await service();
  server.route("/stream", view);
  await api.refresh();
  return { server, api, response: await api.fetch("/stream") };
}

test("a stream", async () => {
  const { response } = await streamed(() => ({ records: [utf8("one, "), utf8("two")] }));
  assert.equal(await response.text(), "one, two");
});

test("a stream that was cut gives what came, and an error", async () => {
  const { response } = await streamed(() => ({ records: [utf8("one"), utf8("two")], cut: true }));
  const reader = response.body.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "one");
  assert.equal(new TextDecoder().decode((await reader.read()).value), "two");
  await assert.rejects(reader.read(), { code: "malformed" });
});

test("a stream that was changed", async () => {
  const { server, api } = await streamed(() => ({ records: [utf8("one")] }));
  change(server, "/stream", async (response) => {
    const body = new Uint8Array(await response.arrayBuffer());
    body[5] ^= 1;
    return withSeal(response, response.headers.get("sealed"), body);
  });
  const response = await api.fetch("/stream");
  await assert.rejects(response.text(), { code: "refused" });
});

test("a stream without any body", async () => {
  const { server, api } = await streamed(() => ({ records: [utf8("one")] }));
  change(server, "/stream", (response) => withSeal(response, response.headers.get("sealed"), null));
  await assert.rejects((await api.fetch("/stream")).text(), { code: "malformed" });
});

test("what is not on the list goes in clear, with a proof beside a token", async () => {
  const { server, api } = await service();
  assert.equal(await (await api.fetch("/offers")).text(), "in clear");
  const headers = { authorization: "Bearer t" };
  await api.fetch("/offers?a=b", { headers });
  await api.fetch("/offers", { method: "POST", body: "{}", headers });
  await api.fetch("/offers", { prove: true });
  const [plain, get, post, proved] = server.to("/offers");
  assert.equal(plain.headers.get("sealed"), null);
  const seals = [get, post, proved].map((one) => decode(one.headers.get("sealed").split(".")[0]));
  assert.deepEqual(seals.map(({ htm, target, body }) => [htm, target, body]), [
    ["GET", "/offers?a=b", undefined],
    ["POST", "/offers", undefined],
    ["GET", "/offers", undefined],
  ]);
  assert.equal(get.headers.get("authorization"), "Bearer t");
  assert.equal(new TextDecoder().decode(post.body), "{}");
});

test("a proof of a session that is unknown", async () => {
  const { server, api } = await service();
  change(server, "/offers", (response, one) => (server.to("/offers").length > 1 ? response : problem("session-unknown", 401)));
  const response = await api.fetch("/offers", { ...POST, headers: { authorization: "Bearer t" } });
  assert.equal(await response.text(), "in clear");
  assert.deepEqual(server.to("/offers").map(({ body }) => new TextDecoder().decode(body)), ["{}", "{}"]);
  assert.equal(server.handshakes().length, 2);
});

test("a proof is tried again once", async () => {
  const { server, api } = await service();
  change(server, "/offers", () => problem("session-unknown", 401));
  assert.equal((await api.fetch("/offers", { prove: true })).status, 401);
  assert.equal(server.to("/offers").length, 2);
});

test("which paths are sealed", async () => {
  const { server, api } = await service();
  for (const path of ["/users/{id}", "/files/{+path}", "/a.b", "/%C3%A4/"]) server.route(path, () => CARD);
  server.route("/level3", () => CARD, { profile: "level3" });
  server.route("/read", () => CARD, { methods: ["GET"] });
  await api.refresh();
  const isSealed = async (path, init) => {
    await api.fetch(path, init).catch(() => {});
    return server.seen.at(-1).headers.has("sealed");
  };
  for (const path of ["/users/7", "/users/7/", "/files/a/b", "/a.b", "/ä", "/%c3%a4/", "/card/", "/c%61rd", "/x/../card", "/users//7"]) {
    assert.ok(await isSealed(path), path);
  }
  for (const path of ["/users", "/users/7/8", "/files", "/axb", "/level3", "/cards"]) {
    assert.ok(!(await isSealed(path)), path);
  }
  assert.ok(await isSealed("/read"));
  assert.ok(!(await isSealed("/read", { method: "POST" })));
});

test("a view that takes each request once", async () => {
  const { server, api } = await service();
  server.route("/once", () => CARD, { once: true });
  await api.refresh();
  await api.fetch("/once");
  await api.fetch("/card");
  assert.equal(server.to("/once")[0].payload.op.length, 22);
  assert.equal(server.to("/card")[0].payload.op, undefined);
});

test("another origin is the caller's mistake", async () => {
  const { api } = await service();
  await assert.rejects(api.fetch("https://elsewhere.example/card"), ConfigError);
  await assert.rejects(api.fetch("/card", { integrity: "sha256-AAAA" }), ConfigError);
});

test("bodies: envelopes, and records where they are large or come from a Blob", async () => {
  const { server, api } = await service();
  const bodies = ["{}", new URLSearchParams("a=b"), Uint8Array.of(1), new Blob(["x"]), new FormData(), new Uint8Array(2 ** 20 + 1)];
  for (const body of bodies) await api.fetch("/card", { method: "POST", body });
  const seen = server.to("/card");
  assert.deepEqual(
    seen.map(({ header, headers }) => [header.body, headers.get("content-type")]),
    [0, 0, 0, 1, 1, 1].map((isRecords) =>
      isRecords ? ["records", "application/vnd.flask-sealed.records"] : ["envelope", "application/json"],
    ),
  );
  assert.deepEqual(seen.map(({ payload }) => payload.cty.replace(/=.*/, "=")), [
    "text/plain;charset=",
    "application/x-www-form-urlencoded;charset=",
    "application/octet-stream",
    "application/octet-stream",
    "multipart/form-data; boundary=",
    "application/octet-stream",
  ]);
  assert.equal(seen.at(-1).payload.length, 2 ** 20 + 1);
});

test("events, and their parts", async () => {
  const { server, api } = await service();
  const text = "data: a\r\ndata\r\n\r\nid: 7\nevent: b\rdata:c\r\r: no\ndata:  d\nid: \0\nretry: x\n\nevent: lost\n\ndata: cut";
  const records = Array.from(utf8(text), (byte) => Uint8Array.of(byte));
  server.route("/events", () => ({ records, cty: "text/event-stream; charset=utf-8" }));
  await api.refresh();
  const source = api.eventSource("/events");
  const seen = [];
  const take = ({ type, data, lastEventId, origin }) => seen.push([type, data, lastEventId, origin]);
  source.addEventListener("b", take);
  source.addEventListener("lost", take);
  source.onmessage = take;
  await new Promise((resolve) => (source.onerror = resolve));
  source.close();
  assert.deepEqual(seen, [["message", "a\n", "", AUDIENCE], ["b", "c", "7", AUDIENCE], ["message", " d", "7", AUDIENCE]]);
  assert.equal(source.retry, 3000);
});

for (const headers of [[], ["last-event-id"]]) {
  test(`the last event's name goes out ${headers.length ? "sealed" : "not at all"}`, async () => {
    const { server, api } = await service({ headers });
    server.route("/events", () => ({ records: [utf8("retry: 1\nid: secret\ndata: a\n\n")], cty: "text/event-stream" }));
    await api.refresh();
    const source = api.eventSource("/events");
    while (server.to("/events").filter(({ payload }) => payload).length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    source.close();
    const [, again] = server.to("/events");
    assert.ok(!again.headers.has("last-event-id"));
    assert.equal(Object.fromEntries(again.payload.headers)["last-event-id"], headers.length ? "secret" : undefined);
  });
}
