// HttpClient of Angular over `api.fetch`: a functional interceptor that sends the requests to a sealed service
// itself, and hands all others on. No decorators, so nothing has to be compiled. Types are in angular.d.ts.

import {
  HttpContextToken,
  HttpErrorResponse,
  HttpEventType,
  HttpHeaderResponse,
  HttpHeaders,
  HttpResponse,
} from "@angular/common/http";
import { inject, InjectionToken, makeEnvironmentProviders, NgZone } from "@angular/core";
import { Observable } from "rxjs";

import { ConfigError, connect } from "./sealed.js";
import { reportUploads } from "./upload.js";

const XSSI_PREFIX = /^\)\]\}',?\n/;
const CHARSET = /;\s*charset="?([\w.:-]+)/i;
const INIT = "method credentials keepalive cache priority mode redirect referrer referrerPolicy integrity".split(" ");
const SERVICES = new InjectionToken("flask-sealed services");

/** What one request says: options of `api.fetch`, or `false` to be left alone. */
export const SEALED = new HttpContextToken(() => ({}));

/** Names a sealed service; once for each where there are several. */
export function provideSealed(options) {
  return makeEnvironmentProviders([{ provide: SERVICES, multi: true, useFactory: () => new Service(options) }]);
}

/** The connected client of a service: for `eventSource`, and `fetch` itself. */
export function injectSealed(url) {
  const service = inject(SERVICES).find((one) => url === undefined || one.has(absolute(url)));
  if (!service) throw new ConfigError("provideSealed() names no such service");
  return service.client();
}

/** The last interceptor: what it sends itself reaches no other. */
export function sealedInterceptor(request, next) {
  const services = inject(SERVICES, { optional: true });
  if (!services) throw new ConfigError("sealedInterceptor() needs provideSealed()");
  const options = request.context.get(SEALED);
  if (options === false || request.method === "JSONP") return next(request);
  const url = absolute(request.urlWithParams);
  // Somebody behind may resolve it, and it would go to the service in clear.
  if (!url) throw new ConfigError("where there is no page, a URL has to be absolute");
  const service = services.find((one) => one.has(url));
  return service ? service.send(request, options) : next(request);
}

/** As the page resolves it; null where there is no page to do so. */
function absolute(url) {
  const base = globalThis.document?.baseURI;
  return URL.canParse(url, base) ? new URL(url, base) : null;
}

class Service {
  #url;
  #options;
  #client = null;
  #zone = inject(NgZone);
  #uploads;

