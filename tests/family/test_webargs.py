"""webargs."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from webargs import fields
from webargs.flaskparser import use_args, use_kwargs

from flask_sealed import Sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, orders

SECRET = "40-2001-7788"
BODY = use_kwargs({"to": fields.Str(required=True), "amount": fields.Int(required=True)})
QUERY = use_args({"owner": fields.Str(required=True)}, location="query")
ACCOUNT = use_args({"account": fields.Str(data_key="X-Account")}, location="headers")


@pytest.fixture(params=[[], ["X-Account"]])
def site(request: pytest.FixtureRequest, make_flask: MakeFlask) -> Flask:
    site = make_flask(SEALED_HEADERS=request.param)
    Sealed(site)
    for name, decorate in orders(BODY, QUERY):
        site.add_url_rule(f"/{name}", name, decorate(transfer), methods=["POST"])
    for name, decorate in orders(ACCOUNT):
        site.add_url_rule(f"/of-{name}", f"of-{name}", decorate(account))

    @site.errorhandler(422)
    def told(error: Any) -> Any:
        return error.data["messages"], 422

    return site


def transfer(*args: Any, **kwargs: Any) -> Any:
    return {**args[0], **kwargs}


def account(args: Any) -> Any:
    return args


@pytest.mark.parametrize("name", [f"order{number}" for number in range(6)])
def test_any_order(site: Flask, name: str) -> None:
    client = sealed_client(site)
    content = {"to": SECRET, "amount": 5}
    good = client.post(f"/{name}?owner=Lovelace", json=content)
    assert good.json == {**content, "owner": "Lovelace"}
    bad = client.post(f"/{name}?owner=Lovelace", json={"to": SECRET, "amount": SECRET})
    assert bad.status_code == 422
    assert bad.json == {"json": {"amount": ["Not a valid integer."]}}
    client.assert_not_on_wire(SECRET, "Lovelace", "Not a valid integer")


@pytest.mark.parametrize("name", ["of-order0", "of-order1"])
def test_headers(site: Flask, name: str) -> None:
    """One that is not in `SEALED_HEADERS` travels in clear, and is whoever's on the way."""
    client = sealed_client(site)
    response = client.get(f"/{name}", headers={"X-Account": SECRET})
    assert response.json == {"account": SECRET}
    if site.config["SEALED_HEADERS"]:
        client.assert_not_on_wire(SECRET)
    else:
        assert ("X-Account", SECRET) in client.wire[-1].request.headers
