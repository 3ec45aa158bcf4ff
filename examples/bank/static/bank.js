// The page's component. It sees plain objects only; sealing is the business of the client that the
// bank serves.

import { byId, element } from "./dom.js";
import { clearSeen, seen } from "./eavesdropper.js";
import { connectShown } from "./ends.js";
import { clearCalls, showCall } from "./wire.js";

const { urls, ...environment } = JSON.parse(byId("environment").textContent);
const euro = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

// In memory only: a reload ends the session, and nothing can be found in the browser's storage.
let token = null;
let connection = null;
let live = null;

/** An answer of the bank that is no success, in words for the customer. */
class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

// --- calling the bank ---

/** The bank, after a handshake. One that failed is tried again by the next call. */
function bank() {
  connection ??= connectShown(environment, { show: showCall, hear: seen }).catch((error) => {
    connection = null;
    throw error;
  });
  return connection;
}

const authorization = () => (token ? { authorization: `Bearer ${token}` } : {});

async function ask(url, init = {}) {
  const { fetch } = await bank();
  const response = await fetch(url, { ...init, headers: { ...init.headers, ...authorization() } });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refused(response.status, answer.error ?? answer.detail ?? "The bank did not say why.");
}

const call = async (url, init) => (await ask(url, init)).json();

const send = (url, object) =>
  call(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(object),
  });

// --- logging in and out ---

async function logIn(form) {
  const { customer, password } = Object.fromEntries(new FormData(form));
  const answer = await send(urls.login, { customer, password });
  token = answer.accessToken;
  form.reset();
  byId("full-name").textContent = answer.fullName;
  await showAccounts();
  await watch();
  byId("card").replaceChildren(...cardItems(await call(urls.payment_details)));
  showBank(true);
  return "";
}

/** The bank is told first: the token and the session end there, and so does any copy of them. */
async function logOut() {
  let words = "You have logged out.";
  try {
    await ask(urls.logout, { method: "POST" });
  } catch (error) {
    // Whatever it was, the page forgets the token; a bank that refuses it has ended it already.
    if (error.status !== 401) words = "You have logged out here. The bank could not be told.";
  }
  leave(words);
}

function leave(words) {
  token = null;
  live?.close();
  clearCalls();
  clearSeen();
  for (const form of document.querySelectorAll("form")) form.reset();
  for (const status of document.querySelectorAll("[role=status]")) say(status, "");
  for (const id of ["accounts", "card", "payer", "own-accounts", "statement"]) byId(id).replaceChildren();
  byId("statement").hidden = true;
  byId("statement-link").hidden = true;
  showBank(false);
  say(byId("login-status"), words);
}

function showBank(isIn) {
  byId("login").hidden = isIn;
  byId("customer").hidden = !isIn;
  // The part that had the keyboard's focus is gone.
  (isIn ? byId("accounts-title") : byId("customer-name")).focus();
}

// --- what the customer sees ---

async function showAccounts() {
  const accounts = await call(urls.accounts);
  byId("accounts").replaceChildren(...accounts.map(accountItem));
  byId("payer").replaceChildren(...accounts.map(accountOption));
  const numbers = accounts.map(({ number }) => element("option", { value: number }));
  byId("own-accounts").replaceChildren(...numbers);
}

function accountItem({ number, label, balance }) {
  return element(
    "li",
    { "data-number": number },
    element("span", { class: "account-label" }, label),
    element("span", { class: "account-number" }, number),
    element("span", { class: "balance" }, money(balance)),
  );
}

function accountOption({ number, label }) {
  return element("option", { value: number }, `${number}, ${label}`);
}

function cardItems({ cardLast4, expiryMonth, expiryYear }) {
  const month = String(expiryMonth).padStart(2, "0");
  return [
    element("dt", {}, "Card ending in"),
    element("dd", {}, cardLast4),
    element("dt", {}, "Valid until"),
    element("dd", {}, `${month}/${expiryYear}`),
  ];
}

function showBalance(number, balance) {
  const shown = document.querySelector(`[data-number="${CSS.escape(number)}"] .balance`);
  // Only what is new is read out.
  if (shown && shown.textContent !== money(balance)) shown.textContent = money(balance);
}

