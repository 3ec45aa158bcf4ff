"""Swagger UI at ``/docs/``, where ``flask-swagger-ui`` is installed.

Its calls go through the service worker, so "Try it out" works, and knows nothing of seals.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    render_template,
    send_from_directory,
    url_for,
)

from flask_sealed.openapi import mark_sealed

from .page import pins

# What Swagger UI needs beyond the bank's own policy: styles at its elements, and its icons.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
_WORKER = """\
import {{ sealedWorker }} from {module};

sealedWorker({{ audience: {audience}, pins: {pins}, paths: ["/api/"] }});
"""
_TEXT = {"type": "string"}

docs = Blueprint("docs", __name__, url_prefix="/docs")


def init_app(app: Flask) -> None:
    """Serve the page, where there is Swagger UI to show."""
    package = find_spec("flask_swagger_ui")
    if package is None or package.origin is None:
        return
    app.extensions["bank_swagger_ui"] = Path(package.origin).with_name("dist")
    app.register_blueprint(docs)


@docs.get("/")
def index() -> Response:
    """The page. Its script registers the worker, and then starts Swagger UI."""
    response = Response(render_template("docs.html"))
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@docs.get("/sw.js")
def worker() -> Response:
    """The service worker: for the pages below ``/docs/`` alone, since that is where it lies."""
    known = {
        "module": url_for("flask_sealed.client-sw"),
        "audience": current_app.config["SEALED_AUDIENCE"],
        "pins": pins(current_app),
    }
    written = _WORKER.format(**{name: json.dumps(value) for name, value in known.items()})
    return Response(written, content_type="text/javascript; charset=utf-8")


@docs.get("/ui/<path:name>")
def ui(name: str) -> Response:
    """A file of Swagger UI."""
    return send_from_directory(current_app.extensions["bank_swagger_ui"], name)


@docs.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """The description, with the schemas of the plaintext, and marks of what is sealed."""
    order = {"from": _TEXT, "to": _TEXT, "amount": {"type": "integer"}}
    order_example = {"from": "40-1001", "to": "40-2001", "amount": 1200}
    who = {"customer": _TEXT, "password": _TEXT}
    description = {
        "openapi": "3.0.3",
        "info": {"title": "Quayside Bank", "version": "1"},
        "paths": {
            "/api/login": {"post": _operation("Log in", "200", _body(who), token=False)},
            "/api/logout": {"post": _operation("Log out", "204")},
            "/api/accounts": {"get": _operation("The accounts", "200")},
            "/api/payment-details": {"get": _operation("The card", "200")},
            "/api/transfers": {
                "post": _operation("Move an amount", "201", _body(order, order_example))
            },
            "/api/rates": {
                "get": {"summary": "Exchange rates", "responses": {"200": {"description": "Done"}}}
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
    return mark_sealed(description, current_app)


def _operation(
    summary: str, status: str, body: dict[str, Any] | None = None, *, token: bool = True
) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {status: {"description": "Done"}},
        **({"requestBody": body} if body else {}),
        **({"security": [{"token": []}]} if token else {}),
    }


def _body(properties: dict[str, Any], example: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    shown = {"example": example} if example else {}
    return {"required": True, "content": {"application/json": {"schema": schema, **shown}}}
