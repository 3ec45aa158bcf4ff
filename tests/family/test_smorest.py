"""flask-smorest, with the marks in its description."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields

from flask_sealed import sealed
from flask_sealed.openapi import sealed_plugin
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place, orders

SETTINGS = {
    "API_TITLE": "Bank",
    "API_VERSION": "1",
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/docs",
}
SECRET = "40-2001-7788"


class Transfer(Schema):
    to = fields.String(required=True)
    amount = fields.Integer(required=True)


class Query(Schema):
    owner = fields.String(required=True)


def transfers() -> Blueprint:
    blueprint = Blueprint("transfers", __name__, url_prefix="/v1")
    decorators = blueprint.arguments(Transfer), blueprint.response(201, Transfer)
    for name, decorate in orders(*decorators):

        def transfer(data: Any) -> Any:
            return {**data, "internal": "not in the schema"}

        blueprint.route(f"/{name}", methods=["POST"], endpoint=name)(decorate(transfer))

    @blueprint.route("/accounts/<int:number>")
    class Accounts(MethodView):
        @sealed(once=True)
        @blueprint.arguments(Query, location="query")
        def get(self, query: Any, number: int) -> Any:
            abort(409, message=f"{query['owner']} has no account {number}")

        @blueprint.response(200, Transfer)
        def put(self, number: int) -> Any:
            return {"to": str(number), "amount": 0}

    @blueprint.route("/tagged")
    class Tagged(MethodView):
        @sealed
        @blueprint.etag
        @blueprint.response(200, Transfer)
        def get(self) -> Any:
            return {"to": SECRET, "amount": 1}

        @sealed
        @blueprint.etag
        @blueprint.response(200, Transfer)
        def put(self) -> Any:
            blueprint.check_etag({"to": SECRET, "amount": 1}, Transfer)
            return {"to": SECRET, "amount": 2}

    return blueprint


@pytest.fixture
def api(make_flask: MakeFlask, place: Place[Api]) -> Api:
    site = make_flask(**SETTINGS)
    plugins = {"extra_plugins": [sealed_plugin(site)]}
    api = place(site, lambda: Api(site, spec_kwargs=plugins))
    api.register_blueprint(transfers())
    return api


@pytest.fixture
def site(api: Api) -> Flask:
    app: Flask = api._app
    return app


NAMES = [f"order{number}" for number in range(6)]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_responses_in_any_order(site: Flask, name: str) -> None:
    client = sealed_client(site)
    good = client.post(f"/v1/{name}", json={"to": SECRET, "amount": 5})
    # In the order of the decorators that say it, as without a seal.
    assert good.get_json()["to"] == SECRET
    bad = client.post(f"/v1/{name}", json={"to": SECRET, "amount": "7 p"})
    assert bad.status_code == 422
    assert bad.get_json()["errors"] == {"json": {"amount": ["Not a valid integer."]}}
    client.assert_not_on_wire(SECRET, "Not a valid integer")


def test_errors_are_sealed(site: Flask) -> None:
    client = sealed_client(site)
    response = client.get("/v1/accounts/7?owner=Lovelace")
    assert response.get_json()["message"] == "Lovelace has no account 7"
    missing = client.get("/v1/accounts/7")
    assert missing.get_json()["errors"] == {
        "query": {"owner": ["Missing data for required field."]}
    }
    client.assert_not_on_wire("Lovelace", "has no account", "Missing data")


def test_etags(site: Flask) -> None:
    """An answer's is sealed. Conditions are hidden from sealed views, which refuse to write
    without one."""
    client = sealed_client(site)
    etag = client.get("/v1/tagged").headers["ETag"]
    client.assert_not_on_wire(etag.strip('"'))
    again = client.get("/v1/tagged", headers={"If-None-Match": etag})
    assert (again.status_code, again.get_json()["to"]) == (200, SECRET)
    assert client.put("/v1/tagged", headers={"If-Match": etag}).status_code == 428


@pytest.mark.parametrize("name", NAMES)
def test_the_description_has_the_plaintexts_schema_and_the_mark(api: Api, name: str) -> None:
    operation = api.spec.to_dict()["paths"][f"/v1/{name}"]["post"]
    schema = {"$ref": "#/components/schemas/Transfer"}
    assert operation["requestBody"]["content"]["application/json"]["schema"] == schema
    assert operation["responses"]["201"]["content"]["application/json"]["schema"] == schema
    assert operation["x-sealed"] == {
        "profile": "flask-sealed/1",
        "request": True,
        "response": True,
        "once": False,
        "kem": False,
        "pad": False,
        "optional": False,
    }


def test_marks_of_single_methods(api: Api) -> None:
    operations = api.spec.to_dict()["paths"]["/v1/accounts/{number}"]
    assert operations["get"]["x-sealed"]["once"] is True
    assert "x-sealed" not in operations["put"]


def test_its_own_page_has_the_marks(site: Flask) -> None:
    paths = site.test_client().get("/docs/openapi.json").get_json()["paths"]
    assert paths["/v1/order0"]["post"]["x-sealed"]["profile"] == "flask-sealed/1"
