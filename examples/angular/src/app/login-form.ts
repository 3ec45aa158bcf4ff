import { Component, inject, signal } from "@angular/core";

import { Bank, reason } from "./bank";
import { Session } from "./session";

@Component({
  selector: "bank-login-form",
  template: `
    <form (submit)="logIn($event, customer.value, password.value)">
      <label>Customer <input #customer autocomplete="username" required /></label>
      <label>Password <input #password type="password" autocomplete="current-password" required /></label>
      <button>Log in</button>
      <p role="alert">{{ error() }}</p>
    </form>
  `,
})
export class LoginForm {
  protected readonly error = signal("");
  private readonly bank = inject(Bank);
  private readonly session = inject(Session);

  protected logIn(event: Event, customer: string, password: string) {
    event.preventDefault();
    this.bank.logIn(customer, password).subscribe({
      next: ({ accessToken, fullName }) => {
        this.session.fullName.set(fullName);
        this.session.token.set(accessToken);
      },
      error: (failure) => this.error.set(reason(failure)),
    });
  }
}
