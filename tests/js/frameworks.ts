// Compiled by test_package.py, and never run: how Angular and axios are meant to be used, and what the types refuse.
import { HttpClient, HttpContext, provideHttpClient, withInterceptors } from "@angular/common/http";
import { type ApplicationConfig, inject } from "@angular/core";
import axios from "axios";
import { connect, type SealedClient } from "flask-sealed";
import { injectSealed, provideSealed, SEALED, sealedInterceptor } from "flask-sealed/angular";
import { sealedAdapter, type SealedFetchOptions } from "flask-sealed/axios";

const pins = ["A".repeat(43)];

export const config: ApplicationConfig = {
  providers: [
    provideHttpClient(withInterceptors([(request, next) => next(request), sealedInterceptor])),
    provideSealed({ url: "https://bank.example", audience: "https://bank.example", pins, uploadProgress: true }),
    provideSealed({ url: "https://other.example", audience: "other", unpinned: true, sealQuery: true }),
  ],
};

interface Card {
  cardLast4: string;
}

export class Payments {
  private readonly http = inject(HttpClient);
  readonly api: Promise<SealedClient> = injectSealed();

  card() {
    const context = new HttpContext().set(SEALED, { sealQuery: true, pad: true });
    return this.http.get<Card>("/card", { context });
  }

  clear() {
    return this.http.get("/clear", { context: new HttpContext().set(SEALED, false) });
  }
}

export async function last4(): Promise<string> {
  const api = await connect("https://bank.example", { audience: "https://bank.example", pins });
  const http = axios.create({ adapter: sealedAdapter(api), baseURL: "https://bank.example" });
  const fetchOptions: SealedFetchOptions = { sealQuery: true, operation: api.operation() };
  const { data } = await http.get<Card>("/card", { fetchOptions });
  return data.cardLast4;
}

// @ts-expect-error neither pins nor unpinned
provideSealed({ url: "https://bank.example", audience: "a" });
// @ts-expect-error no url
provideSealed({ audience: "a", pins });
// @ts-expect-error `true` is no option
new HttpContext().set(SEALED, true);
// @ts-expect-error a URL is no client
sealedAdapter("https://bank.example");
