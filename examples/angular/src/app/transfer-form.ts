import { Component, inject, signal } from "@angular/core";

import { Bank, type Order, reason } from "./bank";

@Component({
  selector: "bank-transfer-form",
  template: `
    <h2>Transfer</h2>
    <form (submit)="transfer($event, { from: from.value, to: to.value, amount: 100 * amount.valueAsNumber })">
      <label>From <input #from value="40-1001" required /></label>
      <label>To <input #to value="40-2001" required /></label>
      <label>Amount in euros <input #amount type="number" min="1" step="1" value="25" required /></label>
      <button>Transfer</button>
      <p role="status">{{ done() }}</p>
      <p role="alert">{{ error() }}</p>
    </form>
  `,
})
export class TransferForm {
  protected readonly done = signal("");
  protected readonly error = signal("");
  private readonly bank = inject(Bank);

  protected transfer(event: Event, order: Order) {
    event.preventDefault();
    this.done.set("");
    this.error.set("");
    this.bank.transfer(order).subscribe({
      next: ({ id, balance }) => this.done.set(`Transfer ${id} is done. ${balance / 100} euros are left.`),
      error: (failure) => this.error.set(reason(failure)),
    });
  }
}
