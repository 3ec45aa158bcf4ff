import { Component, inject } from "@angular/core";

import { IdentityDocument } from "./identity-document";
import { LoginForm } from "./login-form";
import { PaymentCard } from "./payment-card";
import { Session } from "./session";
import { TransferForm } from "./transfer-form";

@Component({
  selector: "bank-app",
  imports: [IdentityDocument, LoginForm, PaymentCard, TransferForm],
  template: `
    <h1>Quayside Bank</h1>
    <main>
      @if (session.token()) {
        <p>Welcome, {{ session.fullName() }}.</p>
        <bank-payment-card />
        <bank-transfer-form />
        <bank-identity-document />
      } @else {
        <bank-login-form />
      }
    </main>
  `,
})
export class App {
  protected readonly session = inject(Session);
}
