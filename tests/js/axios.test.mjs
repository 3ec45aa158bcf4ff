// The adapter for axios, over a service that answers as a test wants.
import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import { test } from "node:test";

import axios, { AxiosError, AxiosHeaders, CanceledError } from "axios";

import { AUDIENCE, problem, Server } from "./server.mjs";

// The adapter finds axios where an application has it: here, beside this test.
const here = import.meta.url;
const resolve = (specifier, context, next) =>
  next(specifier, specifier === "axios" ? { ...context, parentURL: here } : context);
registerHooks({ resolve });
const { sealedAdapter } = await import("../../flask_sealed/js/axios.js");
const { Clock, SealedError } = await import("../../flask_sealed/js/sealed.js");

const json = (value) => new TextEncoder().encode(JSON.stringify(value));
const asked = ({ url, payload, content, headers }) => ({
  target: new URL(url).pathname + new URL(url).search,
  type: payload.cty,
  query: payload.query,
  headers: Object.fromEntries(payload.headers ?? []),
  body: content && new TextDecoder().decode(content),
  outside: headers.get("x-outside"),
});
const ECHO = (one) => ({ content: json(asked(one)), cty: "application/json", headers: [["x-inside", "y"]] });

async function service(options) {
  const server = await Server.make();
  server.route("/echo", ECHO);
  const api = await server.connect();
  const http = axios.create({ baseURL: AUDIENCE, adapter: sealedAdapter(api), ...options });
  return { server, http, api };
}

async function failure(promise) {
  const error = await promise.then(() => assert.fail("it was answered"), (reason) => reason);
  assert(axios.isAxiosError(error));
  return error;
}

test("a response of axios", async () => {
  const { http } = await service();
  const response = await http.get("/echo");
  assert.equal(response.data.target, "/echo");
  assert.equal(response.status, 200);
  assert(response.headers instanceof AxiosHeaders);
  assert.equal(response.headers.get("x-inside"), "y");
  assert.equal(response.config.baseURL, AUDIENCE);
});

test("parameters, headers and JSON", async () => {
  const { http, server } = await service();
  const headers = { Authorization: "Bearer t", "x-outside": "out" };
  const { data } = await http.post("/echo", { to: "Zoë" }, { params: { a: [1, 2] }, headers });
  assert.equal(data.target, "/echo?a%5B%5D=1&a%5B%5D=2");
  assert.equal(data.body, '{"to":"Zoë"}');
  assert.equal(data.type, "application/json");
  assert.deepEqual([data.headers.authorization, data.outside], ["Bearer t", "out"]);
  assert.equal(server.to("/echo")[0].headers.get("authorization"), null);
});

test("a serializer of parameters, and basic authentication", async () => {
  const { http } = await service();
  const paramsSerializer = (params) => `all=${Object.keys(params)}`;
  const auth = { username: "ada", password: "x" };
  const { data } = await http.get("/echo", { params: { a: 1, b: 2 }, paramsSerializer, auth });
  assert.equal(data.target, "/echo?all=a,b");
  assert.equal(data.headers.authorization, `Basic ${btoa("ada:x")}`);
});

test("options of a call", async () => {
  const { http } = await service();
  const fetchOptions = { sealQuery: true };
  const { data } = await http.get("/echo", { params: { a: 1 }, fetchOptions });
  assert.deepEqual([data.target, data.query], ["/echo", "a=1"]);
});

test("an operation grows old, though axios copies it", async () => {
  const server = await Server.make();
  server.route("/echo", ECHO);
  let now = 1000;
  const api = await server.connect({ clock: new Clock(() => now, () => now) });
  server.time = () => 1_800_000_000 + now - 1000;
  const http = axios.create({ baseURL: AUDIENCE, adapter: sealedAdapter(api) });
  const fetchOptions = { operation: api.operation() };
  const post = () => http.post("/echo", {}, { fetchOptions });
  await post();
  now += 119;
  await post();
  const [first, second] = server.to("/echo").map(({ payload }) => payload.op);
  assert.equal(first, second);
  now += 2;
  assert.equal((await failure(post())).code, "given-up");
});

