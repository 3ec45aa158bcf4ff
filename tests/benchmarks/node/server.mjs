// Express, and Express with the article's code: microseconds a request and bytes on the wire by size, as JSON.
import crypto from "node:crypto";
import http from "node:http";
import express from "express";

const KEY = crypto.randomBytes(32);

function encrypt(data) {
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv("aes-256-gcm", KEY, iv);
  const enc = Buffer.concat([cipher.update(JSON.stringify(data), "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), enc]).toString("base64");
}

function decrypt(payload) {
  const buffer = Buffer.from(payload, "base64");
  const decipher = crypto.createDecipheriv("aes-256-gcm", KEY, buffer.subarray(0, 12));
  decipher.setAuthTag(buffer.subarray(12, 28));
  return JSON.parse(Buffer.concat([decipher.update(buffer.subarray(28)), decipher.final()]).toString("utf8"));
}

const [sizes, turns, limit] = JSON.parse(process.argv[2]);
const app = express();
app.use(express.json({ limit }));
app.post("/clear", (request, response) => response.json(request.body));
app.post("/sealed", (request, response) => response.json({ data: encrypt(decrypt(request.body.data)) }));
const server = app.listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function post(path, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": body.length };
    const request = http.request({ port: server.address().port, host: "127.0.0.1", path, method: "POST", headers, agent }, (response) => {
      let wire = body.length;
      if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`));
      response.on("data", (piece) => (wire += piece.length)).on("end", () => resolve(wire));
    });
    request.on("error", reject).end(body);
  });
}

const result = [{ times: {}, wire: {} }, { times: {}, wire: {} }];
for (const size of sizes) {
  const data = { filler: crypto.randomBytes(size).toString("base64").slice(0, size - 13) };
  const rows = [
    ["/clear", Buffer.from(JSON.stringify(data))],
    ["/sealed", Buffer.from(JSON.stringify({ data: encrypt(data) }))],
  ];
  const calls = Math.max(1, Math.min(300, Math.floor(3e6 / (size + 2000))));
  const times = rows.map(() => []);
  // The largest take seconds each.
  for (let turn = 0; turn < (size < 1e8 ? turns : Math.ceil(turns / 3)); turn++) {
    for (const [at, [path, body]] of rows.entries()) {
      if (turn === 0 || calls > 1) result[at].wire[size] = await post(path, body);
      const start = process.hrtime.bigint();
      for (let call = 0; call < calls; call++) await post(path, body);
      times[at].push(Number(process.hrtime.bigint() - start) / calls / 1000);
    }
  }
  for (const [at, all] of times.entries()) result[at].times[size] = all.sort((a, b) => a - b)[all.length >> 1];
}
console.log(JSON.stringify(result));
process.exit(0);
