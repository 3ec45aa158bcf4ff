"""Flask-CORS."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_cors import CORS, cross_origin

from flask_sealed import ConfigError, Sealed, sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place, plain_client

ORIGIN = "https://app.example"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, sealed",
}
OWN = "/sealed/session", "/sealed/routes"


def allowed(app: Flask, path: str) -> bool:
    """Whether a page of the other origin may send a sealed request."""
    headers = plain_client(app).options(path, headers=PREFLIGHT).headers
    asked = headers.get("Access-Control-Allow-Headers", "").lower()
    return headers.get("Access-Control-Allow-Origin") == ORIGIN and "sealed" in asked


def test_a_page_of_another_origin(make_flask: MakeFlask, place: Place[Any]) -> None:
    app = make_flask()
    resources: dict[Any, Any] = {
        r"/api/*": {"origins": [ORIGIN]},
        r"/sealed/*": {"origins": [ORIGIN]},
    }
    place(app, lambda: CORS(app, resources=resources))
    app.add_url_rule("/api/card", view_func=sealed(lambda: {"last4": "4242"}), endpoint="card")
    assert all(allowed(app, path) for path in ("/api/card", *OWN))
    client = sealed_client(app)
    client.get("/api/card", headers={"Origin": ORIGIN})
    headers = dict(client.wire[-1].response.headers)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Expose-Headers"] == "Sealed"


def test_resources_without_the_extensions_own_paths(make_flask: MakeFlask) -> None:
    app = make_flask()
    CORS(app, resources={r"/api/*": {"origins": [ORIGIN]}})
    Sealed(app)
    # So there would be no handshake.
    assert not any(allowed(app, path) for path in OWN)


def test_allowed_headers_without_the_seals(make_flask: MakeFlask) -> None:
    app = make_flask()
    CORS(app, origins=[ORIGIN], allow_headers=["Content-Type"])
    Sealed(app)
    assert not allowed(app, "/sealed/session")


@pytest.mark.parametrize("above", [True, False])
def test_cross_origin_answers_options_itself(make_flask: MakeFlask, above: bool) -> None:
    app = make_flask()
    Sealed(app)
    allow = cross_origin(origins=[ORIGIN])
    view = allow(sealed(card)) if above else sealed(allow(card))
    app.add_url_rule("/card", view_func=view)
    with pytest.raises(ConfigError):
        plain_client(app).get("/card")


def card() -> dict[str, str]:
    return {"last4": "4242"}
