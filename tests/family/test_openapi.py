"""The marks of sealed operations, in apispec and in any description."""

from __future__ import annotations

import os
from typing import Any

import pytest
from apispec import APISpec
from apispec.exceptions import APISpecError
from apispec_webframeworks.flask import FlaskPlugin
from flask import Blueprint, Flask
from flask.views import MethodView

from flask_sealed import ConfigError, Sealed, sealed
from flask_sealed.openapi import mark_sealed, sealed_plugin

from .conftest import MakeFlask, plain_client

ALL = {
    "request": True,
    "response": True,
    "once": False,
    "kem": False,
    "pad": False,
    "optional": False,
}
MARK = {"profile": "flask-sealed/1", **ALL}


@pytest.fixture
def site(make_flask: MakeFlask) -> Flask:
    site = make_flask(SEALED_LEVEL3_KEY=os.urandom(32).hex())
    sealing = Sealed(site)
    site.add_url_rule("/cards/<int:number>", view_func=card)
    site.add_url_rule("/news/<path:name>", view_func=news)
    site.add_url_rule("/old", view_func=old, methods=["POST"])
    site.add_url_rule("/accounts/<any(a, b):kind>", view_func=Accounts.as_view("accounts"))
    records = Blueprint("records", __name__, url_prefix="/records")
    records.add_url_rule("/latest", view_func=latest)
    sealing.blueprint(records, once=True, kem=True)
    site.register_blueprint(records)
    return site


@sealed
def card(number: int) -> Any:
    """A card.
    ---
    get:
      responses:
        200:
          content:
            application/json:
              schema: {type: object, properties: {last4: {type: string}}}
    """
    return {"last4": str(number)}


def news(name: str) -> Any:
    return {"name": name}


@sealed(profile="level3", response=False)
def old() -> Any:
    return {}


def latest() -> Any:
    return {"pulse": 61}


class Accounts(MethodView):
    def get(self, kind: str) -> Any:
        return {"kind": kind}

    @sealed(pad=True)
    def post(self, kind: str) -> Any:
        return {"kind": kind}


def described(*pairs: tuple[str, str]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for method, path in pairs:
        paths.setdefault(path, {})[method] = {"responses": {}}
    return {"openapi": "3.1.0", "paths": paths}


def marks(spec: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (method, path): operation.get("x-sealed")
        for path, operations in spec["paths"].items()
        for method, operation in operations.items()
    }


EXPECTED = {
    ("get", "/cards/{number}"): MARK,
    ("get", "/news/{name}"): None,
    ("post", "/old"): {**ALL, "profile": "level3", "response": False},
    ("get", "/accounts/{kind}"): None,
    ("post", "/accounts/{kind}"): {**MARK, "pad": True},
    ("get", "/records/latest"): {**MARK, "once": True, "kem": True},
    ("options", "/cards/{number}"): None,
    ("get", "/nowhere"): None,
}


@pytest.mark.parametrize("asked_first", [True, False])
def test_a_description(site: Flask, asked_first: bool) -> None:
    if asked_first:
        plain_client(site).get("/nowhere")
    spec = described(*EXPECTED)
    assert mark_sealed(spec, site) is spec
    assert marks(spec) == EXPECTED


def test_what_is_no_operation_stays(site: Flask) -> None:
    spec = described(("get", "/cards/{number}"))
    spec["paths"]["/cards/{number}"] |= {"parameters": [{"name": "number"}], "summary": "A card"}
    mark_sealed(spec, site)
    operations = spec["paths"]["/cards/{number}"]
    assert operations.keys() == {"get", "parameters", "summary"}
    assert operations["parameters"] == [{"name": "number"}]
    assert mark_sealed({"openapi": "3.1.0"}, site) == {"openapi": "3.1.0"}


@pytest.mark.parametrize("prefix", ["/cards", "/cards/"])
def test_a_description_of_a_part(site: Flask, prefix: str) -> None:
    spec = described(("get", "/{number}"))
    assert marks(mark_sealed(spec, site, prefix=prefix)) == {("get", "/{number}"): MARK}


def test_where_sealing_is_switched_off(make_flask: MakeFlask) -> None:
    site = make_flask(SEALED_ENABLED=False)
    Sealed(site)
    site.add_url_rule("/cards/<int:number>", view_func=card)
    assert marks(mark_sealed(described(*EXPECTED), site)) == dict.fromkeys(EXPECTED)


def test_one_path_for_two_ways(site: Flask) -> None:
    site.add_url_rule("/cards/<number>", "other", news)
    with pytest.raises(ConfigError):
        mark_sealed(described(("get", "/cards/{number}")), site)


def test_without_the_extension() -> None:
    with pytest.raises(ConfigError):
        mark_sealed(described(("get", "/")), Flask("bare"))


def spec_of(site: Flask) -> APISpec:
    plugins = [FlaskPlugin(), sealed_plugin(site)]
    return APISpec(title="Bank", version="1", openapi_version="3.0.3", plugins=plugins)


def test_apispec(site: Flask) -> None:
    spec = spec_of(site)
    with site.app_context():
        spec.path(view=card)
    operation = spec.to_dict()["paths"]["/cards/{number}"]["get"]
    assert operation["x-sealed"] == MARK
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert "last4" in schema["properties"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_apispec_after_the_first_request(site: Flask, wrapped: bool) -> None:
    """The view is then another object, in its window."""
    plain_client(site).get("/nowhere")
    spec = spec_of(site)
    with site.app_context():
        if wrapped:
            spec.path(view=site.view_functions["card"])
        else:
            with pytest.raises(APISpecError):
                spec.path(view=card)
    assert len(spec.to_dict()["paths"]) == wrapped


def test_a_path_without_operations(site: Flask) -> None:
    spec = APISpec("Bank", "1", "3.0.3", plugins=[sealed_plugin(site)])
    spec.path("/cards/{number}")
    spec.path("/cards/{number}", operations={"get": {"responses": {}}})
    assert marks(spec.to_dict()) == {("get", "/cards/{number}"): MARK}
