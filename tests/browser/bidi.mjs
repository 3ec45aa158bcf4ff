// Runs functions in a page of a browser that speaks WebDriver BiDi: `node bidi.mjs ws://… http://page`.
// On standard input lines of JSON, [source of a function, argument]; on standard output a line for each.
import { createInterface } from "node:readline";

const [address, page] = process.argv.slice(2);
const socket = new WebSocket(`${address}/session`);
await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));

const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, ...said } = JSON.parse(data);
  waiting.get(id)?.(said);
};

let last = 0;
async function command(method, params) {
  const id = ++last;
  const answer = new Promise((resolve) => waiting.set(id, resolve));
  socket.send(JSON.stringify({ id, method, params }));
  const { type, result, ...fault } = await answer;
  if (type !== "success") throw new Error(`${method}: ${JSON.stringify(fault)}`);
  return result;
}

await command("session.new", { capabilities: {} });
const { context } = await command("browsingContext.create", { type: "tab" });
await command("browsingContext.navigate", { context, url: page, wait: "complete" });

for await (const line of createInterface({ input: process.stdin })) {
  const [source, argument] = JSON.parse(line);
  // Through JSON, both ways.
  const functionDeclaration = `async (argument) => JSON.stringify(await (${source})(JSON.parse(argument)))`;
  const given = [{ type: "string", value: JSON.stringify(argument) }];
  const asked = { functionDeclaration, arguments: given, target: { context }, awaitPromise: true };
  const { result, exceptionDetails } = await command("script.callFunction", asked);
  console.log(JSON.stringify(exceptionDetails ? { error: exceptionDetails.text } : { value: JSON.parse(result.value ?? "null") }));
}
await command("browsingContext.close", { context });
await command("session.end", {});
socket.close();
