import type { HttpInterceptorFn } from "@angular/common/http";
import { inject } from "@angular/core";

import { Session } from "./session";

/** As in any application; the header is sealed by the interceptor behind this one. */
export const authInterceptor: HttpInterceptorFn = (request, next) => {
  const token = inject(Session).token();
  return next(token ? request.clone({ setHeaders: { Authorization: `Bearer ${token}` } }) : request);
};
