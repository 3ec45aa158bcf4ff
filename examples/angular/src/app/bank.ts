import { HttpClient, type HttpErrorResponse } from "@angular/common/http";
import { inject, Injectable } from "@angular/core";

export interface Login {
  accessToken: string;
  fullName: string;
}

export interface PaymentDetails {
  cardLast4: string;
  expiryMonth: number;
  expiryYear: number;
}

export interface Order {
  from: string;
  to: string;
  /** In cents. */
  amount: number;
}

export interface Document {
  name: string;
  type: string;
  size: number;
  sha256: string;
}

/** The bank's views, called as if nothing were sealed. */
@Injectable({ providedIn: "root" })
export class Bank {
  private readonly http = inject(HttpClient);

  logIn(customer: string, password: string) {
    return this.http.post<Login>("/api/login", { customer, password });
  }

  paymentDetails() {
    return this.http.get<PaymentDetails>("/api/payment-details");
  }

  transfer(order: Order) {
    return this.http.post<{ id: number; balance: number }>("/api/transfers", order);
  }

  keep(document: File) {
    const form = new FormData();
    form.set("document", document);
    return this.http.post<Document>("/api/kyc", form, { observe: "events", reportProgress: true });
  }
}

/** What a customer is told: the bank's own words, where there are any that can be trusted. */
export function reason({ status, error }: HttpErrorResponse): string {
  return status === 0 ? "The bank gave no answer that can be trusted." : error.error;
}
