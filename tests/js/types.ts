// Compiled by test_package.py, and never run: how the types are meant to be used, and what they refuse.
import { connect, ConfigError, GivenUp, NoAnswer, Refusal, SealedError, type Code } from "flask-sealed";
import { openPasswordSession } from "flask-sealed/password";
import { sealedWorker } from "flask-sealed/service-worker";
import { importAes, openLevel3, sealLevel3 } from "flask-sealed/level3";

export async function use(): Promise<number> {
  const api = await connect("https://bank.example", { audience: "https://bank.example", pins: ["A".repeat(43)] });
  const response: Response = await api.fetch("/accounts?name=ada", { sealQuery: true, signal: AbortSignal.timeout(5) });
  const operation = api.operation();
  await api.fetch(new URL("/transfers", "https://bank.example"), { method: "POST", body: new FormData(), operation });
  await api.fetch(new Request("https://bank.example/x"), { pad: true, prove: true });
  const asFetch: typeof fetch = api.fetch;
  await asFetch("/accounts");
  const events = api.eventSource("/events");
  events.onmessage = ({ data, lastEventId }) => data.concat(lastEventId);
  events.addEventListener("price", (event) => event.data.length);
  events.addEventListener("error", ({ error }) => error instanceof SealedError);
  events.close();
  await api.refresh();
  await api.forget();
  return response.status;
}

export function worker(): void {
  sealedWorker({ audience: "bank", pins: ["A".repeat(43)], paths: ["/api/"] });
}

export async function underAPassword(sealed: string): Promise<void> {
  const session = await openPasswordSession(sealed, "correct horse", { audience: "bank" });
  await connect(location.origin, { audience: "bank", session });
}

export async function unpinned(): Promise<void> {
  await connect(location.origin, { audience: "bank", unpinned: true, headers: ["x-mine"], fetch: globalThis.fetch, keep: false });
}

export function tell(error: unknown): Code | number | undefined {
  if (error instanceof GivenUp) return error.code;
  if (error instanceof NoAnswer) return error.claims === "unavailable" ? error.status : 0;
  if (error instanceof Refusal || error instanceof ConfigError) return error.code;
  return undefined;
}

export async function level3(bytes: Uint8Array): Promise<Uint8Array> {
  const key = await importAes(bytes);
  return openLevel3(key, new TextEncoder().encode(await sealLevel3(key, bytes, { contentType: "text/plain" })));
}

export async function refused(): Promise<void> {
  // @ts-expect-error neither pins nor unpinned
  await connect("https://bank.example", { audience: "a" });
  // @ts-expect-error no audience
  await connect("https://bank.example", { pins: [] });
  // @ts-expect-error one pin is no array
  await connect("https://bank.example", { audience: "a", pins: "A" });
  // @ts-expect-error unpinned is said, or left out
  await connect("https://bank.example", { audience: "a", unpinned: false });
  const api = await connect("https://bank.example", { audience: "a", unpinned: true });
  // @ts-expect-error an operation is made by the client
  await api.fetch("/", { operation: "x" });
}
