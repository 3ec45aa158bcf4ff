"""The one page, and the headers that keep it to its own scripts."""

from __future__ import annotations

import time

from flask import Flask, Response, current_app, render_template, url_for

from flask_sealed.protocol.encoding import b64u_encode

from .db import DEMO_PASSWORDS

# No inline script or style runs, nothing is loaded from elsewhere, nothing frames the page. Forms
# are sent by the script alone: without it, a login must not go out in clear.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " object-src 'none'"
)
_ENDPOINTS = (
    "auth.login",
    "auth.logout",
    "accounts",
    "payment_details",
    "transfers",
    "statement",
    "balances",
    "identity_document",
    "rates",
)


def init_app(app: Flask) -> None:
    """Serve the page."""
    app.add_url_rule("/", "index", index)
    app.after_request(_protect)


def index() -> str:
    """The page, and what its script has to know. Nothing of that is secret."""
    environment = {
        "audience": current_app.config["SEALED_AUDIENCE"],
        "client": url_for("flask_sealed.client"),
        "pins": pins(current_app),
        "urls": {name.rpartition(".")[2]: url_for(f"api.{name}") for name in _ENDPOINTS},
    }
    return render_template("bank.html", environment=environment, logins=DEMO_PASSWORDS)


def pins(app: Flask) -> list[str]:
    """What ``flask sealed pins`` prints. Here they come with the page, and so does its script: who
    can change one can change the other. An installed application has both from elsewhere."""
    ring = app.extensions["sealed"].settings.keyring.ring()
    return [b64u_encode(pin) for pin in ring.pins(int(time.time()))]


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
