import { Component, inject, type OnInit, signal } from "@angular/core";

import { Bank, type PaymentDetails, reason } from "./bank";

@Component({
  selector: "bank-payment-card",
  template: `
    <h2>Your card</h2>
    @if (details(); as card) {
      <dl>
        <dt>Number</dt>
        <dd>•••• {{ card.cardLast4 }}</dd>
        <dt>Valid until</dt>
        <dd>{{ card.expiryMonth }}/{{ card.expiryYear }}</dd>
      </dl>
    }
    <p role="alert">{{ error() }}</p>
  `,
})
export class PaymentCard implements OnInit {
  protected readonly details = signal<PaymentDetails | null>(null);
  protected readonly error = signal("");
  private readonly bank = inject(Bank);

  ngOnInit() {
    this.bank.paymentDetails().subscribe({
      next: (details) => this.details.set(details),
      error: (failure) => this.error.set(reason(failure)),
    });
  }
}
