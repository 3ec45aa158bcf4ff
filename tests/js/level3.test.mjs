// The vectors that Python reads too, opened by the bank's client on WebCrypto.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { importKey, open, seal } from "../../examples/bank/static/level3.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/level3.json", import.meta.url), "utf8"));
const key = await importKey(vectors.key);
const hex = (bytes) => Buffer.from(bytes).toString("hex");

for (const vector of vectors.valid) {
  test(`opens: ${vector.name}`, async () => {
    const { data } = JSON.parse(vector.envelope);
    assert.equal(hex(await open(key, data, vector.aad)), vector.plaintext);
  });
}

for (const vector of vectors.invalid.filter(({ refusal }) => refusal === "refused")) {
  test(`refuses: ${vector.name}`, async () => {
    const { data } = JSON.parse(vector.envelope);
    await assert.rejects(open(key, data, vector.aad), { name: "OperationError" });
  });
}

test("opens what it has sealed", async () => {
  const plaintext = new TextEncoder().encode("Zoë");
  assert.equal(hex(await open(key, await seal(key, plaintext, "text/plain"), "text/plain")), hex(plaintext));
});
