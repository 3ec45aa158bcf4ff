import { Injectable, signal } from "@angular/core";

/** Who is logged in. */
@Injectable({ providedIn: "root" })
export class Session {
  readonly token = signal<string | null>(null);
  readonly fullName = signal("");
}
