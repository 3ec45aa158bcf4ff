import type { ConnectOptions } from "./sealed.js";

export interface WorkerOptions extends ConnectOptions {
  /** Where the service is; the worker's own origin where left out. */
  url?: string | URL;
  /** What the addresses of sealed views begin with, such as `["/api/"]`. Requests elsewhere are left alone. */
  paths?: readonly string[];
}

/** Lets the service worker that calls it seal what its pages send. Call it once, at the top of the worker. */
export function sealedWorker(options: WorkerOptions): void;