  constructor({ url, uploadProgress = false, ...options }) {
    this.#url = absolute(url);
    if (!this.#url) throw new ConfigError("`url` of provideSealed() is no URL");
    this.#uploads = uploadProgress ? reportUploads(options.fetch) : null;
    this.#options = { ...options, fetch: this.#uploads?.fetch ?? options.fetch };
  }

  has(url) {
    return url?.origin === this.#url.origin;
  }

  /** Connects once for all who wait. After a failure, the next request tries again. */
  client() {
    this.#client ??= this.#zone
      .runOutsideAngular(() => connect(this.#url, this.#options))
      .catch((error) => {
        this.#client = null;
        throw error;
      });
    return this.#client;
  }

  /** Each subscription is an attempt; after one without a whole answer, the next is at the same operation. */
  send(request, { operation, ...options }) {
    const attempt = async (observer, signal) => {
      observer.next({ type: HttpEventType.Sent });
      const api = await unlessAborted(signal, this.client());
      operation ??= api.operation();
      const init = { ...fetchInit(request, this.#report(request, observer, signal)), ...options, operation, signal };
      const response = await api.fetch(absolute(request.urlWithParams), init);
      const pieces = await readPieces(request, response, observer);
      operation = undefined;
      finish(request, response, pieces, observer);
    };
    return new Observable((observer) =>
      this.#zone.runOutsideAngular(() => start(attempt, request, insideZone(observer))),
    );
  }

  /** A header that `upload.js` takes off again, where somebody wants to know how an upload goes on. */
  #report({ body, reportProgress, reportUploadProgress }, observer, signal) {
    if (!this.#uploads || body === null || !(reportProgress || reportUploadProgress)) return {};
    const tell = ({ loaded, total }) => observer.next({ type: HttpEventType.UploadProgress, loaded, total });
    return this.#uploads.report(tell, signal);
  }
}

/** Events reach a component in the zone where it subscribed, and none after the end. */
function insideZone(observer) {
  const zone = globalThis.Zone?.current;
  const run = (work) => (zone ? zone.run(work) : work());
  const tell = (kind) => (value) => observer.closed || run(() => observer[kind](value));
  return { next: tell("next"), error: tell("error"), complete: tell("complete") };
}

/** Starts an attempt, and answers what ends it early. */
function start(attempt, request, observer) {
  const aborter = new AbortController();
  const { signal } = aborter;
  const late = () => aborter.abort(new DOMException("signal timed out", "TimeoutError"));
  const timer = request.timeout && setTimeout(late, request.timeout);
  // A status in clear is nobody's word, so what has no answer has status 0, as ever.
  const fail = (error) =>
    observer.error(
      new HttpErrorResponse({ error: signal.aborted ? signal.reason : error, status: 0, url: request.urlWithParams }),
    );
  attempt(observer, signal)
    .catch(fail)
    .finally(() => clearTimeout(timer));
  return () => {
    clearTimeout(timer);
    aborter.abort();
  };
}

/** Others may wait for the same client, so it goes on. */
function unlessAborted(signal, client) {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  return Promise.race([client, aborted]);
}

function fetchInit(request, report) {
  const headers = new Headers({ accept: "application/json, text/plain, */*", ...report });
  const type = request.detectContentTypeHeader();
  if (type !== null) headers.set("content-type", type);
  for (const name of request.headers.keys()) headers.set(name, request.headers.getAll(name).join(","));
  const init = { headers, body: request.serializeBody() };
  // What a request does not say is as `connect` and `fetch` have it.
  for (const name of INIT) if (request[name] !== undefined) init[name] = request[name];
  if (request.withCredentials) init.credentials = "include";
  return init;
}

function headOf(request, { headers, status, statusText, url, redirected, type }) {
  const named = url || request.urlWithParams;
  return { headers: new HttpHeaders(headers), status, statusText, url: named, redirected, responseType: type };
}

async function readPieces(request, response, observer) {
  const reports = request.reportProgress || request.reportDownloadProgress;
  const tell = reports ? downloadReport(request, response, observer) : () => {};
  const pieces = [];
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader.read()) {
    pieces.push(read.value);
    tell(read.value);
  }
  return pieces;
}

function downloadReport(request, response, observer) {
  const { status, statusText, url, headers } = headOf(request, response);
  observer.next(new HttpHeaderResponse({ status, statusText, url, headers }));
  const total = Number(response.headers.get("content-length")) || undefined;
  const decoder = request.responseType === "text" ? decoderOf(response) : null;
  let loaded = 0;
  let partialText = decoder ? "" : undefined;
  return (piece) => {
    loaded += piece.length;
    if (decoder) partialText += decoder.decode(piece, { stream: true });
    observer.next({ type: HttpEventType.DownloadProgress, loaded, total, partialText });
  };
}

function finish(request, response, pieces, observer) {
  const head = headOf(request, response);
  try {
    const body = response.body ? contentOf(request, response, join(pieces)) : null;
    if (!response.ok) return observer.error(new HttpErrorResponse({ ...head, error: body }));
    observer.next(new HttpResponse({ ...head, body }));
  } catch (error) {
    return observer.error(new HttpErrorResponse({ ...head, error }));
  }
  observer.complete();
}

function contentOf({ responseType }, response, bytes) {
  if (responseType === "arraybuffer") return bytes.buffer;
  if (responseType === "blob") return new Blob([bytes], { type: response.headers.get("content-type") ?? "" });
  if (responseType === "text") return decoderOf(response).decode(bytes);
  const text = new TextDecoder().decode(bytes).replace(XSSI_PREFIX, "");
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    // An error need not be JSON, and is shown as it came.
    if (response.ok) throw error;
    return text;
  }
}

function decoderOf(response) {
  const [, charset = "utf-8"] = CHARSET.exec(response.headers.get("content-type")) ?? [];
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}

function join(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