/** Balances as they change, whoever changed them. */
async function watch() {
  const { events } = await bank();
  live?.close();
  live = events(urls.balances, { headers: authorization() });
  live.addEventListener("balances", ({ data }) => {
    for (const [number, balance] of Object.entries(JSON.parse(data))) showBalance(number, balance);
  });
}

// --- what the customer does ---

async function transfer(form) {
  const { payer, payee, amount } = Object.fromEntries(new FormData(form));
  const cents = toCents(amount);
  const order = { from: payer, to: payee.trim(), amount: cents };
  const { balance } = await send(urls.transfers, order);
  form.elements.amount.value = "";
  showBalance(payer, balance); // That of the payee comes with the events.
  return `Sent ${money(cents)} to ${order.to}. ${money(balance)} is left on ${payer}.`;
}

async function showStatement() {
  const account = byId("payer").value;
  // The number of the account is sealed too, so that it stands in no log of addresses.
  const response = await ask(`${urls.statement}?account=${encodeURIComponent(account)}`, { sealQuery: true });
  const csv = await response.blob();
  showLink(account, csv);
  const bookings = (await csv.text()).trim().split("\r\n").slice(1).map((line) => line.split(","));
  const items = bookings.map(([madeAt, other, cents]) => element("li", {}, `${madeAt}, ${other}, ${money(Number(cents))}`));
  byId("statement").replaceChildren(...items);
  byId("statement").hidden = items.length === 0;
  return items.length ? `${account} has ${items.length} ${items.length === 1 ? "booking" : "bookings"}:` : `${account} has no bookings yet.`;
}

/** What came sealed is saved as it is, so that no second call is needed. */
function showLink(account, csv) {
  const link = byId("statement-link");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(csv);
  link.download = `statement-${account}.csv`;
  link.hidden = false;
}

async function upload(form) {
  const answer = await call(urls.identity_document, { method: "POST", body: new FormData(form) });
  form.reset();
  const size = answer.size.toLocaleString("en");
  return `The bank has ${answer.name}, ${size} bytes. SHA-256: ${answer.sha256}`;
}

async function showRates() {
  // Without the token, which would travel in clear.
  const { fetch } = await bank();
  const { base, rates } = await (await fetch(urls.rates)).json();
  const rows = Object.entries(rates).map(([currency, rate]) =>
    element("tr", {}, element("th", { scope: "row" }, currency), element("td", {}, String(rate))),
  );
  byId("rates-rows").replaceChildren(...rows);
  byId("rates-table").hidden = false;
  return `For one ${base}:`;
}

const money = (cents) => euro.format(cents / 100);

function toCents(text) {
  // Digit by digit: binary fractions do not know 0.1.
  const match = /^(\d{1,10})(?:[.,](\d{1,2}))?$/.exec(text.trim());
  if (!match) throw new Refused(0, "Write the amount in euros and cents, such as 12.50.");
  return Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"));
}

// --- forms and their results ---

function onSubmit(formId, statusId, work) {
  const form = byId(formId);
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.ariaDisabled === "true") return;
    // Not `disabled`: the button would lose the keyboard's focus.
    button.ariaDisabled = "true";
    const status = byId(statusId);
    say(status, "One moment…");
    try {
      say(status, await work(form));
    } catch (error) {
      if (error.status === 401 && token) leave("Your session has ended. Please log in again.");
      else say(status, words(error), true);
    } finally {
      button.ariaDisabled = "false";
    }
  });
}

function say(status, text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** `code` is of the client's errors: what it says is stable. */
function words(error) {
  if (error instanceof Refused) return error.message;
  if (error.code === "no-answer" && error.status) return "The answer was not sealed, so this page does not believe it.";
  if (error.code && error.code !== "no-answer") return "The answer is not from this bank, or somebody has changed it.";
  return "The bank cannot be reached. Please try again.";
}

onSubmit("login-form", "login-status", logIn);
onSubmit("transfer-form", "transfer-status", transfer);
onSubmit("statement-form", "statement-status", showStatement);
onSubmit("kyc-form", "kyc-status", upload);
onSubmit("rates-form", "rates-status", showRates);
byId("log-out").addEventListener("click", logOut);

bank().catch((error) => say(byId("login-status"), words(error), true));
