// Express, and Express with the article's code: microseconds a request by size, as JSON.
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

const app = express();
app.use(express.json({ limit: "100mb" }));
app.post("/clear", (request, response) => response.json(request.body));
app.post("/sealed", (request, response) => response.json({ data: encrypt(decrypt(request.body.data)) }));
const server = app.listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function post(path, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": body.length };
    const request = http.request({ port: server.address().port, host: "127.0.0.1", path, method: "POST", headers, agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`));
      response.on("data", () => {}).on("end", resolve);
    });
    request.on("error", reject).end(body);
  });
}

const result = { "Express, in clear": {}, "Express, the article's code": {} };
for (const size of JSON.parse(process.argv[2])) {
  const data = { filler: "x".repeat(size - 13) };
  const rows = [
    ["Express, in clear", "/clear", Buffer.from(JSON.stringify(data))],
    ["Express, the article's code", "/sealed", Buffer.from(JSON.stringify({ data: encrypt(data) }))],
  ];
  const calls = Math.max(2, Math.min(300, Math.floor(3e6 / (size + 2000))));
  const times = rows.map(() => []);
  for (let round = 0; round < 9; round++) {
    for (const [at, [, path, body]] of rows.entries()) {
      await post(path, body);
      const start = process.hrtime.bigint();
      for (let call = 0; call < calls; call++) await post(path, body);
      times[at].push(Number(process.hrtime.bigint() - start) / calls / 1000);
    }
  }
  for (const [at, [name]] of rows.entries()) result[name][size] = times[at].sort((a, b) => a - b)[4];
}
console.log(JSON.stringify(result));
process.exit(0);
