"""flask-jwt-extended, where hooks verify tokens; all else is in tests/test_tokens.py."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    get_jwt_identity,
    jwt_required,
    verify_jwt_in_request,
)

from flask_sealed import Sealed, sealed
from flask_sealed.testing import sealed_client

from ..conftest import MakeCaller
from .conftest import MakeFlask, Place

PATHS = "/kept", "/asked"


@pytest.fixture(params=["any", "bound"])
def site(request: pytest.FixtureRequest, make_flask: MakeFlask, place: Place[Any]) -> Flask:
    site = make_flask(SEALED_TOKENS=request.param, JWT_SECRET_KEY="0f" * 32)
    place(site, lambda: JWTManager(site))
    site.add_url_rule("/kept", "kept", sealed(me))
    site.add_url_rule("/asked", "asked", sealed(jwt_required(optional=True)(me)))
    return site


def me() -> Any:
    return {"user": get_jwt_identity()}


def bearer(site: Flask, user: str) -> dict[str, str]:
    """A token as a foreign issuer makes it."""
    with site.app_context():
        return {"Authorization": f"Bearer {create_access_token(user)}"}


def look() -> None:
    verify_jwt_in_request(optional=True)


@pytest.mark.parametrize("path", PATHS)
def test_a_token_beside_the_seal_makes_nobody_of_the_request(
    site: Flask, make_caller: MakeCaller, path: str
) -> None:
    site.before_request(look)
    caller = make_caller(site)
    assert caller.get(path).json() == {"user": None}
    assert caller.get(path, outer=bearer(site, "eve")).status == 401


@pytest.mark.parametrize("path", PATHS)
def test_a_token_inside_the_seal(site: Flask, sealing: Sealed, path: str) -> None:
    sealing.before_view(look)
    client = sealed_client(site)
    response = client.get(path, headers=bearer(site, "ada"))
    if site.config["SEALED_TOKENS"] == "any":
        assert response.json == {"user": "ada"}
    else:
        assert response.status_code == 401
    assert client.get(path).json == {"user": None}
    client.assert_not_on_wire("Bearer ")


def test_the_view_is_not_shown_one_beside_the_seal(site: Flask, make_caller: MakeCaller) -> None:
    caller = make_caller(site)
    assert caller.get("/asked", outer=bearer(site, "eve")).json() == {"user": None}
