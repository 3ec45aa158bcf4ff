// The client of flask-sealed/1 for browsers: see sealed.d.ts. What is in core/ is loaded with it, what is in
// parts/ when it is used. All cryptography is WebCrypto's.
export { connect } from "./core/client.js";
export { Clock } from "./core/clock.js";
export { importAes } from "./core/crypto.js";
export {
  ConfigError,
  GivenUp,
  Malformed,
  NoAnswer,
  Redirected,
  Refusal,
  Refused,
  SealedError,
  TooLarge,
} from "./core/errors.js";
