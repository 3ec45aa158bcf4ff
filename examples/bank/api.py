"""The bank's views. Sealed, each next to its token check, where something sensitive is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, abort, request, stream_with_context
from werkzeug.exceptions import HTTPException

from flask_sealed import sealed

from . import kyc, ledger
from .auth import auth, customer_id, is_text, jwt_required

api = Blueprint("api", __name__, url_prefix="/api")
api.register_blueprint(auth)

_RATES = {"base": "EUR", "rates": {"CHF": 0.9385, "GBP": 0.8427, "JPY": 163.05, "USD": 1.0864}}


@api.errorhandler(HTTPException)
def say_why(error: HTTPException) -> tuple[dict[str, Any], int]:
    """Errors as JSON; those of sealed views leave sealed."""
    return {"error": error.description}, error.code or 500


@api.get("/rates")
def rates() -> dict[str, Any]:
    """Exchange rates: public, so there is nothing to seal."""
    return _RATES


@api.get("/payment-details")
@sealed
@jwt_required()
def payment_details() -> dict[str, Any]:
    """The customer's card."""
    return ledger.payment_details(customer_id())


@api.get("/accounts")
@sealed
@jwt_required()
def accounts() -> list[dict[str, Any]]:
    """The customer's accounts; balances in cents."""
    return ledger.accounts(customer_id())


@api.post("/transfers")
@sealed
@jwt_required()
def transfers() -> tuple[dict[str, Any], int]:
    """Move an amount, in cents: ``{"from": …, "to": …, "amount": …}``."""
    try:
        return ledger.transfer(customer_id(), _order(request.get_json())), 201
    except ledger.BadOrderError as error:
        abort(400, str(error))
    except ledger.UnknownAccountError as error:
        abort(404, f"There is no account {error} that you could use here.")
    except ledger.NotEnoughError:
        abort(409, "There is not enough money on the account.")


@api.get("/statement")
@sealed
@jwt_required()
def statement() -> Response:
    """All bookings of an account, as CSV that is made while it is sent: ``?account=…``.

    Whoever seals the query keeps the number of the account out of every log.
    """
    try:
        lines = ledger.statement(customer_id(), request.args.get("account", ""))
    except ledger.UnknownAccountError as error:
        abort(404, f"There is no account {error} that you could use here.")
    return Response(stream_with_context(lines), content_type="text/csv; charset=utf-8")


@api.get("/balances")
@sealed
@jwt_required()
def balances() -> Response:
    """The customer's balances as Server-Sent Events, whenever one changes."""
    return Response(_events(ledger.watch(customer_id())), content_type="text/event-stream")


@api.post("/kyc")
@sealed
@jwt_required()
def identity_document() -> tuple[dict[str, Any], int]:
    """Keep an identity document: a multipart form with one file, ``document``."""
    file = request.files.get("document")
    if file is None or not file.filename:
        abort(400, "Send a multipart form with one file, called document.")
    try:
        return kyc.keep(customer_id(), file.filename, file.read()), 201
    except kyc.TooLargeError:
        abort(413, f"The file is too large: {kyc.MOST_BYTES // 2**20} MiB at the most.")
    except kyc.WrongTypeError:
        abort(415, "The file is neither a PDF nor a PNG nor a JPEG.")


def _events(changes: Iterator[dict[str, int] | None]) -> Iterator[str]:
    for change in changes:
        # A comment is how a server finds out that nobody listens any more.
        yield ":\n\n" if change is None else f"event: balances\ndata: {json.dumps(change)}\n\n"


def _order(sent: object) -> ledger.Order:
    if not isinstance(sent, dict) or sent.keys() != {"from", "to", "amount"}:
        abort(400, 'Send exactly {"from": "<account>", "to": "<account>", "amount": <cents>}.')
    payer, payee, amount = sent["from"], sent["to"], sent["amount"]
    if not is_text(payer) or not is_text(payee):
        abort(400, "Accounts are given by their number, as text.")
    if not isinstance(amount, int) or isinstance(amount, bool):
        abort(400, "The amount is a whole number of cents.")
    return ledger.Order(payer=payer, payee=payee, amount=amount)
