"""APIFlask, with the marks in its description."""

from __future__ import annotations

from typing import Any

import pytest
from apiflask import APIBlueprint, APIFlask, HTTPTokenAuth, Schema, abort
from apiflask.fields import Integer, String
from pydantic import BaseModel

from flask_sealed import Sealed, sealed
from flask_sealed.openapi import sealed_plugin
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, orders, plain_client

SECRET = "40-2001-7788"


class Transfer(Schema):
    to = String(required=True)
    amount = Integer(required=True)


class Payment(BaseModel):
    to: str
    amount: int


@pytest.fixture(params=["sealed last", "sealed first"])
def site(request: pytest.FixtureRequest, make_flask: MakeFlask) -> Any:
    site: Any = make_flask(APIFlask, PROPAGATE_EXCEPTIONS=False)
    if request.param == "sealed first":
        Sealed(site)
    site.spec_plugins.append(sealed_plugin(site))
    for kind in (Transfer, Payment):
        for name, decorate in orders(site.input(kind), site.output(kind)):

            def transfer(number: int, json_data: Any) -> Any:
                return json_data

            rule = f"/{kind.__name__.lower()}-{name}/<int:number>"
            site.post(rule, endpoint=f"{kind.__name__}-{name}")(decorate(transfer))
    auth = HTTPTokenAuth()
    auth.verify_token(lambda token: token or None)
    for name, decorate in orders(site.auth_required(auth)):
        site.get(f"/me-{name}", endpoint=f"me-{name}")(
            decorate(lambda: {"user": auth.current_user})
        )
    site.get("/failing")(sealed(failing))
    site.get("/clear")(clear)
    cards = APIBlueprint("cards", __name__, url_prefix="/cards")
    cards.get("/latest")(sealed(kem=False, pad=True)(latest))
    site.register_blueprint(cards)
    if request.param == "sealed last":
        Sealed(site)
    return site


def failing() -> Any:
    abort(409, f"no account {SECRET}", {"number": SECRET})


def clear() -> Any:
    return {"clear": True}


def latest() -> Any:
    return {"last4": "4242"}


NAMES = [f"{kind}-order{n}" for kind in ("transfer", "payment") for n in range(6)]


@pytest.mark.parametrize("name", NAMES)
def test_inputs_and_outputs_in_any_order(site: APIFlask, name: str) -> None:
    client = sealed_client(site)
    good = client.post(f"/{name}/7", json={"to": SECRET, "amount": 5})
    assert good.json == {"to": SECRET, "amount": 5}
    bad = client.post(f"/{name}/7", json={"to": SECRET, "amount": "7 p"})
    assert bad.status_code == 422
    assert "valid integer" in bad.text
    client.assert_not_on_wire(SECRET, "valid integer")


@pytest.mark.parametrize("name", ["order0", "order1"])
def test_tokens_are_read_inside(site: APIFlask, name: str) -> None:
    client = sealed_client(site)
    response = client.get(f"/me-{name}", headers={"Authorization": "Bearer ada-0815-token"})
    assert response.json == {"user": "ada-0815-token"}
    assert client.get(f"/me-{name}").status_code == 401
    client.assert_not_on_wire("ada-0815-token")


def test_errors_are_sealed(site: APIFlask) -> None:
    client = sealed_client(site)
    response = client.get("/failing")
    assert (response.status_code, response.get_json()["detail"]) == (409, {"number": SECRET})
    client.assert_not_on_wire(SECRET)
    assert client.get("/nowhere").get_json()["message"] == "Not Found"


@pytest.mark.parametrize("asked_first", [True, False])
def test_the_description(site: APIFlask, asked_first: bool) -> None:
    """Also after the first request, when the windows are around the views."""
    if asked_first:
        assert sealed_client(site).get("/cards/latest").json == {"last4": "4242"}
    paths = plain_client(site).get("/openapi.json").get_json()["paths"]
    for name in NAMES:
        operation = paths[f"/{name}/{{number}}"]["post"]
        model = "Transfer" if name.startswith("transfer") else "Payment"
        schema = {"$ref": f"#/components/schemas/{model}"}
        assert operation["requestBody"]["content"]["application/json"]["schema"] == schema
        assert operation["responses"]["200"]["content"]["application/json"]["schema"] == schema
        assert operation["x-sealed"]["profile"] == "flask-sealed/1"
    assert paths["/cards/latest"]["get"]["x-sealed"]["pad"] is True
    assert "x-sealed" not in paths["/clear"]["get"]
    assert not any(path.startswith("/sealed") for path in paths)
