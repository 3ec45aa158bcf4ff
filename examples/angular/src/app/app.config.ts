import { provideHttpClient, withInterceptors } from "@angular/common/http";
import type { ApplicationConfig } from "@angular/core";
import { provideSealed, sealedInterceptor } from "flask-sealed/angular";

import { authInterceptor } from "./auth.interceptor";

export interface Settings {
  audience: string;
  pins: string[];
}

export function appConfig({ audience, pins }: Settings): ApplicationConfig {
  return {
    providers: [
      provideHttpClient(withInterceptors([authInterceptor, sealedInterceptor])),
      provideSealed({ url: location.origin, audience, pins, uploadProgress: true }),
    ],
  };
}
