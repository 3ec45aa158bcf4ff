// Bytes, strict base64, and the JSON of this protocol.
import { demand, Malformed } from "./errors.js";

export const NONE = new Uint8Array(0);

const encoder = new TextEncoder();
/** ignoreBOM keeps the mark, so that what reads the text stumbles over it. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The length as 2 bytes, and the bytes. */
export const lv = (bytes) => join([bytes.length >> 8, bytes.length & 255], bytes);

/** Nothing here is secret: thumbprints and names. */
export const equal = (a, b) => String(a) === String(b);

// ------------------------------------------------------------------------------------------ base64

/** Base64 with padding (RFC 4648, section 4). */
export function b64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** No way of decoding minds bits behind the last byte; two spellings of one value are one too many. */
const BASE64 = /^[A-Za-z0-9+/]*(?:[AEIMQUYcgkosw048]=|[AQgw]==)?$/;

/** The one form of base64 with padding. */
export function unb64(text) {
  demand(text.length % 4 === 0 && BASE64.test(text), "base64");
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Base64url without padding. */
export const b64u = (bytes) => b64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** The one form of base64url without padding. */
export function unb64u(text, length) {
  demand(/^[\w-]*$/.test(text) && text.length % 4 !== 1, "base64");
  const bytes = unb64(text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat(-text.length & 3));
  demand(length === undefined || bytes.length === length, "base64");
  return bytes;
}

// -------------------------------------------------------------------------------------------- JSON

const STRING = '"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"';
const STRINGS = new RegExp(STRING, "g");
const STRINGS_AND_SPACE = new RegExp(`${STRING}|\\s+`, "g");

/** Text between the braces and brackets of one level. */
const INNERMOST = /[[{][^[\]{}]*[\]}]/g;

/** Objects, arrays, strings, integers, three levels deep at most, and no member twice. */
export function readJson(bytes) {
  try {
    const text = decoder.decode(bytes);
    const value = JSON.parse(text);
    let shape = text.replace(STRINGS, '""');
    demand(!/[^[\]{},:"\d\s]/.test(shape));
    for (let level = 0; level < 3; level++) shape = shape.replace(INNERMOST, "");
    demand(!/[[{]/.test(shape));
    // JSON.parse keeps the last of two members of one name, and rounds. So it is written anew, and compared.
    demand(JSON.stringify(value) === text.replace(STRINGS_AND_SPACE, (token) => (token[0] === '"' ? again(token) : "")));
    return value;
  } catch {
    throw new Malformed("not well-formed: JSON");
  }
}

function again(token) {
  const string = JSON.parse(token);
  demand(string.isWellFormed());
  return JSON.stringify(string);
}

function kindOf(value) {
  if (Array.isArray(value)) return "array";
  return Number.isSafeInteger(value) ? "integer" : typeof value;
}

/** A closed set: every member is known, and of its kind. */
export function closed(value, required, optional) {
  demand(kindOf(value) === "object", "JSON");
  const known = { ...required, ...optional };
  for (const [name, member] of Object.entries(value)) {
    demand(Object.hasOwn(known, name) && kindOf(member) === known[name], `JSON, ${name}`);
  }
  for (const name in required) demand(Object.hasOwn(value, name), `JSON, ${name}`);
  return value;
}

export const readObject = (bytes, required, optional) => closed(readJson(bytes), required, optional);

export const writeJson = (value) => utf8(JSON.stringify(value));
