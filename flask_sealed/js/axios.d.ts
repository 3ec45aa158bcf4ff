/** An adapter for axios. */

import type { AxiosAdapter } from "axios";

import type { SealedClient, SealedRequestInit } from "./sealed.js";

/**
 * For `axios.create({ adapter: sealedAdapter(api), baseURL })`, with the service's address as `baseURL`.
 *
 * An answer that came sealed is treated as axios treats any: `validateStatus`, `transformResponse`,
 * `AxiosError` with its `response`. What the client itself throws is the `cause` of an `AxiosError` without a
 * `response`, and its `code` is that of the `SealedError`.
 */
export function sealedAdapter(api: SealedClient): AxiosAdapter;

/** What `fetchOptions` of a request may say beside what `fetch` takes. */
export type SealedFetchOptions = Pick<SealedRequestInit, "sealQuery" | "pad" | "operation" | "prove">;
