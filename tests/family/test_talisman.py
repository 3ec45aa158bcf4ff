"""Flask-Talisman."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request, session
from flask_talisman import Talisman
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_sealed.testing import sealed_client

from ..peer import problem
from .conftest import MakeFlask, Place, orders, plain_client

HTTPS = {"base_url": "https://localhost"}
# From a proxy that ends TLS, and another machine.
PROXY = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}, "headers": {"X-Forwarded-Proto": "https"}}


@pytest.fixture
def site(make_flask: MakeFlask, place: Place[Talisman]) -> Flask:
    site = make_flask()
    talisman = place(site, lambda: Talisman(site, content_security_policy_nonce_in=["script-src"]))
    for name, decorate in orders(talisman(frame_options="DENY")):
        site.add_url_rule(f"/{name}", name, decorate(card))
    return site


def card() -> Any:
    session["seen"] = True
    nonce: Any = request
    return {"last4": "4242", "nonce": bool(nonce.csp_nonce)}


@pytest.mark.parametrize("path", ["/order0", "/order1"])
def test_a_sealed_view(site: Flask, path: str) -> None:
    client = sealed_client(site)
    assert client.get(path, **HTTPS).json == {"last4": "4242", "nonce": True}
    outer = dict(client.wire[-1].response.headers)
    # Its headers are for the browser, which heeds what it sees.
    assert outer["X-Frame-Options"] == "DENY"
    assert "max-age" in outer["Strict-Transport-Security"]
    assert "Secure" in outer["Set-Cookie"]
    assert outer["Cache-Control"] == "no-store, no-transform"


def test_the_browsers_client_may_be_loaded(site: Flask) -> None:
    response = plain_client(site).get("/sealed/client.js", **HTTPS)
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_plain_http_is_refused_before_it_is_redirected(site: Flask) -> None:
    """A redirect would be followed with the same seal, which has been seen by then."""
    site.testing = False
    client = plain_client(site)
    elsewhere = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    assert problem(client.get("/order0", **elsewhere)) == "https-required"
    assert client.post("/sealed/session", **elsewhere).status_code == 302


@pytest.mark.parametrize("fixed", [True, False])
def test_behind_a_proxy(site: Flask, fixed: bool) -> None:
    """Talisman believes `X-Forwarded-Proto` from anyone. A seal does not, without ProxyFix."""
    site.testing = False
    if fixed:
        site.wsgi_app = ProxyFix(site.wsgi_app)  # type: ignore[method-assign]
    code = problem(plain_client(site).get("/order0", **PROXY))
    assert code == ("sealed-required" if fixed else "https-required")


@pytest.mark.parametrize("forced", [True, False])
def test_tests_over_plain_http(
    make_flask: MakeFlask, place: Place[Talisman], forced: bool
) -> None:
    site = make_flask()
    place(site, lambda: Talisman(site, force_https=forced))
    assert plain_client(site).post("/sealed/session").status_code == (302 if forced else 400)
