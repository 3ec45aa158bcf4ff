"""The one page, and the headers that keep it to its own scripts."""

from __future__ import annotations

from flask import Flask, Response, render_template, url_for

from .db import DEMO_PASSWORDS

# No inline script or style runs, nothing is loaded from elsewhere, nothing frames the page. Forms
# are sent by the script alone: without it, a login must not go out in clear.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " object-src 'none'"
)
_ENDPOINTS = (
    "auth.login",
    "accounts",
    "payment_details",
    "transfers",
    "identity_document",
    "rates",
)


def init_app(app: Flask, *, aes_key: str) -> None:
    """Serve the page.

    :param aes_key: the Level 3 key, as 64 hex digits. It ships with the page, as in the article:
        whoever has the page has the key.
    """

    @app.get("/")
    def index() -> str:
        urls = {name.rpartition(".")[2]: url_for(f"api.{name}") for name in _ENDPOINTS}
        environment = {"aesKey": aes_key, "urls": urls}
        return render_template("bank.html", environment=environment, logins=DEMO_PASSWORDS)

    app.after_request(_protect)


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
