"""Functions that run before each sealed view, and see what it sees."""

from __future__ import annotations

import os
from typing import Any

import pytest
from flask import Flask, abort, request

from flask_sealed import Sealed, current, sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place, plain_client


@pytest.fixture
def site(make_flask: MakeFlask, place: Place[Any]) -> Flask:
    site = make_flask()

    def views() -> None:
        site.add_url_rule("/echo", view_func=sealed(echo), methods=["GET", "POST"])
        site.add_url_rule("/clear", "clear", lambda: {"clear": True})

    place(site, views)
    return site


def echo() -> Any:
    return request.get_json(silent=True) or {}


def test_they_see_the_plaintext_in_order(site: Flask, sealing: Sealed) -> None:
    seen: list[Any] = []

    @sealing.before_view
    def first() -> None:
        seen.append((request.get_json(silent=True), current.profile))

    @sealing.before_view
    async def second() -> None:
        seen.append(request.headers.get("Authorization"))

    client = sealed_client(site)
    answer = client.post("/echo", json={"card": "4242"}, headers={"Authorization": "Ada"})
    assert answer.json == {"card": "4242"}
    assert seen == [({"card": "4242"}, "session"), "Ada"]


def test_their_answer_takes_the_place_of_the_views(site: Flask, sealing: Sealed) -> None:
    sealing.before_view(lambda: None)
    sealing.before_view(lambda: ({"login": "https://login.example/secret"}, 403))
    sealing.before_view(lambda: abort(500))
    client = sealed_client(site)
    response = client.post("/echo", json={})
    assert (response.status_code, response.json) == (
        403,
        {"login": "https://login.example/secret"},
    )
    client.assert_not_on_wire("login.example")


def test_their_errors_are_sealed(site: Flask, sealing: Sealed) -> None:
    sealing.before_view(lambda: abort(418, "no tea for 4242-4242"))
    client = sealed_client(site)
    response = client.get("/echo")
    assert response.status_code == 418
    assert "4242-4242" in response.text
    client.assert_not_on_wire("4242-4242")


def test_where_they_do_not_run(site: Flask, sealing: Sealed) -> None:
    """Neither before views in clear, nor before those that every client needs first."""
    sealing.before_view(lambda: abort(401))
    client = sealed_client(site)
    assert client.get("/clear").json == {"clear": True}
    assert client.get("/sealed/routes").status_code == 200
    assert client.get("/sealed/client.js").status_code == 200
    assert client.get("/echo").status_code == 401
    # A refused request reaches none of them.
    assert plain_client(site).get("/echo").status_code == 400


def test_once_where_one_view_calls_another(site: Flask, sealing: Sealed) -> None:
    seen: list[str] = []
    sealing.before_view(lambda: seen.append(request.path))
    echoed: Any = lambda: site.view_functions["echo"]()  # noqa: E731
    site.add_url_rule("/via", "via", sealed(echoed))
    assert sealed_client(site).get("/via").status_code == 200
    assert seen == ["/via"]


def test_they_may_come_late(site: Flask, sealing: Sealed) -> None:
    client = sealed_client(site)
    assert client.get("/echo").status_code == 200
    sealing.before_view(lambda: abort(401))
    assert client.get("/echo").status_code == 401


def test_level3_views_too(make_flask: MakeFlask) -> None:
    site = make_flask(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=os.urandom(32).hex())
    sealing = Sealed(site)
    seen: list[Any] = []
    sealing.before_view(lambda: seen.append(request.get_json()))
    site.add_url_rule("/echo", view_func=sealed(echo), methods=["POST"])
    assert sealed_client(site).post("/echo", json={"card": "4242"}).json == {"card": "4242"}
    assert seen == [{"card": "4242"}]
