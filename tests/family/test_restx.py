"""Flask-RESTX."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask_restx import Api, Resource, fields, reqparse

from flask_sealed import sealed
from flask_sealed.openapi import mark_sealed
from flask_sealed.testing import sealed_client

from ..conftest import MakeCaller
from .conftest import MakeFlask, Place, orders, plain_client

SECRET = "40-2001-7788"


class BlockedError(Exception):
    pass


@pytest.fixture
def api(make_flask: MakeFlask, place: Place[Api]) -> Api:
    site = make_flask(PROPAGATE_EXCEPTIONS=False)
    api = place(site, lambda: Api(site))
    model = api.model("Transfer", {"to": fields.String, "amount": fields.Integer(required=True)})
    decorators = api.expect(model, validate=True), api.marshal_with(model)
    for name, decorate in orders(*decorators):

        def post(self: Any) -> Any:
            return {**request.get_json(), "internal": "not in the model"}

        resource = type(name, (Resource,), {"post": decorate(post)})
        api.add_resource(resource, f"/{name}", endpoint=name)
    parser = reqparse.RequestParser()
    parser.add_argument("owner", required=True, location="json")

    @sealed
    class Whole(Resource):  # type: ignore[misc]
        def post(self) -> Any:
            return parser.parse_args()

        def get(self) -> Any:
            raise BlockedError(SECRET)

        def delete(self) -> Any:
            raise ValueError(SECRET)

        def put(self) -> Any:
            api.abort(409, f"no account {SECRET}", number=SECRET)

    api.add_resource(Whole, "/whole")

    @api.errorhandler(BlockedError)
    def blocked(error: Any) -> Any:
        return {"message": f"{error} is blocked"}, 423, {"X-Account": SECRET}

    return api


@pytest.fixture
def site(api: Api) -> Flask:
    app: Flask = api.app
    return app


@pytest.mark.parametrize("name", [f"order{number}" for number in range(6)])
def test_models_in_any_order(site: Flask, name: str) -> None:
    client = sealed_client(site)
    good = client.post(f"/{name}", json={"to": SECRET, "amount": 5})
    assert good.json == {"to": SECRET, "amount": 5}
    bad = client.post(f"/{name}", json={"to": SECRET, "amount": SECRET})
    assert bad.status_code == 400
    assert SECRET in bad.get_json()["errors"]["amount"]
    client.assert_not_on_wire(SECRET)


def test_its_errors_are_sealed(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Those of its parsers, of `abort`, of its own handlers, and what it makes of the rest."""
    client = sealed_client(site)
    assert client.post("/whole", json={"owner": "Lovelace"}).json == {"owner": "Lovelace"}
    assert "owner" in client.post("/whole", json={}).get_json()["errors"]
    blocked = client.get("/whole")
    assert (blocked.status_code, blocked.headers["X-Account"]) == (423, SECRET)
    assert client.put("/whole").get_json()["number"] == SECRET
    caplog.set_level(logging.CRITICAL)
    assert client.delete("/whole").json == {"message": "Internal Server Error"}
    assert client.patch("/whole").status_code == 405
    client.assert_not_on_wire(SECRET, "Lovelace", "is blocked")


def test_a_clear_request_is_refused(site: Flask) -> None:
    response = plain_client(site).post("/whole", json={"owner": "Lovelace"})
    assert response.get_json()["type"] == "urn:flask-sealed:sealed-required"


def test_nobody_on_the_way_masks_fields(site: Flask, make_caller: MakeCaller) -> None:
    """`X-Fields` takes fields out of an answer: it works sealed alone."""
    caller = make_caller(site)
    mask = {"X-Fields": "{to}"}
    content = {"to": SECRET, "amount": 5}
    assert caller.post("/order0", json=content, outer=mask).json() == content
    assert caller.post("/order0", json=content, headers=mask).json() == {"to": SECRET}


@pytest.mark.parametrize("decorator", ["method_decorators", "decorators"])
def test_lists_of_decorators(make_flask: MakeFlask, place: Place[Api], decorator: str) -> None:
    """Flask's own list is read; that of RESTX is used when a request is there, which is too late:
    the view is never answered in clear."""
    site = make_flask(PROPAGATE_EXCEPTIONS=False)
    api = place(site, lambda: Api(site))
    body = {decorator: [sealed], "get": lambda self: {"to": SECRET}}
    api.add_resource(type("Listed", (Resource,), body), "/listed")
    plain = plain_client(site).get("/listed")
    assert SECRET not in plain.text
    if decorator == "decorators":
        assert sealed_client(site).get("/listed").json == {"to": SECRET}
    else:
        assert plain.status_code == 500


def test_its_description(make_flask: MakeFlask, place: Place[Any]) -> None:
    site = make_flask()
    place(site, lambda: None)
    blueprint = Blueprint("v1", __name__, url_prefix="/v1")
    api = Api(blueprint)

    @api.route("/accounts/<int:number>")
    class Account(Resource):  # type: ignore[misc]
        @sealed
        def get(self, number: int) -> Any:
            return {"number": number}

        def post(self, number: int) -> Any:
            return {}

    site.register_blueprint(blueprint)
    with site.test_request_context():
        spec = mark_sealed(api.__schema__, site, prefix="/v1")
    operations = spec["paths"]["/accounts/{number}"]
    assert operations["get"]["x-sealed"]["profile"] == "flask-sealed/1"
    assert "x-sealed" not in operations["post"]