test("types of responses", async () => {
  const { http } = await service();
  const of = async (responseType) => (await http.get("/echo", { responseType })).data;
  const text = await of("text");
  assert.equal(JSON.parse(text).target, "/echo");
  assert.equal(new TextDecoder().decode(await of("arraybuffer")), text);
  assert.equal(await (await of("blob")).text(), text);
  assert.equal(await new Response(await of("stream")).text(), text);
});

test("what axios makes of requests and responses", async () => {
  const { http } = await service();
  const transformRequest = [(data) => `<${data}>`];
  const transformResponse = [(text) => ({ seen: JSON.parse(text).body })];
  const { data } = await http.post("/echo", "x", { transformRequest, transformResponse });
  assert.deepEqual(data, { seen: "<x>" });
});

test("a status that came sealed", async () => {
  const { http, server, api } = await service();
  server.route("/none", () => ({ status: 404, content: json({ error: "none" }), cty: "application/json" }));
  await api.refresh();
  const error = await failure(http.get("/none"));
  assert.deepEqual([error.status, error.code], [404, AxiosError.ERR_BAD_REQUEST]);
  assert.deepEqual([error.response.status, error.response.data], [404, { error: "none" }]);
  const { status } = await http.get("/none", { validateStatus: (one) => one === 404 });
  assert.equal(status, 404);
});

test("an answer in clear has neither response nor status", async () => {
  const { http, server } = await service();
  server.onTheWay = () => problem("unavailable", 503);
  const error = await failure(http.get("/echo"));
  assert.deepEqual([error.code, error.status, error.response], ["no-answer", undefined, undefined]);
  assert(error.cause instanceof SealedError);
  assert.equal(error.cause.claims, "unavailable");
});

test("another service", async () => {
  const { http } = await service();
  const error = await failure(http.get("https://elsewhere.example/"));
  assert.equal(error.code, "config");
});

test("cancelled by a signal, a token, and time", async () => {
  const { http, server } = await service();
  // Never answered, and ended as `fetch` ends it.
  server.onTheWay = (_, { init: { signal } }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const controller = new AbortController();
  const source = axios.CancelToken.source();
  const cancelled = [
    failure(http.get("/echo", { signal: controller.signal })),
    failure(http.get("/echo", { cancelToken: source.token })),
    failure(http.get("/echo", { timeout: 50 })),
  ];
  await new Promise((tick) => setTimeout(tick, 20));
  controller.abort();
  source.cancel();
  const [first, second, late] = await Promise.all(cancelled);
  assert(first instanceof CanceledError && second instanceof CanceledError);
  assert.equal(late.code, AxiosError.ETIMEDOUT);
});

test("progress of a download", async () => {
  const { http, server, api } = await service();
  const records = [new Uint8Array(60_000), new Uint8Array(60_000)];
  server.route("/large", () => ({ records, cty: "application/octet-stream" }));
  await api.refresh();
  const seen = [];
  const onDownloadProgress = ({ loaded, download }) => seen.push([loaded, download]);
  const { data } = await http.get("/large", { responseType: "arraybuffer", onDownloadProgress });
  assert.equal(data.byteLength, 120_000);
  assert.deepEqual(seen.at(-1), [120_000, true]);
});

test("a download that is cut", async () => {
  const { http, server, api } = await service();
  server.route("/cut", () => ({ records: [new Uint8Array(10)], cut: true, cty: "text/plain" }));
  await api.refresh();
  const error = await failure(http.get("/cut", { responseType: "arraybuffer" }));
  assert.equal(error.response, undefined);
});

test("a form", async () => {
  const { http } = await service();
  const form = new FormData();
  form.set("name", "Ada");
  // In a browser, axios knows by itself.
  const headers = { "content-type": "multipart/form-data" };
  const { data } = await http.post("/echo", form, { headers });
  assert.match(data.type, /^multipart\/form-data; boundary=/);
  assert.match(data.body, /name="name"\r\n\r\nAda\r\n/);
});

test("several clients", async () => {
  const [one, other] = [await service(), await service()];
  await Promise.all([one.http.get("/echo"), other.http.get("/echo")]);
  assert.deepEqual([one.server.to("/echo").length, other.server.to("/echo").length], [1, 1]);
});
