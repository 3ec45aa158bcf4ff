import { type HttpEvent, HttpEventType } from "@angular/common/http";
import { Component, inject, signal } from "@angular/core";

import { Bank, type Document, reason } from "./bank";

@Component({
  selector: "bank-identity-document",
  template: `
    <h2>Identity document</h2>
    <label>PDF, PNG or JPEG <input #file type="file" (change)="keep(file.files![0])" /></label>
    <label>Sent <progress max="1" [value]="progress()"></progress></label>
    @if (kept(); as document) {
      <p role="status">{{ document.name }} is kept: {{ document.size }} bytes of {{ document.type }}.</p>
    }
    <p role="alert">{{ error() }}</p>
  `,
})
export class IdentityDocument {
  protected readonly kept = signal<Document | null>(null);
  protected readonly progress = signal(0);
  protected readonly error = signal("");
  private readonly bank = inject(Bank);

  protected keep(file: File) {
    this.error.set("");
    this.bank.keep(file).subscribe({
      next: (event) => this.take(event),
      error: (failure) => this.error.set(reason(failure)),
    });
  }

  private take(event: HttpEvent<Document>) {
    if (event.type === HttpEventType.UploadProgress) this.progress.set(event.loaded / (event.total ?? event.loaded));
    if (event.type === HttpEventType.Response) this.kept.set(event.body);
  }
}
