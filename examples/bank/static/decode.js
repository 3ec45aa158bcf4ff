// What anyone can read of a sealed message without a key: its form.

const utf8 = new TextDecoder();

/** A seal in its parts, each as anyone can read it. Nothing but the first is in clear. */
export function decodeSeal(seal) {
  const [header, , iv, ciphertext, tag] = seal.split(".");
  const { kid, ...rest } = JSON.parse(text(header));
  const hidden = rest.typ === "sealed-request" ? "type, query, headers, token" : "status, type, headers";
  return {
    "protected header, readable": kid === undefined ? rest : { ...rest, kid: shorten(kid) },
    iv,
    [`ciphertext: ${hidden}`]: `${shorten(ciphertext)} (${size(ciphertext)} bytes)`,
    tag,
  };
}

/** A signed message of the handshake: signed, and not secret. */
export function decodeSigned(jws) {
  const [header, payload] = jws.split(".");
  return { "protected header": JSON.parse(text(header)), payload: shortened(JSON.parse(text(payload))) };
}

/** The records of a stream: how long each ciphertext is. The last one says that it is. */
export function decodeRecords(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; ) {
    const width = 1 << (bytes[at] >> 6);
    let length = bytes[at] & 0x3f;
    for (let next = 1; next < width; next += 1) length = length * 256 + bytes[at + next];
    at += width;
    const isFinal = length === 0;
    const end = isFinal ? bytes.length : at + length;
    lines.push(`record ${lines.length + 1}${isFinal ? ", final" : ""}: ${end - at} bytes, ${hex(bytes.subarray(at, at + 12))}…`);
    at = end;
  }
  return lines.join("\n");
}

const text = (base64url) => utf8.decode(Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)));
const size = (base64url) => Math.floor((base64url.length * 3) / 4);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const shorten = (long) => (long.length > 48 ? `${long.slice(0, 40)}…` : long);

function shortened(value) {
  if (typeof value === "string") return shorten(value);
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(shortened);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shortened(member)]));
}
