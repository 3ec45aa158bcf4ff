/** Sealed requests for HttpClient of Angular. */

import type { HttpContextToken, HttpInterceptorFn } from "@angular/common/http";
import type { EnvironmentProviders } from "@angular/core";

import type { ConnectOptions, SealedClient, SealedRequestInit } from "./sealed.js";

export type SealedOptions = ConnectOptions &
  ({ pins: readonly string[] } | { unpinned: true }) & {
    /** Where the service is: its origin. All requests to it go by `api.fetch`. */
    url: string;
    /**
     * Whether requests with `reportProgress` or `reportUploadProgress` tell how an upload goes on. Their bodies go
     * by XMLHttpRequest, which follows redirects: see "Progress" in the documentation.
     */
    uploadProgress?: boolean;
  };

/** What one request says, in its context. */
export type SealedCall = Pick<SealedRequestInit, "sealQuery" | "pad" | "operation" | "prove">;

/**
 * Names a sealed service; once for each where there are several. It is connected to at the first request.
 *
 * @throws ConfigError where a service has no URL
 */
export function provideSealed(options: SealedOptions): EnvironmentProviders;

/**
 * Sends requests to the services that `provideSealed` names, and hands all others on. It stands last in
 * `withInterceptors([…])`: what others add, such as `Authorization`, is sealed.
 *
 * An answer that came sealed is an `HttpResponse` or an `HttpErrorResponse` like any. What the client itself throws
 * is the `error` of an `HttpErrorResponse` with status 0: a `SealedError`.
 */
export const sealedInterceptor: HttpInterceptorFn;

/** For `new HttpContext().set(SEALED, …)`: options of `api.fetch`, or `false` to be left alone. */
export const SEALED: HttpContextToken<SealedCall | false>;

/**
 * The connected client of the service at `url`, of the first where that is left out: for `eventSource`, and for
 * `fetch` itself. In an injection context.
 *
 * @throws ConfigError where `provideSealed` names no such service
 */
export function injectSealed(url?: string): Promise<SealedClient>;
