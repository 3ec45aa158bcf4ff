// An adapter for axios: axios prepares requests and answers as ever, and `api.fetch` sends them. Types are in
// axios.d.ts.

import axios from "axios";

import { SealedError } from "./sealed.js";

/** For `axios.create({ adapter })`: requests go to the service that `api` is connected to. */
export function sealedAdapter(api) {
  const env = { fetch: fetchOf(api), Request, Response };
  const adapter = axios.getAdapter("fetch", { env });
  return async (config) => {
    try {
      return await adapter(config);
    } catch (error) {
      // axios copies it from the cause: the status of an answer in clear, that anyone may have written.
      if (error.cause instanceof SealedError) error.status = undefined;
      throw error;
    }
  };
}

/** axios copies objects of its configuration, but not bytes; and an operation's age has to be kept. */
function fetchOf(api) {
  const operations = new WeakMap();
  return (request, { operation, ...init } = {}) => {
    if (operation && !operations.has(operation.op)) operations.set(operation.op, operation);
    return api.fetch(request, { ...init, operation: operation && operations.get(operation.op) });
  };
}
