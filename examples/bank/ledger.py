"""Accounts and transfers. Knows the database, and nothing of HTTP."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .db import Open, connection, opener, transaction

MOST_CENTS = 10**12
_LOOK = 0.25  # seconds
_SIGN_OF_LIFE = 20  # looks
_LONGEST_WATCH = 600  # seconds; clients connect again


class BadOrderError(Exception):
    """This cannot be ordered, with words for the customer."""


class UnknownAccountError(Exception):
    """There is no such account, or the payer's is another customer's."""


class NotEnoughError(Exception):
    """The payer has less than the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to move an amount, in cents, from one account to another.

    :raises BadOrderError: for an amount or a payee that makes no sense.
    """

    payer: str
    payee: str
    amount: int

    def __post_init__(self) -> None:
        if not 1 <= self.amount <= MOST_CENTS:
            raise BadOrderError("The amount must be one cent or more, and not astronomical.")
        if self.payer == self.payee:
            raise BadOrderError("Both accounts are the same.")


def accounts(customer: int) -> list[dict[str, Any]]:
    """A customer's accounts; balances in cents."""
    rows = connection().execute(
        "SELECT number, label, balance FROM account WHERE customer = ? ORDER BY number",
        (customer,),
    )
    return [dict(row) for row in rows]


def payment_details(customer: int) -> dict[str, Any]:
    """A customer's card, as the article's route shows it."""
    row = (
        connection()
        .execute(
            "SELECT last4, expiry_month, expiry_year FROM card WHERE customer = ?", (customer,)
        )
        .fetchone()
    )
    return {
        "cardLast4": row["last4"],
        "expiryMonth": row["expiry_month"],
        "expiryYear": row["expiry_year"],
    }


def transfer(customer: int, order: Order) -> dict[str, Any]:
    """Carry out an order, or change nothing.

    :returns: the transfer's id, and what is left on the payer's account, in cents.
    :raises UnknownAccountError: when an account is not there, or the payer is not the customer's.
    :raises NotEnoughError: when the payer has too little.
    """
    with transaction() as db:
        balance = _balance(db, order.payer, customer)
        if balance < order.amount:
            raise NotEnoughError
        for number, change in ((order.payer, -order.amount), (order.payee, order.amount)):
            update = "UPDATE account SET balance = balance + ? WHERE number = ?"
            if db.execute(update, (change, number)).rowcount != 1:
                raise UnknownAccountError(number)
        made = db.execute(
            "INSERT INTO transfer (payer, payee, amount) VALUES (?, ?, ?)",
            (order.payer, order.payee, order.amount),
        )
    return {"id": made.lastrowid, "balance": balance - order.amount}


def statement(customer: int, number: str) -> Iterator[str]:
    """The bookings of one of a customer's accounts as lines of CSV, the first one first.

    :raises UnknownAccountError: when the account is not the customer's.
    """
    _balance(connection(), number, customer)
    return _lines(number)


def _lines(number: str) -> Iterator[str]:
    yield "made at,with,cents\r\n"
    bookings = connection().execute(
        "SELECT made_at, payer, payee, amount FROM transfer WHERE ? IN (payer, payee) ORDER BY id",
        (number,),
    )
    for made_at, payer, payee, amount in bookings:
        other, cents = (payee, -amount) if payer == number else (payer, amount)
        yield f"{made_at},{other},{cents}\r\n"


def watch(customer: int) -> Iterator[dict[str, int] | None]:
    """A customer's balances in cents by account, now and whenever one changes.

    :returns: ``None`` every few seconds where nothing has changed.
    """
    return _watch(opener(), customer)


def _watch(open_: Open, customer: int) -> Iterator[dict[str, int] | None]:
    seen: dict[str, int] = {}
    quiet = 0  # looks
    end = time.monotonic() + _LONGEST_WATCH
    query = "SELECT number, balance FROM account WHERE customer = ?"
    with open_() as db:
        while time.monotonic() < end:
            now = {row["number"]: row["balance"] for row in db.execute(query, (customer,))}
            quiet = 0 if now != seen else quiet + 1
            if quiet % _SIGN_OF_LIFE == 0:
                yield None if quiet else now
            seen = now
            time.sleep(_LOOK)


def _balance(db: sqlite3.Connection, number: str, customer: int) -> int:
    row = db.execute(
        "SELECT balance FROM account WHERE number = ? AND customer = ?", (number, customer)
    ).fetchone()
    if row is None:
        raise UnknownAccountError(number)
    return int(row["balance"])
